"""Which pairs a finding blames: those whose own texts carry it, whatever the policy made of them."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.diagnosis import load_or_diagnose
from dpo_analysis.diagnosis.blame import blamed_pairs, blaming_causes, text_marks
from dpo_analysis.diagnosis.findings import Finding
from dpo_analysis.errors import InputError
from dpo_analysis.runs import open_run
from tests.data_runs import data_run

SAMPLE = Path(__file__).resolve().parent.parent / "sample_data"
PHRASE = "Is there anything else I can help you with?"


def row(prompt, chosen, rejected):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def marked(run, mark, **options):
    rows = pair_index(run).rows
    return {index: side for index, (side, _) in mark(run, rows, **options).items()}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "run"
    shutil.copytree(SAMPLE / "run", path)
    return open_run(path)


@pytest.fixture(scope="module")
def strong(sample):
    return load_or_diagnose(sample, series="strong")


def with_finding(diagnosis, cause, key="", **changes):
    finding = Finding(cause, "likely", "association", key=key or f"diagnosis.{cause}.likely")
    return replace(diagnosis, findings=[finding], **changes)


def test_words_that_other_pairs_reject_blame_the_pairs_that_reject_them(sample, strong):
    found = blamed_pairs(sample, strong, "collision", "eval")
    texts = sample.pairs(columns=["pair_id", "split", "chosen", "rejected"]).to_pylist()
    having = [
        text["pair_id"]
        for text in texts
        if text["split"] == "eval" and PHRASE in text["rejected"] and PHRASE not in text["chosen"]
    ]
    assert [pair.pair_id for pair in found] == having
    assert {(pair.side, pair.phrase) for pair in found} == {("rejected", PHRASE)}
    fell = set(strong.findings[0].pairs)
    assert not fell <= set(having), "pairs that show the fall are not blamed for it"


def test_as_many_training_pairs_are_blamed_as_the_diagnosis_counts(sample, strong):
    phrase = next(one for one in strong.phrases_used or strong.phrases if one.text == PHRASE)
    assert len(blamed_pairs(sample, strong, "collision", "train")) == round(phrase.rejects)


def test_words_that_the_model_moved_to_blame_the_pairs_that_choose_them(sample, strong):
    pulled = with_finding(strong, "style_drift", moved_to=PHRASE)
    found = blamed_pairs(sample, pulled, "style_drift", "eval")
    assert {(pair.side, pair.phrase) for pair in found} == {("chosen", PHRASE)}
    assert not {pair.pair_id for pair in found} & {
        pair.pair_id for pair in blamed_pairs(sample, strong, "collision", "eval")
    }
    with pytest.raises(InputError, match="no phrase stands out in the chosen responses"):
        blamed_pairs(sample, with_finding(strong, "style_drift", moved_to=""), "style_drift")


@pytest.mark.parametrize("cause", ["artefact", "generic_drift", "reference_effect", "swapped_columns", "length_or_eos"])
def test_a_cause_that_is_no_property_of_single_pairs_blames_none(sample, strong, cause):
    found = with_finding(strong, cause)
    assert blaming_causes(found) == []
    with pytest.raises(InputError, match=f"no pairs to blame for {cause}, .*name pairs by where: or ids:"):
        blamed_pairs(sample, found, cause)


def test_every_cause_that_is_marked_by_texts_names_its_pairs(sample, strong):
    every = {
        "near_identical": "diagnosis.near_identical.likely",
        "off_policy_rejected": "diagnosis.off_policy_rejected.likely",
        "contradiction": "diagnosis.contradiction.flipped",
        "same_rejected": "diagnosis.same_rejected.likely",
    }
    for cause, key in every.items():
        for pair in blamed_pairs(sample, with_finding(strong, cause, key), cause, "eval"):
            assert pair.why
            assert pair.side in ("chosen", "rejected", "both")
            assert pair.phrase == ""


def test_a_contradiction_names_both_pairs_and_the_side(tmp_path):
    rows = [row("q", "a", "b"), row("q", "b", "c"), row("q", "b", "a"), row("other", "b", "a"), row("q", "d", "d")]
    for margins in ([1] * 5, [-9] * 5):
        run = data_run(tmp_path / f"run{margins[0]}", rows, margins=margins)
        by_id = dict(zip(pair_index(run).pairs["pair_id"], range(5), strict=True))
        assert len(by_id) == 5
        sides = [marked(run, text_marks.contradicted).get(index) for index in range(5)]
        prompts = run.pairs(columns=["prompt", "chosen"]).to_pylist()
        expected = {("q", "a"): "both", ("q", "b"): None, ("other", "b"): None, ("q", "d"): None}
        found = [(one["prompt"], one["chosen"], side) for one, side in zip(prompts, sides, strict=True)]
        assert found[0] == ("q", "a", "both")
        assert {side for prompt, _, side in found if prompt == "other"} == {expected["other", "b"]}
        assert ("q", "b", "both") in found, "what it chooses is rejected, and the other way round"
        assert ("q", "b", "chosen") in found, "only what it chooses is rejected elsewhere"
        assert ("q", "d", None) in found


def test_the_most_frequent_rejected_text_marks_its_pairs(tmp_path):
    rows = [row(f"q{n}", f"yes {n}", "no never ever at all I say" if n < 4 else f"no {n}") for n in range(6)]
    run = data_run(tmp_path / "run", rows)
    every = pair_index(run).rows
    assert marked(run, lambda run, rows: text_marks.same_rejected(run, every, rows, whole=True)) == dict.fromkeys(
        range(4), "rejected"
    )
    rows = [row(f"q{n}", f"yes {n}", f"{'no never ever at all I say so and more of it ' * 3}{n}") for n in range(3)]
    run = data_run(tmp_path / "starts", rows)
    every = pair_index(run).rows
    assert len(text_marks.same_rejected(run, every, every, whole=False)) == 3


def test_near_copies_are_marked_and_others_are_not(tmp_path):
    words = [f"w{n}" for n in range(20)]
    near = " ".join([*words[:19], "other"])
    shuffled = " ".join(reversed(words))
    rows = [row("q1", " ".join(words), near), row("q2", " ".join(words), shuffled), row("q3", "a b", "c d")]
    run = data_run(tmp_path / "run", rows)
    assert marked(run, text_marks.near_copies) == {0: "both"}


def test_a_label_is_opposed_where_other_pairs_say_the_opposite(tmp_path):
    """One of thirty pairs rejects what all others choose."""
    rows = [row(f"q{n} {'x' * n}", f"good answer {n} w{n}", f"bad reply {n} v{n}") for n in range(30)]
    rows[7] |= {"chosen": rows[7]["rejected"], "rejected": rows[7]["chosen"]}
    run = data_run(tmp_path / "run", rows, margins=[5] * 30)
    assert marked(run, text_marks.opposed_labels, clearly=True) == {7: "both"}
    assert marked(run, text_marks.opposed_labels, clearly=False) == {7: "both"}


def test_texts_that_the_reference_would_not_write_are_marked(sample, strong):
    run = sample
    pairs = pair_index(run)
    texts = text_marks.off_policy(run, pairs.rows)
    logps = run.scores("reference", columns=["row", "side", "logp"]).to_pylist()
    mean = {(one["row"], one["side"]): sum(one["logp"]) / len(one["logp"]) for one in logps}
    wide = [i for i, r in enumerate(pairs.rows.tolist()) if mean[r, "chosen"] - mean[r, "rejected"] > 2]
    assert sorted(texts) == wide
