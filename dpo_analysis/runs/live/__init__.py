"""Run folders that grow: who scores into them, whether more will come, and checkpoints that are scored again."""
