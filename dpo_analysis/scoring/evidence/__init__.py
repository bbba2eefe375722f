"""Measurements beside the scores: distributions, hidden states, probes and influence."""
