"""Compressed pairs: nothing is lost, and they take less memory."""

import pickle
import tracemalloc

from dpo_analysis.data.compressed_pairs import COMPRESSED_FIELDS, load_compressed_pairs
from dpo_analysis.data.pairs import load_pairs

SIDES = {
    "chosen": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "再见"}],
    "rejected": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "no"}],
}
ROWS = [
    {"prompt": "a ", "chosen": "b", "rejected": "c", "spans": [{"start": 1, "kind": None}], "score": 0.1},
    SIDES | {"tools": '[{"name": "f"}]', "chat_template_kwargs": {"thinking": False}},
    SIDES | {"prompt": "a text beside messages"},
    {"prompt": "\ud800", "chosen": "b", "rejected": "c"},
    {"prompt": "a ", "chosen": "b", "rejected": "c"},
]


def test_a_compressed_pair_has_all_fields_of_the_pair():
    for pair, compressed in zip(load_pairs(ROWS), load_compressed_pairs(ROWS), strict=True):
        assert compressed.decompressed() == pair
        assert all(getattr(compressed, name) == getattr(pair, name) for name in COMPRESSED_FIELDS)
        assert (compressed.pair_id, compressed.where, compressed.problem) == (pair.pair_id, pair.where, pair.problem)
        assert compressed.conversational == pair.conversational


def test_a_compressed_pair_can_be_pickled():
    compressed = load_compressed_pairs(ROWS)
    assert pickle.loads(pickle.dumps(compressed)) == compressed


def test_compressed_pairs_take_a_third_of_the_memory():
    rows = [ROWS[0] | {"prompt": f"{n} " * 20, "spans": [{"start": n, "end": n + 1}] * 4} for n in range(300)]

    def bytes_of(load):
        load(rows)  # what the first call alone allocates belongs to no pair
        tracemalloc.start()
        pairs = load(rows)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size / len(pairs)

    assert bytes_of(load_compressed_pairs) < bytes_of(load_pairs) / 3
