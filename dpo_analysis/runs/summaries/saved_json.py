"""summary/diagnosis.json: what was found about a finished run, with the checksum of its own content.

It is written after the manifest, which cannot hold its checksum, and also into runs that were finished long ago.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpo_analysis.errors import StorageError
from dpo_analysis.runs.manifest import canonical_json, read_json

SAVED_FILE = "summary/diagnosis.json"
CHECKSUM = "checksum"


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with the checksum of all its other fields in front."""
    return {CHECKSUM: _checksum(content), **content}


def read_saved(root: Path) -> dict[str, Any] | None:
    """Return the content of the file; None where it is missing, unreadable, changed, or has no checksum.

    A file without one was written by an earlier version: nothing says that it is as it was written.
    """
    try:
        content = read_json(root, SAVED_FILE)
    except (FileNotFoundError, StorageError):
        return None
    is_whole = isinstance(content, dict) and CHECKSUM in content and content[CHECKSUM] == _checksum(content)
    return content if is_whole else None


def saved_problem(root: Path) -> str:
    """Return what is wrong with the file, as a line; empty for nothing, and for a file of an earlier version."""
    try:
        content = read_json(root, SAVED_FILE)
    except FileNotFoundError:
        return ""
    except StorageError as error:
        return str(error)
    if isinstance(content, dict) and content.get(CHECKSUM, _checksum(content)) == _checksum(content):
        return ""
    return f"damaged {root / SAVED_FILE}: it does not match its own checksum; delete it, and it is made again"


def _checksum(content: Mapping[str, Any]) -> str:
    """Return the sha256 of all fields but the checksum, 64 hex digits."""
    fields = {name: value for name, value in content.items() if name != CHECKSUM}
    return hashlib.sha256(canonical_json(fields)).hexdigest()
