"""Probes in the run folder: further responses to the run's prompts, and what the models say of them.

A set is named after what it probes. Its responses lie by the model that they were made by or for, their scores by that
maker and by the model that scored them; both have the schemas of the run's own responses and scores.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from dpo_analysis.runs.evidence.kinds import Folder
from dpo_analysis.runs.parquet import is_labelled, read_table
from dpo_analysis.runs.parts import part_path, scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.run import Run
from dpo_analysis.runs.safe_files import sha256_inside
from dpo_analysis.schema import RESPONSES_SCHEMA, SCORES_SCHEMA

SAMPLES, GREEDY, SWAP = "samples", "greedy", "opening_swap"
SETS = (SAMPLES, GREEDY, SWAP)
"""samples: what the reference says, drawn; greedy: what each model finds likeliest token by token; opening_swap: for
each policy the core of the chosen response, with the prompt and the opening of its own greedy response in front."""


def responses_path(name: str, maker: Model) -> str:
    """The responses of set ``name`` that were made by or for ``maker``."""
    return part_path(f"probes/{name}/responses{_own(maker)}", 0)


def scores_path(name: str, maker: Model, scorer: Model) -> str:
    """What ``scorer`` says of them."""
    return part_path(f"probes/{name}/scores{_own(maker)}{_own(scorer)}", 0)


def store_responses(folder: Folder, name: str, maker: Model, table: pa.Table, settings: Mapping[str, str]) -> None:
    """Write the responses of one maker, labelled with the settings they were made with.

    Raises:
        StorageError: the disk is full or refuses.
    """
    folder.put_addition(responses_path(name, maker), table, _maker_label(name, maker) | dict(settings))


def store_scores(folder: Folder, name: str, maker: Model, scorer: Model, table: pa.Table) -> None:
    """Write the scores of one maker's responses; errors as ``store_responses``."""
    folder.put_addition(scores_path(name, maker, scorer), table, _label(folder.path, name, maker, scorer))


def has_responses(folder: Folder, name: str, maker: Model, settings: Mapping[str, str]) -> bool:
    """Whether one maker's responses are there, made with just these settings."""
    label = _maker_label(name, maker) | dict(settings) | {"identity": folder.identity_hash}
    return is_labelled(folder.path, responses_path(name, maker), label)


def has_scores(folder: Folder, name: str, maker: Model, scorer: Model) -> bool:
    """Whether the responses that are there now are scored by ``scorer``."""
    try:
        label = _label(folder.path, name, maker, scorer) | {"identity": folder.identity_hash}
    except FileNotFoundError:
        return False
    return is_labelled(folder.path, scores_path(name, maker, scorer), label)


def read_responses(run: Run, name: str, maker: Model) -> pa.Table | None:
    """One maker's responses, in ``RESPONSES_SCHEMA``; None where there are none.

    Raises:
        StorageError: they are damaged, or of another run or other weights.
    """
    label = _maker_label(name, maker) | {"identity": run.identity_hash}
    return _read(run.path, responses_path(name, maker), RESPONSES_SCHEMA, label)


def read_scores(run: Run, name: str, maker: Model, scorer: Model) -> pa.Table | None:
    """What one model says of one maker's responses, in ``SCORES_SCHEMA``; None where it was not asked.

    Raises:
        StorageError: the scores are damaged, or of other responses than those that are there.
    """
    try:
        label = _label(run.path, name, maker, scorer) | {"identity": run.identity_hash}
    except FileNotFoundError:
        return None
    return _read(run.path, scores_path(name, maker, scorer), SCORES_SCHEMA, label)


def asked(run: Run) -> Iterator[tuple[str, Model, Model]]:
    """Every set, maker and scorer that may have scores in this run."""
    for policy in run.models:
        yield SAMPLES, run.reference, policy
        yield GREEDY, run.reference, policy
        for name in (GREEDY, SWAP):
            yield name, policy, policy
            yield name, policy, run.reference
    yield SAMPLES, run.reference, run.reference
    yield GREEDY, run.reference, run.reference


def _own(model: Model) -> str:
    return scores_folder(model).removeprefix("scores")


def _maker_label(name: str, maker: Model) -> dict[str, str]:
    return {"probe": name, "maker": maker.key, "maker_weights": maker.weights}


def _label(root: Path, name: str, maker: Model, scorer: Model) -> dict[str, str]:
    of = sha256_inside(root, responses_path(name, maker))
    return _maker_label(name, maker) | {"model": scorer.key, "weights": scorer.weights, "of": of}


def _read(root: Path, path: str, table_schema: pa.Schema, label: Mapping[str, str]) -> pa.Table | None:
    try:
        return read_table(root, path, table_schema, label=label)
    except FileNotFoundError:
        return None
