"""Sums of log-probs from elsewhere as a run folder without tokens: no model is opened, so there is no torch here."""

from dpo_analysis.imported.folder import import_run

__all__ = ["import_run"]
