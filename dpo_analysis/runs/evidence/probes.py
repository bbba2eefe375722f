"""Probes in the run folder: further responses to the prompts of the run, and their scores.

Responses are stored by set and by maker, the model that generated them or that they were made for. Scores are stored by
set, by maker and by scorer. Both have the schemas of the responses and scores of the pairs.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from dpo_analysis.runs.evidence.kinds import RunFolder
from dpo_analysis.runs.parquet import has_label, read_table
from dpo_analysis.runs.parts import part_path, scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.run import Run
from dpo_analysis.runs.safe_files import sha256_inside
from dpo_analysis.schema import RESPONSES_SCHEMA, SCORES_SCHEMA

SAMPLES, GREEDY, SWAP = "samples", "greedy", "opening_swap"
PROBE_SETS = (SAMPLES, GREEDY, SWAP)
"""samples: responses sampled from the reference; greedy: the greedy response of each model; opening_swap: for each
policy the core of the chosen response, after the prompt and the opening of the policy's greedy response."""


def responses_path(name: str, maker: Model) -> str:
    """Return the path of the responses of the set ``name`` that were made by or for ``maker``."""
    return part_path(f"probes/{name}/responses{_model_folder(maker)}", 0)


def scores_path(name: str, maker: Model, scorer: Model) -> str:
    """Return the path of the scores of these responses under ``scorer``."""
    return part_path(f"probes/{name}/scores{_model_folder(maker)}{_model_folder(scorer)}", 0)


def store_responses(folder: RunFolder, name: str, maker: Model, table: pa.Table, settings: Mapping[str, str]) -> None:
    """Write the responses of a maker; their label has the settings that they were made with.

    Raises:
        StorageError: the disk is full or refuses.
    """
    folder.write_addition(responses_path(name, maker), table, _maker_label(name, maker) | dict(settings))


def store_scores(folder: RunFolder, name: str, maker: Model, scorer: Model, table: pa.Table) -> None:
    """Write the scores of a maker's responses under ``scorer``; raises what ``store_responses`` raises."""
    folder.write_addition(scores_path(name, maker, scorer), table, _scores_label(folder.path, name, maker, scorer))


def has_responses(folder: RunFolder, name: str, maker: Model, settings: Mapping[str, str]) -> bool:
    """Return whether the responses of a maker are stored, made with exactly these settings."""
    label = _maker_label(name, maker) | dict(settings) | {"identity": folder.identity_hash}
    return has_label(folder.path, responses_path(name, maker), label)


def has_scores(folder: RunFolder, name: str, maker: Model, scorer: Model) -> bool:
    """Return whether the scores of the stored responses of a maker under ``scorer`` are stored."""
    try:
        label = _scores_label(folder.path, name, maker, scorer) | {"identity": folder.identity_hash}
    except FileNotFoundError:
        return False
    return has_label(folder.path, scores_path(name, maker, scorer), label)


def read_responses(run: Run, name: str, maker: Model) -> pa.Table | None:
    """Return the responses of a maker in ``RESPONSES_SCHEMA``; None where there are none.

    Raises:
        StorageError: the responses are damaged, or of another run or other weights.
    """
    label = _maker_label(name, maker) | {"identity": run.identity_hash}
    return _read_if_present(run, responses_path(name, maker), RESPONSES_SCHEMA, label)


def read_scores(run: Run, name: str, maker: Model, scorer: Model) -> pa.Table | None:
    """Return the scores of a maker's responses under ``scorer`` in ``SCORES_SCHEMA``; None where there are none.

    Raises:
        StorageError: the scores are damaged, or of other responses than those that are stored.
    """
    try:
        label = _scores_label(run.path, name, maker, scorer) | {"identity": run.identity_hash}
    except FileNotFoundError:
        return None
    return _read_if_present(run, scores_path(name, maker, scorer), SCORES_SCHEMA, label)


def possible_scores(run: Run) -> Iterator[tuple[str, Model, Model]]:
    """Yield the set, the maker and the scorer of all scores that may be stored in this run."""
    for policy in run.models:
        yield SAMPLES, run.reference, policy
        yield GREEDY, run.reference, policy
        for name in (GREEDY, SWAP):
            yield name, policy, policy
            yield name, policy, run.reference
    yield SAMPLES, run.reference, run.reference
    yield GREEDY, run.reference, run.reference


def _model_folder(model: Model) -> str:
    return scores_folder(model).removeprefix("scores")


def _maker_label(name: str, maker: Model) -> dict[str, str]:
    return {"probe": name, "maker": maker.key, "maker_weights": maker.weights}


def _scores_label(root: Path, name: str, maker: Model, scorer: Model) -> dict[str, str]:
    """Return the label of scores, which has the hash of the scored responses; FileNotFoundError without responses."""
    of = sha256_inside(root, responses_path(name, maker))
    return _maker_label(name, maker) | {"model": scorer.key, "weights": scorer.weights, "of": of}


def _read_if_present(run: Run, path: str, table_schema: pa.Schema, label: Mapping[str, str]) -> pa.Table | None:
    run.check_files([path])
    try:
        return read_table(run.path, path, table_schema, label=label)
    except FileNotFoundError:
        return None
