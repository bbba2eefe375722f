"""From tables to what can be said about a run: checks of data and setup, the fall, its ledger, causes and verdict."""

from dpo_analysis.diagnosis.checks import VERDICTS, Check, run_checks
from dpo_analysis.diagnosis.diagnose import diagnose, diagnose_all, patterns_at
from dpo_analysis.diagnosis.findings import Diagnosis, Fall, Finding

__all__ = ["VERDICTS", "Check", "Diagnosis", "Fall", "Finding", "diagnose", "diagnose_all", "patterns_at", "run_checks"]
