"""Adapters of PEFT: what each does to its base, how it is attached, and bases that were 4-bit in training."""
