"""The mass ledger: which tokens of the fallen chosen responses lost probability, and where it went."""
