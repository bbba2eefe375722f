"""From tables to what can be said about a run: the checks of its data and of its setup."""

from dpo_analysis.diagnosis.checks import VERDICTS, Check, run_checks

__all__ = ["VERDICTS", "Check", "run_checks"]
