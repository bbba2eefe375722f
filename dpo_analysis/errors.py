"""Errors that a user can fix, each with a message of a single line and an exit code.

Every message has the form ``<what> in <where>: <why>; <what to do>``. The command line prints it after ``error: `` and
exits with ``exit_code``; it prints nothing else, and leaves no half-written file.
"""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, as in ``3 parts``, ``1 part`` and ``2 policies``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("cy") else f"{number} {noun}s"


class DPOAnalysisError(Exception):
    """Base class of the errors that a user can fix; ``str()`` is a single line."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        """Make an error whose message is a single line, whatever a library put into it."""
        super().__init__(" ".join(str(message).split()))


class InputError(DPOAnalysisError):
    """An input file or an argument cannot be used (exit 2)."""

    exit_code = 2


class OtherWeights(InputError):
    """A checkpoint has the name of one that is scored, and other weights (exit 2)."""


class StorageError(DPOAnalysisError):
    """The run folder cannot be read or written: disk full, damaged part, no permission (exit 3)."""

    exit_code = 3


class PartialResult(DPOAnalysisError):
    """The work is finished except for the part that the message names (exit 4)."""

    exit_code = 4


class RunBusy(DPOAnalysisError):
    """Another process holds this shard of the run folder (exit 5)."""

    exit_code = 5


class Interrupted(DPOAnalysisError):
    """The user stopped the work; finished parts are on disk (exit 130)."""

    exit_code = 130
