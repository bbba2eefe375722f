"""The Tokens page in its states: colours that are there and that are not, units, marks, scales, gains, other pairs."""

import json

import pytest

import dpo_analysis as dpo
from dpo_analysis.figures import COLORS, UNITS
from dpo_analysis.figures.token_view.payload import payload
from dpo_analysis.words import text
from tests.app import synthetic
from tests.app.drawn import said

pytestmark = pytest.mark.slow

EVIDENT, BARE = (synthetic.pair(number, "eval").pair.pair_id for number in (3, 9))
STRONG = ["strong/checkpoint-60", "strong/checkpoint-300"]


def labels(app, name):
    return next(box.options for box in app.selectbox if box.label == text(f"tokens.{name}"))


def sent(app):
    """What the browser was sent of the token view."""
    found = [json.loads(one.proto.json) for one in app.get("bidi_component")]
    return next(data for data in found if "sides" in data)


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_colour_of_a_pair_with_evidence_draws(show, runs, color, lang):
    app = show(runs / "whole", "tokens", pair=EVIDENT, color=color, at=STRONG, lang=lang)
    assert not app.exception
    assert not app.error
    assert "app.unknown" not in said(app)
    assert text("tokens.title", lang) == app.title[0].value


def test_a_colour_is_offered_where_it_has_values_and_named_where_not(show, runs):
    with_it, without = (show(runs / "whole", "tokens", pair=pair) for pair in (EVIDENT, BARE))
    assert text("tokens.color.credit") in labels(with_it, "color")
    assert text("tokens.color.credit") not in labels(without, "color")
    assert "This pair has no values for: KL from the reference, credit" in said(without)
    assert "This pair has no values" not in said(with_it)


def test_a_colour_of_the_url_that_a_pair_lacks_is_said_to_be_missing(show, runs):
    app = show(runs / "whole", "tokens", pair=BARE, color="credit")
    assert "credit" in said(app)
    assert not app.exception


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("scale", ["pair", "run"])
def test_every_unit_on_every_scale_with_all_switches_draws(show, runs, unit, scale):
    app = show(runs / "whole", "tokens", unit=unit, scale=scale, marks="1", most="1", color="change")
    assert not app.exception
    assert not app.error


def test_what_is_sent_is_the_payload_of_what_the_url_says(show, runs):
    run = dpo.open_run(runs / "whole")
    app = show(runs / "whole", "tokens", pair=EVIDENT, at=STRONG, unit="word", marks="1", most="1")
    rows = dpo.token_table(run, pair_id=EVIDENT, model=STRONG)
    data = payload(rows, unit="word", marks=True, most=True, noise=run.noise_floor)
    for side, wanted in zip(sent(app)["sides"], data["sides"], strict=True):
        assert {name: side[name] for name in wanted if name != "bins"} == {n: wanted[n] for n in wanted if n != "bins"}


def test_a_scale_over_the_run_says_over_how_many_pairs_and_is_the_same_for_all(show, runs):
    apps = [show(runs / "whole", "tokens", pair=pair, at=STRONG, scale="run") for pair in (EVIDENT, BARE)]
    said_of = [sent(app)["words"] for app in apps]
    assert all("99th percentile of the values of 24 sampled pairs" in words["about"] for words in said_of)
    assert said_of[0]["low"] == said_of[1]["low"]
    alone = [sent(show(runs / "whole", "tokens", pair=pair, at=STRONG))["scale"] for pair in (EVIDENT, BARE)]
    assert alone[0] != alone[1]


@pytest.mark.parametrize(("name", "value"), [("unit", "page"), ("scale", "world"), ("color", "beauty")])
def test_what_the_url_asks_for_in_vain_is_named(show, runs, name, value):
    app = show(runs / "whole", "tokens", **{name: f"<b>{value}</b>"})
    assert f"&lt;b&gt;{value}&lt;/b&gt;" in said(app)
    assert text(f"app.name.{name}") in said(app)


def test_what_gained_at_a_token_is_a_table_whose_gains_add_up_to_nothing(show, runs):
    app = show(runs / "whole", "tokens", pair=EVIDENT, at=STRONG, token="chosen-1")
    rows = app.dataframe[0].value
    assert rows[text("tokens.gain.column.gain")].sum() == pytest.approx(0, abs=1e-9)
    assert rows[text("tokens.gain.column.kind")].iloc[-1] == text("tokens.gain.rest")
    assert "of the probability at this place moved to other tokens" in said(app)


@pytest.mark.parametrize(("pair", "at"), [(BARE, STRONG), (EVIDENT, ["gentle/checkpoint-60"])])
def test_where_nothing_was_collected_it_says_so_and_how_to_add_it(show, runs, pair, at):
    app = show(runs / "whole", "tokens", pair=pair, at=at, token="chosen-1")
    assert text("tokens.gain.none") in said(app)
    assert not app.exception


def test_another_checkpoint_of_those_shown_has_other_gains(show, runs):
    first, last = (
        show(runs / "whole", "tokens", pair=EVIDENT, at=STRONG, token="chosen-1", under=key) for key in STRONG
    )
    column = text("tokens.gain.column.gain")
    assert first.dataframe[0].value[column].abs().sum() < last.dataframe[0].value[column].abs().sum()


@pytest.mark.parametrize("token", ["chosen-999", "nobody-0", "chosen"])
def test_a_token_that_the_pair_does_not_have_is_named(show, runs, token):
    asked = text("app.unknown.token", name=text("app.name.token"), value=token)
    assert asked in said(show(runs / "whole", "tokens", pair=EVIDENT, token=token))
    assert asked not in said(show(runs / "whole", "tokens", pair=EVIDENT, token="chosen-0"))
