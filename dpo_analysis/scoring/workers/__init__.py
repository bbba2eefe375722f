"""Several workers on one run: ranks of a launcher, and workers on a Ray cluster."""
