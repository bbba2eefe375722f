"""Run folders for the pages, written once."""

import pytest

from tests.app import synthetic


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder of runs: whole, one checkpoint, and one that is still being scored."""
    root = tmp_path_factory.mktemp("runs")
    synthetic.build(root / "whole")
    synthetic.build(root / "lone", series=["gentle"], steps=[60])
    synthetic.build(root / "partial", series=["gentle"], parts=1)
    return root
