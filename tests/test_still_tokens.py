"""Coloured tokens without a script: escaped, whole characters, colour by sign and size, the phrase underlined."""

import re
from html import unescape

import pytest

from dpo_analysis.figures.theme import PALETTES, mix
from dpo_analysis.figures.token_view.still import STRONGEST, still_tokens


def drawn(pieces, values, **more):
    return still_tokens([piece.encode() if isinstance(piece, str) else piece for piece in pieces], values, **more)


def test_the_text_is_whole_and_escaped():
    pieces = ["<script>", " a", b"\xe4\xbd", b"\xa0", " &", "\n", "b"]
    found = drawn(pieces, [-1.0] * 7, largest=1.0)
    assert "<script>" not in found
    assert unescape(re.sub("<[^>]*>", "", found)) == "<script> a你 & b"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_orange_lost_blue_gained_and_nothing_is_plain(theme):
    palette = PALETTES[theme]
    found = drawn(["x", "y", "z"], [-5.0, 2.0, 0.0], largest=2.0, theme=theme)
    strongest = [mix(pole, palette.background, STRONGEST) for pole in (palette.negative, palette.positive)]
    assert re.findall(r"background:(#\w+)", found) == strongest, "a value beyond the scale has its last colour"
    assert found.endswith("z")


def test_a_small_change_is_pale_and_an_unknown_one_has_no_colour():
    pale, strong = (re.findall(r"#\w+", drawn(["x"], [value], largest=10.0))[0] for value in (-0.5, -9.0))
    assert pale != strong
    assert "background" not in drawn(["x"], [float("nan")], largest=10.0)
    assert "background" not in drawn(["x"], [-1.0], largest=0.0)


def test_the_phrase_is_underlined():
    found = drawn(["a", " b", " c", " d"], [0.0] * 4, largest=1.0, marked=(1, 2))
    assert re.findall(r"border-bottom[^>]*>([^<]*)<", found) == [" b", " c"]
