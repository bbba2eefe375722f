"""Which of several processes this one is: what ``torchrun`` and ``accelerate launch`` tell their children; no torch.

Ranks never talk to each other. Each takes its own parts of one run folder, as workers with ``--shard I/N`` do; Slurm's
own variables mean nothing here, since an allocation holds other steps than this one: a launcher is started in it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from dpo_analysis.errors import InputError

RAY_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.\-\[\]:]+:\d+")
"""What ``--ray`` takes; anything else behind it belongs to the rest of the command."""
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True, slots=True)
class Rank:
    """This process among those that one launcher started.

    Attributes:
        index: from 0.
        count: how many there are, on all machines.
        local: from 0 on this machine: the GPU to use.
        local_count: how many there are on this machine.
    """

    index: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether there are no others."""
        return self.count == 1

    @property
    def label(self) -> str:
        """What its error lines begin with; empty for rank 0, which speaks for all."""
        return f"rank {self.index} of {self.count}: " if self.index else ""


def own_rank(environment: Mapping[str, str] = os.environ) -> Rank:
    """What a launcher told this process; alone where none did.

    Raises:
        InputError: the variables are no ranks.
    """
    told = {name: environment.get(name, "") for name in VARIABLES}
    if not told["RANK"] or not told["WORLD_SIZE"]:
        return Rank()
    numbers = {name: int(text) if text.isdecimal() else None for name, text in told.items() if text}
    index, count = numbers["RANK"], numbers["WORLD_SIZE"]
    if None in numbers.values() or index is None or count is None or index >= count:
        shown = ", ".join(f"{name}={text!r}" for name, text in told.items() if text)
        raise InputError(f"bad ranks in the environment: {shown}; start this with torchrun or unset them")
    return Rank(index, count, numbers.get("LOCAL_RANK") or 0, numbers.get("LOCAL_WORLD_SIZE") or 1)


def own_share(shard: str | None) -> tuple[int, int]:
    """This process's number among the workers on one run folder, and theirs: from ``--shard I/N``, else its rank.

    Raises:
        InputError: ``shard`` is not I/N, or stands beside several ranks.
    """
    rank = own_rank()
    if shard is None:
        return rank.index, rank.count
    if not rank.is_alone:
        raise InputError(
            f"--shard {shard} in one of {rank.count} ranks: torchrun and accelerate share the parts out themselves; "
            "leave out --shard, or start each worker without a launcher"
        )
    index, _, count = shard.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise InputError(f"bad --shard {shard!r}: it is I/N with 0 <= I < N; write 0/2 and 1/2 for two workers")
    return int(index), int(count)
