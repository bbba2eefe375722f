"""The log in trainer_state.json, which every trainer on transformers writes into its checkpoints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpo_analysis.errors import InputError
from dpo_analysis.text.bounded_json import LOGGED_DIGITS, parse_json
from dpo_analysis.trainer.logs.curves import Curves
from dpo_analysis.trainer.logs.files import MAX_JSON_BYTES, read_whole

FILE = "trainer_state.json"


def read_trainer_state(path: str | Path, *, series: str | None = None) -> pa.Table:
    """Read a trainer_state.json, or the newest in a folder, into ``schema.CURVES_SCHEMA``.

    ``split`` is "train" (averages over a logging window that ends at the step), "eval", or "eval_<set>" where several
    sets were evaluated. What is logged twice, is no number, or is lost is counted as in ``curves.Curves``.

    Args:
        path: the file, or the folder of a checkpoint or of a training run.
        series: name of the training run; None takes the name of its folder.

    Raises:
        InputError: no such file, over 256 MiB, not JSON, or not the state of a trainer.
    """
    file = state_file(Path(path))
    return read([file])[""].table(series or training_folder(file).name)


def read(files: Sequence[Path]) -> dict[str, Curves]:
    """Return the values of the first of ``files``, under the name ""; raises what ``read_trainer_state`` raises."""
    history = _load_state(files[0]).get("log_history")
    if not isinstance(history, list):
        raise InputError(f"no training log in {files[0]}: it has no log_history; name a {FILE}")
    return {"": curves_of_history(history)}


def curves_of_history(history: Sequence[Any]) -> Curves:
    """Return the values of the records in ``log_history``, of a file or of a trainer's ``state``.

    Raises:
        InputError: more curves or values than any training logs.
    """
    curves = Curves()
    for record in history:
        if isinstance(record, dict) and not isinstance(record.get("step"), str):
            curves.add_record(record, record.get("step"))
    return curves


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
        if (folder / FILE).is_file():
            return folder / FILE
    raise InputError(f"no {FILE} in {path}: it has no training log; name a folder that a trainer wrote")


def global_step(path: Path) -> int | None:
    """Return the step at which a trainer_state.json was written; None where it does not say.

    Raises:
        InputError: as ``read_trainer_state``.
    """
    step = _load_state(path).get("global_step")
    return step if isinstance(step, int) and not isinstance(step, bool) else None


def training_folder(file: Path) -> Path:
    """Return the folder of the training run that a file in it, or in one of its checkpoints, belongs to."""
    folder = file.resolve().parent
    return folder.parent if folder.name.startswith("checkpoint-") else folder


def _load_state(file: Path) -> dict[str, Any]:
    try:
        state = parse_json(read_whole(file, MAX_JSON_BYTES), most_digits=LOGGED_DIGITS)
    except ValueError as error:
        raise InputError(f"damaged training log {file}: {str(error)[:120]}; take another checkpoint's") from error
    if not isinstance(state, dict):
        raise InputError(f"no training log in {file}: it is no JSON object; name a {FILE}")
    return state
