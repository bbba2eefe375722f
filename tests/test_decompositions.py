"""Decompositions add up to the whole, whatever the responses look like; regions and spans follow their rules."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dpo_analysis as dpo
from dpo_analysis import schema
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.errors import InputError
from dpo_analysis.tables.decompositions import QUANTILES, decomposition_table
from dpo_analysis.text.regions import REGIONS, SPANS, sentence_ends, token_regions, token_spans
from dpo_analysis.text.token_types import KINDS, TokenTypes, token_kind
from tests.app import synthetic
from tests.handmade import make_run

ids = st.lists(st.integers(0, 3), min_size=1, max_size=12)


def flat(*responses):
    return np.array([len(one) for one in responses]), np.array([token for one in responses for token in one])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return dpo.open_run(synthetic.build(tmp_path_factory.mktemp("splits") / "run", series=["gentle"], steps=[60, 120]))


@pytest.mark.parametrize("before", [None, "gentle/checkpoint-60"])
@pytest.mark.parametrize("side", schema.SIDES)
def test_every_split_adds_up_to_the_whole(whole, side, before):
    pairs = dpo.pair_table(whole).set_index("model")[f"{side}_log_ratio"]
    mean = pairs["checkpoint-120"].mean() - (pairs["checkpoint-60"].mean() if before else 0)
    rows = decomposition_table(whole, model="gentle/checkpoint-120", before=before)
    for by in ("place", "kind", "span", "quantile"):
        mine = rows[(rows["side"] == side) & (rows["by"] == by)]
        assert mine["log_ratio"].sum() == pytest.approx(mean, abs=1e-6)
        assert mine["share"].sum() == pytest.approx(1, abs=1e-6)


def test_parts_by_hand(tmp_path):
    run = make_run(
        tmp_path / "run",
        {"reference": [([-1.0, -1.0], [-1.0, -1.0, -1.0])], "s/m-1": [([-1.5, -1.0], [-1.5, -2.0, -4.0])]},
    )
    rows = decomposition_table(run, model="s/m-1").set_index(["side", "by", "part"])["log_ratio"]
    assert rows["rejected", "span", "before"] == pytest.approx(-1.5)
    assert rows["rejected", "span", "differing"] == pytest.approx(-3.0)
    assert rows["chosen", "place", "opening"] == pytest.approx(-0.5)
    assert rows["chosen", "kind", "word"] == pytest.approx(-0.5)


def test_on_the_shared_beginning_both_sides_move_alike():
    """The same tokens behind the same tokens: what real models were scored with must give the same numbers."""
    rows = decomposition_table(dpo.open_run(sample_run()), model="strong/checkpoint-150").set_index(
        ["by", "part", "side"]
    )
    chosen, rejected = (rows.loc[("span", "before", side)] for side in schema.SIDES)
    assert chosen["n_tokens"] == rejected["n_tokens"] > 1000
    assert chosen["log_ratio"] == pytest.approx(rejected["log_ratio"], abs=1e-4)


def test_places_are_end_then_opening_then_closing():
    lengths, special = np.array([20, 3, 1, 0, 4]), np.zeros(28, bool)
    special[[18, 22, 23, 27]] = True
    names = [REGIONS[code] for code in token_regions(lengths, special)]
    assert names[:20] == ["opening"] * 8 + ["core"] * 2 + ["closing"] * 8 + ["end"] * 2
    assert names[20:23] == ["opening", "opening", "end"]
    assert names[23:] == ["end", "opening", "opening", "opening", "end"]


def test_the_first_and_the_last_of_three_sentences_are_opening_and_closing():
    said = [" Hi", ".", " It", " costs", " 3", ".", "5", " now", ".", "\n", " Bye", "!", "<end>"]
    vocab = pa.table({"token_id": range(13), "bytes": [one.encode() for one in said], "special": [False] * 12 + [True]})
    lengths, token_ids = np.array([13, 2]), np.array([*range(13), 10, 12])
    ends = sentence_ends(vocab, lengths, token_ids)
    assert np.flatnonzero(ends).tolist() == [1, 9], "a point in a number ends nothing; a line break belongs in front"
    names = [REGIONS[code] for code in token_regions(lengths, token_ids == 12, ends)]
    assert names == ["opening"] * 2 + ["core"] * 8 + ["closing"] * 2 + ["end", "opening", "end"]


def test_long_sentences_are_cut_and_chinese_ones_need_no_space():
    said = ["a", "。", "b"]
    vocab = pa.table({"token_id": range(3), "bytes": [one.encode() for one in said], "special": [False] * 3})
    token_ids = np.array([0] * 29 + [1] + [2] * 5 + [1] + [0] * 30)
    names = [
        REGIONS[code]
        for code in token_regions(np.array([66]), token_ids < 0, sentence_ends(vocab, np.array([66]), token_ids))
    ]
    assert [names.count(name) for name in ("opening", "core", "closing")] == [16, 34, 16]


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=5))
def test_spans_cover_each_token_once_and_the_shared_ends_are_equal(pairs):
    chosen, rejected = (flat(*side) for side in zip(*pairs, strict=True))
    codes = [
        np.split(code, np.cumsum(one[0])[:-1])
        for code, one in zip(token_spans(chosen, rejected), (chosen, rejected), strict=True)
    ]
    for (first, second), one, other in zip(pairs, *codes, strict=True):
        for name in (0, 2):
            assert [t for t, c in zip(first, one, strict=True) if c == name] == [
                t for t, c in zip(second, other, strict=True) if c == name
            ]
        assert sorted(one) == list(one)
        assert sorted(other) == list(other)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b" sky", "word"),
        (b"sky", "piece"),
        (b"12", "number"),
        (b" =", "mark"),
        (b"\n", "space"),
        ("好".encode(), "han"),
        (b"\xe5\xa5", "bytes"),
        (b"", "special"),
        ("👋".encode(), "mark"),
        (b" a1", "word"),
    ],
)
def test_kinds(content, kind):
    assert token_kind(content) == kind


def test_ids_without_a_vocabulary_are_of_unknown_kind():
    vocab = pa.table({"token_id": [7], "bytes": [b"<eos>"], "special": [True]}, schema=schema.VOCAB_SCHEMA)
    assert [KINDS[code] for code in TokenTypes.of(vocab).kinds_of(np.array([7, 8]))] == ["special", "unknown"]
    assert [KINDS[code] for code in TokenTypes.of(None).kinds_of(np.array([7]))] == ["unknown"]
    assert TokenTypes.of(vocab).is_special(np.array([7, 8])).tolist() == [True, False]
    assert not TokenTypes.of(None).is_special(np.array([7])).any()
    assert len(SPANS) == 3


def test_a_run_of_sums_has_the_split_by_pairs_only(tmp_path):
    scores = {"reference": [([-1.0], [-1.0])] * 2, "s/m-1": [([-3.0], [-1.0]), ([-2.0], [-1.0])]}
    rows = decomposition_table(make_run(tmp_path / "run", scores, sums_only=True), model="s/m-1")
    assert set(rows["by"]) == {"quantile"}
    assert rows.loc[rows["side"] == "chosen", "log_ratio"].sum() == pytest.approx(-1.5)


@pytest.mark.parametrize(
    ("count", "parts"),
    [
        (1, {}),
        (2, {"first50": 1, "rest": 1}),
        (5, {"first25": 1, "to50": 2, "rest": 2}),
        (99, {"first5": 5, "to10": 5, "to25": 15, "to50": 25, "rest": 49}),
        (150, {"first1": 2, "to5": 6, "to10": 7, "to25": 23, "to50": 37, "rest": 75}),
    ],
)
def test_no_part_by_pairs_holds_less_than_one(tmp_path, count, parts):
    scores = {"reference": [([-1.0], [-1.0])] * count, "s/m-1": [([-2.0 - n], [-1.0]) for n in range(count)]}
    run = make_run(tmp_path / "run", scores, sums_only=True)
    rows = decomposition_table(run, model="s/m-1", by=("quantile",)).query("side == 'chosen'")
    assert dict(zip(rows["part"], rows["n_pairs"], strict=True)) == parts
    assert set(parts) <= set(QUANTILES)


def test_nothing_that_counts_is_an_empty_table(tmp_path):
    scores = {"reference": ["nonfinite"], "s/m-1": [([-3.0], [-1.0])]}
    assert decomposition_table(make_run(tmp_path / "run", scores), model="s/m-1").empty


def test_a_name_that_means_several_is_refused(tmp_path):
    scores = {"reference": [([-1.0], [-1.0])], "a/m-1": [([-3.0], [-1.0])], "b/m-1": [([-3.0], [-1.0])]}
    with pytest.raises(InputError, match="several models 'm-1'"):
        decomposition_table(make_run(tmp_path / "run", scores), model="m-1")
