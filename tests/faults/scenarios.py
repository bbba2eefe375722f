"""Killing, racing, interrupting and starving the scoring of a small run: ``python -m tests.faults.scenarios NAME DIR``.

Runs in a process of its own, which loads no model library and forks every restart from itself. Prints what happened
as JSON; the tests beside this file say what must have happened.
"""

import errno
import itertools
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import filelock  # noqa: F401  # loaded once here, not again in every forked restart
import pyarrow as pa

from dpo_analysis.errors import DPOAnalysisError, StorageError
from dpo_analysis.runs import crash_points, open_run
from dpo_analysis.runs.manifest import load_manifest
from dpo_analysis.scoring.interrupts import stop_signals
from tests.faults import fakes
from tests.faults.children import Child

SEED = 20260
TRIES = 12
"""Kills of one folder before its workers are left alone, so that a slow machine comes to an end too."""


class Undisturbed(NamedTuple):
    """A run that nothing disturbed: its bytes, the median seconds of five, and the write points it passes."""

    files: dict[str, bytes]
    seconds: float
    points: int


def undisturbed(folder: Path) -> Undisturbed:
    """Score five times without any disturbance."""
    children = []
    for number in range(5):
        child = Child(lambda place=folder / f"whole-{number}": fakes.score_run(place))
        assert child.wait() == 0
        children.append(child.seconds)
    return Undisturbed(fakes.bytes_of(folder / "whole-0"), sorted(children)[2], child.passed)


def broken_files(run: Path, whole: dict[str, bytes], before: set[str]) -> list[str]:
    """Files that are not what they will be, or that were there and are gone; those that may change aside."""
    found = {name: data for name, data in fakes.bytes_of(run).items() if not name.endswith(".tmp")}
    wrong = [name for name, data in found.items() if not may_change(name) and whole.get(name) != data]
    return wrong + sorted(name for name in before - found.keys() if not may_change(name))


def may_change(name: str) -> bool:
    """The manifest grows, and the summary of a part is gone when its model's is there."""
    return name == "manifest.json" or (name.startswith("summary/") and Path(name).name.startswith("part-"))


def random_kills(folder: Path, kills: int = 200) -> dict:
    """Kill at random moments; every other folder is a finished run of one policy that gets the second one.

    A moment is a number of write points and a short while behind: spread over the writing however slow the machine is.
    """
    whole, seconds, points = undisturbed(folder)
    chance = random.Random(SEED)
    report = {"kills": 0, "folders": 0, "different": 0, "broken": [], "points": Counter(), "seconds": seconds}
    assert Child(lambda: fakes.score_run(folder / "one", policies=fakes.POLICIES[:1])).wait() == 0
    while report["kills"] < kills:
        run = folder / f"run-{report['folders']}"
        if report["folders"] % 2:
            shutil.copytree(folder / "one", run)
        for round_ in itertools.count():
            before = {name for name in fakes.bytes_of(run) if not name.endswith(".tmp")} if run.exists() else set()
            child = Child(lambda place=run: fakes.score_run(place))
            if round_ < TRIES:
                child.wait_for_points(round(chance.uniform(0, points * 0.6)))
                time.sleep(chance.uniform(0, 2 * seconds / points))
                child.kill()
            if (code := child.wait()) != -signal.SIGKILL:
                assert code == 0, child.message
                break
            report["kills"] += 1
            report["points"][child.last_point.split(".")[0]] += 1
            report["broken"] += broken_files(run, whole, before)
        report["folders"] += 1
        report["different"] += fakes.bytes_of(run) != whole
    return report


def point_kills(folder: Path) -> dict:
    """Kill once at every named point, then run the same command again."""
    whole, *_ = undisturbed(folder)
    report = {"killed": [], "different": [], "broken": []}
    for point in crash_points.POINTS:
        run = folder / point
        if Child(lambda place=run: fakes.score_run(place), DPO_FAULT=point).wait() == -signal.SIGKILL:
            report["killed"].append(point)
        report["broken"] += broken_files(run, whole, set())
        assert Child(lambda place=run: fakes.score_run(place)).wait() == 0
        if fakes.bytes_of(run) != whole:
            report["different"].append(point)
    return report | {"points": list(crash_points.POINTS), "passed": sorted(_passed(folder / "all"))}


def _passed(run: Path) -> set[str]:
    """Every point that an undisturbed run passes."""
    seen: set[str] = set()
    original, crash_points.hit = crash_points.hit, seen.add
    fakes.score_run(run)
    crash_points.hit = original
    return seen


def shards(folder: Path, kills: int = 20) -> dict:
    """Two workers at once, each killed at random until it ends by itself."""
    whole, seconds, _ = undisturbed(folder)
    chance = random.Random(SEED)
    report = {"kills": 0, "folders": 0, "different": 0, "codes": Counter()}
    while report["kills"] < kills:
        run, waiting, rounds = folder / f"run-{report['folders']}", [0, 1], 0
        while waiting:
            children = [
                Child(lambda place=run, shard=shard: fakes.score_run(place, shard=(shard, 2))) for shard in waiting
            ]
            rounds += 1
            for child in children if rounds <= TRIES else ():
                time.sleep(chance.uniform(0, seconds * 0.6))
                child.kill()
            codes = [child.wait() for child in children]
            report["codes"].update(map(str, codes))
            report["kills"] += codes.count(-signal.SIGKILL)
            waiting = [shard for shard, code in zip(waiting, codes, strict=True) if code != 0]
        report["folders"] += 1
        report["different"] += fakes.bytes_of(run) != whole
    return report


def race(folder: Path, rounds: int = 100, racers: int = 8) -> dict:
    """Processes that open the same shard at the same moment, again and again; the winner holds until all have said."""
    tasks = [(os.pipe(), os.pipe()) for _ in range(racers)]
    children = [Child(lambda ends=ends: _racer(folder / "run", ends)) for ends in tasks]
    report = {"winners": Counter(), "losers": Counter(), "told": 0, "slowest": 0.0}
    for _ in range(rounds):
        begin = time.monotonic()
        for (_, go), _ in tasks:
            os.write(go, b"g")
        answers = [json.loads(os.read(answer, 4096)) for _, (answer, _) in tasks]
        report["slowest"] = max(report["slowest"], time.monotonic() - begin)
        pids = [child.pid for child, answer in zip(children, answers, strict=True) if answer["code"] == 0]
        report["winners"][str(len(pids))] += 1
        report["losers"].update(str(answer["code"]) for answer in answers if answer["code"])
        report["told"] += sum(f"process {pids[0]} on host" in answer["why"] for answer in answers if answer["code"])
        for (_, go), _ in tasks:
            os.write(go, b"r")
        for _, (answer, _) in tasks:
            os.read(answer, 1)
    for (_, go), _ in tasks:
        os.write(go, b"q")
    return report | {"codes": [child.wait() for child in children]}


def _racer(run: Path, ends: tuple[tuple[int, int], tuple[int, int]]) -> None:
    (go, _), (_, answer) = ends
    while os.read(go, 1) == b"g":
        held = None
        try:
            held = fakes.open_writer(run)
            os.write(answer, b'{"code": 0}')
        except DPOAnalysisError as error:
            os.write(answer, json.dumps({"code": error.exit_code, "why": str(error)}).encode())
        os.read(go, 1)
        if held is not None:
            held.__exit__(None, None, None)
        os.write(answer, b"d")


def full_disk(folder: Path) -> dict:
    """No file may grow over a limit, which rises until the run passes; then one system call after the other fails."""
    whole, *_ = undisturbed(folder)
    report = {"codes": Counter(), "temps": [], "broken": [], "messages": [], "different": 0, "calls": {}}
    for limit in [0, 60, 250, 500, *range(1000, max(map(len, whole.values())) + 4000, 400)]:
        child = Child(lambda limit=limit: _limited(folder / "run", limit))
        report["codes"][str(child.wait())] += 1
        report["messages"] += [child.message] * bool(child.message)
        report["temps"] += [str(path) for path in (folder / "run").rglob("*.tmp")]
        report["broken"] += broken_files(folder / "run", whole, set())
    report["different"] += fakes.bytes_of(folder / "run") != whole
    for number, call in enumerate(("fsync", "replace", "mkdir", "write")):
        run = folder / f"call-{call}"
        child = Child(lambda place=run, name=call, after=number: _failing(place, name, 5 + after))
        code, message = child.wait(), child.message
        left = [str(path) for path in run.rglob("*.tmp")]
        again = Child(lambda place=run: fakes.score_run(place)).wait()
        report["calls"][call] = [code, message, left, again, fakes.bytes_of(run) == whole]
    return report


def _limited(run: Path, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    fakes.score_run(run)


def _failing(run: Path, name: str, after: int) -> None:
    """Score while the ``after``-th use of a system call, and all later ones, find the disk full."""
    original, passed = getattr(os, name), [0]

    def call(*arguments, **options):
        passed[0] += 1
        if passed[0] > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*arguments, **options)

    setattr(os, name, call)
    fakes.score_run(run)


def _watched(run: Path) -> None:
    """Score as the command does: its signals are watched from the start to the end, not in the loop alone."""
    with stop_signals():
        fakes.score_run(run)


def signals(folder: Path, rounds: int = 20) -> dict:
    """SIGINT and SIGTERM at random moments of the scoring; then the same command again."""
    whole, seconds, _ = undisturbed(folder)
    chance = random.Random(SEED)
    report = {"codes": Counter(), "temps": [], "broken": [], "different": 0, "slowest": 0.0, "messages": []}
    for number in range(rounds):
        run = folder / f"run-{number}"
        child = Child(lambda place=run: _watched(place))
        child.wait_for_writing()
        time.sleep(chance.uniform(0, seconds * 0.6))
        begin = time.monotonic()
        child.kill(signal.SIGINT if number % 2 else signal.SIGTERM)
        report["codes"][str(child.wait())] += 1
        report["slowest"] = max(report["slowest"], time.monotonic() - begin)
        report["messages"] += [child.message] * bool(child.message)
        report["temps"] += [str(path) for path in run.rglob("*.tmp")]
        report["broken"] += broken_files(run, whole, set())
        assert Child(lambda place=run: fakes.score_run(place)).wait() == 0
        report["different"] += fakes.bytes_of(run) != whole
    return report


def torn_reads(folder: Path, seconds: float = 5.0) -> dict:
    """Read manifest, curves and parts as fast as possible while another process rewrites them without a pause."""
    run = folder / "run"
    fakes.score_run(run)
    child = Child(lambda: _rewrite(run))
    report = {"reads": 0, "torn": [], "contents": set()}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            opened = open_run(run)
            curves = opened.curves()
            report["contents"].add(curves["value"][0].as_py() if curves else None)
            opened.scores("reference", 0)
            for _ in range(20):
                load_manifest(run)
            report["reads"] += 23
        except StorageError as error:
            report["torn"].append(str(error))
    child.kill()
    child.wait()
    return report | {"contents": len(report["contents"])}


def _rewrite(run: Path) -> None:
    with fakes.open_writer(run) as held:
        table = open_run(run).scores("reference", 0)
        for number in itertools.count():
            held.write_scores(fakes.REFERENCE, held.parts[0], table)
            held.write_curves(fakes.CURVES.set_column(5, "value", pa.array([float(number)], pa.float64())))


SCENARIOS = {
    "random_kills": random_kills,
    "point_kills": point_kills,
    "shards": shards,
    "race": race,
    "full_disk": full_disk,
    "signals": signals,
    "torn_reads": torn_reads,
}

if __name__ == "__main__":
    outcome = SCENARIOS[sys.argv[1]](Path(sys.argv[2]))
    heavy = sorted({"torch", "transformers", "streamlit"} & {name.split(".")[0] for name in sys.modules})
    print(json.dumps(outcome | {"heavy": heavy}))
