"""The verdict on the sample is right by construction: a closing that is rejected stands in chosen replies, too."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dpo_analysis.diagnosis import diagnose
from dpo_analysis.diagnosis.diagnosis_text import both_ends_sentence
from dpo_analysis.diagnosis.influence_groups import choose_questions
from dpo_analysis.scoring import score

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "sample_data"
FAVOURITE = "Is"
"""The first word of the English closing that annotators are tired of: "Is there anything else ...?"."""


def scored(policy, out, *, confirm=None):
    """The run of one training, 100 pairs of each split, with evidence of where probability went."""
    pairs = [f"{split}={SAMPLE / 'pairs' / f'{split}.jsonl'}" for split in ("eval", "train")]
    return score(
        pairs,
        reference=str(SAMPLE / "sft"),
        policies=[str(policy)],
        out=out,
        beta=0.1,
        limit=100,
        evidence="topk",
        confirm=confirm,
    )


@pytest.fixture(scope="module")
def strong(tmp_path_factory):
    return scored(SAMPLE / "strong", tmp_path_factory.mktemp("strong") / "run", confirm=choose_questions)


@pytest.fixture(scope="module")
def with_sft_term(tmp_path_factory):
    """``strong`` trained once more, with an SFT term on the chosen replies."""
    from sample_data import dpo

    out = tmp_path_factory.mktemp("sft") / "strong_sft"
    recipe = replace(next(one for one in dpo.RECIPES if one.name == "strong"), sft_weight=1.0)
    lines = {
        split: (SAMPLE / "pairs" / f"{split}.jsonl").read_text("utf-8").splitlines() for split in ("train", "eval")
    }
    dpo.train(
        recipe, SAMPLE / "sft", {split: [json.loads(line) for line in some] for split, some in lines.items()}, out
    )
    return scored(out, out.parent / "run")


@pytest.mark.parametrize("split", ["eval", "train"])
def test_strong_collides_with_the_rejected_closing(strong, split):
    found = diagnose(strong, split=split)
    assert found.fall.kind == "below_start"
    assert found.named[0].cause == "collision"
    assert {one.cause for one in found.named} == {"collision"}
    assert next(one.verdict for one in found if one.cause == "artefact") == "unlikely", "its log and pairs are its own"
    assert found.answer.kind == "cause"
    assert found.checkpoint_used != found.checkpoint_shown == "strong/checkpoint-150"
    assert both_ends_sentence(found)
    assert sum(share.share for share in found.shares_shown.values()) == pytest.approx(1)
    lost = next(one for one in found.patterns if one.way == "lost")
    assert lost.token.strip() == FAVOURITE
    assert lost.rejects > 3 * lost.chooses


def test_the_pairs_that_reject_the_closing_are_confirmed(strong):
    found = diagnose(strong, split="eval").named[0]
    assert found.certainty == "intervention"
    assert found.measured.key == "confirmation.confirmed"
    assert found.measured.values["group"] == "confirmation.group.rejected_has_lost"


@pytest.mark.parametrize("split", ["eval", "train"])
def test_an_sft_term_is_told_apart(strong, with_sft_term, split):
    without, found = diagnose(strong, split=split), diagnose(with_sft_term, split=split)
    assert without.fall.kind == "below_start"
    assert found.fall.kind != "below_start" or found.fall.hidden, "the mean stays up"
    assert without.fall.high < found.fall.low, "the intervals of the two falls lie apart"
    assert found.numbers.get("no_data_at_end", 0) < 0.2 <= without.numbers["no_data_at_end"]
