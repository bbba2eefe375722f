"""Rows of LLaMA-Factory's and Axolotl's data sets: the rows of LLaMA-Factory are those of its own converters, 0.9.5."""

import json

import pytest

from dpo_analysis.data.config_rows import axolotl_rows, llamafactory_rows
from dpo_analysis.errors import InputError

ALPACA = {
    "instruction": "Q",
    "input": "more",
    "output": "",
    "history": [["a", "b"]],
    "system": "S",
    "chosen": "C",
    "rejected": "R",
    "question": "QQ",
}
RANKED = {"chosen": "chosen", "rejected": "rejected"}
ALPACA_COLUMNS = RANKED | {"prompt": "instruction", "query": "input"}
SHAREGPT_COLUMNS = RANKED | {"messages": "conversations"}
OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
OFF = "detailed thinking off"


def said(role, content):
    return {"role": role, "content": content}


def tagged(role, value):
    return {"from": role, "value": value}


SHAREGPT = {
    "conversations": [tagged("human", "Q")],
    "chosen": tagged("gpt", "C"),
    "rejected": tagged("gpt", "R"),
    "sys": "S",
}
TURNS = [tagged("system", "T"), tagged("human", "Q"), tagged("gpt", "A"), tagged("human", "Q2")]
OPENAI = {
    "messages": [said("user", "Q")],
    "chosen": said("assistant", "C"),
    "rejected": said("assistant", "R"),
    "sys": "S",
}
OPENAI_ENTRY = {"formatting": "openai", "columns": RANKED | {"messages": "messages"}, "tags": OPENAI_TAGS}
CASES = {
    "alpaca": ({"columns": ALPACA_COLUMNS}, ALPACA, [said("user", "Q\nmore")]),
    "alpaca-no-columns": ({}, {k: v for k, v in ALPACA.items() if k != "history"}, [said("user", "Q\nmore")]),
    "alpaca-history": (
        {"columns": ALPACA_COLUMNS | {"history": "history", "system": "system"}},
        ALPACA,
        [said("system", "S"), said("user", "a"), said("assistant", "b"), said("user", "Q\nmore")],
    ),
    # input is a column of the row, and the entry does not name it: LLaMA-Factory leaves it out
    "alpaca-named-prompt": ({"columns": RANKED | {"prompt": "question"}}, ALPACA, [said("user", "QQ")]),
    "alpaca-no-input": ({"columns": ALPACA_COLUMNS}, ALPACA | {"input": ""}, [said("user", "Q")]),
    "sharegpt": ({"formatting": "sharegpt", "columns": SHAREGPT_COLUMNS}, SHAREGPT, [said("user", "Q")]),
    "sharegpt-system-column": (
        {"formatting": "sharegpt", "columns": SHAREGPT_COLUMNS | {"system": "sys"}},
        SHAREGPT,
        [said("system", "S"), said("user", "Q")],
    ),
    "sharegpt-system-message": (
        {"formatting": "sharegpt", "columns": SHAREGPT_COLUMNS | {"system": "sys"}},
        SHAREGPT | {"conversations": TURNS},
        [said("system", "T"), said("user", "Q"), said("assistant", "A"), said("user", "Q2")],
    ),
    "sharegpt-tags": (OPENAI_ENTRY | {"formatting": "sharegpt"}, OPENAI, [said("user", "Q")]),
    "openai": (OPENAI_ENTRY, OPENAI, [said("system", OFF), said("user", "Q")]),
    "openai-system-column": (
        OPENAI_ENTRY | {"columns": RANKED | {"messages": "messages", "system": "sys"}},
        OPENAI,
        [said("system", f"S\n{OFF}"), said("user", "Q")],
    ),
    "openai-system-message": (
        OPENAI_ENTRY,
        OPENAI | {"messages": [said("system", "T"), said("user", "Q")]},
        [said("system", f"T\n{OFF}"), said("user", "Q")],
    ),
    "openai-thinking": (
        OPENAI_ENTRY,
        OPENAI | {"messages": [said("system", "detailed thinking on"), said("user", "Q")]},
        [said("system", "detailed thinking on"), said("user", "Q")],
    ),
}


def source_of(tmp_path, *rows):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    return str(path)


@pytest.mark.parametrize(("entry", "row", "prompt"), CASES.values(), ids=CASES)
def test_rows_of_llamafactory(tmp_path, entry, row, prompt):
    (converted,) = llamafactory_rows(source_of(tmp_path, row), {"ranking": True} | entry)
    assert converted == {"prompt": prompt, "chosen": [said("assistant", "C")], "rejected": [said("assistant", "R")]}


BAD = {
    "no ranking": ({"ranking": False}, ALPACA, "no preference pairs in"),
    "formatting": ({"formatting": "parquet"}, ALPACA, "formatting 'parquet'"),
    "no chosen": ({"columns": {"prompt": "instruction"}}, ALPACA, "no column chosen"),
    "chosen is no text": ({"columns": ALPACA_COLUMNS}, ALPACA | {"chosen": 3}, "no text 'chosen'"),
    "history": (
        {"columns": ALPACA_COLUMNS | {"history": "history"}},
        ALPACA | {"history": ["a"]},
        "history holds pairs",
    ),
    "tools": ({"columns": ALPACA_COLUMNS | {"tools": "tools"}}, ALPACA | {"tools": "[{}]"}, "tools in"),
    "no messages": (
        {"formatting": "sharegpt", "columns": RANKED | {"messages": "turns"}},
        SHAREGPT,
        "no list of messages",
    ),
    "role": (
        {"formatting": "sharegpt", "columns": SHAREGPT_COLUMNS},
        SHAREGPT | {"conversations": [tagged("tool", "x")]},
        "the role 'tool'",
    ),
    "tags": (OPENAI_ENTRY | {"formatting": "sharegpt", "tags": {}}, OPENAI, "a message needs 'from'"),
    "tool calls": (OPENAI_ENTRY, OPENAI | {"messages": [said("user", "Q") | {"tool_calls": [{}]}]}, "tool_calls in"),
}


@pytest.mark.parametrize(("entry", "row", "why"), BAD.values(), ids=BAD)
def test_rows_that_cannot_be_read_are_refused_in_one_line(tmp_path, entry, row, why):
    with pytest.raises(InputError, match=why) as error:
        list(llamafactory_rows(source_of(tmp_path, row), {"ranking": True} | entry))
    assert "\n" not in str(error.value)


AXOLOTL = {"messages": [said("user", "Q")], "chosen": said("assistant", "C"), "rejected": said("assistant", "R")}
DEFAULT = {"type": "chat_template.default"}
AXOLOTL_CASES = {
    "messages": (DEFAULT, AXOLOTL, [said("user", "Q")]),
    "texts": (DEFAULT, {"messages": "Q", "chosen": "C", "rejected": "R"}, [said("user", "Q")]),
    "last message": (
        DEFAULT | {"field_messages": "prompt"},
        {"prompt": AXOLOTL["messages"], "chosen": [said("user", "x"), said("assistant", "C")], "rejected": "R"},
        [said("user", "Q")],
    ),
    "properties": (
        DEFAULT | {"message_property_mappings": {"role": "from", "content": "value"}},
        {"messages": [tagged("human", "Q")], "chosen": tagged("gpt", "C"), "rejected": tagged("gpt", "R")},
        [said("user", "Q")],
    ),
    "earlier names of the fields": (
        DEFAULT | {"message_field_role": "from", "message_field_content": "value"},
        {"messages": [tagged("human", "Q")], "chosen": tagged("gpt", "C"), "rejected": tagged("gpt", "R")},
        [said("user", "Q")],
    ),
    "roles": (
        DEFAULT | {"roles": {"user": ["person"], "assistant": ["model"]}},
        {"messages": [said("person", "Q")], "chosen": said("model", "C"), "rejected": said("model", "R")},
        [said("user", "Q")],
    ),
}


@pytest.mark.parametrize(("entry", "row", "prompt"), AXOLOTL_CASES.values(), ids=AXOLOTL_CASES)
def test_rows_of_axolotl(tmp_path, entry, row, prompt):
    (converted,) = axolotl_rows(source_of(tmp_path, row), entry)
    assert converted == {"prompt": prompt, "chosen": [said("assistant", "C")], "rejected": [said("assistant", "R")]}


def test_rows_of_axolotl_without_a_type_are_pairs_already(tmp_path):
    row = {"prompt": "Q", "chosen": "C", "rejected": "R"}
    assert list(axolotl_rows(source_of(tmp_path, row), {})) == [row]


@pytest.mark.parametrize(
    ("entry", "row", "why"),
    [
        ({"type": "chatml.intel"}, AXOLOTL, "type 'chatml.intel'"),
        ({"type": {"field_prompt": "x"}}, AXOLOTL, "only chat_template.default is read"),
        (DEFAULT | {"field_messages": "turns"}, AXOLOTL, "no list of messages in 'turns'"),
        (DEFAULT, AXOLOTL | {"chosen": {}}, "a message needs 'role'"),
        (DEFAULT, AXOLOTL | {"rejected": None}, "a message needs 'role'"),
    ],
)
def test_rows_of_axolotl_that_cannot_be_read(tmp_path, entry, row, why):
    with pytest.raises(InputError, match=why):
        list(axolotl_rows(source_of(tmp_path, row), entry))
