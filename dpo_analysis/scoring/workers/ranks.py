"""Which of several processes this process is, as ``torchrun`` and ``accelerate launch`` tell their children; no torch.

Ranks never talk to each other. Each takes its own parts of one run folder, as workers with ``--shard I/N`` do. Slurm's
own variables are not read, since an allocation holds other steps than the scoring: a launcher is started in it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from dpo_analysis.errors import InputError

RAY_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.\-\[\]:]+:\d+")
"""What ``--ray`` takes; any other word after it belongs to the rest of the command."""
LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True, slots=True)
class Rank:
    """This process among those that one launcher started.

    Attributes:
        index: its number, from 0.
        count: number of processes on all machines.
        local: its number on this machine, from 0: the GPU to use.
        local_count: number of processes on this machine.
    """

    index: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether there are no other processes."""
        return self.count == 1

    @property
    def label(self) -> str:
        """What its error lines begin with; empty for rank 0, which speaks for all."""
        return f"rank {self.index} of {self.count}: " if self.index else ""


def current_rank(environment: Mapping[str, str] = os.environ) -> Rank:
    """Return the rank that a launcher gave this process; a rank alone where no launcher started it.

    Raises:
        InputError: the variables are no ranks.
    """
    texts = {name: environment.get(name, "") for name in LAUNCHER_VARIABLES}
    if not texts["RANK"] or not texts["WORLD_SIZE"]:
        return Rank()
    numbers = {name: int(text) if text.isdecimal() else None for name, text in texts.items() if text}
    index, count = numbers["RANK"], numbers["WORLD_SIZE"]
    if None in numbers.values() or index is None or count is None or index >= count:
        shown = ", ".join(f"{name}={text!r}" for name, text in texts.items() if text)
        raise InputError(f"bad ranks in the environment: {shown}; start this with torchrun or unset them")
    return Rank(index, count, numbers.get("LOCAL_RANK") or 0, numbers.get("LOCAL_WORLD_SIZE") or 1)


def worker_share(shard: str | None) -> tuple[int, int]:
    """Return this process's number among the workers on one run folder, and their number.

    Args:
        shard: ``--shard I/N``; None for the process's rank.

    Raises:
        InputError: ``shard`` is not I/N, or stands beside several ranks.
    """
    rank = current_rank()
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
