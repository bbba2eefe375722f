"""The coloured tokens of a pair, as HTML with its script."""
