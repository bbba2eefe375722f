"""What pages compute of a run, kept between reruns until a file of the run folder changes; all sessions share it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from dpo_analysis.runs import Run
from dpo_analysis.runs.safe_files import reading
from shared import state

MAX_TABLES, MAX_FIGURES = 64, 64
"""How many tables and how many figures stay in memory."""


def cached(make: Callable[..., Any], run: Run, **arguments: object) -> Any:
    """Return ``make(run, **arguments)``, kept until a file of the run folder changes; all sessions share it."""
    name = f"{make.__module__}.{make.__qualname__}"
    return _cached(name, make, str(run.path), _signature_of_pass(run), run, arguments)


@st.cache_resource(max_entries=MAX_TABLES, show_spinner=False)
def _cached(
    name: str, _make: Callable[..., Any], path: str, signature: str, _run: Run, arguments: dict[str, Any]
) -> Any:
    return _make(_run, **arguments)


def drawn(make: Callable[..., Any], run: Run, **arguments: Any) -> Any:
    """Return the figure ``make(run, **arguments)`` at the reader's selection, kept as ``cached`` keeps a table.

    ``make`` may read the tables of this module, the language and the theme; whatever else it depends on is among
    ``arguments``, whose values can be hashed.
    """
    name = f"{make.__module__}.{make.__qualname__}"
    selection = (state.split(run), state.beta(), state.language(), state.theme())
    return _drawn(name, make, str(run.path), _signature_of_pass(run), run, selection, arguments)


@st.cache_resource(max_entries=MAX_FIGURES, show_spinner=False)
def _drawn(
    name: str,
    _make: Callable[..., Any],
    path: str,
    signature: str,
    _run: Run,
    selection: tuple[Any, ...],
    arguments: dict[str, Any],
) -> Any:
    return _make(_run, **arguments)


def run_signature(path: Path) -> str:
    """Return a text that changes whenever a file of the run folder is added or replaced.

    Every file of a run folder is written by renaming, so the modification times of its folders are enough.

    Raises:
        StorageError: a folder of it is gone or cannot be read.
    """
    stamps, folders = [], [str(path)]
    for folder in folders:
        with reading(path), os.scandir(folder) as entries:
            stamps.append(os.stat(folder).st_mtime_ns)
            folders += sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    return ",".join(map(str, stamps))


def _signature_of_pass(run: Run) -> str:
    """Return the signature that ``run`` had when this pass of the script first asked for it."""
    signatures = st.session_state.setdefault(state.SIGNATURES, {})
    path = str(run.path)
    if path not in signatures:
        signatures[path] = run_signature(run.path)
    return signatures[path]
