"""The record of a model: everything that is known of it before it is loaded."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from dpo_analysis.runs import Model
from dpo_analysis.scoring.models.in_memory import causal_model, loaded_sha256
from dpo_analysis.scoring.models.preflight import ModelFiles, check_weights, scored_config, weights_sha256
from dpo_analysis.scoring.models.tokenizer import has_tokenizer, stored_template_hash
from dpo_analysis.scoring.models.weight_files import DamagedWeights


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model of the run, found and checked once; until it is loaded, nothing reads its folder again.

    Attributes:
        model: series, name, step, kind, source and hash of its weights, as the run folder stores them.
        config: the parsed config.json; for an adapter the config of its base, with the adapter's size of vocabulary.
        n_parameters: parameters of the full model; 0 where the weight files are damaged.
        damage: what is wrong with the weight files; empty where they passed every check.
        files: files of a model on disk, with those of the base under an adapter; None for a model in memory.
        tokenizer_folder: folder with the model's tokenizer, that of an adapter before that of its base; None without.
        module: a transformers model or ``PeftModel`` in memory; None for a model on disk.
        adapter: name of the PEFT adapter of ``module`` to use, ``ADAPTERS_OFF``, or None to leave it as it is.
    """

    model: Model
    config: dict[str, Any]
    n_parameters: int
    damage: str = ""
    files: ModelFiles | None = None
    tokenizer_folder: Path | None = None
    module: nn.Module | None = None
    adapter: str | None = None

    @property
    def location(self) -> str:
        """Where the model is, for the log, with the folder of the base under an adapter."""
        if self.files is None:
            return self.model.source
        return str(self.files.folder) + (f" on {self.files.base.folder}" if self.files.base else "")


def resolve_files(model: Model, files: ModelFiles) -> ResolvedModel:
    """Return the record of a model on disk; its weights are hashed, and their damage is noted, not raised.

    Args:
        model: its place in the run, without the hash of its weights.
        files: its files.

    Raises:
        DamagedWeights: a weight file cannot be read at all.
    """
    model = replace(model, weights=weights_sha256(files))
    try:
        n_parameters, damage, config = check_weights(files), "", scored_config(files)
    except DamagedWeights as error:
        n_parameters, damage, config = 0, str(error), files.config
    folders = (files.folder, files.full.folder)
    tokenizer_folder = next((folder for folder in folders if has_tokenizer(folder)), None)
    if tokenizer_folder is not None:
        model = replace(model, template=stored_template_hash(tokenizer_folder))
    return ResolvedModel(model, config, n_parameters, damage, files, tokenizer_folder)


def resolve_module(model: Model, module: nn.Module, adapter: str | None = None) -> ResolvedModel:
    """Return the record of a model in memory.

    Args:
        model: its place in the run, without source and hash of its weights.
        module: a transformers model or ``PeftModel``.
        adapter: as for ``ResolvedModel``.

    Raises:
        InputError: ``module`` is no causal language model of transformers.
    """
    causal: Any = causal_model(module)
    state = "" if adapter is None else f", adapter {adapter}" if adapter else ", adapters off"
    source = f"loaded {type(causal).__name__}{state}"
    return ResolvedModel(
        replace(model, source=source, weights=loaded_sha256(module, adapter)),
        causal.config.to_dict(),
        sum(value.numel() for value in module.parameters()),
        module=module,
        adapter=adapter,
    )
