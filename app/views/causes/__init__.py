"""The Causes page and its parts."""
