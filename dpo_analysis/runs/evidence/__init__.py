"""Further measurements stored in the run folder: evidence by kind, probes and influence."""
