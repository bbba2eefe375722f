"""Rows of every format become pairs of the same form; nothing is dropped, and an unreadable row names its place."""

import hashlib
import json
import random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpo_analysis.data.pairs import load_pairs, read_pairs, split_prompt
from dpo_analysis.errors import InputError


def as_message(role, content):
    return {"role": role, "content": content}


USER, GOOD, BAD = as_message("user", "Why?"), as_message("assistant", "Because."), as_message("assistant", "No.")
TEXT = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}


def load_pair(row):
    return load_pairs([row])[0]


def sides(pair):
    return pair.prompt, pair.chosen, pair.rejected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (TEXT, ("Why?", "Because.", "No.")),
        ({"chosen": "Q: why A: yes", "rejected": "Q: why A: no"}, ("Q: why A:", " yes", " no")),
        ({"chosen": "the sky", "rejected": "the sea"}, ("the s", "ky", "ea")),
        ({"chosen": "same", "rejected": "same and more"}, ("sam", "e", "e and more")),
        ({"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}, ([USER], [GOOD], [BAD])),
        ({"chosen": [USER, GOOD], "rejected": [USER, BAD]}, ([USER], [GOOD], [BAD])),
        ({"prompt": "Why?", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, ([USER], [GOOD], [BAD])),
        ({"prompt": "Why?", "chosen": [GOOD], "rejected": [BAD]}, ([USER], [GOOD], [BAD])),
        ({"prompt": None, "chosen": [USER, GOOD], "rejected": [USER, BAD]}, ([USER], [GOOD], [BAD])),
    ],
    ids=["text", "space given back", "letters", "prefix", "messages", "implicit", "mixed", "mixed answers", "null"],
)
def test_a_shape_resolves_to_prompt_chosen_and_rejected(row, expected):
    assert sides(load_pair(row)) == expected


def test_with_nothing_shared_and_a_space_at_the_end_the_split_is_trls_odd_one():
    assert split_prompt("yes ", "no") == ("yes", " ", "o")


words = st.text(alphabet="ab ", max_size=6)


def test_an_empty_side_leaves_an_empty_prompt():
    assert split_prompt("", "no") == ("", "", "no")
    assert split_prompt([], [GOOD]) == ([], [], [GOOD])


def test_the_id_is_the_hash_of_the_three_sides_whatever_else_the_row_holds():
    ids = {load_pair(TEXT | extra).pair_id for extra in ({}, {"score": 3}, {"tools": "[]"})}
    assert ids == {hashlib.sha256(b'["Why?", "Because.", "No."]').hexdigest()[:16]}


def test_equal_rows_are_kept_and_numbered():
    first, second, third = (pair.pair_id for pair in load_pairs([TEXT, TEXT], [TEXT]))
    assert [second, third] == [f"{first}-2", f"{first}-3"]


@settings(deadline=None)
@given(st.lists(words.filter(bool), unique=True, min_size=2), st.randoms())
def test_shuffling_rows_changes_no_id(prompts, chance: random.Random):
    rows = [TEXT | {"prompt": prompt} for prompt in prompts]
    shuffled = chance.sample(rows, len(rows))
    assert {p.prompt: p.pair_id for p in load_pairs(rows)} == {p.prompt: p.pair_id for p in load_pairs(shuffled)}


def test_a_key_that_arrow_filled_with_null_changes_no_id():
    filled = {"prompt": [USER | {"name": None}], "chosen": [GOOD | {"tool_calls": None}], "rejected": [BAD]}
    assert load_pair(filled).pair_id == load_pair({"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}).pair_id


def test_other_columns_are_kept_json_able_in_source():
    row = TEXT | {"score": 2.5, "when": pd.Timestamp("2024-01-02"), "raw": b"abc", "bad": float("nan"), "tags": ("a",)}
    source = load_pair(row).source
    assert json.loads(json.dumps(source, allow_nan=False)) == source
    assert source == TEXT | {
        "score": 2.5,
        "when": "2024-01-02 00:00:00",
        "raw": "<3 bytes>",
        "bad": None,
        "tags": ["a"],
    }


def test_tools_may_be_json_and_template_values_are_kept():
    row = {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD], "tools": '[{"name": "clock"}]'}
    pair = load_pair(row | {"chat_template_kwargs": {"enable_thinking": False}})
    assert (pair.tools, pair.chat_template_kwargs) == ([{"name": "clock"}], {"enable_thinking": False})
    assert (load_pair(TEXT).tools, load_pair(TEXT).chat_template_kwargs) == (None, {})


def test_a_lone_surrogate_is_kept_as_bad_text_and_can_be_stored():
    pair = load_pair(TEXT | {"chosen": "a\ud800b"})
    assert (pair.problem, pair.chosen) == ("bad_text", "a\ufffdb")
    json.dumps(pair.source, ensure_ascii=False).encode()
    harmless = load_pair(TEXT | {"note": "\ud800"})
    assert (harmless.problem, harmless.source["note"]) == ("", "\ufffd")


@settings(deadline=None)
@given(st.text(st.characters(codec=None), max_size=8))
def test_any_text_becomes_a_pair_that_utf_8_can_hold(text):
    pair = load_pair(TEXT | {"chosen": text})
    assert pair.problem == ("bad_text" if any(0xD800 <= ord(c) < 0xE000 for c in text) else "")
    pair.chosen.encode()


def test_split_and_source_are_parted_at_the_equals_sign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p.jsonl", "a=b.jsonl"):
        (tmp_path / name).write_text(json.dumps(TEXT))
    assert [pair.split for pair in load_pairs("train=p.jsonl", "p.jsonl", "a=b.jsonl")] == ["train", "eval", "eval"]
    assert [pair.split for pair in load_pairs("p.jsonl", "test=p.jsonl", split="dev")] == ["dev", "test"]
    assert load_pairs("train=p.jsonl")[0].where == "p.jsonl:1"


NEEDED = r"; a row needs chosen and rejected, and may have prompt, all as texts or all as lists of \{role, content\}"
BAD_ROWS = {
    "no chosen": ({"prompt": "a", "rejected": "b"}, rf"no field 'chosen', only \['prompt', 'rejected'\]{NEEDED}"),
    "null rejected": (TEXT | {"rejected": None}, "the field 'rejected' is empty"),
    "other trainer's names": (
        {"instruction": "a", "output": "b"},
        "rows of instruction and output, for supervised fine-tuning; DPO needs",
    ),
    "number": (TEXT | {"chosen": 3}, rf"chosen is a int{NEEDED}"),
    "dict": (TEXT | {"chosen": {"role": "assistant", "content": "a"}}, "chosen is a dict"),
    "mixed sides": (TEXT | {"chosen": [GOOD]}, "chosen and rejected are of different kinds"),
    "messages before text": (TEXT | {"prompt": [USER]}, "prompt is a list of messages but chosen is a text"),
    "number as prompt": (TEXT | {"prompt": 1}, "prompt is a int"),
    "from and value": (
        {"chosen": [{"from": "human", "value": "a"}], "rejected": [BAD]},
        r"a message of chosen is the keys \['from', 'value'\]; every message needs role and content",
    ),
    "no content": ({"chosen": [{"role": "user"}], "rejected": [BAD]}, r"a message of chosen is the keys \['role'\]"),
    "texts in a list": ({"chosen": ["a"], "rejected": ["b"]}, "a message of chosen is a str"),
    "tools not json": (TEXT | {"tools": "clock"}, "tools is a text but not JSON"),
    "tools not a list": (TEXT | {"tools": {"name": "clock"}}, "tools is a dict"),
    "template values": (TEXT | {"chat_template_kwargs": "x"}, "chat_template_kwargs is a str"),
    "images": (TEXT | {"images": ["a.png"]}, "it has images"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_names_its_place_what_it_is_and_what_is_needed(tmp_path, case):
    row, message = BAD_ROWS[case]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, [TEXT, row])))
    with pytest.raises(InputError, match=rf"bad row in .*p\.jsonl:2: .*{message}"):
        load_pairs(path)


def test_every_bad_row_is_reported_and_the_others_are_read(tmp_path):
    row = '{"prompt": "a", "chosen": "b", "rejected": "c"}'
    (tmp_path / "p.jsonl").write_text(f'{row}\n{{"chosen": null}}\n17\n{row}\n{{"chosen": ')
    (tmp_path / "p.csv").write_text("chosen,rejected\nx,y,z\nx,y\n")
    pairs, errors = read_pairs(str(tmp_path / "p.jsonl"), str(tmp_path / "p.csv"))
    assert [pair.where.rpartition("/")[2] for pair in pairs] == ["p.jsonl:1", "p.jsonl:4", "p.csv:3"]
    places = [str(error).split(": ")[0].rpartition("/")[2] for error in errors]
    assert places == ["p.jsonl:2", "p.jsonl:3", "p.jsonl:5", "p.csv:2"]
    with pytest.raises(InputError, match=r"p\.jsonl:2: the field 'chosen' is empty \(null"):
        load_pairs(str(tmp_path / "p.jsonl"))


def test_a_source_that_cannot_be_read_is_reported_after_the_bad_rows_before_it():
    rows = [{"chosen": float("nan"), "rejected": "x"}]
    pairs, errors = read_pairs(rows, "nowhere.jsonl", rows)
    assert (pairs, len(errors)) == ([], 2)
    with pytest.raises(InputError, match="no such file"):
        read_pairs("nowhere.jsonl", rows)
