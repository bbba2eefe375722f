"""Errors that no command expects: a line for the terminal and an exit code; the traceback goes into a file.

The file lies in the user's state folder, or in the folder for temporary files, and never in a run folder.
"""

import datetime
import errno
import os
import platform
import re
import sys
import tempfile
import traceback
from pathlib import Path

from dpo_analysis import __version__
from dpo_analysis.errors import InputError, StorageError

FAULT_CODE = 70
"""Exit code of an error that is a fault of this tool, or of memory: EX_SOFTWARE of sysexits.h."""
MAX_LOGS = 20
"""Files that are kept; older ones are removed."""
MAX_LOG_LETTERS = 2**20
MAX_WHY = 120
"""Letters of a library's message that the line shows."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_THREAD = re.compile("Failed to launch worker thread|can't start new thread")
"""How libraries say that the memory for another thread is not there."""
SECRET = re.compile(r"\bhf_\w{8,}")


def describe(error: BaseException) -> tuple[str, int]:
    """Return the line that says what went wrong and what to do, and the exit code; the traceback is kept in a file."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        name = os.path.basename(str(error.filename or ""))
        return f"name too long for the file system: {name[:40]!r}... of {len(name)} letters; give a shorter one", (
            InputError.exit_code
        )
    if isinstance(error, UnicodeEncodeError) and "surrogate" in error.reason:
        return "half of a character in a name or a text: UTF-8 cannot store it; write the input again, as UTF-8", (
            InputError.exit_code
        )
    message, code = _what_and_code(error)
    log = write_log(error)
    return f"{message}; the details are in {log}" if log is not None else message, code


def _what_and_code(error: BaseException) -> tuple[str, int]:
    why = " ".join(str(error).split())[:MAX_WHY]
    if isinstance(error, MemoryError) or NO_THREAD.search(why):
        advice = "give less at once, close other programs, or raise the limit (ulimit -v)"
        return f"out of memory: this machine, or its limit for this command, has no more; {advice}", FAULT_CODE
    if isinstance(error, RecursionError):
        return "nested too deep: an input holds lists in lists without end; mend or remove it", FAULT_CODE
    if isinstance(error, OSError) and error.errno is not None:
        where = f" {str(error.filename)[:MAX_WHY]}" if error.filename else ""
        if error.errno in DISK_FULL:
            return f"disk full at{where or ' some file'}: {error.strerror}; free space and try again", (
                StorageError.exit_code
            )
        advice = "check the path, the disk and the permissions"
        return f"failed to read or write{where}: {error.strerror}; {advice}", StorageError.exit_code
    kind = type(error).__name__
    if type(error).__module__.startswith(("pyarrow", "zipfile", "zlib", "lzma")):
        return f"unreadable file: {kind}: {why}; look at the files that this command reads", FAULT_CODE
    return f"unexpected {kind}: {why or 'no message'}; this is a fault of dpo-analysis, please report it", FAULT_CODE


def write_log(error: BaseException) -> Path | None:
    """Write the traceback of an error into a file and return its path; None where no folder takes it."""
    try:
        text = "".join(traceback.format_exception(error))[-MAX_LOG_LETTERS:]
        facts = f"dpo-analysis {__version__}, Python {platform.python_version()}, {platform.platform()}\n{sys.argv}\n\n"
        content = SECRET.sub("hf_...", facts + text).encode("utf-8", "backslashreplace")
    except (MemoryError, RecursionError, ValueError, RuntimeError):
        return None
    for folder in (_state_folder(), Path(tempfile.gettempdir())):
        try:
            return _write_into(folder, content)
        except OSError:
            continue
    return None


def _state_folder() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(home) / "dpo-analysis"


def _write_into(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S-%f")
    path = folder / f"dpo-analysis-{now}-{os.getpid()}.log"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    for old in sorted(folder.glob("dpo-analysis-*-*.log"))[:-MAX_LOGS]:
        old.unlink(missing_ok=True)
    return path
