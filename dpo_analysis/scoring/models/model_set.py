"""The models of a run: the reference, the policies and their series, from what the user or a trainer's folder says."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Series
from dpo_analysis.scoring.models.in_memory import reference_adapter
from dpo_analysis.scoring.models.loading import check_class
from dpo_analysis.scoring.models.model_folders import recorded_base
from dpo_analysis.scoring.models.policy_names import NamedPolicy, check_distinct_names, name_policies
from dpo_analysis.scoring.models.preflight import ModelFiles, find_model, find_saved_reference, read_json
from dpo_analysis.scoring.models.resolved_model import ResolvedModel, resolve_files, resolve_module
from dpo_analysis.scoring.models.series import resolve_series
from dpo_analysis.scoring.models.weight_files import DamagedWeights
from dpo_analysis.trainer import Training
from dpo_analysis.trainer.folder import expanded, is_folder


@dataclass(frozen=True, slots=True)
class ModelSet:
    """The reference, the policies in the order given, and their series."""

    reference: ResolvedModel
    policies: list[ResolvedModel]
    series: list[Series]

    @property
    def models(self) -> list[ResolvedModel]:
        """All models, the reference first."""
        return [self.reference, *self.policies]

    @property
    def dtype(self) -> str | None:
        """Type of the weights of a reference in memory, which is scored as it is; None for a reference on disk."""
        module = self.reference.module
        return None if module is None else str(next(module.parameters()).dtype).removeprefix("torch.")

    @property
    def notes(self) -> list[str]:
        """A note for the log where an adapter's base is not the reference that the adapter is measured against."""
        if self.reference.files is None:
            return []
        reference_folder = self.reference.files.folder.resolve()
        for policy in self.policies:
            base = policy.files.base if policy.files is not None and policy.files.saved_reference is None else None
            if base is not None and base.folder.resolve() != reference_folder:
                return [
                    f"adapter {policy.model.key} stands on {base.folder}, and its reference here is "
                    f"{self.reference.model.source}: unless these are one model, its rewards hold what lies between "
                    "them, too"
                ]
        return []

    def max_n_parameters(self) -> int:
        """Return the parameters of the largest model whose weight files are whole.

        Raises:
            DamagedWeights: those of the reference, or of every policy, are damaged.
        """
        if self.reference.damage:
            raise DamagedWeights(self.reference.damage)
        if self.policies and all(policy.damage for policy in self.policies):
            raise DamagedWeights(self.policies[0].damage)
        return max(resolved.n_parameters for resolved in self.models)


def resolve_models(
    policies: Mapping[str, object] | Iterable[object],
    reference: object,
    *,
    base: str | Path | None,
    trainings: Sequence[Training],
    objective: Mapping[str, Any],
    stored_series: Mapping[str, Series] | None = None,
) -> ModelSet:
    """Find and check every model, and work out which model is the reference.

    Args:
        policies: as for ``policy_names.name_policies``; may be empty where trainings have checkpoints.
        reference: path, hub id or loaded model; None where adapters or trainings name it.
        base: base of adapters whose recorded base is not on this machine.
        trainings: from ``trainer.find_training``.
        objective: beta, loss_type and parameters from the caller; None where the caller does not say.
        stored_series: series of a run folder that exists already, where neither caller nor training says anything.

    Raises:
        InputError: there is no policy or no reference, two policies have one name, a model cannot be scored, or a loss
            has no reference or a moving one.
    """
    named = name_policies(policies)
    named += [
        NamedPolicy(training.series, Path(path).resolve().name, step, path)
        for training in trainings
        for step, path in training.checkpoints
    ]
    check_distinct_names(named)
    if not named:
        raise InputError("no policy to score: pass --policy [[SERIES/]NAME=]MODEL or --trainer-output DIR")
    names = dict.fromkeys(policy.series for policy in named)
    series = [resolve_series(name, trainings, objective, (stored_series or {}).get(name)) for name in names]
    full_models: dict[Path, ModelFiles] = {}
    if base is None and trainings:
        base = _base_of_moved_adapters(named, reference)
    resolved = [_resolve_policy(policy, base, full_models) for policy in named]
    return ModelSet(_resolve_reference(reference, resolved, base, trainings, full_models), resolved, series)


def _base_of_moved_adapters(policies: Sequence[NamedPolicy], reference: object) -> str | None:
    """Return the reference as the base of adapters whose recorded base is not on this machine; None without any.

    The reference of an adapter is its base with the adapter off, so a full model given as the reference is the base.
    """
    if not isinstance(reference, str | Path) or (expanded(reference) / "adapter_config.json").is_file():
        return None
    folders = [expanded(policy.model) for policy in policies if isinstance(policy.model, str | Path)]
    adapters = [folder for folder in folders if (folder / "adapter_config.json").is_file()]
    return str(reference) if adapters and not any(map(_has_base, adapters)) else None


def _has_base(adapter: Path) -> bool:
    try:
        recorded_base(adapter, read_json(adapter / "adapter_config.json", missing=""))
    except InputError:
        return False
    return True


def _resolve_policy(policy: NamedPolicy, base: str | Path | None, full_models: dict[Path, ModelFiles]) -> ResolvedModel:
    source = policy.model
    if isinstance(source, str | Path):
        files = find_model(source, base=base, full_models=full_models)
        check_class(files)
        return resolve_files(Model(policy.series, policy.name, policy.step, files.kind, str(source)), files)
    if not isinstance(source, nn.Module):
        raise InputError(f"policy {policy.key} is a {type(source).__name__}: pass a path, a hub id or a loaded model")
    return resolve_module(Model(policy.series, policy.name, policy.step, "loaded"), source)


def _resolve_reference(
    reference: object,
    policies: Sequence[ResolvedModel],
    base: str | Path | None,
    trainings: Sequence[Training],
    full_models: dict[Path, ModelFiles],
) -> ResolvedModel:
    if isinstance(reference, nn.Module):
        is_policy = any(policy.module is reference for policy in policies)
        return resolve_module(Model.reference(), reference, reference_adapter(reference) if is_policy else None)
    if reference is not None:
        files = find_model(str(reference), base=base, full_models=full_models)
        check_class(files)
        return resolve_files(Model.reference(source=str(reference)), files)
    implied = list(_implied_references(policies, trainings, full_models))
    if not implied:
        raise InputError(_why_no_reference(trainings))
    distinct = {resolved.model.weights: resolved for resolved in implied}
    if len(distinct) > 1:
        sources = ", ".join(resolved.model.source for resolved in list(distinct.values())[:3])
        raise InputError(f"different references for these policies: {sources}; score each in a run of its own")
    return implied[0]


def _why_no_reference(trainings: Sequence[Training]) -> str:
    """Return the error line where nothing says which model is the reference, with the models that files name."""
    if not trainings:
        return "no reference: a full model does not say what it was trained from; pass --reference MODEL"
    training = trainings[0]
    seen = "; ".join(training.candidates)
    named = f"its files name {seen}" if seen else "none of its files names the model that training started from"
    return f"no reference in {training.folder or training.series}: {named}; pass --reference MODEL"


def _implied_references(
    policies: Sequence[ResolvedModel], trainings: Sequence[Training], full_models: dict[Path, ModelFiles]
) -> Iterator[ResolvedModel]:
    """The reference that each policy was trained against, as far as adapters and trainers' folders record it."""
    recorded = {training.series: training.reference for training in trainings if training.reference}
    resolved: dict[str, ResolvedModel] = {}
    for policy in policies:
        if policy.module is not None:
            adapter = reference_adapter(policy.module)
            if adapter is not None:
                yield resolve_module(Model.reference(), policy.module, adapter)
            continue
        if policy.files is not None and policy.files.base is not None:
            files = find_saved_reference(policy.files, full_models) or policy.files.base
            source = _short_path(files.folder)
        elif policy.model.series in recorded:
            source = recorded[policy.model.series]
            files = _recorded_reference(source, policy.model.series, full_models)
        else:
            continue
        if source not in resolved:
            resolved[source] = resolve_files(Model.reference(source=source), files)
        yield resolved[source]


def _recorded_reference(name: str, series: str, full_models: dict[Path, ModelFiles]) -> ModelFiles:
    """Return the files of the reference that a trainer's folder names; that name is not looked up on the hub."""
    if not is_folder(name):
        raise InputError(f"series {series} was trained from {name}: not found on this machine; pass --reference MODEL")
    return find_model(name, full_models=full_models)


def _short_path(folder: Path) -> str:
    """Return the path relative to the working folder where ``folder`` is in it."""
    working = Path.cwd()
    is_inside = folder.is_absolute() and folder.is_relative_to(working)
    return str(folder.relative_to(working)) if is_inside else str(folder)
