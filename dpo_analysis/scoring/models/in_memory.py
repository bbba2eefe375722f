"""Models that the caller holds in memory: their language model, their adapters, and the hash of their weights."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from peft import PeftModel
from torch import nn

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.models.adapters.kinds import LEAVES_BASE

ADAPTERS_OFF = ""
"""Stands in place of an adapter's name where every adapter is off."""
SAVED_REFERENCE = "ref"
"""Name of the adapter that TRL keeps as the reference when training goes on from an adapter."""


def causal_model(module: nn.Module) -> nn.Module:
    """Return the language model inside a ``PeftModel`` or a data-parallel wrapper, with its adapters still in it.

    Raises:
        InputError: the module is no transformers language model.
    """
    inner: Any = module
    while isinstance(getattr(inner, "module", None), nn.Module):
        inner = inner.module
    model = inner.get_base_model() if isinstance(inner, PeftModel) else inner
    config = getattr(model, "config", None)
    if config is None or not callable(getattr(model, "get_input_embeddings", None)):
        raise InputError(
            f"cannot score a {type(model).__name__}: it is no transformers causal language model; pass one"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"encoder-decoder model {type(model).__name__}: only causal ones have a per-token view")
    return model


def reference_adapter(module: nn.Module) -> str | None:
    """Return the adapter that makes the reference of a ``PeftModel``: ``ref`` where saved, else ``ADAPTERS_OFF``.

    None for any other model.

    Raises:
        InputError: an adapter changed the base, which therefore is no reference with its adapters off.
    """
    if not isinstance(module, PeftModel):
        return None
    if SAVED_REFERENCE in module.peft_config:
        return SAVED_REFERENCE
    for config in module.peft_config.values():
        values = {key: getattr(config, key, None) for key in ("init_lora_weights", "bias", "layer_replication")}
        start = str(values["init_lora_weights"]).lower()
        if values["layer_replication"] or values["bias"] not in (None, "none") or start not in LEAVES_BASE:
            raise InputError(
                "no reference in this PeftModel: its adapter changed the base, which with adapters off is not the "
                "model before training; pass that model as reference="
            )
    return ADAPTERS_OFF


def loaded_sha256(module: nn.Module, adapter: str | None) -> str:
    """Return the hash of the weights in use: the base's, and the adapter's unless adapters are off."""
    model = causal_model(module)
    unused = _unused_adapters(module, adapter)
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if any(f".{other}." in f".{name}." for other in unused):
            continue
        digest.update(f"{name.replace('.base_layer', '')} {value.dtype} {tuple(value.shape)};".encode())
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    return digest.hexdigest()


def _unused_adapters(module: nn.Module, adapter: str | None) -> list[str]:
    """Return the adapters of ``module`` whose weights are no part of this model."""
    if not isinstance(module, PeftModel):
        return []
    used = module.active_adapters if adapter is None else [adapter]
    return [name for name in module.peft_config if name not in used]


@contextmanager
def active_adapter(peft: PeftModel | None, name: str) -> Iterator[None]:
    """Activate the adapter called ``name``, or turn all off where ``name`` is empty; no effect without adapters."""
    if peft is None:
        yield
    elif name:
        if peft.active_adapters != [name]:  # some types have no inference mode, and a base of their own
            peft.set_adapter(name, inference_mode=True)
        yield
    else:
        with peft.disable_adapter():
            yield


@contextmanager
def evaluation_mode(module: nn.Module, adapter: str | None) -> Iterator[None]:
    """Put ``module`` into eval mode with ``adapter`` active; modes, adapter and gradients are restored afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    trainable = {name for name, value in module.named_parameters() if value.requires_grad}
    before: Any = module.active_adapter if isinstance(module, PeftModel) else None
    module.eval()
    try:
        with ExitStack() as stack:
            if isinstance(module, PeftModel) and adapter is not None:
                stack.enter_context(active_adapter(module, adapter))
            yield
    finally:
        if isinstance(module, PeftModel) and before is not None and module.active_adapter != before:
            module.set_adapter(before)
        for part, training in modes:
            part.training = training
        for name, value in module.named_parameters():
            value.requires_grad_(name in trainable)
