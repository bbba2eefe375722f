"""Figures of Causes, Pairs and Compare without Streamlit: what they draw, in words of both languages, and no markup."""

import numpy as np
import pandas as pd
import pytest

import dpo_analysis as dpo
from dpo_analysis import figures
from dpo_analysis.figures.pair_scatter import MAX_POINTS, sample_points
from dpo_analysis.tables.decompositions import decomposition_table
from dpo_analysis.tables.filters import Box
from dpo_analysis.tables.policy_pairs import compare_pairs, pair_outcomes, position_changes
from tests.app import synthetic

HOSTILE = "<img src=http://example.invalid/x onerror=alert(1)>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dpo.open_run(synthetic.build(tmp_path_factory.mktemp("figures") / "run", steps=[60, 120]))


def notes(figure):
    return " ".join(note.text or "" for note in figure.layout.annotations)


@pytest.mark.parametrize(("lang", "theme"), [("en", "light"), ("zh", "dark")])
def test_the_scatter_has_every_pair_once_and_counts_the_quarters(run, lang, theme):
    pairs = dpo.pair_table(run, model="strong/checkpoint-120", split="eval")
    kept = np.arange(len(pairs)) % 2 == 0
    labels = pd.Series(HOSTILE, index=pairs["pair_id"])
    drawn = figures.drop_scatter(pairs, labels=labels, shown=kept, box=Box(-9, 0, -2, 0), lang=lang, theme=theme)
    points = {trace.name: list(trace.customdata) for trace in drawn.data if trace.customdata is not None}
    used = pairs["margin"].notna()
    assert set(points["kept"]) == set(pairs.loc[used & kept, "pair_id"])
    assert set(points["grey"]) == set(pairs.loc[used & ~kept, "pair_id"])
    assert (
        sum(int(note.text.split(":")[-1].split("：")[-1]) for note in drawn.layout.annotations) == (used & kept).sum()
    )
    assert "<img" not in drawn.to_json()
    assert [shape.x0 for shape in drawn.layout.shapes if shape.type == "rect"] == [-9]


def test_many_pairs_are_thinned_and_the_deepest_falls_stay():
    falls = np.linspace(-9, 1, 10_000)
    rows = pd.DataFrame({"chosen_log_ratio": falls})
    few = sample_points(rows)
    assert len(few) == MAX_POINTS
    assert few["chosen_log_ratio"].min() == -9
    assert (few["chosen_log_ratio"].to_numpy()[:1000] == falls[:1000]).all()
    assert sample_points(few) is few


@pytest.mark.parametrize("by", ["place", "kind", "span", "quantile"])
@pytest.mark.parametrize(("lang", "theme"), [("en", "dark"), ("zh", "light")])
def test_bars_are_the_parts_and_their_heads_the_whole(run, by, lang, theme):
    rows = decomposition_table(run, model="strong/checkpoint-120", split="eval")
    rows = rows[rows["by"] == by]
    drawn = figures.split_bars(rows, lang=lang, theme=theme)
    bars = [trace for trace in drawn.data if trace.type == "bar"]
    for bar, side in zip(bars, ("chosen", "rejected"), strict=True):
        assert np.nansum(np.array(bar.x, dtype=float)) == pytest.approx(
            rows.loc[rows["side"] == side, "log_ratio"].sum()
        )
    assert len(drawn.layout.annotations) == 2


def test_a_share_is_written_only_where_all_parts_go_the_same_way():
    rows = pd.DataFrame({"side": ["chosen"] * 2 + ["rejected"] * 2, "by": "span", "part": ["before", "after"] * 2})
    rows = rows.assign(n_pairs=1, n_tokens=1, low=np.nan, high=np.nan, log_ratio_per_token=1.0)
    rows = rows.assign(log_ratio=[-1.0, -3.0, 2.0, -1.0], share=[0.25, 0.75, 2.0, -1.0])
    texts = [" ".join(trace.text) for trace in figures.split_bars(rows).data if trace.type == "scatter"]
    assert "(25%)" in texts[0]
    assert "%" not in texts[1]


@pytest.mark.parametrize("bare", [True, False])
def test_pairs_of_two_policies_stand_by_outcome(run, bare):
    tables = [
        dpo.pair_table(run, model=name, split="eval") for name in ("gentle/checkpoint-60", "strong/checkpoint-120")
    ]
    both = compare_pairs(*tables, bare=bare)
    both["outcome"] = pair_outcomes(both, "chosen")
    labels = pd.Series(HOSTILE, index=both["pair_id"])
    drawn = figures.pair_changes(both, axis=("margin", "margin", "<b>A</b>", "B"), labels=labels, box=Box(0, 1, 0, 1))
    counts = {trace.name: len(trace.x) for trace in drawn.data if trace.customdata is not None}
    assert counts == {**dict.fromkeys(counts, 0), **both["outcome"].value_counts().to_dict()}
    assert "<img" not in drawn.to_json()
    assert "&lt;b&gt;A" in drawn.layout.xaxis.title.text


def test_the_profile_has_a_line_per_side(run):
    tables = [dpo.position_table(run, model=f"strong/checkpoint-{step}", split="eval") for step in (60, 120)]
    drawn = figures.position_change(position_changes(*tables), lang="zh", theme="dark")
    assert "nats" in drawn.layout.yaxis.title.text
    assert len([trace for trace in drawn.data if trace.name]) == 2


def test_nothing_to_draw_says_so():
    empty = pd.DataFrame(columns=["chosen_log_ratio", "rejected_log_ratio", "pair_id"])
    assert figures.split_bars(pd.DataFrame()).layout.annotations
    assert figures.drop_scatter(empty).layout.annotations
    assert figures.position_change(pd.DataFrame()).layout.annotations
