"""Readers of a trainer's output folder, without torch and without executing anything that the files contain."""

from dpo_analysis.trainer.discover import Training, find_training
from dpo_analysis.trainer.logs import read_trainer_state

__all__ = ["Training", "find_training", "read_trainer_state"]
