"""The Tokens page and its parts."""
