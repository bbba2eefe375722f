"""The Details page and its parts."""
