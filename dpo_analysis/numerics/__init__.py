"""Rewards, losses, metrics, bootstrap intervals and edit distance: numpy in, numpy out."""
