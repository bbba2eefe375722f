"""Resolving, checking and loading the models that are scored."""
