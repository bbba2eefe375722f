"""What can go wrong in a way a person can mend: one line each, with its exit code.

Every message answers what, where, why and what now:
``<what> in <where>: <why>; <what to do>``. The command line prints it behind ``error: `` and leaves with
``exit_code``; nothing else is printed, and nothing half-written stays behind.
"""


def counted(number: int, noun: str) -> str:
    """``3 parts``, ``1 part``, ``2 policies``: a number with its noun, for the lines that people read."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("cy") else f"{number} {noun}s"


class DPOAnalysisError(Exception):
    """The base of everything that a user can mend; ``str()`` is one line."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        """Keep ``message`` as a single line, whatever a library put into it."""
        super().__init__(" ".join(str(message).split()))


class InputError(DPOAnalysisError):
    """An input, a file of the user's or the way a command was called cannot be taken (exit 2)."""

    exit_code = 2


class StorageError(DPOAnalysisError):
    """The run folder cannot be read or written: disk full, damaged part, no permission (exit 3)."""

    exit_code = 3


class PartialResult(DPOAnalysisError):
    """The work is finished except for what the message names (exit 4)."""

    exit_code = 4


class RunBusy(DPOAnalysisError):
    """Another process holds this shard of the run folder (exit 5)."""

    exit_code = 5


class Interrupted(DPOAnalysisError):
    """The user stopped the work; what was finished is kept (exit 130)."""

    exit_code = 130
