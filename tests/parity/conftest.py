"""One thread and a quiet, uncached ``datasets`` for every parity test: the models are tiny."""

import datasets
import pytest
import torch


@pytest.fixture(autouse=True)
def _quiet_and_single_threaded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    datasets.disable_caching()
    yield
    torch.set_num_threads(threads)
