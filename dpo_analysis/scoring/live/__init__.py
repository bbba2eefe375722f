"""Scoring while a training runs: the callback for TRL's DPOTrainer, and the watch over a folder of checkpoints."""
