"""The page of a run that is still being written follows it, in a browser and on a server of their own.

Twice, on a server that had served some thirty pages, such a page stopped following and nobody knows why; on a fresh
one it has never been seen.
"""

import re
import shutil

import pytest

from dpo_analysis.runs import open_run
from tests.app import synthetic
from tests.app.test_browser import CHROMIUM, PATIENCE, PLOTS, address, chromium, expect, settle, tab  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]


def test_a_run_that_grows_refreshes_by_itself(tab, runs, tmp_path):  # noqa: F811
    page, told = tab("?run=partial"), lambda: open_run(runs / "partial").progress().values()
    notice = page.get_by_test_id("stAlert").first
    expect(notice).to_contain_text(text_of_progress(told()))
    whole = synthetic.build(tmp_path / "whole", series=["gentle"])
    for part in whole.glob("scores/*/*/part-00001.parquet"):
        shutil.copy(part, runs / "partial" / part.relative_to(whole))
    expect(notice).to_contain_text(text_of_progress(told()))


def test_a_page_whose_beats_are_lost_loads_itself_again(chromium, address):  # noqa: F811
    loads, lost, sockets = [], [], []

    def wire(socket):
        server = socket.connect_to_server()
        sockets.append(socket)
        first = len(sockets) == 1
        socket.on_message(lambda message: lost.append(message) if first and lost else server.send(message))

    page = chromium.new_page()
    page.route_web_socket(re.compile("_stcore/stream"), wire)
    page.on("load", lambda: loads.append(page.url))
    page.goto(f"{address}/?run=partial")
    settle(page, plots=PLOTS[""])
    page.wait_for_timeout(28_000)
    assert len(loads) == 1, "five beats were answered: nothing to load again for"
    lost.append("everything from here on")
    with page.expect_event("load", timeout=PATIENCE):
        pass
    settle(page, plots=PLOTS[""])
    assert len(lost) > 4
    assert len(loads) == 2
    page.close()


def text_of_progress(progress):
    done, whole = (sum(parts) for parts in zip(*progress, strict=True))
    return f"{done} of {whole} parts are there"
