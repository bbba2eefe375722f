"""Pairs that are sampled for a colour scale of the run: few, from few parts, always the same."""

import dpo_analysis as dpo
from dpo_analysis.arrays.selection import sample_pair_ids
from dpo_analysis.cli.launcher import sample_run


def test_a_small_run_is_drawn_whole(folder):
    run = dpo.open_run(folder)
    scored = set(dpo.token_table(run)["pair_id"])
    assert set(sample_pair_ids(run, pairs=10_000, parts=10_000)) == scored


def test_fewer_pairs_are_the_first_of_more(folder):
    run = dpo.open_run(folder)
    many = sample_pair_ids(run, pairs=6)
    assert len(set(many)) == 6
    assert sample_pair_ids(run, pairs=3) == many[:3]


def test_no_more_parts_are_opened_than_asked(folder, monkeypatch):
    run, opened = dpo.open_run(folder), set()
    whole = type(run).pairs
    monkeypatch.setattr(type(run), "pairs", lambda self, part=None, **how: opened.add(part) or whole(self, part, **how))
    sample_pair_ids(run, parts=1)
    assert len(opened) == 1
    assert run.n_parts > 1


def test_the_sample_has_a_scale_over_sixty_four_pairs():
    assert len(sample_pair_ids(dpo.open_run(sample_run()))) == 64
