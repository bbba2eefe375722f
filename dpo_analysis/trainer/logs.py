"""The trainer's own log as a table of curves, with our names for its metrics."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from dpo_analysis.errors import InputError
from dpo_analysis.schema import CURVES_SCHEMA

LARGEST = 256 * 2**20
NAMES = {
    "rewards/chosen": "chosen_reward",
    "rewards/rejected": "rejected_reward",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy_trl",
    "logps/chosen": "chosen_logps",
    "logps/rejected": "rejected_logps",
    "logits/chosen": "chosen_logits",
    "logits/rejected": "rejected_logits",
}
"""TRL's name -> ours, for what has one; other metrics keep their own."""
KNOWN = (*NAMES, "loss", "entropy", "mean_token_accuracy", "num_tokens", "aux_loss", "nll_loss", "runtime",
         "samples_per_second", "steps_per_second")  # fmt: skip
"""Metrics by which the name of an evaluation set is told from the metric in ``eval_<set>_<metric>``."""
NOT_METRICS = ("step", "epoch")
TRAIN, EVAL = "train", "eval"


class Point(NamedTuple):
    """One logged number; ``value`` is None where the trainer logged NaN or an infinity."""

    split: str
    step: int
    epoch: float | None
    metric: str
    value: float | None


def read_trainer_state(path: str | Path, *, series: str | None = None) -> pa.Table:
    """Read a trainer_state.json, or the newest one in a folder, into ``schema.CURVES_SCHEMA``.

    ``split`` is the log's own word: "train" (averages over a logging window that ends at the step), "eval", or
    "eval_<set>" where several sets were evaluated. Where a resumed run logged a step twice the last value stands; the
    schema's metadata counts them (``duplicates``), and the values that were no finite number (``nulls``), which are
    null.

    Args:
        path: the file, or the folder of a checkpoint or of a training run.
        series: what to call the training run; the name of the run's folder where None.

    Raises:
        InputError: no such file, over 256 MiB, no JSON, or no trainer's state.
    """
    file = state_file(Path(path))
    history = _history(file)
    points: dict[tuple[str, str, int], Point] = {}
    duplicates = 0
    for point in _points(history):
        key = point.split, point.metric, point.step
        duplicates += key in points
        points[key] = point
    rows = [points[key] for key in sorted(points)]
    columns = {name: [getattr(row, name) for row in rows] for name in Point._fields}
    columns["series"] = [series or _run_folder(file).name] * len(rows)
    facts = {"duplicates": str(duplicates), "nulls": str(sum(row.value is None for row in rows))}
    table = pa.table([columns[name] for name in CURVES_SCHEMA.names], schema=CURVES_SCHEMA)
    return table.replace_schema_metadata(facts)


def state_file(path: Path) -> Path:
    """The trainer_state.json that ``path`` is, holds, or whose highest ``checkpoint-N`` holds.

    Raises:
        InputError: there is none.
    """
    if path.is_file():
        return path
    numbered = [folder for folder in path.glob("checkpoint-*") if folder.name.removeprefix("checkpoint-").isdigit()]
    numbered.sort(key=lambda folder: int(folder.name.removeprefix("checkpoint-")), reverse=True)
    for folder in [path, *numbered]:
        if (folder / "trainer_state.json").is_file():
            return folder / "trainer_state.json"
    raise InputError(f"no trainer_state.json in {path}: it has no training log; name a folder that a trainer wrote")


def global_step(path: Path) -> int | None:
    """The step at which a trainer_state.json was written; None where it does not say.

    Raises:
        InputError: as ``read_trainer_state``.
    """
    step = _state(path).get("global_step")
    return step if isinstance(step, int) and not isinstance(step, bool) else None


def _run_folder(file: Path) -> Path:
    folder = file.resolve().parent
    return folder.parent if folder.name.startswith("checkpoint-") else folder


def _state(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > LARGEST:
            raise InputError(f"training log {file} is larger than 256 MiB; cut its log_history down and try again")
        state = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"unreadable training log {file}: {error.strerror}; check the path and permissions") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"damaged training log {file}: {str(error)[:120]}; take another checkpoint's") from error
    if not isinstance(state, dict):
        raise InputError(f"no training log in {file}: it is no JSON object; name a trainer_state.json")
    return state


def _history(file: Path) -> list[Any]:
    history = _state(file).get("log_history")
    if not isinstance(history, list):
        raise InputError(f"no training log in {file}: it has no log_history; name a trainer_state.json")
    return history


def _points(history: list[Any]) -> Iterator[Point]:
    for record in history:
        step = record.get("step") if isinstance(record, dict) else None
        if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**63:
            continue
        epoch = _number(record.get("epoch"))
        for key, value in record.items():
            if key not in NOT_METRICS and isinstance(value, int | float) and not isinstance(value, bool):
                split, metric = split_and_metric(key)
                yield Point(split, step, epoch, metric, _number(value))


def split_and_metric(key: str) -> tuple[str, str]:
    """A logged key as (split, our name): ``eval_rewards/chosen`` -> ``("eval", "chosen_reward")``."""
    if not key.startswith("eval_"):
        return TRAIN, NAMES.get(key, key)
    rest = key.removeprefix("eval_")
    named = [metric for metric in KNOWN if rest.endswith(f"_{metric}")]
    if rest in KNOWN or not named:
        return EVAL, NAMES.get(rest, rest)
    metric = max(named, key=len)
    return f"eval_{rest.removesuffix(f'_{metric}')}", NAMES.get(metric, metric)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
