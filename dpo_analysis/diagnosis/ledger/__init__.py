"""The mass ledger: which tokens of the chosen responses that fell lost probability, and where it went."""
