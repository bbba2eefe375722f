"""Token ids to token log-probs, in packed batches."""
