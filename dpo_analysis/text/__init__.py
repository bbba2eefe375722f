"""Token text, token types, regions of a response and duplicate texts."""
