"""Logs with a JSON object on every line: LLaMA-Factory's trainer_log.jsonl and ms-swift's logging.jsonl."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dpo_analysis.text.bounded_json import LOGGED_DIGITS, parse_json
from dpo_analysis.trainer.logs.aliases import STEP_NAMES, trl_key
from dpo_analysis.trainer.logs.curves import Curves, as_step
from dpo_analysis.trainer.logs.files import open_log, unreadable

MAX_LINE = 16 * 2**20
MAX_FILE = 2**30


def read(files: Sequence[Path]) -> dict[str, Curves]:
    """Return the values of the first of ``files``, under the name ""; lines that are no JSON object are counted.

    The step is in one of ``STEP_NAMES``; ms-swift writes it as ``"global_step/max_steps": "5/40"``, and ends with a
    summary that repeats the whole log.

    Raises:
        InputError: the file cannot be read, or is over 1 GiB.
    """
    curves = Curves()
    for record in _records(files[0], curves):
        if "log_history" in record:
            continue
        step = next((record[name] for name in STEP_NAMES if as_step(record.get(name)) is not None), None)
        curves.add_record({trl_key(name): value for name, value in record.items()}, step)
    return {"": curves}


def is_json_lines(start: bytes) -> bool:
    """Return whether the first line of a file that begins with these bytes is a whole JSON object."""
    line, end, _ = start.lstrip().partition(b"\n")
    return bool(line[:1] == b"{" and (end or line.rstrip().endswith(b"}")) and _parsed(line) is not None)


def _records(file: Path, curves: Curves) -> Iterator[dict[str, Any]]:
    with open_log(file, MAX_FILE) as handle:
        try:
            while line := handle.readline(MAX_LINE + 1):
                record = _parsed(line) if len(line) <= MAX_LINE else None
                if record is not None:
                    yield record
                elif line.strip():
                    curves.damaged += 1
                    curves.lost_bytes += len(line)
        except OSError as error:
            raise unreadable(file, error) from error


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the object on a line; None for anything else."""
    try:
        value = parse_json(line.decode("utf-8-sig"), most_digits=LOGGED_DIGITS)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
