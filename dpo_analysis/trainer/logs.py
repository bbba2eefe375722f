"""Logged metrics of a trainer from trainer_state.json, as a table of curves with this project's column names."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from dpo_analysis.errors import InputError
from dpo_analysis.schema import CURVES_SCHEMA

MAX_BYTES = 256 * 2**20
METRIC_NAMES = {
    "rewards/chosen": "chosen_reward",
    "rewards/rejected": "rejected_reward",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy_trl",
    "logps/chosen": "chosen_logps",
    "logps/rejected": "rejected_logps",
    "logits/chosen": "chosen_logits",
    "logits/rejected": "rejected_logits",
}
"""TRL's metrics that have a column of this project; other metrics keep their names."""
KNOWN_METRICS = (
    *METRIC_NAMES,
    "loss",
    "entropy",
    "mean_token_accuracy",
    "num_tokens",
    "aux_loss",
    "nll_loss",
    "runtime",
    "samples_per_second",
    "steps_per_second",
)
"""Metrics that mark where the set's name ends in ``eval_<set>_<metric>``; both parts may hold underscores."""
NOT_METRICS = ("step", "epoch")
TRAIN, EVAL = "train", "eval"


class LoggedValue(NamedTuple):
    """A logged number; ``value`` is None where the trainer logged NaN or an infinity."""

    split: str
    step: int
    epoch: float | None
    metric: str
    value: float | None


def read_trainer_state(path: str | Path, *, series: str | None = None) -> pa.Table:
    """Read a trainer_state.json, or the newest one in a folder, into ``schema.CURVES_SCHEMA``.

    ``split`` is "train" (averages over a logging window that ends at the step), "eval", or "eval_<set>" where several
    sets were evaluated. Where a resumed run logged a step twice, the last value is kept. Values that are not finite are
    null. The schema's metadata counts both (``duplicates`` and ``nulls``).

    Args:
        path: the file, or the folder of a checkpoint or of a training run.
        series: name of the training run; None takes the name of its folder.

    Raises:
        InputError: no such file, over 256 MiB, not JSON, or not the state of a trainer.
    """
    file = state_file(Path(path))
    history = _log_history(file)
    values: dict[tuple[str, str, int], LoggedValue] = {}
    duplicates = 0
    for logged in _logged_values(history):
        key = logged.split, logged.metric, logged.step
        duplicates += key in values
        values[key] = logged
    rows = [values[key] for key in sorted(values)]
    columns = {name: [getattr(row, name) for row in rows] for name in LoggedValue._fields}
    columns["series"] = [series or _training_folder(file).name] * len(rows)
    counts = {"duplicates": str(duplicates), "nulls": str(sum(row.value is None for row in rows))}
    table = pa.table([columns[name] for name in CURVES_SCHEMA.names], schema=CURVES_SCHEMA)
    return table.replace_schema_metadata(counts)


def state_file(path: Path) -> Path:
    """Return the trainer_state.json that ``path`` is or contains, or that its latest ``checkpoint-N`` contains.

    Raises:
        InputError: no such file.
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
    """Return the step at which a trainer_state.json was written; None where it does not say.

    Raises:
        InputError: as ``read_trainer_state``.
    """
    step = _load_state(path).get("global_step")
    return step if isinstance(step, int) and not isinstance(step, bool) else None


def _training_folder(file: Path) -> Path:
    folder = file.resolve().parent
    return folder.parent if folder.name.startswith("checkpoint-") else folder


def _load_state(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"training log {file} is larger than 256 MiB; cut its log_history down and try again")
        state = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"unreadable training log {file}: {error.strerror}; check the path and permissions") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"damaged training log {file}: {str(error)[:120]}; take another checkpoint's") from error
    if not isinstance(state, dict):
        raise InputError(f"no training log in {file}: it is no JSON object; name a trainer_state.json")
    return state


def _log_history(file: Path) -> list[Any]:
    history = _load_state(file).get("log_history")
    if not isinstance(history, list):
        raise InputError(f"no training log in {file}: it has no log_history; name a trainer_state.json")
    return history


def _logged_values(history: list[Any]) -> Iterator[LoggedValue]:
    for record in history:
        step = record.get("step") if isinstance(record, dict) else None
        if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**63:  # the column is int64
            continue
        epoch = _finite_number(record.get("epoch"))
        for key, value in record.items():
            if key not in NOT_METRICS and isinstance(value, int | float) and not isinstance(value, bool):
                split, metric = split_and_metric(key)
                yield LoggedValue(split, step, epoch, metric, _finite_number(value))


def split_and_metric(key: str) -> tuple[str, str]:
    """Return split and metric of a logged key: ``eval_rewards/chosen`` gives ``("eval", "chosen_reward")``."""
    if not key.startswith("eval_"):
        return TRAIN, METRIC_NAMES.get(key, key)
    set_and_metric = key.removeprefix("eval_")
    endings = [metric for metric in KNOWN_METRICS if set_and_metric.endswith(f"_{metric}")]
    if set_and_metric in KNOWN_METRICS or not endings:
        return EVAL, METRIC_NAMES.get(set_and_metric, set_and_metric)
    # The longest ending wins: ``nll_loss`` rather than ``loss`` with a set that ends in ``_nll``.
    metric = max(endings, key=len)
    return f"eval_{set_and_metric.removesuffix(f'_{metric}')}", METRIC_NAMES.get(metric, metric)


def _finite_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON integers have no upper bound
        return None
    return number if math.isfinite(number) else None
