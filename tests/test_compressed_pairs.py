"""Packed pairs: nothing is lost, and they are what they are packed for, small."""

import pickle
import tracemalloc

from dpo_analysis.data.compressed_pairs import PACKED, load_kept
from dpo_analysis.data.pairs import load_pairs

SIDES = {"chosen": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "再见"}],
         "rejected": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "no"}]}  # fmt: skip
ROWS = [
    {"prompt": "a ", "chosen": "b", "rejected": "c", "spans": [{"start": 1, "kind": None}], "score": 0.1},
    SIDES | {"tools": '[{"name": "f"}]', "chat_template_kwargs": {"thinking": False}},
    SIDES | {"prompt": "a text beside messages"},
    {"prompt": "\ud800", "chosen": "b", "rejected": "c"},
    {"prompt": "a ", "chosen": "b", "rejected": "c"},
]


def test_a_packed_pair_is_the_pair_it_was_made_of():
    for pair, kept in zip(load_pairs(ROWS), load_kept(ROWS), strict=True):
        assert kept.opened() == pair
        assert {name: getattr(kept, name) for name in PACKED} == {name: getattr(pair, name) for name in PACKED}
        assert (kept.pair_id, kept.where, kept.problem) == (pair.pair_id, pair.where, pair.problem)
        assert kept.conversational == pair.conversational


def test_a_packed_pair_travels_to_another_process():
    kept = load_kept(ROWS)
    assert pickle.loads(pickle.dumps(kept)) == kept


def test_packed_pairs_take_a_third_of_the_memory():
    rows = [ROWS[0] | {"prompt": f"{n} " * 20, "spans": [{"start": n, "end": n + 1}] * 4} for n in range(300)]

    def bytes_of(load):
        tracemalloc.start()
        pairs = load(rows)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size / len(pairs)

    assert bytes_of(load_kept) < bytes_of(load_pairs) / 3
