"""Phrases at which the chosen responses lost log-prob, and what other pairs do with them."""
