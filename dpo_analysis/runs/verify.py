"""Is a run folder whole: every file there, every byte as it was written, every part from the same inputs?"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.errors import DPOAnalysisError, StorageError, counted
from dpo_analysis.runs import checksums
from dpo_analysis.runs.evidence import influence, kinds, probes
from dpo_analysis.runs.manifest import NAME, seal
from dpo_analysis.runs.parquet import read_label
from dpo_analysis.runs.parts import part_path, scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.run import Run, open_run
from dpo_analysis.runs.safe_files import open_inside, sha256_inside
from dpo_analysis.schema import INFLUENCE_SCHEMAS

PER_TOKEN = ("logp", "entropy", "rank", "argmax_id", "argmax_logp")
KEYS = ["row", "pair_id", "side"]


def verify_run(path: str | Path, *, weights: Callable[[Model], str] | None = None) -> list[str]:
    """Check everything a run folder promises.

    Args:
        path: the run folder.
        weights: hashes a model's weight files anew (sha256, 64 hex digits), to compare with what was scored. Its
            ``source`` is then a folder as seen from here, where one is found: a relative path is looked for from where
            it was scored, then from here.

    Returns:
        Every problem as one line that names the file; empty when the run is finished and whole.

    Raises:
        InputError: no such folder, not a run folder, or one of a newer version.
    """
    try:
        run = open_run(path)
    except StorageError as error:
        return [str(error)]
    changed = list(_changed(run))
    bad = {name for name, _ in changed}
    problems = [line for _, line in changed]
    problems += _missing(run)
    if not problems:
        problems += _unlisted(run)
    problems += [line for index in range(run.n_parts) for line in _part_problems(run, index, bad)]
    problems += _influence_problems(run, bad)
    problems += _probe_problems(run, bad)
    if weights is not None:
        problems += [line for model in [run.reference, *run.models] for line in _weights_problem(run, model, weights)]
    return problems


def _changed(run: Run) -> Iterator[tuple[str, str]]:
    """Path and problem of every file whose bytes are not those that the manifest names."""
    with open_inside(run.path, NAME) as handle:
        if handle.read() != seal(run.manifest):
            yield NAME, f"damaged {run.path / NAME}: its bytes are not those that were written"
    for record in run.manifest["parts"]:
        problem = _listed_problem(run.path, record)
        if problem:
            yield record["path"], problem


def _listed_problem(root: Path, record: dict) -> str:
    path = record["path"]
    try:
        if sha256_inside(root, path) != record["sha256"]:
            return f"damaged {root / path}: its sha256 is not the manifest's"
        if path.endswith(".parquet") and read_label(root, path)[1] != record.get("rows"):
            return f"damaged {root / path}: its number of rows is not the manifest's"
    except FileNotFoundError:
        return f"missing {root / path}: the manifest lists it"
    except StorageError as error:
        return str(error)
    return ""


def _folders(run: Run) -> list[str]:
    return ["pairs", "responses", *(scores_folder(model) for model in [run.reference, *run.models])]


def _missing(run: Run) -> Iterator[str]:
    for folder in _folders(run):
        parts = [part_path(folder, index) for index in range(run.n_parts)]
        absent = [part for part in parts if not checksums.is_present(run.path, part)]
        if absent:
            rest = f" and {counted(len(absent) - 1, 'more part')}" if absent[1:] else ""
            yield f"missing {run.path / absent[0]}{rest} of {len(parts)}: not scored yet"


def _unlisted(run: Run) -> list[str]:
    listed = {record["path"] for record in run.manifest["parts"]}
    new = [path for path in checksums.paths(run.path) if path not in listed]
    if not new:
        return []
    rest = f" and {len(new) - 1} more" if new[1:] else ""
    return [f"unfinished {run.path}: no checksum yet for {new[0]}{rest}; run the same score again"]


def _part_problems(run: Run, index: int, bad: set[str]) -> Iterator[str]:
    """What is wrong inside the files of one part, those in ``bad`` aside."""
    try:
        if bad & {part_path("pairs", index), part_path("responses", index)}:
            return
        pairs = run.pairs(index, ["row", "pair_id", "status"])
        responses = run.responses(index)
    except StorageError as error:
        yield str(error)
        return
    rows = pairs["row"].to_pylist()
    if rows != sorted(set(rows)) or any(row // run.part_size != index for row in rows):
        yield f"damaged {run.path / part_path('pairs', index)}: rows that are not of this part, or out of order"
    for model in [run.reference, *run.models]:
        path = part_path(scores_folder(model), index)
        if path in bad or not checksums.is_present(run.path, path):
            continue
        try:
            problem = _scores_problem(run.scores(model, index), responses)
        except StorageError as error:
            yield str(error)
            continue
        if problem:
            yield f"damaged {run.path / path}: {problem}"
    yield from _evidence_problems(run, index, responses, bad)


def _probe_problems(run: Run, bad: set[str]) -> Iterator[str]:
    """What is wrong with the probes; that there are none is no problem."""
    for name, maker, scorer in probes.asked(run):
        path = probes.scores_path(name, maker, scorer)
        if {path, probes.responses_path(name, maker)} & bad:
            continue
        try:
            responses, scores = probes.read_responses(run, name, maker), probes.read_scores(run, name, maker, scorer)
        except StorageError as error:
            yield str(error)
            continue
        found = "" if responses is None or scores is None else _scores_problem(scores, responses)
        if found:
            yield f"damaged {run.path / path}: {found}"


def _influence_problems(run: Run, bad: set[str]) -> Iterator[str]:
    """What is wrong with the answers about influence; that nobody asked is no problem."""
    for model in run.models:
        for kind in INFLUENCE_SCHEMAS:
            for split in run.splits:
                path = influence.influence_path(kind, model, split)
                if path in bad:
                    continue
                try:
                    table = influence.read_influence(run, kind, model, split)
                except StorageError as error:
                    yield str(error)
                    continue
                found = "" if table is None else influence.problem(kind, table, run.n_parts * run.part_size)
                if found:
                    yield f"damaged {run.path / path}: {found}"


def _evidence_problems(run: Run, index: int, responses: pa.Table, bad: set[str]) -> Iterator[str]:
    """What is wrong with the evidence of one part; that there is none is no problem."""
    for kind in kinds.KINDS:
        for model in [run.reference, *run.models]:
            path = part_path(kinds.evidence_folder(kind, model), index)
            if path in bad:
                continue
            try:
                problem = kinds.problem(kind, run.evidence(kind, model, index), responses)
            except StorageError as error:
                problem = ""
                yield str(error)
            if problem:
                yield f"damaged {run.path / path}: {problem}"


def _scores_problem(scores: pa.Table, responses: pa.Table) -> str:
    if not scores.select(KEYS).equals(responses.select(KEYS)):
        return "its rows are not those of the responses"
    status = np.array(scores["status"].to_pylist(), dtype=str)
    lengths = _lengths(responses["token_ids"])
    summed = np.array([value is not None for value in scores["logps"].to_pylist()], dtype=bool)
    for name in PER_TOKEN:
        found = _lengths(scores[name])
        optional = summed | (status == "oom") | (name != "logp")
        if not np.all((found == lengths) | ((found < 0) & optional)):
            return f"{name} has not one value for each token"
    counted = scores["logp"].filter(pa.array(np.isin(status, schema.SCORED)))
    if not np.isfinite(_flat(counted)).all():
        return "a logp that is not finite and not flagged"
    return ""


def _lengths(column: pa.ChunkedArray) -> np.ndarray:
    """Values in each row of a list column; -1 where the row is null."""
    return np.concatenate(
        [np.zeros(0, int), *(chunk.value_lengths().fill_null(-1).to_numpy() for chunk in column.chunks)]
    )


def _flat(column: pa.ChunkedArray) -> np.ndarray:
    return np.concatenate([np.zeros(0, "f4"), *(chunk.flatten().to_numpy() for chunk in column.chunks)])


def _weights_problem(run: Run, model: Model, weights: Callable[[Model], str]) -> Iterator[str]:
    try:
        found = weights(replace(model, source=_found_source(run, model.source)))
    except DPOAnalysisError as error:
        yield f"cannot check weights of {model.key}: {error}"
        return
    if found != model.weights:
        was = model.weights[:12]
        yield f"weights of {model.key} have changed: sha256 {was} was scored, {model.source} is {found[:12]} now"


def _found_source(run: Run, source: str) -> str:
    """A relative path from where it was scored, as the log tells that; as it is, where no folder is there."""
    told = [str(event["scored_from"]) for event in reversed(run.log()) if event.get("scored_from")]
    for place in dict.fromkeys(told):
        folder = run.path / place / source
        if source and folder.is_dir():
            return str(folder)
    return source
