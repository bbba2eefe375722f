"""Glyphs: the shortest runs of tokens that decode, and nothing hidden in them."""

from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.figures.token_view.glyphs import decoded_glyphs, glyph_text, glyphs, visible


def texts(*pieces):
    return [(cell.count, glyph_text(cell)) for cell in glyphs(pieces)]


def test_a_token_that_decodes_is_a_cell_of_its_own():
    assert texts(b"Dear", b" Bella", b",") == [(1, "Dear"), (1, " Bella"), (1, ",")]


def test_tokens_that_share_a_character_are_one_cell():
    first, second = "好".encode()[:2], "好".encode()[2:]
    assert texts(b"a", first, second, b"b") == [(1, "a"), (2, "好"), (1, "b")]


def test_a_chain_of_shared_characters_is_one_cell():
    data = "你好".encode()
    assert texts(data[:2], data[2:4], data[4:]) == [(3, "你好")]


def test_bytes_that_never_complete_are_shown_as_hexadecimal():
    assert texts(b"\xe4", b"x", b"\xff\xf0\x9f") == [(1, "\\xE4"), (1, "x"), (1, "\\xFF\\xF0\\x9F")]


def test_an_overlong_or_surrogate_encoding_is_no_character():
    assert texts(b"\xc0\x80") == [(1, "\\xC0\\x80")]
    assert texts(b"\xed\xa0\x80") == [(1, "\\xED\\xA0\\x80")]


def test_a_combining_mark_belongs_to_its_letter():
    assert texts(b"e", "\u0301".encode(), b"x") == [(2, "e\u0301"), (1, "x")]


def test_a_joined_emoji_is_one_cell():
    woman, joiner = "👩".encode(), "\u200d".encode()
    assert texts(woman, joiner, woman) == [(3, "👩\u200d👩")]


def test_line_breaks_tabs_and_runs_of_spaces_are_visible():
    assert texts(b".\n\n", b"\t", b"  ", b" x", b" y") == [(1, ".↵↵"), (1, "→"), (1, "··"), (1, "·x"), (1, " y")]


def test_a_run_of_spaces_is_seen_over_token_borders():
    assert texts(b"a ", b" b") == [(1, "a·"), (1, "·b")]


def test_characters_that_reorder_or_hide_text_are_escaped():
    assert texts("\u202eabc".encode()) == [(1, "\\u202Eabc")]
    assert texts("a\u200bb\x07".encode()) == [(1, "a\\u200Bb\\x07")]


def test_an_empty_token_still_has_a_cell():
    assert texts(b"a", b"", b"b") == [(1, "a"), (1, "∅"), (1, "b")]


def test_visible_keeps_lines_and_shows_controls():
    assert visible("two\nlines \u202e\x00") == "two\nlines \\u202E\\x00"
    assert visible("lone \ud800 surrogate") == "lone ? surrogate"


@given(st.lists(st.binary(max_size=6), max_size=40))
def test_cells_cover_every_token_once_and_in_order(pieces):
    found = glyphs(pieces)
    assert [cell.first + place for cell in found for place in range(cell.count)] == list(range(len(pieces)))
    assert all(cell.parts for cell in found)


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=30), st.integers(1, 5))
def test_however_a_text_is_cut_its_letters_come_back(text, size):
    data = text.encode()
    pieces = [data[place : place + size] for place in range(0, len(data), size)]
    assert "".join(glyph_text(cell) for cell in glyphs(pieces)) == text


PIECES = [b"a", b" ", b"  ", b" a", b"a b", b"\n", "é".encode(), "\u0301".encode(), "\u200d".encode(), b"\xe4"]
PIECES += [b"\xbd\xa0", "👩".encode(), b"x ", b"", b"\t", b"<b>", "你".encode()]


@given(st.lists(st.sampled_from(PIECES), max_size=9))
def test_the_short_way_for_plain_tokens_gives_what_the_long_way_gives(pieces):
    assert glyphs(pieces) == decoded_glyphs(pieces)
