"""Token text, token types, regions of a response, duplicate texts and numbers as text."""
