"""Figures of training logs alone, without recomputed values."""
