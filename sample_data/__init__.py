"""A small, real DPO run: its text, its pairs, its weights, and the scripts that make and read them."""
