"""Cached numpy arrays of an open run, and the selection of models and pairs."""
