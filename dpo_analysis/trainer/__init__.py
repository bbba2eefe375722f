"""What a trainer leaves behind, read without torch and without running anything that stands in it."""

from dpo_analysis.trainer.discover import Training, find_training
from dpo_analysis.trainer.logs import read_trainer_state

__all__ = ["Training", "find_training", "read_trainer_state"]
