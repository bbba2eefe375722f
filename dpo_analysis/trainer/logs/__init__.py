"""Training logs of every trainer as tables of curves; nothing is executed, and no logger needs to be installed."""

from dpo_analysis.trainer.logs.aliases import split_and_metric
from dpo_analysis.trainer.logs.config import logged_config
from dpo_analysis.trainer.logs.found import FoundLog, find_logs
from dpo_analysis.trainer.logs.notes import log_notes
from dpo_analysis.trainer.logs.read import read_log
from dpo_analysis.trainer.logs.trainer_state import curves_of_history, global_step, read_trainer_state, state_file

__all__ = [
    "FoundLog",
    "curves_of_history",
    "find_logs",
    "global_step",
    "log_notes",
    "logged_config",
    "read_log",
    "read_trainer_state",
    "split_and_metric",
    "state_file",
]
