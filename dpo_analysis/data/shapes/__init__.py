"""Shapes of preference rows: what shows each, and how its rows become rows in TRL's format."""
