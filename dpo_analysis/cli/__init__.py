"""The command line: a thin skin over the library, one function per command."""
