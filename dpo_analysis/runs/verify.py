"""Check a run folder: no file is missing, every byte is as it was written, every part comes from the same inputs."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.errors import DPOAnalysisError, StorageError, counted
from dpo_analysis.runs import checksums
from dpo_analysis.runs.evidence import influence, kinds, probes
from dpo_analysis.runs.list_columns import flatten_lists, list_lengths
from dpo_analysis.runs.manifest import MANIFEST_FILE, manifest_bytes
from dpo_analysis.runs.parquet import read_label
from dpo_analysis.runs.parts import PART_FILE, part_path, scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.run import Run, open_run
from dpo_analysis.runs.safe_files import open_inside, sha256_inside
from dpo_analysis.runs.summaries.saved_json import saved_problem
from dpo_analysis.schema import INFLUENCE_SCHEMAS
from dpo_analysis.trainer.folder import is_folder

PER_TOKEN = ("logp", "entropy", "rank", "argmax_id", "argmax_logp")
KEYS = ["row", "pair_id", "side"]


def verify_run(path: str | Path, *, weights: Callable[[Model], str] | None = None) -> list[str]:
    """Check every file of a run folder.

    Args:
        path: the run folder.
        weights: a function that hashes the weight files of a model anew (sha256, 64 hex digits), to compare with the
            weights that were scored; None to leave the weights unchecked. The ``source`` of the model that it gets is
            an existing folder where there is such a folder: a relative path is tried from where the model was scored,
            then from the working folder.

    Returns:
        A line for each problem, which names the file; empty when the run is finished and whole.

    Raises:
        InputError: there is no such folder, it is no run folder, or a newer version wrote it.
    """
    try:
        run = open_run(path)
    except StorageError as error:
        return [str(error)]
    changed = list(_changed_files(run))
    skip = {name for name, _ in changed}
    problems = [line for _, line in changed]
    problems += _missing_parts(run)
    if not problems:
        problems += _unlisted_files(run)
    problems += [line for index in run.present_parts for line in _part_problems(run, index, skip)]
    problems += _influence_problems(run, skip)
    problems += _probe_problems(run, skip)
    problems += _report_files(run)
    if weights is not None:
        problems += [line for model in [run.reference, *run.models] for line in _weights_problem(run, model, weights)]
    return problems


def _report_files(run: Run) -> Iterator[str]:
    """Yield a line for each problem of the files that are written beside the manifest: saved diagnosis and log."""
    problem = saved_problem(run.path)
    if problem:
        yield problem
    try:
        run.log()
    except StorageError as error:
        yield str(error)


def _changed_files(run: Run) -> Iterator[tuple[str, str]]:
    """Yield path and problem of every file whose bytes differ from the manifest."""
    with open_inside(run.path, MANIFEST_FILE) as handle:
        if handle.read() != manifest_bytes(run.manifest):
            yield MANIFEST_FILE, f"damaged {run.path / MANIFEST_FILE}: its bytes are not those that were written"
    for record in run.manifest["parts"]:
        problem = _file_problem(run.path, record)
        if problem:
            yield record["path"], problem


def _file_problem(root: Path, record: dict) -> str:
    """Return what is wrong with a file that the manifest lists, as a line; empty for nothing."""
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


def _part_folders(run: Run) -> list[str]:
    """Return every folder that has a file for each part, relative to the run folder."""
    return ["pairs", "responses", *(scores_folder(model) for model in [run.reference, *run.models])]


def _missing_parts(run: Run) -> Iterator[str]:
    """Yield a line for each folder in which parts are missing."""
    for folder in _part_folders(run):
        # By what is there, not by what should be: a manifest may promise a million parts.
        files = [path for path in (run.path / folder).glob("part-*") if path.is_file() and not path.is_symlink()]
        matches = [PART_FILE.fullmatch(path.name) for path in files]
        present = {index for index in (int(match[1]) for match in matches if match) if index < run.n_parts}
        if len(present) < run.n_parts:
            first = next(index for index in range(run.n_parts) if index not in present)
            n_more = run.n_parts - len(present) - 1
            rest = f" and {counted(n_more, 'more part')}" if n_more else ""
            yield f"missing {run.path / part_path(folder, first)}{rest} of {run.n_parts}: not scored yet"


def _unlisted_files(run: Run) -> list[str]:
    """Return a line that names the files without a checksum in the manifest, if there are any."""
    listed = {record["path"] for record in run.manifest["parts"]}
    new = [path for path in checksums.listed_paths(run.path) if path not in listed]
    if not new:
        return []
    rest = f" and {len(new) - 1} more" if new[1:] else ""
    return [f"unfinished {run.path}: no checksum yet for {new[0]}{rest}; run the same score again"]


def _part_problems(run: Run, index: int, skip: set[str]) -> Iterator[str]:
    """Yield a line for each problem inside the files of a part; the files in ``skip`` are not read."""
    try:
        if skip & {part_path("pairs", index), part_path("responses", index)}:
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
        if path in skip or not checksums.is_plain_file(run.path, path):
            continue
        try:
            problem = _scores_problem(run.scores(model, index), responses)
        except StorageError as error:
            yield str(error)
            continue
        if problem:
            yield f"damaged {run.path / path}: {problem}"
    yield from _evidence_problems(run, index, responses, skip)


def _probe_problems(run: Run, skip: set[str]) -> Iterator[str]:
    """Yield a line for each problem of the probes; a run without probes has none."""
    for name, maker, scorer in probes.possible_scores(run):
        path = probes.scores_path(name, maker, scorer)
        if {path, probes.responses_path(name, maker)} & skip:
            continue
        try:
            responses, scores = probes.read_responses(run, name, maker), probes.read_scores(run, name, maker, scorer)
        except StorageError as error:
            yield str(error)
            continue
        problem = "" if responses is None or scores is None else _scores_problem(scores, responses)
        if problem:
            yield f"damaged {run.path / path}: {problem}"


def _influence_problems(run: Run, skip: set[str]) -> Iterator[str]:
    """Yield a line for each problem of the influence measurements; a run without them has none."""
    for model in run.models:
        for kind in INFLUENCE_SCHEMAS:
            for split in run.splits:
                path = influence.influence_path(kind, model, split)
                if path in skip:
                    continue
                try:
                    table = influence.read_influence(run, kind, model, split)
                except StorageError as error:
                    yield str(error)
                    continue
                n_rows = run.n_parts * run.part_size
                problem = "" if table is None else influence.influence_problem(kind, table, n_rows)
                if problem:
                    yield f"damaged {run.path / path}: {problem}"


def _evidence_problems(run: Run, index: int, responses: pa.Table, skip: set[str]) -> Iterator[str]:
    """Yield a line for each problem of the evidence of a part; a part without evidence has none."""
    for kind in kinds.EVIDENCE_KINDS:
        for model in [run.reference, *run.models]:
            path = part_path(kinds.evidence_folder(kind, model), index)
            if path in skip:
                continue
            try:
                problem = kinds.evidence_problem(kind, run.evidence(kind, model, index), responses)
            except StorageError as error:
                problem = ""
                yield str(error)
            if problem:
                yield f"damaged {run.path / path}: {problem}"


def _scores_problem(scores: pa.Table, responses: pa.Table) -> str:
    """Return what is wrong with scores, compared with the responses that were scored; empty for nothing."""
    if not scores.select(KEYS).equals(responses.select(KEYS)):
        return "its rows are not those of the responses"
    status = np.array(scores["status"].to_pylist(), dtype=str)
    lengths = list_lengths(responses["token_ids"])
    imported = np.array([value is not None for value in scores["logps"].to_pylist()], dtype=bool)
    for name in PER_TOKEN:
        n_values = list_lengths(scores[name])
        optional = imported | (status == "oom") | (name != "logp")
        if not np.all((n_values == lengths) | ((n_values < 0) & optional)):
            return f"{name} has not one value for each token"
    _, logp = flatten_lists(scores["logp"].filter(pa.array(np.isin(status, schema.SCORED))))
    if not np.isfinite(logp).all():
        return "a logp that is not finite and not flagged"
    return ""


def _weights_problem(run: Run, model: Model, weights: Callable[[Model], str]) -> Iterator[str]:
    """Yield a line if the weights of ``model`` are not those that were scored, or cannot be hashed."""
    try:
        digest = weights(replace(model, source=_resolve_source(run, model.source)))
    except DPOAnalysisError as error:
        yield f"cannot check weights of {model.key}: {error}"
        return
    if digest != model.weights:
        was = model.weights[:12]
        yield f"weights of {model.key} have changed: sha256 {was} was scored, {model.source} is {digest[:12]} now"


def _resolve_source(run: Run, source: str) -> str:
    """Return ``source`` relative to a working folder that the log names, if that is a folder; else as it is."""
    working_folders = [str(event["scored_from"]) for event in reversed(run.log()) if event.get("scored_from")]
    for working_folder in dict.fromkeys(working_folders):
        folder = run.path / working_folder / source
        if source and is_folder(folder):
            return str(folder)
    return source
