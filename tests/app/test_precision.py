"""A run that was scored in 16 bits says on every page how far those go, and greys what lies below."""

import pytest

from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.figures.token_view.payload import payload
from dpo_analysis.schema import SCORED
from dpo_analysis.scoring import score
from dpo_analysis.scoring.models.loading import quiet
from dpo_analysis.tables.pairs import pair_table
from dpo_analysis.tables.steps import step_table
from dpo_analysis.tables.tokens import token_table
from tests.app.drawn import PAGES, said
from tests.test_score import ROWS, byte_tokenizer, tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def low(tmp_path_factory):
    """A real bf16 run whose policy is the reference but for a hair."""
    root = tmp_path_factory.mktemp("low")
    with quiet():
        model = tiny(0)
        model.save_pretrained(root / "sft")
        byte_tokenizer().save_pretrained(root / "sft")
        for value in model.parameters():
            value.data *= 1 + 2**-8
        model.save_pretrained(root / "policy")
        tiny(1).save_pretrained(root / "other")
    policies = {"s/1": str(root / "policy"), "s/2": str(root / "other")}
    where = {"reference": str(root / "sft"), "policies": policies, "device": "cpu"}
    return score(load_pairs(ROWS), **where, out=root / "run", dtype="bfloat16", evidence="none")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_how_far_16_bits_go(show, runs, low, page):
    app = show(low.path, page)
    assert [error.message for error in app.exception] == []
    assert f"scored in bfloat16: a change of up to {low.noise_floor.response:.2g} nats of a response" in said(app)
    assert "is rounding" not in said(show(runs / "whole", page))


def test_below_the_floor_pairs_tie_and_tokens_are_grey(low):
    floor, pairs = low.noise_floor, pair_table(low, model="1")
    change = pairs["chosen_log_ratio"] - pairs["rejected_log_ratio"]
    told = change[(change.abs() > floor.response) & pairs["status"].isin(SCORED)]
    accuracy = step_table(low).iloc[0]["accuracy"]
    assert 0 < (change != 0).sum() != len(told), "some pairs must move by less than the floor"
    assert accuracy == pytest.approx((told > 0).mean(), nan_ok=True)
    tokens = token_table(low, pair_id=pairs["pair_id"][0], model="1")
    grey = sum(bins.count("~") for side in payload(tokens, noise=floor)["sides"] for bins in side["bins"])
    assert grey == (tokens["log_ratio"].abs() <= floor.token).sum() > 0
