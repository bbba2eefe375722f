"""Sources that need the ``datasets`` library: folders of ``save_to_disk`` and ids on the hub."""

import importlib
import logging
import re
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(:\w[\w.-]*)?")


def looks_like_id(text: str) -> bool:
    """Whether ``text`` could name a data set on the hub: ``name``, ``org/name`` or ``org/name:split``."""
    return HUB_ID.fullmatch(text) is not None


def load_folder(path: Path) -> Any:
    """The Dataset or DatasetDict that ``save_to_disk`` left in ``path``.

    Raises:
        InputError: the folder is none, or is damaged, or ``datasets`` is not installed.
    """
    if not any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        raise InputError(
            f"no data set in {path}: the folder has neither state.json nor dataset_dict.json; give a file of rows or a "
            "folder made by Dataset.save_to_disk"
        )
    return _call(lambda datasets: datasets.load_from_disk(str(path)), f"unreadable data set in {path}", "save it again")


def load_id(name: str) -> Any:
    """The DatasetDict behind the hub id ``name``, from the network or the local cache.

    Raises:
        InputError: no such data set, no network, a gated or script data set, or ``datasets`` is not installed.
    """
    fix = "check the name and the network, or give a file"
    return _call(lambda datasets: datasets.load_dataset(name), f"no pairs in {name}: no such file, and as hub id", fix)


def _call(load: Any, what: str, fix: str) -> Any:
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise InputError(f"{what}: this needs the datasets library; pip install 'dpo-analysis[score]'") from error
    chatter = logging.getLogger("huggingface_hub")
    level = chatter.level
    chatter.setLevel(logging.ERROR)  # its retries would stand between the user and the one line of the error
    try:
        return load(datasets)
    except (OSError, ValueError, RuntimeError, ImportError, LookupError, datasets.exceptions.DatasetsError) as error:
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{what}: {why}; {fix}") from error
    finally:
        chatter.setLevel(level)
