"""One model on several devices, as transformers and accelerate spread it: GPUs in turns, then memory, then the disk.

accelerate puts a hook before every module that brings its weights and its inputs together. So the model's first
parameter does not say where ids go in, and an offloaded weight is nowhere until its module runs.
"""

import torch
from torch import nn

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.workers.ranks import own_rank

DeviceMap = str | dict[str, str | int]
NAMES = ("auto", "balanced", "balanced_low_0", "sequential")
"""The words that transformers knows; a dict says for every module where it goes."""


def check_device_map(device_map: DeviceMap | None, *, ray: str | None = None) -> None:
    """Refuse a map that is none, or one beside workers that would each want the same devices.

    Raises:
        InputError: an unknown word; several ranks on this machine, or Ray's one GPU a worker.
    """
    if device_map is None:
        return
    if isinstance(device_map, str) and device_map not in NAMES:
        raise InputError(f"unknown --device-map {device_map!r}; use {', '.join(NAMES)}")
    if own_rank().local_count > 1:
        raise InputError(
            f"--device-map {device_map} in one of {own_rank().local_count} ranks on this machine: one model takes all "
            "its devices; start one rank per machine, or leave out --device-map"
        )
    if ray is not None:
        raise InputError(
            "--device-map beside --ray: a worker on Ray has one GPU; score a model larger than that without --ray"
        )


def device_of(model: nn.Module) -> torch.device:
    """Where the model takes its ids."""
    place = getattr(getattr(model, "_hf_hook", None), "execution_device", None)
    return next(model.parameters()).device if place is None else torch.device(place)


def is_offloaded(module: nn.Module) -> bool:
    """Whether some weight of it is in memory only while its own module runs."""
    return any(value.is_meta for value in module.parameters())


def is_plain(head: object) -> bool:
    """Whether a head is a linear map whose weight may be used without calling it: no hook changes what it computes."""
    if type(head) is not nn.Linear or is_offloaded(head):
        return False
    hook = getattr(head, "_hf_hook", None)
    moved = hook is not None and type(hook).__name__ == "AlignDevicesHook"
    changed = head._forward_hooks or head._forward_pre_hooks or ("forward" in vars(head) and not moved)
    return not changed
