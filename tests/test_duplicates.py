"""Duplicates and contradictions, against a loop over all pairs."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.text.duplicates import SHORT, both_ways, contradicted, near_duplicate, text_keys

TEXTS = st.sampled_from([None, "a b", "A  b", "a\nB ", "c", "d", "\ud800"])
ROW = st.tuples(st.integers(0, 2), TEXTS, TEXTS, st.sampled_from([2, SHORT]), st.booleans())


def frame(rows):
    made = pd.DataFrame(rows, columns=["group_id", "chosen", "rejected", "tokens", "duplicate"], dtype=object)
    made = made.astype({"group_id": int, "tokens": int, "duplicate": bool})
    made = made.assign(split="eval", chosen_n_tokens=made["tokens"], rejected_n_tokens=made["tokens"])
    return made.assign(**{f"{side}_key": text_keys(made[side]) for side in ("chosen", "rejected")})


def same(one, other):
    return one is not None and other is not None and one.casefold().split() == other.casefold().split()


def judged(rows, place, of):
    """Whether another of the rows ``of`` judges a text of this one the other way round."""
    _, chosen, rejected, *_ = rows[place]
    known = [n for n in of if None not in rows[n][1:3] and not same(*rows[n][1:3])]
    others = [rows[n] for n in known if n != place]
    return place in known and any(same(chosen, one[2]) or same(rejected, one[1]) for one in others)


@given(st.lists(ROW, max_size=8))
def test_contradictions_are_those_of_a_loop(rows):
    table = frame(rows)
    groups = [[n for n, row in enumerate(rows) if row[0] == one[0]] for one in rows]
    wanted = [judged(rows, n, groups[n]) for n in range(len(rows))]
    assert contradicted(table).tolist() == wanted
    long = [n for n, row in enumerate(rows) if row[3] >= SHORT]
    assert both_ways(table).tolist() == [judged(rows, n, long) and not wanted[n] for n in range(len(rows))]


@given(st.lists(ROW, max_size=8))
def test_near_duplicates_are_those_of_a_loop(rows):
    wanted = [
        not row[4] and any(row[0] == one[0] and same(row[1], one[1]) and same(row[2], one[2]) for one in rows[:place])
        for place, row in enumerate(rows)
    ]
    assert near_duplicate(frame(rows)).tolist() == wanted


def test_case_and_white_space_do_not_count_and_all_else_does():
    one, other, third, none = text_keys(["The  sky\nis blue.", " the sky is Blue.", "The sky is blue", None])
    assert one == other != third
    assert none is pd.NA
