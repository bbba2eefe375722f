"""Import of summed log-probs from elsewhere into a run folder without tokens; no model is opened, so without torch."""

from dpo_analysis.imported.folder import import_run

__all__ = ["import_run"]
