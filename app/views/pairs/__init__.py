"""The Pairs page and its parts."""
