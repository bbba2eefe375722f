"""The pages of a run without tokens: each draws what sums tell, and says where tokens would be needed."""

import json

import numpy as np
import pytest

import dpo_analysis as dpo
from dpo_analysis.text.numbers import signed
from dpo_analysis.words import text
from tests.app.drawn import PAGES, said

pytestmark = pytest.mark.slow

NEEDS_TOKENS = ("overview", "tokens", "compare")


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Two folders of runs: with the texts of the pairs, and without."""
    root = tmp_path_factory.mktemp("imported")
    draw = np.random.default_rng(0)
    values = -np.abs(draw.normal(50, 10, (4, 8))), -np.abs(draw.normal(60, 10, (4, 8)))
    np.savez(root / "sums.npz", chosen=values[0], rejected=values[1])
    rows = [{"prompt": f"ask {i // 2}", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(8)]
    (root / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, pairs in (("texts", str(root / "pairs.jsonl")), ("bare", ())):
        dpo.import_run(root / "sums.npz", out=root / name, reference_checkpoint=0, pairs=pairs)
    return root


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("run", "lang"), [("texts", "en"), ("bare", "zh")])
def test_every_page_of_an_imported_run_draws_and_says_what_needs_tokens(show, imported, page, run, lang):
    app = show(imported / run, page, lang=lang)
    assert [error.message for error in app.exception] == []
    assert not app.error
    told = text("app.no_tokens", lang) in said(app)
    assert told == (page in NEEDS_TOKENS)


def test_causes_and_checks_say_it_in_their_own_words(show, imported):
    assert text("causes.sums_only") in said(show(imported / "texts", "causes", **{"causes-tab": "splits"}))
    assert text("checks.data.unknown") in said(show(imported / "texts", "checks"))


def test_the_texts_of_a_pair_are_shown_in_place_of_its_tokens(show, imported):
    pair_id = dpo.open_run(imported / "texts").pairs()["pair_id"][3].as_py()
    page = said(show(imported / "texts", "tokens", pair=pair_id))
    assert all(words in page for words in ("ask 1", "yes 3", "no 3"))
    assert "tokens" not in text("pairs.answers.sums")


@pytest.mark.parametrize("run", ["texts", "bare"])
def test_both_responses_of_a_pair_have_a_card_with_their_own_numbers(show, imported, run):
    """Without texts, too: two unknown responses are not one."""
    opened = dpo.open_run(imported / run)
    row = dpo.pair_table(opened, model="policy/3").iloc[3]
    page = said(show(imported / run, "tokens", pair=row["pair_id"]))
    for side in ("chosen", "rejected"):
        values = {"ratio": signed(row[f"{side}_log_ratio"]), "logps": signed(row[f"{side}_logps"], 1)}
        assert text("pairs.answers.sums", side=text(f"side.{side}"), **values) in page
    assert f"{text('side.chosen')} + {text('side.rejected')}" not in page


def test_curves_per_token_are_not_drawn_without_tokens(show, imported):
    tab = {"compare-tab": "curves"}
    pages = [show(imported / "texts", "compare", **tab, **asked) for asked in ({}, {"bare": "1"})]
    assert [len(page.get("plotly_chart")) for page in pages] == [1, 0]


def test_answers_to_one_prompt_have_no_numbers_of_tokens(show, imported):
    page = said(show(imported / "texts", "pairs", **{"pairs-tab": "answers"}))
    assert "yes 0" in page
    assert " per token" not in page
