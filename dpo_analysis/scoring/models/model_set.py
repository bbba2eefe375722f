"""Who is scored: the reference, the policies and their series, from what the user or a trainer's folder says."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dpo_analysis.errors import InputError
from dpo_analysis.numerics.losses import check_loss
from dpo_analysis.numerics.trl_losses import REFERENCE_FREE
from dpo_analysis.runs import Model, Series
from dpo_analysis.scoring.models.in_memory import LoadedModel, causal_model, loaded_sha256, reference_adapter
from dpo_analysis.scoring.models.loading import check_class
from dpo_analysis.scoring.models.model_loader import Needs, Shelf, StoredModel, Watch
from dpo_analysis.scoring.models.policy_names import NamedPolicy, distinct, resolve_policies
from dpo_analysis.scoring.models.preflight import ModelFiles, check_weights, find_model, saved_reference, weights_sha256
from dpo_analysis.scoring.models.weight_files import Damaged
from dpo_analysis.trainer import Training


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the run and where it is: ``files`` on disk, or ``module`` in memory with the adapter to use."""

    model: Model
    files: ModelFiles | None = None
    module: nn.Module | None = None
    adapter: str | None = None

    @property
    def config(self) -> dict:
        """The model's config."""
        if self.files is not None:
            return self.files.config
        return causal_model(self.module).config.to_dict()  # type: ignore[arg-type, union-attr, operator]

    @property
    def place(self) -> str:
        """Where it is, for the log: an adapter's base is told, as its name was only recorded."""
        if self.files is None:
            return self.model.source
        return str(self.files.folder) + (f" on {self.files.base.folder}" if self.files.base else "")

    def n_parameters(self) -> int:
        """Parameters, from the headers of the weight files or from memory.

        Raises:
            Damaged: the weight files cannot be used.
        """
        if self.files is not None:
            return check_weights(self.files)
        assert self.module is not None
        return sum(value.numel() for value in self.module.parameters())

    def source(self, shelf: Shelf, needs: Needs, watch: Watch) -> "StoredModel | LoadedModel":
        """What ``work.score_parts`` opens."""
        if self.files is not None:
            return StoredModel(self.model, self.files, shelf, watch)
        assert self.module is not None
        return LoadedModel(self.model, self.module, self.adapter, needs, watch, shelf.numerics)


@dataclass(frozen=True, slots=True)
class Lineup:
    """The reference, the policies in order, and their series."""

    reference: Entry
    policies: list[Entry]
    series: list[Series]

    @property
    def entries(self) -> list[Entry]:
        """All models, the reference first."""
        return [self.reference, *self.policies]

    @property
    def dtype(self) -> str | None:
        """The type of a reference in memory, which is scored as it is; None for one on disk."""
        module = self.reference.module
        return None if module is None else str(next(module.parameters()).dtype).removeprefix("torch.")

    @property
    def notes(self) -> list[str]:
        """What a person should know of it: adapters whose base is not the reference they are measured against."""
        folder = None if self.reference.files is None else self.reference.files.folder.resolve()
        apart = [
            f"adapter {entry.model.key} stands on {entry.files.base.folder}, and its reference here is "
            f"{self.reference.model.source}: unless these are one model, its rewards hold what lies between them, too"
            for entry in self.policies
            if entry.files is not None and entry.files.base is not None and saved_reference(entry.files) is None
            and folder not in (None, entry.files.base.folder.resolve())
        ]  # fmt: skip
        return apart[:1]

    def n_parameters(self) -> int:
        """Parameters of the largest model; damaged ones are passed over, unless no policy is whole.

        Raises:
            Damaged: the reference's weights, or those of every policy, cannot be used.
        """
        sizes, problems = [], []
        for entry in self.entries:
            try:
                sizes.append(entry.n_parameters())
            except Damaged as error:
                if entry is self.reference:
                    raise
                problems.append(error)
        if problems and len(problems) == len(self.policies):
            raise problems[0]
        return max(sizes)


def line_up(
    policies: Mapping[str, object] | Iterable[object],
    reference: object,
    *,
    base: str | Path | None,
    trainings: Sequence[Training],
    objective: Mapping[str, Any],
    known: Mapping[str, Series] | None = None,
) -> Lineup:
    """Find every model and work out what the reference is.

    Args:
        policies: as for ``names.resolve_policies``; may be empty where trainings give checkpoints.
        reference: path, hub id or loaded model; None where adapters or trainings say it.
        base: base of adapters whose recorded one is not here.
        trainings: what ``training.find_training`` found.
        objective: beta, loss_type and parameters as the caller gave them; None where the training's own count.
        known: the series of the run that is there; they count where neither caller nor training says anything.

    Raises:
        InputError: no policy, no reference, two of one name, a model that cannot be scored, a loss without a
            reference or with a moving one.
    """
    named = resolve_policies(policies)
    named += [
        NamedPolicy(one.series, Path(path).resolve().name, step, path)
        for one in trainings
        for step, path in one.checkpoints
    ]
    if not distinct(named):
        raise InputError("no policy to score: pass --policy [[SERIES/]NAME=]MODEL or --trainer-output DIR")
    names = dict.fromkeys(one.series for one in named)
    series = [_series(name, trainings, objective, (known or {}).get(name)) for name in names]
    entries = [_entry(one, base) for one in named]
    return Lineup(_reference(reference, entries, base, trainings), entries, series)


def _entry(policy: NamedPolicy, base: str | Path | None) -> Entry:
    model = policy.model
    if isinstance(model, str | Path):
        files = find_model(model, base=base)
        check_class(files)
        found = Model(policy.series, policy.name, policy.step, files.kind, str(model), weights_sha256(files))
        return Entry(found, files=files)
    if not isinstance(model, nn.Module):
        raise InputError(f"policy {policy.key} is a {type(model).__name__}: pass a path, a hub id or a loaded model")
    source, weights = f"loaded {type(causal_model(model)).__name__}", loaded_sha256(model, None)
    return Entry(Model(policy.series, policy.name, policy.step, "loaded", source, weights), module=model)


def _reference(
    reference: object, policies: Sequence[Entry], base: str | Path | None, trainings: Sequence[Training]
) -> Entry:
    if isinstance(reference, nn.Module):
        given = any(entry.module is reference for entry in policies)
        return _loaded_reference(reference, reference_adapter(reference) if given else None)
    if reference is not None:
        files = find_model(str(reference), base=base)
        check_class(files)
        return _stored_reference(files, str(reference))
    found = list(_implied(policies, trainings))
    if not found:
        raise InputError("no reference: a full model does not say what it was trained from; pass --reference MODEL")
    others = {entry.model.weights: entry for entry in found}
    if len(others) > 1:
        sources = ", ".join(entry.model.source for entry in list(others.values())[:3])
        raise InputError(f"different references for these policies: {sources}; score each in a run of its own")
    return found[0]


def _implied(policies: Sequence[Entry], trainings: Sequence[Training]) -> Iterator[Entry]:
    """The reference that each policy was trained against, as far as adapters and trainers' folders tell."""
    told = {one.series: one.reference for one in trainings if one.reference}
    for entry in policies:
        files = entry.files
        if files is None:
            adapter = reference_adapter(entry.module) if entry.module is not None else None
            if adapter is not None and entry.module is not None:
                yield _loaded_reference(entry.module, adapter)
        elif files.base is not None:
            saved = saved_reference(files) or files.base
            yield _stored_reference(saved, _shown(saved.folder))
        elif entry.model.series in told:
            yield _told_reference(told[entry.model.series], entry.model.series)


def _told_reference(name: str, series: str) -> Entry:
    """A name that stands in a trainer's folder is not asked of the network."""
    if not Path(name).is_dir():
        raise InputError(f"series {series} was trained from {name}: not found on this machine; pass --reference MODEL")
    return _stored_reference(find_model(name), name)


def _stored_reference(files: ModelFiles, source: str) -> Entry:
    return Entry(Model.reference(source=source, weights=weights_sha256(files)), files=files)


def _loaded_reference(module: nn.Module, adapter: str | None) -> Entry:
    what = "" if adapter is None else f", adapter {adapter}" if adapter else ", adapters off"
    source = f"loaded {type(causal_model(module)).__name__}{what}"
    return Entry(Model.reference(source=source, weights=loaded_sha256(module, adapter)), module=module, adapter=adapter)


def _shown(folder: Path) -> str:
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_absolute() and folder.is_relative_to(here) else str(folder)


def _series(name: str, trainings: Sequence[Training], objective: Mapping[str, Any], known: Series | None) -> Series:
    """The series' beta and loss: the caller's, else its training's, else the run's, else DPO's usual ones."""
    training = next((one for one in trainings if one.series == name), None)
    told = {
        key: getattr(training, key, None) or getattr(known, key, None) for key in ("beta", "loss_type", "parameters")
    }
    given = {key: value for key, value in objective.items() if value is not None}
    own = dict(told.pop("parameters") or {})
    if given.get("loss_type", told["loss_type"]) != told["loss_type"]:
        own.pop("loss_weights", None)  # they belong to another list of losses
    parameters = own | dict(given.pop("parameters", {}))
    values = {key: value for key, value in (told | given).items() if value is not None}
    series = Series(name, parameters=parameters, **values)
    _refuse_objective(series)
    return series


def _refuse_objective(series: Series) -> None:
    """Refuse a loss that no pair has by itself, or one whose rewards nobody can compute from saved checkpoints.

    WPO's weights (use_weighting) change the loss alone: its rewards can be scored.
    """
    names = [series.loss_type] if isinstance(series.loss_type, str) else series.loss_type
    free = next((name for name in names if name in REFERENCE_FREE), None)
    if free or series.parameters.get("reference_free"):
        raise InputError(
            f"loss {free or names[0]!r} of series {series.name}: it is trained without a reference, so there is no "
            f"implicit reward to score; only DPO's own losses have one"
        )
    if series.parameters.get("sync_ref_model"):
        raise InputError(
            f"moving reference (sync_ref_model) in series {series.name}: it was not saved, so its rewards cannot be "
            f"computed again; only runs with a fixed reference can be scored"
        )
    check_loss(names, series.beta, {key: value for key, value in series.parameters.items() if key != "use_weighting"})
