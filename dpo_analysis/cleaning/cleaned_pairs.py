"""The source rows of a run without the pairs that rules name, and a list of the rows left out, with the reasons."""

import io
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.arrays.pair_quantities import LossSettings
from dpo_analysis.cleaning.row_traces import RowTraces
from dpo_analysis.cleaning.rules import (
    FINDING,
    WHERE,
    Choice,
    NamedPairs,
    Rule,
    named_pairs,
    parse_rule,
    rule_files,
)
from dpo_analysis.cleaning.source_rows import SourceRows, iter_source_rows, read_source_rows
from dpo_analysis.errors import InputError, counted
from dpo_analysis.runs import Run, atomic_file
from dpo_analysis.runs.run import IMPORTED

ENDING, REMOVED_ENDING = ".jsonl", ".removed.jsonl"


@dataclass(frozen=True, slots=True)
class CleanedPairs:
    """Which source rows of a split are kept, and why each other row is left out.

    Attributes:
        run: the run.
        rows: the source rows of the split.
        named: the pairs that each rule names.
        removed: whether a source row is left out, shape (rows,): one of its pairs is named.
    """

    run: Run
    rows: SourceRows
    named: list[NamedPairs]
    removed: NDArray[np.bool_]

    def write(self, handle: BinaryIO, traces: RowTraces | None = None) -> None:
        """Write the kept rows as JSON lines; ``traces`` takes every row into account."""
        for _, line in iter_source_rows(self.run, self.rows, ~self.removed):
            if traces is not None:
                traces.look_at(line)
            handle.write(line.encode("utf-8", "replace") + b"\n")

    def write_removed(self, handle: BinaryIO) -> None:
        """Write one JSON line for each row that is left out: its pair_id, row and split, and every reason."""
        for record in self._removed_rows():
            handle.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

    def lines(self, traces: RowTraces) -> list[str]:
        """Return what a person must know about the rows, without the names of files, each on one line."""
        found = []
        for number, named in enumerate(self.named):
            n_rows = len(np.unique(self.rows.owner[self._is_named(number)]))
            basis = f" ({named.basis})" if named.basis else ""
            found.append(f"{counted(n_rows, 'row')} removed by {named.rule.text}{basis}")
        return found + [f"note: {text}" for text in (*self._row_notes(), traces.note()) if text]

    def _is_named(self, number: int) -> NDArray[np.bool_]:
        """Return which pairs a rule names, shape (pairs,)."""
        return self.rows.pairs["pair_id"].isin(list(self.named[number].reasons)).to_numpy()

    def _removed_rows(self) -> Iterable[dict[str, Any]]:
        pairs, owner = self.rows.pairs, self.rows.owner
        members: dict[int, list[int]] = {}
        for index in np.flatnonzero(self.removed[owner]).tolist():
            members.setdefault(int(owner[index]), []).append(index)
        ids, numbers = pairs["pair_id"].tolist(), pairs["row"].tolist()
        for indices in members.values():
            of_row = [ids[index] for index in indices]
            several = len(of_row) > 1
            reasons = [
                {"without": named.rule.text} | ({"pair_id": pair_id} if several else {}) | named.reasons[pair_id]
                for named in self.named
                for pair_id in of_row
                if pair_id in named.reasons
            ]
            record = {"pair_id": of_row[0], "row": numbers[indices[0]], "split": self.rows.split}
            yield record | ({"pair_ids": of_row} if several else {}) | {"reasons": reasons}

    def _row_notes(self) -> list[str]:
        notes = []
        n_pairs, n_rows = len(self.rows.owner), self.rows.n_rows
        if n_pairs > n_rows:
            notes.append(
                f"{counted(n_rows, 'row')} made {counted(n_pairs, 'pair')}; a row is written once, and left out if any "
                "of its pairs is named"
            )
        if not self.rows.in_order:
            notes.append(
                "rows with the same prompt stand together, as in the run, so their order may not be that of your data"
            )
        return [*notes, *_limit_notes(self.run, self.rows)]


def clean_pairs(
    run: Run,
    without: Sequence[str | Rule] = (),
    *,
    split: str | None = None,
    series: str | None = None,
    model: str | None = None,
    beta: float | None = None,
    loss_type: str | None = None,
) -> CleanedPairs:
    """Return which source rows of a split are kept, without writing anything.

    Args:
        run: an open run.
        without: rules that name pairs to leave out: ``ids:FILE``, ``finding:CAUSE`` or ``where:EXPR``.
        split: split of the rows; None for the only one.
        series: the series of findings and conditions; None for the one with the lowest chosen reward, as in
            ``diagnose``.
        model: their checkpoint; None for the last one of the series.
        beta: beta of the numbers in conditions; None for that of the series.
        loss_type: their loss; None for that of the series.

    Raises:
        InputError: a rule cannot be applied, an option has nothing to apply to, or the run has no source rows.
        StorageError: the run is damaged.
    """
    rules = [parse_rule(rule) if isinstance(rule, str) else rule for rule in without]
    kinds = {rule.kind for rule in rules}
    for name, value in {"series": series, "model": model, "beta": beta, "loss-type": loss_type}.items():
        needs = {FINDING, WHERE} if name in ("series", "model") else {WHERE}
        if value is not None and not kinds & needs:
            rest = " or ".join(f"--without {kind}:" for kind in sorted(needs))
            raise InputError(f"nothing to do for --{name}: source rows do not depend on it; give it with {rest}")
    rows = read_source_rows(run, split)
    choice = Choice(rows.split, series, model, LossSettings(beta, loss_type))
    choice.settings.check(run)
    named = [named_pairs(run, rule, choice) for rule in rules]
    removed = np.zeros(rows.n_rows, dtype=bool)
    for one in named:
        removed[rows.owner[rows.pairs["pair_id"].isin(list(one.reasons)).to_numpy()]] = True
    return CleanedPairs(run, rows, named, removed)


def export_pairs(run: Run, to: str | Path, without: Sequence[str] = (), **options: Any) -> list[str]:
    """Write the source rows of a run without those that rules name, and a list of the others beside them.

    FILE.jsonl has the rows as they were read, one JSON object a line, in the order of the run. FILE.removed.jsonl has a
    line for each row that was left out: ``pair_id``, ``row``, ``split``, ``reasons`` and, where a row made several
    pairs, ``pair_ids``. Both files appear whole or not at all; existing files are replaced.

    Args:
        run: an open run.
        to: FILE.jsonl.
        without: as in ``clean_pairs``.
        **options: the other arguments of ``clean_pairs``.

    Returns:
        What a person must know, a line each: how many rows were kept, and removed by each rule, and both files.

    Raises:
        InputError: as ``clean_pairs``, or the file cannot be written.
        StorageError: the run is damaged, or the disk is full or refuses.
    """
    path = _checked_path(Path(to))
    removed_path = path.with_name(path.name[: -len(ENDING)] + REMOVED_ENDING)
    rules = [parse_rule(rule) for rule in without]
    for read in rule_files(rules):
        if any(written.exists() and read.exists() and written.samefile(read) for written in (path, removed_path)):
            raise InputError(f"no way to write {path}: ids:{read} would be replaced; choose another name")
    cleaned, traces = clean_pairs(run, rules, **options), RowTraces()
    with ExitStack() as files:
        # Files appear in the reverse order: the rows last, so that they never stand beside an older list.
        kept = files.enter_context(atomic_file(path, point="export"))
        removed = files.enter_context(atomic_file(removed_path, point="export"))
        cleaned.write(kept, traces)
        cleaned.write_removed(removed)
    n_removed, n_rows = int(cleaned.removed.sum()), cleaned.rows.n_rows
    return [
        f"{n_rows - n_removed} of the run's {counted(n_rows, 'row')} of {cleaned.rows.split} in {path}",
        *cleaned.lines(traces),
        f"{counted(n_removed, 'row')} removed in all, with the reasons in {removed_path}",
    ]


def cleaned_jsonl(run: Run, pair_ids: Iterable[str], split: str) -> bytes:
    """Return the source rows of a split without those of some pairs, the bytes that ``export_pairs`` writes.

    Args:
        run: an open run.
        pair_ids: ids of pairs of the run, of any split.
        split: split of the rows.

    Raises:
        InputError: the run has no source rows.
        StorageError: the run is damaged.
    """
    rows = read_source_rows(run, split)
    removed = np.zeros(rows.n_rows, dtype=bool)
    removed[rows.owner[rows.pairs["pair_id"].isin(list(pair_ids)).to_numpy()]] = True
    buffer = io.BytesIO()
    CleanedPairs(run, rows, [], removed).write(buffer)
    return buffer.getvalue()


def _checked_path(path: Path) -> Path:
    if path.suffix.lower() != ENDING:
        raise InputError(
            f"no way to write {path}: source rows stay unchanged as JSON lines alone; name a file that ends in {ENDING}"
        )
    if not path.parent.is_dir() or path.is_dir():
        why = "that is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise InputError(f"no way to write {path}: {why}; name a file in a folder that exists")
    return path


def _limit_notes(run: Run, rows: SourceRows) -> list[str]:
    """Return that the run holds a sample of the data, or that it does not say whether it does."""
    if run.identity.get("source") == IMPORTED:
        return []
    starts = [
        event for event in run.log() if event.get("event") == "start" and isinstance(event.get("pairs_read"), dict)
    ]
    if not starts:
        return [
            "the run does not say how many rows its data had; if it was scored with --limit, it holds a sample of them"
        ]
    n_pairs, n_read = len(rows.owner), starts[-1]["pairs_read"].get(rows.split)
    if starts[-1].get("limit") is None or n_read == n_pairs:
        return []
    limit = f"it was scored with --limit {starts[-1]['limit']}"
    return [f"the run holds {n_pairs} of {n_read} pairs of {rows.split}: {limit}, and no other row is in the file"]
