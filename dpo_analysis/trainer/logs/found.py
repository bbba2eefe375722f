"""The logs in a trainer's output folder, the most complete first."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dpo_analysis.errors import InputError
from dpo_analysis.trainer.logs import csv_export, trackio, trainer_state, wandb_file
from dpo_analysis.trainer.logs.files import open_log

TRAINER_STATE, JSON_LINES, WANDB, TENSORBOARD, TRACKIO, CSV = (
    "trainer_state.json",
    "JSON Lines",
    "W&B",
    "TensorBoard",
    "trackio",
    "CSV",
)
"""The kinds of logs."""
RANKS = {TRAINER_STATE: 0, "logging.jsonl": 1, WANDB: 2, TENSORBOARD: 3, TRACKIO: 4, "trainer_log.jsonl": 5, CSV: 6}
"""Which log says most: LLaMA-Factory's trainer_log.jsonl has no rewards, and a CSV file only what was exported."""
JSON_LINES_FILES = ("logging.jsonl", "trainer_log.jsonl")
MAX_ENTRIES, MAX_DEPTH = 5000, 5
CHECKPOINT = re.compile(r"(?:checkpoint-|global_step)(\d{1,18})(?:_hf)?")
NAMED_BY_TIME = re.compile(r"[A-Z][a-z]{2}\d{2}_\d{2}-\d{2}-\d{2}_.+")
"""The folder that transformers makes under ``runs`` whenever a training is begun or resumed."""
START_BYTES = 4096


@dataclass(frozen=True)
class FoundLog:
    """A log of one training: its kind, and its files in time order.

    Attributes:
        kind: one of the kinds of logs above.
        paths: the files that are read together.
        path: what ``read_log`` takes to read them: the file, or the folder that holds all of them.
        rank: the place of its kind among the kinds, 0 for the most complete.
    """

    kind: str
    paths: tuple[Path, ...]
    path: Path
    rank: int


def find_logs(root: str | Path, checkpoints: Sequence[str | Path] = ()) -> list[FoundLog]:
    """Return the logs in a trainer's output folder, the most complete first; at most 5000 entries are looked at.

    That is the trainer_state.json of the last step, else ms-swift's logging.jsonl, W&B's offline files, TensorBoard's
    event files, trackio's database, and LLaMA-Factory's trainer_log.jsonl. Links to folders are not followed.

    Args:
        root: the output folder, or any folder with logs.
        checkpoints: the folders of its checkpoints; those called ``checkpoint-N`` where none are given.
    """
    folder = Path(root)
    files = list(_files(folder))
    logs = [*_trainer_states(folder, [Path(path) for path in checkpoints]), *_json_lines(files), *_wandb(files)]
    logs += [*_tensorboard(files), *_trackio(files), *_csv(files)]
    return sorted(logs, key=lambda log: log.rank)


def start_of(path: Path, length: int = START_BYTES) -> bytes:
    """Return the first bytes of a file; raises what ``open_log`` raises."""
    with open_log(path, 2**62) as handle, suppress(OSError):
        return handle.read(length)
    return b""


def _files(root: Path) -> Iterator[Path]:
    """Yield the plain files below a folder, level by level; checkpoints hold models, and are passed over."""
    level, left = [root], MAX_ENTRIES
    for _ in range(MAX_DEPTH):
        folders: list[Path] = []
        for folder in level:
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return
                    if entry.is_file(follow_symlinks=False):
                        yield Path(entry.path)
                    elif entry.is_dir(follow_symlinks=False) and not CHECKPOINT.fullmatch(entry.name):
                        folders.append(Path(entry.path))
        level = sorted(folders)


def _trainer_states(root: Path, checkpoints: Sequence[Path]) -> list[FoundLog]:
    """Return the log of the latest checkpoint that has one, and that in ``root``; the later of the two first."""
    folders = checkpoints or [path for path in _folders(root) if CHECKPOINT.fullmatch(path.name)]
    folders = sorted(folders, key=_step, reverse=True)
    newest = next((path / trainer_state.FILE for path in folders if _is_file(path / trainer_state.FILE)), None)
    candidates = [path for path in (root / trainer_state.FILE, newest) if path is not None and _is_file(path)]
    steps = {path: _global_step(path) for path in candidates}
    last = max((_step(path) for path in folders), default=-1)
    # The log of an earlier checkpoint ends too early, so that the logs of other kinds count before it.
    return [
        FoundLog(TRAINER_STATE, (path,), path, RANKS[TRAINER_STATE] if steps[path] >= last else len(RANKS))
        for path in sorted(dict.fromkeys(candidates), key=lambda path: -steps[path])
    ]


def _is_file(path: Path) -> bool:
    with suppress(OSError):
        return path.is_file()
    return False


def _folders(root: Path) -> list[Path]:
    with suppress(OSError):
        return [path for path in root.iterdir() if path.is_dir()][:MAX_ENTRIES]
    return []


def _step(checkpoint: Path) -> int:
    match = CHECKPOINT.fullmatch(checkpoint.name)
    return int(match[1]) if match else -1


def _global_step(state: Path) -> int:
    try:
        step = trainer_state.global_step(state)
    except InputError:
        return -2
    return -1 if step is None else step


def _json_lines(files: Sequence[Path]) -> list[FoundLog]:
    return [FoundLog(JSON_LINES, (file,), file, RANKS[file.name]) for file in files if file.name in JSON_LINES_FILES]


def _wandb(files: Sequence[Path]) -> list[FoundLog]:
    """Return a log for every run of W&B, the latest first; a resumed run has a file for each time it was resumed."""
    runs: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        if file.suffix == ".wandb":
            runs[wandb_file.run_id(file)].append(file)
    # The folders are called offline-run-<time>-<id>.
    groups = sorted(
        (sorted(group, key=_name_of_folder) for group in runs.values()),
        key=lambda group: _name_of_folder(group[-1]),
        reverse=True,
    )
    return [FoundLog(WANDB, tuple(group), _common(group), RANKS[WANDB]) for group in groups]


def _name_of_folder(file: Path) -> str:
    return file.parent.name.removeprefix("offline-")


def _tensorboard(files: Sequence[Path]) -> list[FoundLog]:
    """Return a log for every training with event files, the latest first."""
    trainings: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        if "tfevents" in file.name:
            trainings[_training_of(file)].append(file)
    groups = sorted(trainings.values(), key=lambda group: max(file.name for file in group), reverse=True)
    return [FoundLog(TENSORBOARD, tuple(sorted(group)), _common(group), RANKS[TENSORBOARD]) for group in groups]


def _training_of(file: Path) -> Path:
    """Return the folder whose event files are of one training: a resumed training has a folder for each time."""
    for folder in file.parents:
        if NAMED_BY_TIME.fullmatch(folder.name):
            return folder.parent
    return file.parent


def _trackio(files: Sequence[Path]) -> list[FoundLog]:
    databases = [file for file in files if file.suffix == ".db" and _start(file).startswith(trackio.MAGIC)]
    return [FoundLog(TRACKIO, (file,), file, RANKS[TRACKIO]) for file in databases]


def _csv(files: Sequence[Path]) -> list[FoundLog]:
    tables = [file for file in files if file.suffix.lower() == ".csv"]
    logs = [file for file in tables if csv_export.is_log(csv_export.first_row(_start(file)))]
    return [FoundLog(CSV, (file,), file, RANKS[CSV]) for file in logs]


def _start(file: Path) -> bytes:
    """Return the first bytes of a file in the folder; empty where it cannot be read, as it may be no log at all."""
    with suppress(InputError):
        return start_of(file)
    return b""


def _common(files: Sequence[Path]) -> Path:
    """Return the only file, or the folder that holds all of them."""
    return files[0] if len(files) == 1 else Path(os.path.commonpath([file.parent for file in files]))
