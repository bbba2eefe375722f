"""What every test shares: no network, and no silent skip of the browser and parity tests where CI runs them."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from tests.faults import fakes

settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
NEVER_SKIPPED_IN_CI = ("browser", "parity", "scaleout")
ALWAYS_SLOW = ("browser", "parity", "planted", "scaleout")


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A finished run folder of a fake scorer; tests only read it."""
    path = tmp_path_factory.mktemp("whole") / "run"
    fakes.score_run(path)
    return path


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of that run folder, to be changed."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark browser, parity, planted and scaleout tests as slow, too: ``-m "not slow"`` is the quick round."""
    for item in items:
        if any(item.get_closest_marker(name) for name in ALWAYS_SLOW):
            item.add_marker("slow")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    guarded = [name for name in NEVER_SKIPPED_IN_CI if item.get_closest_marker(name)]
    if report.skipped and guarded and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} is a {guarded[0]} test and may not be skipped in CI: {report.longrepr}"
