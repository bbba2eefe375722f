"""From tables to what can be said about a run: checks of data and setup, the fall, its ledger, causes and verdict."""

from dpo_analysis.diagnosis.checks import VERDICTS, Check, run_checks
from dpo_analysis.diagnosis.findings import Diagnosis, Fall, Finding
from dpo_analysis.diagnosis.saved_diagnosis import keep, known_or_made
from dpo_analysis.diagnosis.series_diagnosis import diagnose, diagnose_all, scored_series

__all__ = [
    "VERDICTS", "Check", "Diagnosis", "Fall", "Finding", "diagnose", "diagnose_all", "keep", "known_or_made",
    "run_checks", "scored_series",
]  # fmt: skip
