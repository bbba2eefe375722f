"""Figures, token view and diagnosis outside the app: without Streamlit, in a notebook and in nbconvert's page."""

import html
import re
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import plotly.io as pio
import pytest

import dpo_analysis as dpo
from dpo_analysis import words
from dpo_analysis.diagnosis.outcome.cause_cards import cause_cards
from dpo_analysis.diagnosis.outcome.notebook_card import card_html
from dpo_analysis.diagnosis.outcome.why import why_sentence

ROOT = Path(__file__).resolve().parent.parent
CODE = """
import sys
import pandas as pd
import dpo_analysis as dpo
from dpo_analysis.tables.policy_pairs import compare_pairs, position_changes
from dpo_analysis.tables.decompositions import decomposition_table

run = dpo.open_run("sample_data/run")
plain = lambda frame: pd.DataFrame(frame.to_dict("list"))
steps = plain(dpo.step_table(run, split="eval"))
pairs = plain(dpo.pair_table(run, model="strong/checkpoint-150", split="eval"))
early = plain(dpo.pair_table(run, model="strong/checkpoint-30", split="eval"))
places = dpo.position_table(run, split="eval")
tokens = plain(dpo.token_table(run, pair_id=pairs.pair_id[0], series="strong"))
strong = places[places.series == "strong"]
one, other = (plain(strong[strong.model == name]) for name in ("checkpoint-30", "checkpoint-150"))
labels = pd.Series(pairs.pair_id.tolist(), index=pairs.pair_id)
both = compare_pairs(early, pairs).assign(outcome="both")
figures = dpo.figures
made = [
    figures.reward_curves(steps), figures.logp_curves(steps), figures.accuracy_curves(steps),
    figures.position_heatmap(places), figures.drop_scatter(pairs), figures.token_heatmap(tokens),
    figures.token_trajectory(tokens, side="chosen", position=0),
    figures.split_bars(decomposition_table(run, model="strong/checkpoint-150").query("by == 'place'")),
    figures.pair_changes(both, axis=("margin", "margin", "A", "B"), labels=labels),
    figures.position_change(position_changes(one, other)),
]
assert all(len(figure.data) for figure in made), made
view = figures.token_view(tokens)
assert "srcdoc" in view._repr_html_()
shown = [figure.picture()[:4] for figure in made]
assert shown.count("<svg") == 8, shown
assert figures.svg(made[0], title="rewards").startswith("<svg")
assert len(figures.headline(steps)) == 3
print(" ".join(name for name in ("streamlit", "torch", "transformers") if name in sys.modules))
"""


ODD = "<script>alert(1)</script> *bold* [link](x) & $x$"


@pytest.fixture(scope="module")
def diagnosis():
    return dpo.diagnose(dpo.open_run(ROOT / "sample_data" / "run"), series="lora")


def test_a_diagnosis_prints_as_one_line(diagnosis):
    text = repr(diagnosis)
    assert text.startswith("<Diagnosis of lora/checkpoint-150 on eval: ")
    assert text.count("\n") == 0
    assert len(text) < 400


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_diagnosis_is_a_card_that_loads_and_runs_nothing(diagnosis, lang):
    card = card_html(diagnosis, lang)
    assert why_sentence(diagnosis, lang) in html.unescape(card)
    assert words.text("diagnosis.cause.collision", lang) in html.unescape(card)
    assert not re.search(r"<(script|style|img|link|iframe)|url\(|https?:| on\w+=", card)
    assert diagnosis._repr_html_() == card_html(diagnosis)


def test_the_card_has_the_same_sentences_as_markdown(diagnosis):
    text = diagnosis._repr_markdown_()
    assert text.startswith("lora · eval · lora/checkpoint-150\n\n**")
    assert "- **43%**: rejected in other pairs" in text
    assert text.count("**Evidence**") == len(cause_cards(diagnosis))


def test_a_cause_is_one_card_however_many_places_it_was_found_at(diagnosis):
    causes = [card.cause for card in cause_cards(diagnosis)]
    assert len(causes) == len(set(causes))
    assert cause_cards(diagnosis)[0].title.endswith("(ending 30%, middle 13%)")


def test_text_of_people_is_escaped_in_every_form_of_the_card(diagnosis):
    answer = replace(diagnosis.answer, kind="too_few", key="diagnosis.answer.cause", values={"cause": ODD})
    odd = replace(diagnosis, series=ODD, checkpoint_shown=ODD, answer=answer)
    assert "<script" not in odd._repr_html_()
    assert "&lt;script&gt;" in odd._repr_html_()
    assert "<script" not in odd._repr_markdown_()
    assert r"\*bold\* \[link\]" in odd._repr_markdown_()


def test_a_notebook_gets_a_figure_as_data_and_as_a_picture(monkeypatch):
    shown = []
    monkeypatch.setattr(pio.renderers, "default", "plotly_mimetype")
    display = types.SimpleNamespace(display=lambda bundle, raw: shown.append(bundle))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    dpo.figures.reward_curves(dpo.step_table(dpo.open_run(ROOT / "sample_data" / "run")))._ipython_display_()
    (bundle,) = shown
    assert bundle["text/html"].startswith("<svg")
    assert bundle["application/vnd.plotly.v1+json"]["data"]


def test_a_heat_map_is_shown_by_plotlys_own_script():
    places = dpo.position_table(dpo.open_run(ROOT / "sample_data" / "run"), split="eval")
    assert "cdn.plot.ly" in dpo.figures.position_heatmap(places).picture()


def test_the_frame_of_a_token_view_takes_its_height_and_its_colours():
    run = dpo.open_run(ROOT / "sample_data" / "run")
    pair = dpo.pair_table(run, model="strong/checkpoint-150", split="eval").pair_id[0]
    view = dpo.figures.token_view(dpo.token_table(run, pair_id=pair, series="strong"))
    shown = view._repr_html_()
    assert shown.index("<script>") < shown.index("<iframe")
    assert "tokenViewHeight" in view.html
    assert "data-scheme=dark" in view.html


def test_every_figure_is_made_from_plain_tables_without_streamlit():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
