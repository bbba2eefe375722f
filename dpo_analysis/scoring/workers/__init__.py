"""Several workers on one run: ranks, and a Ray cluster."""
