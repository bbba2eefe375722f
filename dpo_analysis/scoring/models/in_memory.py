"""Models that the caller holds in memory: scored where they are, and given back as they were."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from peft import PeftModel
from torch import nn

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.models.loading import check_embedding, quiet
from dpo_analysis.scoring.models.model_loader import Needs, Watch, active

OFF = ""
"""Instead of an adapter's name: every adapter off."""
SAVED_REFERENCE = "ref"
"""The adapter that TRL keeps as the reference when training goes on from an adapter."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory whose turn will come: what ``work.score_parts`` opens.

    Attributes:
        model: its place in the run.
        module: a transformers model or a ``PeftModel``.
        adapter: name of the PEFT adapter to use, ``OFF``, or None to leave them as they are.
        needs: what the pairs ask of it.
        watch: told of every opened model.
        numerics: ``default`` or ``trainer``, as for ``Engine``.
    """

    model: Model
    module: nn.Module
    adapter: str | None
    needs: Needs
    watch: Watch
    numerics: str = "default"

    @contextmanager
    def open(self) -> Iterator[Engine]:
        """The module in eval mode with the adapter wanted; afterwards modes, adapter and gradients are as before.

        Raises:
            InputError: it cannot score these pairs.
        """
        own = causal_model(self.module)
        check_embedding(own, self.needs.largest_id, self.model.key)
        with quiet(), _lent(self.module, self.adapter):
            try:
                engine = Engine(own, numerics=self.numerics)
            except InputError as error:
                raise type(error)(f"cannot score {self.model.key}: {error}") from error
            self.watch.see(self.model, engine)
            yield engine


def causal_model(module: nn.Module) -> nn.Module:
    """The language model itself, out of a ``PeftModel`` or a data-parallel wrapper, adapters still in it.

    Raises:
        InputError: it is no transformers language model.
    """
    while isinstance(getattr(module, "module", None), nn.Module):
        module = module.module  # type: ignore[assignment]
    own = module.get_base_model() if isinstance(module, PeftModel) else module
    config = getattr(own, "config", None)
    if config is None or not callable(getattr(own, "get_input_embeddings", None)):
        raise InputError(f"cannot score a {type(own).__name__}: it is no transformers causal language model; pass one")
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"encoder-decoder model {type(own).__name__}: only causal ones have a per-token view")
    return own


def reference_adapter(module: nn.Module) -> str | None:
    """What a ``PeftModel``'s reference is: its saved ``ref`` adapter, else adapters off; None for another model."""
    if not isinstance(module, PeftModel):
        return None
    return SAVED_REFERENCE if SAVED_REFERENCE in module.peft_config else OFF


def loaded_sha256(module: nn.Module, adapter: str | None) -> str:
    """Content hash of the weights that act: with ``OFF`` the base's alone, else the base's and the adapter's."""
    own = causal_model(module)
    others = _other_adapters(module, adapter)
    digest = hashlib.sha256()
    for name, value in sorted(own.state_dict().items()):
        if any(f".{other}." in f".{name}." for other in others):
            continue
        digest.update(f"{name.replace('.base_layer', '')} {value.dtype} {tuple(value.shape)};".encode())
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    return digest.hexdigest()


def _other_adapters(module: nn.Module, adapter: str | None) -> list[str]:
    """Adapters of ``module`` that do not act: their weights are no part of this model."""
    if not isinstance(module, PeftModel):
        return []
    kept = module.active_adapters if adapter is None else [adapter]
    return [name for name in module.peft_config if name not in kept]


@contextmanager
def _lent(module: nn.Module, adapter: str | None) -> Iterator[None]:
    """``module`` in eval mode and with ``adapter`` for a while; modes, adapter and gradients are then put back."""
    modes = [(part, part.training) for part in module.modules()]
    trainable = {name for name, value in module.named_parameters() if value.requires_grad}
    before = module.active_adapter if isinstance(module, PeftModel) else None
    module.eval()
    try:
        with ExitStack() as stack:
            if isinstance(module, PeftModel) and adapter is not None:
                stack.enter_context(active(module, adapter))
            yield
    finally:
        if isinstance(module, PeftModel) and before is not None and module.active_adapter != before:
            module.set_adapter(before)  # type: ignore[arg-type]
        for part, training in modes:
            part.training = training
        for name, value in module.named_parameters():
            value.requires_grad_(name in trainable)
