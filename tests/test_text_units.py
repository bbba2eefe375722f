"""Units: words, sentences and lines of whole tokens, in scripts with and without spaces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.figures.token_view.glyphs import glyph_text, glyphs
from dpo_analysis.figures.token_view.text_units import UNITS, units


def cut(pieces, unit):
    return [glyph_text(cell) for cell in units(pieces, unit)]


def bytes_of(text):
    return [char.encode() for char in text]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hi, you  two", ["Hi,", " you", "··two"]),
        ("a\n\nb c", ["a", "↵", "↵", "b", " c"]),
        ("你好，world 吗", ["你", "好，", "world", " 吗"]),
        ("カタ한국 말", ["カ", "タ", "한국", " 말"]),
        ("مرحبا بالعالم", ["مرحبا", " بالعالم"]),
        ("ok 👩\u200d👧 x", ["ok", " 👩\u200d👧", " x"]),
    ],
)
def test_words_are_what_stands_between_white_space_and_every_chinese_character(text, words):
    assert cut(bytes_of(text), "word") == words


def test_a_word_never_cuts_a_token_and_a_split_character_stays_whole():
    halves = ["好".encode()[:1], "好".encode()[1:]]
    assert cut([b"say", b" a b", *halves], "word") == ["say", " a b", "好"]
    assert [(cell.first, cell.count) for cell in units([b"say", b" a b", *halves], "word")] == [(0, 1), (1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three", ["One. ", "Two! ", "Three"]),
        ("3.14 is pi. So", ["3.14 is pi. ", "So"]),
        ('He said "no." Then', ['He said "no." ', "Then"]),
        ("你好。世界！“好？”走", ["你好。", "世界！", "“好？”", "走"]),
        ("هل؟ نعم", ["هل؟ ", "نعم"]),
        ("no end\nnext. ", ["no end↵", "next. "]),
    ],
)
def test_sentences_end_behind_their_marks(text, sentences):
    assert cut(bytes_of(text), "sentence") == sentences


def test_a_space_that_belongs_to_the_next_token_begins_its_sentence():
    assert cut([b"One", b".", b" Two", b"!", b" ", b"Three"], "sentence") == ["One.", " Two! ", "Three"]


def test_lines_end_behind_the_break():
    assert cut([b"a b.", b" c\n", b"\n", b"d"], "line") == ["a b. c↵", "↵", "d"]


@pytest.mark.parametrize("unit", UNITS[1:])
def test_the_marks_of_a_template_stand_alone(unit):
    assert cut([b"Yes", b".", b"<|im_end|>", b"no"], unit) == ["Yes.", "<|im_end|>", "no"]


@given(st.lists(st.sampled_from([b"a", b" b", b". ", b"\n", "好".encode(), b"\xe4", b"", b"<s>", "。".encode()])))
def test_every_unit_covers_every_token_once_and_loses_no_letter(pieces):
    for unit in UNITS:
        found = units(pieces, unit)
        assert [cell.first for cell in found] == [sum(c.count for c in found[:n]) for n in range(len(found))]
        assert sum(cell.count for cell in found) == len(pieces)
        assert "".join(map(glyph_text, found)) == "".join(map(glyph_text, glyphs(pieces)))
