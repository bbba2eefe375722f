"""Numbers and warnings for trackio and Weights & Biases, in the runs that the trainer opened there."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module as load_module
from typing import Any

from dpo_analysis.scoring.live.alarms import Alarm

logger = logging.getLogger(__name__)
TRACKERS = ("trackio", "wandb")
STEP = "train/global_step"
"""The name under which transformers' own callbacks log the step."""


class Trackers:
    """The trackers that a training reports to, of those that this package knows."""

    def __init__(self, report_to: Sequence[str]) -> None:
        """Use those of ``TRACKERS`` that are in ``report_to``, the trainer's argument of this name."""
        self._modules: dict[str, Any] = {name: load_module(name) for name in TRACKERS if name in report_to}

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log ``values`` under ``dpo_analysis/``, at a step of the training."""
        named = {f"dpo_analysis/{name}": value for name, value in values.items()} | {STEP: step}
        for tracker in self._open_trackers():
            with _kept_from_training():
                tracker.log(named)

    def alert(self, alarm: Alarm) -> None:
        """Send a warning."""
        for tracker in self._open_trackers():
            with _kept_from_training():
                tracker.alert(title=alarm.title, text=alarm.text)

    def _open_trackers(self) -> list[Any]:
        """Return the runs of the trackers that are open: the trainer's own callbacks open and close them."""
        runs = [self._modules["wandb"].run] if "wandb" in self._modules else []
        if "trackio" in self._modules:
            runs.append(self._modules["trackio"].context_vars.current_run.get())
        return [run for run in runs if run is not None]


@contextmanager
def _kept_from_training() -> Iterator[None]:
    """Turn any error of a tracker into a line of the log: a network that fails must not end a training."""
    try:
        yield
    except Exception as error:
        logger.warning("not logged to the tracker: %s", error)
