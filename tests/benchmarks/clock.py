"""How cost is measured: CPU and wall seconds of interleaved runs in one process, peak memory in forked children."""

import ctypes
import gc
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import dpo_analysis

MEASURED = ("trl", "transformers", "torch", "accelerate", "numpy")


class Spent(NamedTuple):
    """Seconds of one run: of this process's CPU time, and by the clock on the wall."""

    cpu: float
    wall: float


def timed(run: Callable[[], object]) -> Spent:
    """Run it once with rubbish collected beforehand."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Spent(time.process_time() - cpu, time.perf_counter() - wall)


def interleaved(
    rounds: list[dict[str, Callable[[], object]]], *, between: Callable[[], dict[str, float]]
) -> tuple[list[dict[str, Spent]], list[dict[str, float]]]:
    """Every contender once a round, one after the other, every second round backwards; ``between`` in mid-round.

    Returns:
        Seconds by contender, and the answer of ``between``, for every round.
    """
    spent, answers = [], []
    for number, runs in enumerate(rounds):
        names = list(runs) if number % 2 == 0 else list(reversed(runs))
        half = len(names) // 2
        found = {name: timed(runs[name]) for name in names[:half]}
        answers.append(between())
        spent.append(found | {name: timed(runs[name]) for name in names[half:]})
    return [{name: found[name] for name in rounds[0]} for found in spent], answers


def peak_mb(run: Callable[[], object]) -> float | None:
    """Most resident memory during ``run`` above what was resident before it, MB; None where it cannot be known.

    It runs in a forked child, so that neither this process nor the next contender sees its memory.
    """
    if sys.platform != "linux":
        return None
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # freed memory that the child could reuse would hide what it needs
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(run, send))
    child.start()
    send.close()
    try:
        return receive.recv() / 2**20
    finally:
        child.join()


def _child(run: Callable[[], object], send: Any) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    run()
    send.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - pages * os.sysconf("SC_PAGE_SIZE"))


def hardware() -> dict[str, Any]:
    """The machine in words, and how busy it was."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = models[0] if models else cpu
    return {
        "cpu": cpu,
        "logical_cpus": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Python and the packages that are measured."""
    own = {"python": platform.python_version(), "dpo-analysis": dpo_analysis.__version__}
    return own | {name: version(name) for name in MEASURED}
