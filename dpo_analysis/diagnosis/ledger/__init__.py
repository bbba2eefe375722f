"""The ledger: which tokens lost the probability of the chosen responses, and where it went."""
