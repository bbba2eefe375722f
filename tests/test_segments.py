"""Positions within segments, against a loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.numerics.segments import segment_positions


@given(st.lists(st.integers(0, 5), max_size=8))
def test_positions_are_those_of_a_loop(lengths):
    expected = [position for length in lengths for position in range(length)]
    assert segment_positions(np.array(lengths, dtype=np.int64)).tolist() == expected
