"""Every page in every state: what it says, and never a traceback."""

import json
import re
import shutil
import subprocess
import sys

import pyarrow as pa
import pytest

from dpo_analysis.cli.launcher import RUN_VARIABLE
from dpo_analysis.runs import locks, open_run
from dpo_analysis.runs.live.live_lock import TRAINING, WATCH, hold_live_lock
from dpo_analysis.words import text
from tests.app import synthetic
from tests.app.drawn import PAGES, ROOT, said

GOLDEN = ROOT / "tests" / "golden" / "schema-1"


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("run", "lang"), [("whole", "en"), ("whole", "zh"), ("lone", "en"), ("partial", "zh")])
def test_every_page_of_every_run_draws_in_both_languages(show, runs, page, run, lang):
    app = show(runs, page, run=run, lang=lang)
    assert [error.message for error in app.exception] == []
    assert not app.error
    # These runs have too few pairs to say why a reward fell.
    assert app.title[0].value == text("causes.title.rose" if page == "causes" else f"{page}.title", lang)


@pytest.mark.parametrize("page", PAGES)
def test_the_golden_folder_opens(show, page):
    app = show(GOLDEN, page)
    assert [error.message for error in app.exception] == []
    assert not app.error


def test_the_overview_says_how_many_pairs_count(show, runs):
    counts = show(runs / "whole", **{"overview-tab": "status"}).dataframe[-1].value
    assert counts[text("overview.status.used")].tolist() == [12]


def test_a_beta_is_a_matter_of_tables_only(show, runs):
    own, half = (show(runs / "whole", **query) for query in ({}, {"beta": "0.5"}))
    first, second = (app.dataframe[-1].value[text("overview.column.chosen_reward")].iloc[0] for app in (own, half))
    assert second == pytest.approx(5 * first)
    assert "β 0.5 " in said(half)


def test_the_split_in_the_url_is_shown(show, runs):
    assert "pairs: 12 of 26 (train)" in said(show(runs / "whole", split="train"))


def test_a_token_in_the_url_is_followed(show, runs):
    app = show(runs / "whole", "tokens", token="rejected-2")
    assert text("tokens.path.title") in [header.value for header in app.subheader]
    app = show(runs / "whole", "tokens", token="rejected-9999")
    assert text("tokens.path.title") not in [header.value for header in app.subheader]


@pytest.mark.parametrize("token", ["", "-", "rejected-", "x-1", "rejected-1e9", "chosen--1", "<script>"])
def test_a_mangled_token_in_the_url_is_ignored(show, runs, token):
    app = show(runs / "whole", "tokens", token=token)
    assert not app.exception
    assert not app.error


@pytest.mark.parametrize(
    ("name", "page"),
    [("run", "overview"), ("split", "overview"), ("beta", "overview"), ("pair", "tokens"), ("color", "tokens")],
)
def test_what_the_url_asks_for_in_vain_is_named(show, runs, name, page):
    app = show(runs, page, **{name: "<b>nowhere</b>"})
    assert "&lt;b&gt;nowhere&lt;/b&gt;" in said(app)
    assert text(f"app.name.{name}") in said(app)
    assert not app.exception


def test_without_a_run_the_page_says_how_to_make_one(show, monkeypatch):
    app = show("")
    assert app.title[0].value == text("app.none.title")
    assert "dpo-analysis score" in said(app)


@pytest.mark.parametrize(
    ("folder", "why"),
    [("gone", "there is no such folder"), ("empty", "neither it nor a folder in it has a manifest.json")],
)
def test_a_folder_without_a_run_is_named(show, tmp_path, folder, why):
    (tmp_path / "empty").mkdir()
    app = show(tmp_path / folder)
    assert why in said(app)
    assert not app.exception


def test_a_partial_run_says_so_and_shows_what_is_there(show, runs):
    app = show(runs / "partial")
    assert "parts are done, and no process on this machine" in app.info[0].value
    assert re.search(r"written at \d{4}-\d\d-\d\d \d\d:\d\d UTC", app.info[0].value)
    assert text("overview.cell.note") in said(app)


def test_a_run_that_a_worker_holds_is_said_to_be_scored_now(show, runs):
    held = locks.acquire(runs / "partial", 0, 1)
    try:
        assert "This run is being scored now (workers: 1)" in show(runs / "partial").info[0].value
    finally:
        held.release()


@pytest.mark.parametrize(
    ("holder", "sentence"), [(TRAINING, "A training adds checkpoints"), (WATCH, "score --watch is")]
)
def test_a_run_that_will_grow_says_so_while_its_lock_is_held(holder, sentence, show, tmp_path):
    run = synthetic.build(tmp_path / "run", series=["gentle"], steps=[60, 120])
    lock = hold_live_lock(run, holder)
    try:
        shown = show(run).info[0].value
        assert sentence in shown
        assert "Checkpoints so far: 2; the last is from step 120." in shown
        assert "目前检查点数：2" in show(run, lang="zh").info[0].value
    finally:
        lock.release()
    assert not any("by themselves" in info.value for info in show(run).info)


def test_a_training_that_has_just_begun_shows_no_verdict(show, tmp_path):
    run = synthetic.build(tmp_path / "run", series=["gentle"], steps=[0])
    lock = hold_live_lock(run, TRAINING)
    try:
        for page in ("overview", "causes", "compare"):
            app = show(run, page)
            assert "The training has just begun" in app.info[0].value
            assert "Nothing moved" not in said(app)
    finally:
        lock.release()


def test_the_log_of_another_split_is_named_with_what_to_do(show, runs):
    tab = {"overview-tab": "series"}
    assert "choose that split in the sidebar" in said(show(runs / "whole", **tab))
    assert "“train” (gentle, strong)" in said(show(runs / "whole", **tab))
    assert "“eval” (gentle, strong)" in said(show(runs / "whole", split="train", **tab))


def test_a_broken_run_leaves_the_way_to_the_others_open(show, runs, tmp_path):
    shutil.copytree(runs / "lone", tmp_path / "b")
    shutil.copytree(runs / "lone", tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text("{")
    app = show(tmp_path, split="nowhere")
    assert app.error
    assert app.selectbox[0].options == ["a", "b"]
    app.query_params["run"] = "b"
    assert not app.run().error


@pytest.mark.parametrize(
    ("name", "what"),
    [("run", "no such folder, or"), ("color", "which this page does not know"), ("pair", "not in this run or split")],
)
def test_why_the_url_asks_in_vain_is_said(show, runs, name, what):
    assert what in said(show(runs, "tokens", **{name: "nowhere"}))


def test_one_quantity_has_one_scale_on_the_tokens_page(show, runs):
    app = show(runs / "whole", "tokens")
    map_axis = json.loads(app.get("plotly_chart")[-1].proto.spec)["layout"]["coloraxis"]
    view = next(element.proto for element in app.get("bidi_component") if "token_view" in element.proto.component_name)
    assert json.loads(view.json)["scale"] == map_axis["cmax"]


def test_a_run_without_any_score_says_so(show, runs, tmp_path):
    shutil.copytree(runs / "partial", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "scores")
    for page in PAGES:
        app = show(tmp_path / "run", page)
        assert not app.exception
        assert not app.error
    assert text("tokens.none") in said(show(tmp_path / "run", "tokens"))


def test_a_damaged_part_is_named_with_what_to_do(show, runs, tmp_path):
    shutil.copytree(runs / "whole", tmp_path / "run")
    part = tmp_path / "run" / "scores" / "gentle" / "checkpoint-60" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:100])
    pair = open_run(runs / "whole").pairs(0)["pair_id"][0].as_py()
    app = show(tmp_path / "run", "tokens", pair=pair)
    assert app.error[0].value == text("app.error.storage")
    assert "part-00000.parquet" in app.code[0].value
    assert not app.exception


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 99}'])
def test_a_damaged_or_newer_manifest_is_named(show, runs, tmp_path, content):
    shutil.copytree(runs / "lone", tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text(content)
    app = show(tmp_path / "run")
    assert app.error
    assert not app.exception


def test_the_pages_load_no_model_library():
    code = f"""import os, sys
os.environ["{RUN_VARIABLE}"] = "tests/golden/schema-1"
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app/main.py", default_timeout=60).run()
assert app.title and not app.exception
print(" ".join(name for name in ("torch", "transformers", "peft", "tokenizers") if name in sys.modules))"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_fractions_of_a_table_have_a_minus_sign_and_a_zero_is_a_zero(show, runs):
    frame = show(runs / "whole", "pairs").dataframe[0]
    with pa.ipc.open_stream(frame.proto.arrow_data.styler.display_values) as stream:
        shown = stream.read_pandas()["chosen_log_ratio"].tolist()
    assert [value for value in shown if value.startswith("-") or re.fullmatch(r"\u2212?0\.0*", value)] == []
    assert any(value.startswith("\u2212") for value in shown)
