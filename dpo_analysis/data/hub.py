"""Sources read with the ``datasets`` library: folders of ``save_to_disk`` and data sets on the Hugging Face hub."""

import importlib
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(:\w[\w.-]*)?")

LOAD_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    ImportError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)
"""What ``datasets`` raises beside its own errors for a folder whose files are not what it wrote."""


def looks_like_hub_id(text: str) -> bool:
    """Return whether ``text`` could name a data set on the hub: ``name``, ``org/name`` or ``org/name:split``."""
    return HUB_ID.fullmatch(text) is not None


def load_saved_dataset(path: Path) -> Any:
    """Load the Dataset or DatasetDict that ``save_to_disk`` wrote into ``path``.

    Raises:
        InputError: the folder holds no data set or a damaged one, or ``datasets`` is not installed.
    """
    if not any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        raise InputError(
            f"no data set in {path}: the folder has neither state.json nor dataset_dict.json; give a file of rows or a "
            "folder made by Dataset.save_to_disk"
        )
    return _load_with_datasets(
        lambda datasets: datasets.load_from_disk(str(path)), f"unreadable data set in {path}", "save it again"
    )


def load_hub_dataset(name: str) -> Any:
    """Load the DatasetDict of the hub id ``name``, from the network or the local cache.

    Raises:
        InputError: no such data set, no network, a gated or script data set, or ``datasets`` is not installed.
    """
    fix = "check the name and the network, or give a file"
    return _load_with_datasets(
        lambda datasets: datasets.load_dataset(name), f"no pairs in {name}: no such file, and as hub id", fix
    )


def _load_with_datasets(load: Callable[[Any], Any], problem: str, fix: str) -> Any:
    """Return ``load(datasets)``; its failures become one ``InputError``: problem, reason, fix."""
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise InputError(f"{problem}: this needs the datasets library; pip install 'dpo-analysis[score]'") from error
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # warnings about retries would bury the one line of the error
    try:
        return load(datasets)
    except (*LOAD_ERRORS, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{problem}: {reason}; {fix}") from error
    finally:
        logger.setLevel(level)
