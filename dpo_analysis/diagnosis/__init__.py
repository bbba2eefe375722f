"""The diagnosis of a run: checks of data and setup, the fall, the mass ledger behind it, the causes and the verdict."""

from dpo_analysis.diagnosis.checks import CHECK_VERDICTS, Check, run_checks
from dpo_analysis.diagnosis.findings import Diagnosis, Fall, Finding
from dpo_analysis.diagnosis.saved_diagnosis import load_or_diagnose, save_diagnoses
from dpo_analysis.diagnosis.series_diagnosis import diagnose, diagnose_all, scored_series

__all__ = [
    "CHECK_VERDICTS",
    "Check",
    "Diagnosis",
    "Fall",
    "Finding",
    "diagnose",
    "diagnose_all",
    "load_or_diagnose",
    "run_checks",
    "save_diagnoses",
    "scored_series",
]
