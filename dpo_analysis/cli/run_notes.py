"""What a person must know after a run folder was scored or imported: what is done, was left out, or is missing."""

import os
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dpo_analysis.cli.repeated import MAX_EXAMPLES, together
from dpo_analysis.errors import counted
from dpo_analysis.schema import FLAGGED, NOT_SCORED

if TYPE_CHECKING:
    from dpo_analysis.runs import Run, Series


def missing_lines(run: "Run", *, series: str | None = None, model: str | None = None) -> list[str]:
    """Return a line on the models whose parts are not all scored yet; no line where nothing is missing.

    Args:
        run: the run.
        series: only the policies of this series, and the reference.
        model: only this policy, NAME or SERIES/NAME, and the reference.
    """
    from dpo_analysis.arrays.selection import choose_models

    shown = {chosen.key for chosen in [run.reference, *choose_models(run, series, model)]}
    missing = {key: whole - done for key, (done, whole) in run.progress().items() if key in shown and done < whole}
    if not missing:
        return []
    models = [f"{key} ({count} of {counted(run.n_parts, 'part')})" for key, count in missing.items()]
    n_more = len(models) - MAX_EXAMPLES
    more = f" and {counted(n_more, 'more model')}" if n_more > 0 else ""
    named = ", ".join(models[:MAX_EXAMPLES])
    return [
        f"note: not scored yet in {run.path}: {named}{more}; the numbers leave these pairs out; "
        "the same score command scores what is missing"
    ]


def scored_lines(run: "Run", *, ranks: int = 1) -> list[str]:
    """Return what a person must know after scoring: what is done, was assumed, was left out, or is still missing.

    Args:
        run: the run folder, opened after the command.
        ranks: processes that a launcher started on the run; this is the first of them.
    """
    policies = counted(len(run.models), "policy")
    missing = sum(whole - done for done, whole in run.progress().values())
    if missing:
        whose = "other ranks are scoring them" if ranks > 1 else "run the other shards"
        lines = [f"this worker's share is done; {_remain(missing)} of {run.path}: {whose}"]
    else:
        lines = [f"scored: {policies} and the reference in {run.path}"]
    counts = Counter(run.pairs(columns=["status"])["status"].to_pylist())
    left_out = {status: count for status, count in counts.items() if status in NOT_SCORED}
    if left_out:
        reasons = ", ".join(f"{count} {status}" for status, count in sorted(left_out.items()))
        lines.append(f"note: {sum(left_out.values())} of {sum(counts.values())} pairs were not scored: {reasons}")
    return [*lines, *precision_lines(run), *(f"note: {text}" for text in together(_notes(run)))]


def imported_lines(run: "Run", beta: float | None, known: Mapping[str, "Series"]) -> list[str]:
    """Return what a person must know after an import: what is there, was assumed, was not read, or cannot be shown.

    Args:
        run: the run folder, opened after the command.
        beta: beta from the caller; None where the run's, or DPO's default, was used.
        known: the series that the folder had before the command.
    """
    logs = _log_lines(run)
    if not run.has_pairs:
        logs.append(
            "note: this run holds a training log alone: curves, and no pairs or tokens; "
            "dpo-analysis score PAIRS --trainer-output FOLDER --out NEW scores its checkpoints and reads its log, too"
        )
        return [*logs, f"look at it: dpo-analysis app {run.path}"]
    policies, pairs = counted(len(run.models), "policy"), counted(run.n_pairs, "pair")
    lines = [f"imported: {policies} and the reference, {pairs}, in {run.path}", *logs]
    if beta is None:
        lines += [f"note: {_beta_source(one, one.name in known)}" for _, one in sorted(run.series.items())]
    unused = next((event["unused"] for event in reversed(run.log()) if event.get("unused")), [])
    if unused:
        lines.append(f"note: not read: {', '.join(map(str, unused))}")
    lines += _lost_lines(run)
    if not run.has_tokens:
        sums = "the tables hold sums over responses, so this run has no tokens; pages that need tokens say so"
        lines.append(f"note: {sums}")
    return [*lines, f"look at it: dpo-analysis app {run.path}"]


def _log_lines(run: "Run") -> list[str]:
    """Return the lines on the training logs that this process imported: how far each goes, and what was lost of it."""
    events = [event for event in run.log() if event.get("event") == "log" and event.get("pid") == os.getpid()]
    lines = []
    for event in events:
        names, last = event.get("series", []), event.get("last_step")
        values = counted(int(event.get("values", 0)), "value")
        lines.append(
            f"log of {', '.join(names)}: {values} up to step {last}, from {event.get('kind')} {event.get('log')}"
        )
        lines += [f"note: {text}" for text in event.get("notes", [])]
    return lines


def _beta_source(series: "Series", is_known: bool) -> str:
    if is_known:
        return f"beta {series.beta:g} of {series.name} is the one that the run folder had before"
    return f"beta {series.beta:g} is assumed for {series.name}, DPO's default; give the training's as --beta"


def _lost_lines(run: "Run") -> list[str]:
    """Return a line on the pairs with a sum that is no number, by model; no line where every sum is a number."""
    from dpo_analysis.arrays.response_sums import pair_statuses

    lost = {
        model.key: sum(status in FLAGGED for status in pair_statuses(run, model))
        for model in [run.reference, *run.models]
    }
    models = [f"{key} ({counted(count, 'pair')})" for key, count in lost.items() if count]
    return [f"note: a sum is missing or no number: {', '.join(models)}; these pairs are not counted"] if models else []


def precision_lines(run: "Run") -> list[str]:
    """Return a line on the rounding of a run that was scored in 16 bits; no line for float32."""
    dtype, floor = run.identity.get("dtype", "float32"), run.noise_floor
    how = "under bfloat16 autocast" if run.identity.get("numerics") == "trainer" else f"in {dtype}"
    if how == "in float32" or floor is None:
        return []
    source = "float32" if floor.against == "float32" else "another packing, as float32 did not fit"
    sizes = f"{floor.token:.2g} nats of a token or {floor.response:.2g} nats of a response"
    measured = f"{counted(floor.n_pairs, 'pair')} against {source}"
    return [f"note: scored {how}: up to {sizes} is rounding ({measured}) and counts as a tie"]


def _remain(count: int) -> str:
    return f"{counted(count, 'part')} {'remains' if count == 1 else 'remain'}"


def _notes(run: "Run") -> list[str]:
    """Return the notes since this process last began to score, each once; the log holds those of other workers, too."""
    notes: list[str] = []
    for event in run.log():
        if event.get("pid", os.getpid()) != os.getpid():
            continue
        if event.get("event") == "start":
            notes = []
        elif event.get("event") == "note":
            notes.append(str(event.get("text", "")))
    return list(dict.fromkeys(notes))
