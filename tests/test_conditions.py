"""Conditions on columns: what they mean, also beside missing numbers, and that nothing else is accepted or executed."""

import numpy as np
import pandas as pd
import pytest

from dpo_analysis.cleaning.conditions import Condition
from dpo_analysis.errors import InputError

TABLE = pd.DataFrame(
    {
        "margin": [-3.0, -1.0, np.nan, 2.0],
        "status": ["ok", "ok", "too_long", "ok"],
        "chosen_n_tokens": pd.array([600, 10, None, 3], dtype="Int64"),
        "meta.score": [1.0, 2.0, 3.0, np.nan],
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("margin < -2 and chosen_n_tokens > 512", [0]),
        ("margin < -2 or chosen_n_tokens == 3", [0, 3]),
        ('status != "ok"', [2]),
        ("margin != 0", [0, 1, 3]),
        ("not margin > 0", [0, 1]),
        ("not (margin > 0) or status == 'too_long'", [0, 1, 2]),
        ("-2 < margin <= 2", [1, 3]),
        ("status in ['ok', 'empty']", [0, 1, 3]),
        ("status not in ('ok',)", [2]),
        ("meta.score in [1, 2.0]", [0, 1]),
        ("meta.score not in [1]", [1, 2]),
        ("margin in [-1, +2]", [1, 3]),
        ("(margin + 1) * 2 / 4 - 1 >= -1", [1, 3]),
        ("-margin > 2", [0]),
        ("margin / 0 > 1", [3]),
        ("margin < 1e400", [0, 1, 3]),
        ("  margin<0\n", [0, 1]),
    ],
)
def test_a_condition_holds_for_the_rows_that_it_names(text, rows):
    assert np.flatnonzero(Condition(text).holds(TABLE)).tolist() == rows


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "invalid syntax"),
        ("margin <", "invalid syntax"),
        ("margin < -2; 1", "invalid syntax"),
        ("@margin > 1", "invalid syntax"),
        ("margin := 3", "invalid syntax"),
        ("(" * 300 + "margin" + ")" * 300, "."),
        ("margin < 1" + " " * 3000, "too long"),
        ("\0", "."),
        ("__import__('os').system('x') == 0", "no part of a condition"),
        ("margin.values > 1", "no part of a condition"),
        ("meta.score.real > 1", "no part of a condition"),
        ("meta.f(1) > 1", "no part of a condition"),
        ("margin[0] > 1", "no part of a condition"),
        ("margin ** 2 > 1", "no part of a condition"),
        ("margin & 1", "no part of a condition"),
        ("~margin", "no part of a condition"),
        ("margin is None", "no part of a condition"),
        ("margin == None", "no part of a condition"),
        ("margin == True", "no part of a condition"),
        ("margin == 1j", "no part of a condition"),
        ("lambda: 1", "no part of a condition"),
        ("[x for x in margin]", "no part of a condition"),
        ("f'{margin}' == 'x'", "no part of a condition"),
        ("margin < 1 if margin else 2", "no part of a condition"),
        ("margin in []", "no part of a condition"),
        ("margin in [margin]", "no part of a condition"),
        ("margin in [1] in [2]", "no part of a condition"),
        ("'ok' in status", "no part of a condition"),
        ("1 < 2", "names no column"),
        ("'a' * 999999999 == 'b'", "names no column"),
        ("margin", "a number stands where a condition is needed"),
        ("margin and status", "a number stands where a condition is needed"),
        ("status < 3", "a number stands where a text is needed"),
        ("status * 999999999 == 'b'", "a text stands where a number is needed"),
        ("margin in ['ok']", "a text stands where a number is needed"),
        ("1 < 2 < margin", "compares two constants"),
        ("1 in [1] or margin < 1", "is no column"),
        ("1 / 0 < margin", "division by zero"),
        (f"margin < {'9' * 400}", "too large"),
        ("margins < 1", "did you mean margin"),
        ("n_chosen_tokens < 1", "did you mean chosen_n_tokens"),
        ("os < 1", "no column 'os': there is margin, status"),
    ],
)
def test_anything_else_is_one_line(text, why, recwarn):
    with pytest.raises(InputError, match=why) as error:
        Condition(text).holds(TABLE)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert not recwarn
