"""``score --watch``: the checkpoints of a training that runs, scored as soon as they are written, until it ends."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dpo_analysis.cli.announce import announce
from dpo_analysis.errors import DPOAnalysisError, InputError, Interrupted, OtherWeights, PartialResult, RunBusy
from dpo_analysis.runs import open_run
from dpo_analysis.runs.live.live_lock import WATCH, LiveLock, hold_live_lock
from dpo_analysis.runs.live.removal import remove_later_models
from dpo_analysis.scoring.interrupts import stop_signals
from dpo_analysis.scoring.live.whole_checkpoints import last_change, training_ended, unfinished
from dpo_analysis.scoring.models.model_folders import model_folder
from dpo_analysis.scoring.models.policy_names import checkpoints_in
from dpo_analysis.scoring.models.preflight import find_model, weights_sha256
from dpo_analysis.scoring.workers.ranks import current_rank
from dpo_analysis.text.numbers import signed_fixed
from dpo_analysis.trainer import Training, find_training

if TYPE_CHECKING:
    from dpo_analysis.runs import Run

POLL_SECONDS = 3.0
"""Seconds between two looks at the folder."""
EXCLUDED = ("trainer_output", "config", "policy", "ray", "shard", "probes", "confirm")
"""Options of ``score`` that name other checkpoints, or that need all checkpoints at once."""


def watch_training(
    options: Mapping[str, Any], load_pairs: Callable[[], Any], score: Callable[[Any, Training], object]
) -> None:
    """Score every checkpoint of a training once it is whole, and end after the last; then print what ``score`` prints.

    Ctrl-C ends it at any time: what is scored stays, and the same command goes on.

    Args:
        options: the options of ``score``, by name; ``watch`` is the trainer's output folder.
        load_pairs: reads the pairs, once, when the first checkpoint is there.
        score: scores these pairs with the checkpoints of a training.

    Raises:
        InputError: an option excludes this one, or the checkpoints cannot be scored.
        Interrupted: the user stopped it before a checkpoint was scored.
        PartialResult: a checkpoint could not be scored, or was deleted before.
    """
    given = [name for name in EXCLUDED if options[name]]
    if not current_rank().is_alone:
        raise InputError("--watch in several ranks: it scores in one process; start it without torchrun or accelerate")
    if given:
        raise InputError(
            f"--{given[0].replace('_', '-')} beside --watch: it scores the checkpoints of one folder, in one process; "
            "give the other option in a second command, when the training has ended"
        )
    watch = _Watch(Path(options["watch"]), dict(options), load_pairs, score)
    watch.check_inputs()
    with stop_signals(), watch.locked():
        try:
            watch.score_until_end()
        except (KeyboardInterrupt, Interrupted):
            run = _stored_run(options["out"])
            if run is None or not run.models:
                raise Interrupted(f"stopped: no checkpoint of {watch.folder} was scored yet") from None
            watch.is_stopped = True
    watch.print_ending()


@dataclass
class _Watch:
    """A training that is watched.

    Attributes:
        folder: its output folder.
        options: the options of ``score``.
        load_pairs: reads the pairs.
        score: scores pairs with the checkpoints of a training.
        scored: checkpoints that are scored, or that cannot be.
        problems: why checkpoints could not be scored.
        is_stopped: whether the user stopped it before the training ended.
    """

    folder: Path
    options: dict[str, Any]
    load_pairs: Callable[[], Any]
    score: Callable[[Any, Training], object]
    scored: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    is_stopped: bool = False
    _pairs: Any = None
    _lock: LiveLock | None = None
    _said: str = ""
    _is_shown: bool = False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that tells open pages of further checkpoints, as soon as the run folder exists."""
        try:
            self._hold_lock()
            yield
        finally:
            if self._lock is not None:
                self._lock.release()

    def check_inputs(self) -> None:
        """Read the pairs and look for the reference before hours of waiting.

        Raises:
            InputError: the folder is a file, there are no pairs, or no such reference.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"--watch {self.folder} is a file: give the folder that the trainer writes to")
        if not self.options["pairs"]:
            raise InputError("no PAIRS: give the preference pairs beside --watch; see dpo-analysis score --help")
        if self.options["reference"]:
            model_folder(self.options["reference"])
        self._pairs = self.load_pairs()

    def score_until_end(self) -> None:
        """Score checkpoints as they come; return after the last of the training."""
        while True:
            found = _checkpoints(self.folder)
            lacks = {path: unfinished(path) for _, path in found}
            new = [(step, path) for step, path in found if not lacks[path] and self._is_new(path)]
            if new and self._score(new, waiting=[path for path in lacks if lacks[path]]):
                if training_ended(new[-1][1]):
                    return
                continue
            self._say_what_is_awaited(found, lacks)
            time.sleep(POLL_SECONDS)

    def print_ending(self) -> None:
        """Print what ``score`` prints at its end.

        Raises:
            Interrupted: parts of the last checkpoint are missing.
            PartialResult: a checkpoint could not be scored.
        """
        from dpo_analysis.cli.ending import ending
        from dpo_analysis.cli.run_notes import scored_lines

        run = open_run(self.options["out"])
        if not run.is_complete:
            raise Interrupted(f"stopped while scoring into {run.path}: the same command goes on there")
        more = "stopped before the training ended; the same command goes on when it does"
        typer.echo("\n".join([*scored_lines(run), *ending(run), *([more] if self.is_stopped else [])]))
        if self.problems:
            raise PartialResult(f"finished, but {'; '.join(self.problems[:3])}")

    def _is_new(self, path: Path) -> bool:
        """Return whether a checkpoint is not scored, or was written again since."""
        return self.scored.get(str(path)) != last_change(path)

    def _score(self, new: list[tuple[int, Path]], *, waiting: list[Path]) -> bool:
        """Score whole checkpoints; return False where the folder's settings cannot be read before the rest is whole."""
        try:
            training = find_training(self.folder)
        except InputError:
            if waiting:
                return False
            raise
        notes = [note for note in training.notes if not any(str(path) in note for path in waiting)]
        training = replace(training, checkpoints=[(step, str(path)) for step, path in new], notes=notes)
        if not self._is_shown:
            from dpo_analysis.cli.found import found_lines

            typer.echo("\n".join(found_lines(training, self.options)))
            self._is_shown = True
        times = {str(path): last_change(path) for _, path in new}
        try:
            self._score_again_if_outdated(training)
        except PartialResult as error:
            self.problems.append(str(error))
        except InputError:
            gone = [path for _, path in new if not path.is_dir()]
            if not gone:
                raise
            # a trainer with save_total_limit deletes old checkpoints
            self.problems += [f"{path.name} was deleted before it was scored" for path in gone]
            times = {str(path): 0.0 for path in gone}
        self.scored |= times
        self._hold_lock()
        self._print_steps(training)
        return True

    def _score_again_if_outdated(self, training: Training) -> None:
        """Score checkpoints; where a resumed training has written some of them again, in place of their scores.

        Nothing is removed before the run is known to be of the same pairs and the same reference, which ``score``
        checks first, nor for a checkpoint of another folder with the same name.
        """
        try:
            self.score(self._pairs, training)
        except OtherWeights:
            step = self._first_outdated(training)
            if step is None:
                raise
            remove_later_models(Path(self.options["out"]), training.series, step - 1)
            typer.echo(
                f"{training.series}/checkpoint-{step} was written again by a resumed training: it and later steps are "
                "scored anew"
            )
            self.scored = {}
            self.score(self._pairs, training)

    def _first_outdated(self, training: Training) -> int | None:
        """Return the first step whose scores are of the same folder with other weights; None where there is none."""
        stored = {model.key: model for model in open_run(self.options["out"]).models}
        for step, path in training.checkpoints:
            model = stored.get(f"{training.series}/{Path(path).name}")
            if model is None or model.kind == "loaded" or Path(model.source).resolve() != Path(path).resolve():
                continue
            if model.weights != weights_sha256(find_model(path, base=self.options["base"])):
                return int(step or 0)
        return None

    def _hold_lock(self) -> None:
        if self._lock is None and _stored_run(self.options["out"]) is not None:
            out = Path(self.options["out"])
            self._lock = hold_live_lock(out, WATCH)
            if self._lock is None:
                raise RunBusy(f"run folder {out} is in use: a training or another --watch adds checkpoints to it")

    def _print_steps(self, training: Training) -> None:
        """Print a line with the means of each checkpoint just scored."""
        from dpo_analysis.diagnosis.series_log_ratios import default_split
        from dpo_analysis.tables.steps import step_table

        run = open_run(self.options["out"])
        steps = step_table(run, split=default_split(run), series=training.series)
        names = [Path(path).name for _, path in training.checkpoints]
        for row in steps[steps["model"].isin(names)].to_dict("records"):
            rewards = ", ".join(f"{side} {signed_fixed(row[f'{side}_reward'], 3)}" for side in ("chosen", "rejected"))
            typer.echo(f"{row['model']}: reward of {rewards}, accuracy {row['accuracy']:.1%}, {row['n_used']} pairs")

    def _say_what_is_awaited(self, found: list[tuple[int, Path]], lacks: Mapping[Path, str]) -> None:
        """Print what the next checkpoint lacks, when it changes."""
        unready = [f"{path.name}: {lacks[path]}" for _, path in found if lacks[path]]
        missing = "" if self.folder.is_dir() else ", which does not exist yet"
        text = f"waiting for {unready[0]}" if unready else f"waiting for a checkpoint in {self.folder}{missing}"
        if text != self._said:
            announce(text)
            self._said = text


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Return step and path of the checkpoints in an output folder, which may not exist yet, by step."""
    return checkpoints_in(folder) or checkpoints_in(folder / "ckpt")


def _stored_run(path: Path) -> "Run | None":
    try:
        return open_run(path)
    except DPOAnalysisError:
        return None
