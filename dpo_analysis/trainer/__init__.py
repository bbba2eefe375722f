"""Readers of a trainer's output folder and config, without torch and without executing anything that files contain."""

from dpo_analysis.trainer.config_file import read_config
from dpo_analysis.trainer.discover import find_training
from dpo_analysis.trainer.logs import read_log, read_trainer_state
from dpo_analysis.trainer.training import Training

__all__ = ["Training", "find_training", "read_config", "read_log", "read_trainer_state"]
