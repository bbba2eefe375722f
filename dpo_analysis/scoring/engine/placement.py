"""Where a model's weights are: on one device, spread over several by accelerate, or offloaded to memory or disk.

accelerate puts a hook before every module that brings the module's weights and its inputs together. So the model's
first parameter does not say where token ids go in, and an offloaded weight is a meta tensor until its module runs.
"""

import torch
from torch import nn

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.workers.ranks import current_rank

DeviceMap = str | dict[str, str | int]
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
"""The words that transformers takes as ``device_map``; a dict names a device for every module."""


def check_device_map(device_map: DeviceMap | None, *, ray: str | None = None) -> None:
    """Refuse an unknown device map, and one beside other workers that would need the same devices.

    Args:
        device_map: as for transformers' ``from_pretrained``; None for a model on one device.
        ray: address of a Ray cluster, where models run on one.

    Raises:
        InputError: an unknown word; several ranks on this machine; or Ray, where a worker has one GPU.
    """
    if device_map is None:
        return
    if isinstance(device_map, str) and device_map not in DEVICE_MAPS:
        raise InputError(f"unknown --device-map {device_map!r}; use {', '.join(DEVICE_MAPS)}")
    if current_rank().local_count > 1:
        raise InputError(
            f"--device-map {device_map} in one of {current_rank().local_count} ranks on this machine: one model takes "
            "all its devices; start one rank per machine, or leave out --device-map"
        )
    if ray is not None:
        raise InputError(
            "--device-map beside --ray: a worker on Ray has one GPU; score a model larger than that without --ray"
        )


def input_device(model: nn.Module) -> torch.device:
    """Return the device on which the model takes its token ids."""
    device = getattr(getattr(model, "_hf_hook", None), "execution_device", None)
    return next(model.parameters()).device if device is None else torch.device(device)


def is_offloaded(module: nn.Module) -> bool:
    """Return whether some weight of ``module`` is in memory only while the submodule that holds it runs."""
    return any(value.is_meta for value in module.parameters())


def is_plain_linear(head: object) -> bool:
    """Return whether ``head`` is a linear layer whose weight may be multiplied without calling the layer.

    It may not where the weight is offloaded, or where a hook or a replaced forward could change the result.
    """
    if type(head) is not nn.Linear or is_offloaded(head):
        return False
    hook = getattr(head, "_hf_hook", None)
    # accelerate's device hook replaces the forward too, but only moves tensors
    moves_only = hook is not None and type(hook).__name__ == "AlignDevicesHook"
    changed = head._forward_hooks or head._forward_pre_hooks or ("forward" in vars(head) and not moves_only)
    return not changed
