"""Tables of a run as DataFrames, one table a file."""
