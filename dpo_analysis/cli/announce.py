"""Lines on standard error about work that takes seconds and prints nothing by itself."""

import sys


def announce(work: str) -> None:
    """Print what begins now, such as ``loading torch``; on standard error, so that piped output stays as it is."""
    print(f"{work} ...", file=sys.stderr, flush=True)


def announce_torch() -> None:
    """Announce the import of torch, which takes seconds; nothing is printed where it is loaded already."""
    if "torch" not in sys.modules:
        announce("loading torch")
