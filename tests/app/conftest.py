"""Run folders for the pages, written once, and a page of one of them."""

import sys

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from dpo_analysis.cli.launcher import RUN_VARIABLE
from tests.app import synthetic
from tests.app.drawn import ROOT


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder of runs: whole, one checkpoint, and one that is still being scored."""
    root = tmp_path_factory.mktemp("runs")
    synthetic.build(root / "whole", evident=6)
    synthetic.build(root / "lone", series=["gentle"], steps=[60])
    synthetic.build(root / "partial", series=["gentle"], parts=1)
    return root


@pytest.fixture
def show(monkeypatch):
    """Draw a page of a run or folder with URL parameters."""

    def draw(root, page="overview", /, **query):
        monkeypatch.setenv(RUN_VARIABLE, str(root))
        monkeypatch.setattr(sys, "argv", ["streamlit"])
        app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120)
        app._page_hash = "" if page == "overview" else calc_hash(page)
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    return draw
