"""One thread and a quiet, uncached ``datasets`` for every parity test: the models are tiny."""

import tarfile
from functools import cache
from pathlib import Path

import datasets
import pytest
import torch

TRAINERS = Path(__file__).parents[3] / "shared/trainers"


@pytest.fixture(autouse=True)
def _quiet_and_single_threaded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    datasets.disable_caching()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A function that unpacks an archive of ``TRAINERS`` once, and returns where."""
    root = tmp_path_factory.mktemp("trainers")

    @cache
    def unpack(name):
        with tarfile.open(TRAINERS / f"{name}.tar.xz") as tar:
            tar.extractall(root / name, filter="data")
        folder = root / name / name
        return folder if folder.is_dir() else root / name

    return unpack
