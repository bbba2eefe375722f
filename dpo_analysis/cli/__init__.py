"""The command line: a function for each command, which calls the library."""
