"""The Checks page and its parts."""
