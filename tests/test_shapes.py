"""Rows of every shape that people have become the right prompt, chosen and rejected, or are refused by name."""

import gzip
import json
from pathlib import Path

import pytest

from dpo_analysis.cli.main import main
from dpo_analysis.data.compressed_pairs import load_compressed_pairs
from dpo_analysis.data.pairs import Tie, load_pairs, read_pairs
from dpo_analysis.data.row_texts import TEXT_WARNINGS, source_flags, text_flags
from dpo_analysis.data.shapes.pairing import PAIRINGS, paired
from dpo_analysis.data.shapes.refused import REFUSED
from dpo_analysis.data.shapes.registry import SHAPES, find_shape
from dpo_analysis.data.understood import left_out_line, understood_line
from dpo_analysis.diagnosis.checks import run_checks
from dpo_analysis.errors import InputError
from dpo_analysis.runs import open_run
from dpo_analysis.runs.summaries.store import read_pair_facts

SAMPLE = Path(__file__).resolve().parent.parent / "sample_data"
HARMLESS = Path(__file__).resolve().parents[2] / "shared" / "data" / "hh-harmless-base-test.jsonl.gz"


def said(role, content):
    return {"role": role, "content": content}


def sent(sender, value):
    return {"from": sender, "value": value}


Q, GOOD, BAD = "When does the ferry leave?", "At seven.", "Whenever it likes."
USER, YES, NO = said("user", Q), said("assistant", GOOD), said("assistant", BAD)
SYSTEM = said("system", "Be brief.")
SYS = {"system": "Be brief."}
SIDES = {"chosen": GOOD, "rejected": BAD}
CHAT, CHAT_WITH_SYSTEM, PLAIN = ([USER], [YES], [NO]), ([SYSTEM, USER], [YES], [NO]), (Q, GOOD, BAD)
EARLIER = [said("user", "Hello"), said("assistant", "Hello!")]
HH = "\n\nHuman: When does the ferry leave?\n\nAssistant:"
ANSWERS = [{"value": "response2", "user_id": "u", "status": "submitted"}]
FIELDS = {"prompt": Q, "response1": BAD, "response2": GOOD}
READ = {
    "TRL standard explicit": ({"prompt": Q} | SIDES, PLAIN),
    "TRL standard implicit": (
        {"chosen": f"{HH} {GOOD}", "rejected": f"{HH} {BAD}"},
        (HH, f" {GOOD}", f" {BAD}"),
    ),
    "TRL conversational explicit": ({"prompt": [USER], "chosen": [YES], "rejected": [NO]}, CHAT),
    "TRL conversational implicit": ({"chosen": [USER, YES], "rejected": [USER, NO]}, CHAT),
    "UltraFeedback binarized": (
        {"prompt": Q, "chosen": [USER, YES], "rejected": [USER, NO], "messages": [USER, YES], "score_chosen": 8.0},
        CHAT,
    ),
    "argilla cleaned": ({"prompt": Q, "chosen": [YES], "rejected": [NO], "chosen-rating": 4.0}, CHAT),
    "dpo-mix-7k": ({"dataset": "x", "chosen": [SYSTEM, USER, YES], "rejected": [SYSTEM, USER, NO]}, CHAT_WITH_SYSTEM),
    "OpenAI": ({"input": {"messages": [USER]}, "preferred_output": [YES], "non_preferred_output": [NO]}, CHAT),
    "Intel Orca": (SYS | {"question": Q} | SIDES, CHAT_WITH_SYSTEM),
    "Intel Orca, empty system": ({"system": "", "question": Q} | SIDES, CHAT),
    "LLaMA-Factory alpaca": (
        {"instruction": "Answer.", "input": Q} | SIDES,
        ([said("user", f"Answer.\n{Q}")], [YES], [NO]),
    ),
    "alpaca, empty input": ({"instruction": Q, "input": "", "output": ""} | SIDES, CHAT),
    "alpaca with history": (
        SYS | {"instruction": Q, "input": "", "history": [["Hello", "Hello!"]]} | SIDES,
        ([SYSTEM, *EARLIER, USER], [YES], [NO]),
    ),
    "LLaMA-Factory sharegpt": (
        SYS | {"conversations": [sent("human", Q)], "chosen": sent("gpt", GOOD), "rejected": sent("gpt", BAD)},
        CHAT_WITH_SYSTEM,
    ),
    "UltraInteract": ({"task": "x", "trajectory": [sent("user", Q)]} | SIDES, CHAT),
    "distilabel": (SYS | {"input": Q, "rating": [9, 2]} | SIDES, CHAT_WITH_SYSTEM),
    "distilabel generations": ({"instruction": Q, "generations": [BAD, GOOD], "ratings": [1, 4]}, CHAT),
    "argilla binarized": ({"instruction": Q, "chosen_response": GOOD, "rejected_response": BAD, "source": "x"}, CHAT),
    "ms-swift": ({"messages": [SYSTEM, USER, YES], "rejected_response": BAD}, CHAT_WITH_SYSTEM),
    "ms-swift rejected_messages": ({"messages": [USER, YES], "rejected_messages": [USER, NO]}, CHAT),
    "ms-swift query": ({"query": Q, "response": GOOD, "rejected_response": BAD}, CHAT),
    "Axolotl chat_template.default": ({"messages": [SYSTEM, USER], "chosen": YES, "rejected": NO}, CHAT_WITH_SYSTEM),
    "Axolotl, lists": ({"messages": [USER], "chosen": [USER, YES], "rejected": [USER, NO]}, CHAT),
    "Axolotl prompt_pairs": (SYS | {"prompt": Q} | SIDES, CHAT_WITH_SYSTEM),
    "Axolotl ultra": (SYS | {"prompt": Q, "chosen": [USER, YES], "rejected": [USER, NO]}, CHAT_WITH_SYSTEM),
    "Axolotl chatml, query": ({"input": Q, "chosen_response": GOOD, "rejected_response": BAD}, CHAT),
    "system beside lists": (SYS | {"chosen": [USER, YES], "rejected": [USER, NO]}, CHAT_WITH_SYSTEM),
    "NeMo-RL": (
        {"context": [USER], "completions": [{"rank": 1, "completion": [NO]}, {"rank": 0, "completion": [YES]}]},
        CHAT,
    ),
    "torchtune": ({"chosen_conversations": [USER, YES], "rejected_conversations": [USER, NO]}, CHAT),
    "UltraFeedback": (
        {
            "instruction": Q,
            "completions": [{"response": BAD, "overall_score": 2.5}, {"response": GOOD, "overall_score": 8.0}],
        },
        CHAT,
    ),
    "UltraFeedback, ratings": (
        {
            "instruction": Q,
            "completions": [
                {"response": BAD, "annotations": {"honesty": {"Rating": "1"}, "truth": {"Rating": "N/A"}}},
                {"response": GOOD, "annotations": {"honesty": {"Rating": "5"}}},
            ],
        },
        CHAT,
    ),
    "SHP, A": ({"history": Q, "human_ref_A": GOOD, "human_ref_B": BAD, "labels": 1}, CHAT),
    "SHP, B": ({"history": Q, "human_ref_A": BAD, "human_ref_B": GOOD, "labels": 0}, CHAT),
    "Nectar": (
        {"prompt": HH, "answers": [{"answer": BAD, "rank": 7.0}, {"answer": GOOD, "rank": 1.0}]},
        (HH, GOOD, BAD),
    ),
    "HelpSteer3": ({"context": [USER], "response1": BAD, "response2": GOOD, "overall_preference": 3}, CHAT),
    "HelpSteer2": ({"prompt": Q, "response_1": GOOD, "response_2": BAD, "preference_strength": -1}, PLAIN),
    "PKU-SafeRLHF": (
        {"prompt": Q, "response_0": BAD, "response_1": GOOD, "better_response_id": 1, "safer_response_id": 0},
        PLAIN,
    ),
    "stack-exchange-paired": ({"qid": 1, "question": Q, "response_j": GOOD, "response_k": BAD}, CHAT),
    "stack-exchange-preferences": (
        {"question": Q, "answers": [{"text": BAD, "pm_score": 0}, {"text": GOOD, "pm_score": 3}]},
        CHAT,
    ),
    "Chatbot Arena": ({"conversation_a": [USER, NO], "conversation_b": [USER, YES], "winner": "model_b"}, CHAT),
    "WebGPT": ({"question": {"full_text": Q}, "answer_0": BAD, "answer_1": GOOD, "score_0": -1, "score_1": 1}, CHAT),
    "LLaMA-Factory output list": ({"instruction": Q, "input": "", "output": [GOOD, BAD]}, CHAT),
    "AlpacaFarm": ({"instruction": Q, "input": "", "output_1": BAD, "output_2": GOOD, "preference": 2}, CHAT),
    "MedicalGPT": (
        SYS | {"history": [["Hello", "Hello!"]], "question": Q, "response_chosen": GOOD, "response_rejected": BAD},
        ([SYSTEM, *EARLIER, USER], [YES], [NO]),
    ),
    "distilabel with input and lists": (
        {"input": Q, "chosen": [USER, YES], "rejected": [USER, NO], "generations": ["x", "y"], "rating": [1, 2]},
        CHAT,
    ),
    "responses and scores": ({"prompt": Q, "responses": [BAD, GOOD], "scores": [0.1, 0.9]}, PLAIN),
    "messages in a column of context": ({"context_messages": [USER], "chosen": [YES], "rejected": [NO]}, CHAT),
    "summaries": ({"info": {"post": Q}, "summaries": [{"text": GOOD}, {"text": BAD}], "choice": 0}, CHAT),
    "Argilla": ({"fields": FIELDS, "responses": {"better": ANSWERS}, "suggestions": {}}, CHAT),
    "Argilla suggestion": ({"fields": FIELDS, "responses": {}, "suggestions": {"p": {"value": "response-2"}}}, CHAT),
    "Argilla ranking": (
        {
            "fields": FIELDS,
            "responses": {"p": [{"value": [{"value": "response2", "rank": 1}, {"value": "response1", "rank": 2}]}]},
        },
        CHAT,
    ),
    "Argilla flat": (FIELDS | {"id": "1", "status": "completed", "better.responses": ["response2"]}, CHAT),
    "Argilla 1": (
        {"fields": FIELDS, "responses": [{"values": {"p": {"value": "2"}}, "status": "submitted"}]},
        CHAT,
    ),
    "Label Studio": (
        {
            "data": {"prompt": Q, "answer1": GOOD, "answer2": BAD},
            "annotations": [{"result": [{"type": "pairwise", "value": {"selected": "left"}}]}],
        },
        CHAT,
    ),
    "Arena, parts of text": (
        {
            "conversation_a": [said("user", [{"type": "text", "text": Q}]), said("assistant", [{"text": GOOD}])],
            "conversation_b": [said("user", [{"type": "text", "text": Q}]), said("assistant", [{"text": BAD}])],
            "winner": "model_a",
        },
        CHAT,
    ),
    "MT-Bench, first turn": (
        {
            "conversation_a": [USER, NO, USER, YES],
            "conversation_b": [USER, YES, USER, NO],
            "winner": "model_b",
            "turn": 1,
        },
        CHAT,
    ),
    "Arena, keys filled in by Arrow": (
        {"conversation_a": [USER | {"id": None}, YES], "conversation_b": [USER, NO], "winner": "model_a"},
        CHAT,
    ),
    "winner by letter": ({"prompt": Q, "response_a": BAD, "response_b": GOOD, "winner": "B"}, PLAIN),
    "winner by column": ({"question": Q, "answer_1": BAD, "answer_2": GOOD, "preference": "answer_2"}, CHAT),
    "OpenPipe": ({"messages": [USER, YES], "rejected_message": NO}, CHAT),
    "TRL with senders": (
        {"chosen": [sent("human", Q), sent("gpt", GOOD)], "rejected": [sent("human", Q), sent("gpt", BAD)]},
        CHAT,
    ),
    "single messages": ({"prompt": [USER], "chosen": YES, "rejected": NO}, CHAT),
}


def first_text(messages):
    return messages[0]["content"]


def sides(pair):
    return pair.prompt, pair.chosen, pair.rejected


@pytest.mark.parametrize("case", READ)
def test_a_row_of_a_known_shape_is_read_right(case):
    row, expected = READ[case]
    (pair,) = load_pairs([row])
    assert sides(pair) == expected
    assert pair.source == row


@pytest.mark.parametrize("case", READ)
def test_a_compressed_pair_keeps_how_it_was_read(case):
    row, expected = READ[case]
    (pair,) = load_compressed_pairs([row])
    assert sides(pair) == expected
    assert pair.reading == load_pairs([row])[0].reading == pair.decompressed().reading


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_example_of_every_shape_shows_it_and_makes_a_pair(shape):
    assert find_shape(shape.example) is shape
    (pair,) = load_pairs([dict(shape.example)])
    assert pair.reading is None or pair.reading.shape == shape.name
    assert "sky" in str(pair.prompt).lower() or "Why?" in str(pair.prompt)


def test_half_a_surrogate_pair_is_bad_text_in_every_shape_and_can_be_stored():
    pairs = load_pairs([{"instruction": Q, "generations": ["a\ud800", "b", "c"], "ratings": [1, 2, 3]}], pairing="all")
    assert [pair.problem for pair in pairs] == ["", "bad_text", "bad_text"]
    json.dumps([[sides(pair), pair.source] for pair in pairs], ensure_ascii=False).encode()


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.name)
def test_rows_without_pairs_are_refused_by_name_with_a_hint(kind):
    with pytest.raises(InputError, match=r"no preference pairs in the rows from list\[0\] on") as caught:
        load_pairs([kind.example] * 3)
    assert kind.name in str(caught.value)
    assert kind.hint in str(caught.value)


BAD_ROWS = {
    "no user text": ({"question": "", **SIDES}, "no prompt: question hold no text"),
    "number as question": ({"instruction": Q, "input": 3, **SIDES}, "the column 'input' is a int"),
    "label is neither": (
        {"history": Q, "human_ref_A": GOOD, "human_ref_B": BAD, "labels": 7},
        "labels '7' does not say",
    ),
    "no rank": ({"prompt": Q, "answers": [{"answer": GOOD, "rank": None}]}, "no response has a number as its rank"),
    "ratings of another length": ({"instruction": Q, "generations": [GOOD], "ratings": [1, 2]}, "1 generations and 2"),
    "user at the end": ({"messages": [USER], "rejected_response": BAD}, "messages do not end with the assistant"),
    "tool as sender": (
        {"conversations": [sent("observation", "x")], "chosen": sent("gpt", GOOD), "rejected": sent("gpt", BAD)},
        "'observation' sends a message of conversations",
    ),
    "winner unknown": (
        {"conversation_a": [USER, NO], "conversation_b": [USER, YES], "winner": "model_c"},
        "winner 'model_c' is none of",
    ),
    "winner is a number": (
        {"prompt": Q, "response_1": BAD, "response_2": GOOD, "winner": "2"},
        "winner '2' does not say which response is better",
    ),
    "no answer in HelpSteer3": (
        {"context": [USER], "response1": BAD, "response2": GOOD, "overall_preference": -100},
        "overall_preference '-100' does not say",
    ),
    "picture in the arena": (
        {"conversation_a": [said("user", [{"image": "x"}])], "conversation_b": [USER, YES], "winner": "model_b"},
        "conversation_a holds something else than texts",
    ),
    "not annotated": ({"fields": FIELDS, "responses": {}, "suggestions": {}}, "no response and no suggestion"),
    "not pairwise": (
        {"data": {"prompt": Q}, "annotations": [{"result": []}]},
        "no annotation with a result of the type",
    ),
    "one field": ({"fields": {"prompt": Q}, "responses": {}}, "have no prompt and two responses"),
    "three outputs": ({"instruction": Q, "output": [GOOD, BAD, BAD]}, "output holds 3 texts"),
    "history of texts": ({"instruction": Q, "history": ["Hello"], **SIDES}, "history does not hold pairs"),
    "list in generations": ({"instruction": Q, "generations": [3, 4], "ratings": [1, 2]}, "a int"),
    "images": ({"instruction": Q, "images": ["a.png"], **SIDES}, "it has images"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_of_a_known_shape_names_its_place_and_the_fault(case):
    row, message = BAD_ROWS[case]
    with pytest.raises(InputError, match=r"bad row in list\[0\]: ") as caught:
        load_pairs([row])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


RANKED = {
    "instruction": Q,
    "completions": [
        {"response": text, "overall_score": score} for text, score in zip("abcd", (3, 9, 9, 1), strict=True)
    ],
}


def test_several_responses_make_the_pairs_that_pairing_names():
    texts = {
        pairing: [
            (first_text(pair.chosen), first_text(pair.rejected)) for pair in load_pairs([RANKED], pairing=pairing)
        ]
        for pairing in PAIRINGS
    }
    assert texts == {
        "best-worst": [("b", "d")],
        "best-rest": [("b", "a"), ("b", "d")],
        "all": [("b", "a"), ("b", "d"), ("c", "a"), ("c", "d"), ("a", "d")],
    }
    assert len({pair.pair_id for pair in load_pairs([RANKED], pairing="all")}) == 5
    assert {json.dumps(pair.prompt) for pair in load_pairs([RANKED], pairing="all")} == {json.dumps([USER])}
    with pytest.raises(InputError, match="pairing 'some': there are best-worst, best-rest, all"):
        load_pairs([RANKED], pairing="some")
    with pytest.raises(InputError, match="300 responses to one prompt"):
        load_pairs([{"instruction": Q, "generations": ["a"] * 300, "ratings": [1] * 300}], pairing="all")
    assert paired("ab", [None, 1], "all") == paired("", [], "best-worst") == []


TIES = [
    {"context": [USER], "response1": BAD, "response2": GOOD, "overall_preference": 0},
    {"conversation_a": [USER, NO], "conversation_b": [USER, YES], "winner": "tie (bothbad)"},
    {"conversation_a": [USER, NO], "conversation_b": [USER, YES], "winner": "both_bad"},
    {"prompt": Q, "response_a": BAD, "response_b": GOOD, "winner": "tie"},
    {"question": Q, "answers": [{"text": BAD, "pm_score": 2}, {"text": GOOD, "pm_score": 2}]},
    {"fields": FIELDS, "responses": {"p": [{"value": "response1"}, {"value": "response2"}]}},
]


@pytest.mark.parametrize("row", TIES)
def test_a_row_that_prefers_nothing_is_left_out_and_counted(row):
    ties = []
    pairs, errors = read_pairs([row, SYS | {"question": Q} | SIDES, row], ties=ties)
    assert (len(pairs), errors, ties) == (1, [], [Tie("list[0]"), Tie("list[2]")])
    assert left_out_line(ties) == "2 rows left out, since they prefer neither response: list[0], list[2]"
    with pytest.raises(InputError, match="none prefers a response"):
        load_pairs([row, row])


def test_columns_that_the_user_names_come_before_the_shape():
    row = {"question": Q, "ctx": {"turns": [USER]}, "good": GOOD, "bad": BAD, "role": "Be brief."}
    named = "chosen=good,rejected=bad"
    assert sides(load_pairs([row], columns=f"prompt=question,{named}")[0]) == PLAIN
    assert sides(load_pairs([row], columns=f"prompt=question,{named},format=messages")[0]) == CHAT
    assert sides(load_pairs([row], columns=f"prompt=question,{named},system=role")[0]) == CHAT_WITH_SYSTEM
    assert sides(load_pairs([row], columns=f"prompt=ctx.turns,{named}")[0]) == CHAT
    joined = load_pairs([row], columns={"prompt": "role+question", "chosen": "good", "rejected": "bad"})[0]
    assert joined.prompt == f"Be brief.\n{Q}"
    assert sides(load_pairs([{"prompt": Q, **SIDES}], columns="format=messages")[0]) == CHAT
    assert sides(load_pairs([{"prompt": Q, **SYS, **SIDES}], columns="prompt=prompt")[0]) == PLAIN
    assert understood_line(load_pairs([row], columns=f"prompt=question,{named}")) == (
        "1 pair of eval, rows of --columns, chosen from `good`, rejected from `bad`, prompt from `question`, plain text"
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("question", "it takes NAME=COLUMN"),
        ("", "it takes NAME=COLUMN"),
        ("promt=question", "'promt' is no name; the names are prompt, chosen"),
        ("prompt=a,prompt=b", "a name is given twice"),
        ("format=xml", "format='xml': there are text and messages"),
        ("chosen=", "chosen and rejected need a column"),
        ("prompt=question,chosen=goood", "no column 'goood', only"),
    ],
)
def test_columns_that_cannot_be_meant_are_refused(columns, message):
    with pytest.raises(InputError) as caught:
        load_pairs([{"question": Q, **SIDES}], columns=columns)
    assert message in str(caught.value)


JUNK = (None, 3, "", "x", [], ["x"], [None], {}, {"role": "user"}, [{"role": "user"}], [{"from": "human"}], True)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_junk_in_any_column_of_any_shape_is_read_or_is_one_line(shape):
    for name in shape.example:
        given = shape.example[name]
        changed = [{**item, key: value} for item, key, value in changes(given)]
        for junk in (*JUNK, *(changed if isinstance(given, dict) else [[item] for item in changed])):
            row = dict(shape.example) | {name: junk}
            pairs, errors = read_pairs([row])
            assert all("\n" not in str(error) for error in errors)
            assert all(text_flags(pair).keys() == set(TEXT_WARNINGS) for pair in pairs)


def changes(value):
    """Every object in a column with one of its keys replaced by junk."""
    items = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
    return [(item, key, junk) for item in items for key in item for junk in JUNK]


def test_a_file_of_an_unknown_shape_is_one_line_with_the_nearest_shape_and_the_columns_to_give(tmp_path, capsys):
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join([json.dumps({"user_prompt": Q, "better": GOOD, "worse": BAD})] * 500))
    _, errors = read_pairs(str(path))
    assert [str(error) for error in errors] == [
        f"unknown shape of the rows from {path}:1 on: no field 'chosen', only ['better', 'user_prompt', 'worse']; a "
        "row needs chosen and rejected, and may have prompt, all as texts or all as lists of {role, content}; nearest "
        "is TRL standard, explicit prompt; or give --columns prompt=user_prompt,chosen=better,rejected=worse"
    ]
    with pytest.raises(SystemExit):
        main(["check", str(path)])
    shown = capsys.readouterr()
    assert (len(shown.err.splitlines()), shown.out) == (1, "")
    with pytest.raises(SystemExit) as stopped:
        main(["check", str(path), "--columns", "prompt=user_prompt,chosen=better,rejected=worse"])
    assert stopped.value.code == 0
    near = {"history": Q, "human_ref_A": GOOD, "human_ref_B": BAD}
    with pytest.raises(InputError, match=r"nearest is SHP \(history, human_ref_A, human_ref_B, labels\)"):
        load_pairs([near])


def test_rows_that_a_label_decides_are_not_told_to_map_columns():
    with pytest.raises(InputError, match="or write the better response into chosen") as caught:
        load_pairs([{"prompt": Q, "response_1": GOOD, "response_2": BAD, "label": 1}])
    assert "--columns" not in str(caught.value)
    with pytest.raises(InputError, match=r"or give --columns rejected=reject$"):
        load_pairs([{"prompt": Q, "chosen": GOOD, "reject": BAD}])


def test_a_row_without_a_shape_among_rows_with_one_is_a_bad_row(tmp_path):
    pairs, errors = read_pairs([{"a": 1}, {"question": Q, **SIDES}, {"b": 2}])
    assert len(pairs) == 1
    assert [str(error).split(":")[0] for error in errors] == ["bad row in list[0]", "bad row in list[2]"]


def test_rows_that_lack_the_system_text_stay_in_the_shape_of_the_rows_before_them():
    pairs = load_pairs([{"system": "", "prompt": Q, **SIDES}, {"prompt": Q, **SIDES}])
    assert [sides(pair) for pair in pairs] == [CHAT, CHAT]


def test_a_dataset_info_beside_the_file_says_how_llamafactory_reads_it(tmp_path):
    row = {"q": "Answer.", "more": Q, "yes": GOOD, "no": BAD, "sys": "Be brief."}
    (tmp_path / "p.json").write_text(json.dumps([row]))
    columns = {"prompt": "q", "query": "more", "chosen": "yes", "rejected": "no", "system": "sys"}
    entry = {"file_name": "p.json", "ranking": True, "columns": columns}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": entry, "other": 3}))
    (pair,) = load_pairs(tmp_path / "p.json")
    assert sides(pair) == ([SYSTEM, said("user", f"Answer.\n{Q}")], [YES], [NO])
    assert "rows of dataset_info.json" in understood_line([pair])
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(InputError, match=r"broken JSON in .*dataset_info\.json"):
        load_pairs(tmp_path / "p.json")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": {}, "splits": []}))
    with pytest.raises(InputError, match="unknown shape"):
        load_pairs(tmp_path / "p.json")


@pytest.mark.parametrize("sides", [("B", "A"), ("response_b", "response_a")])
def test_rows_whose_sides_name_columns_are_refused_and_letters_of_options_are_not(sides):
    named = {"chosen": sides[0], "rejected": sides[1]}
    with pytest.raises(InputError, match="chosen and rejected name other columns"):
        load_pairs([{"prompt": Q, "response_a": BAD, "response_b": GOOD} | named])
    (pair,) = load_pairs([{"prompt": Q, "option_a": BAD, "option_b": GOOD, "chosen": "B", "rejected": "A"}])
    assert (pair.chosen, pair.rejected) == ("B", "A")


@pytest.mark.parametrize("name", ["context", "system_prompt", "initial_reason_steps"])
@pytest.mark.parametrize("prompt", ["prompt", "question"])
def test_a_column_that_may_be_a_part_of_the_prompt_is_named_until_the_user_names_the_columns(name, prompt):
    row = {prompt: Q, name: "The timetable of June."} | SIDES
    (pair,) = load_pairs([row])
    assert text_flags(pair)["unused_text"]
    assert understood_line([pair]).endswith(f"not used: `{name}`")
    for columns in (f"prompt={prompt}", f"prompt={name}+{prompt}"):
        assert not text_flags(load_pairs([row], columns=columns)[0])["unused_text"]
    assert not text_flags(load_pairs([row | {name: Q}])[0])["unused_text"], "the prompt holds it already"


def test_a_system_text_that_gives_way_to_another_system_message_is_named():
    row = {"chosen": [SYSTEM, USER, YES], "rejected": [SYSTEM, USER, NO]}
    assert not text_flags(load_pairs([row | SYS])[0])["unused_text"]
    assert text_flags(load_pairs([row | {"system": "Be long."}])[0])["unused_text"]


def test_check_complains_about_texts_without_a_tokenizer_too(tmp_path, capsys):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"prompt": Q, "context": "The timetable of June."} | SIDES))
    with pytest.raises(SystemExit):
        main(["check", str(path)])
    assert "a column that may hold the prompt" in capsys.readouterr().out


def test_message_lists_written_as_text_are_noticed_where_the_prompt_swallows_their_beginning():
    row = {name: json.dumps([USER, message]) for name, message in (("chosen", YES), ("rejected", NO))}
    assert text_flags(load_pairs([row])[0])["serialised"]


def test_an_array_under_data_holds_the_rows(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"version": "1", "data": [{"prompt": Q} | SIDES] * 2}))
    assert [sides(pair) for pair in load_pairs(path)] == [PLAIN, PLAIN]


def test_names_of_columns_from_the_data_cannot_command_the_terminal():
    (pair,) = load_pairs([{"\x1b[31mtask": "Say why it is blue", "chosen": "air", "rejected": "sea"}])
    assert "not used: `\ufffd[31mtask`" in understood_line([pair])
    with pytest.raises(InputError) as caught:
        load_pairs([{"\x1b[31mgood": GOOD, "bad": BAD}])
    assert "\x1b" not in str(caught.value)
    assert "chosen=COLUMN,rejected=bad" in str(caught.value)


def test_the_first_line_names_the_shape_and_its_columns():
    line = understood_line(load_pairs([READ["Intel Orca"][0]]), tokenizer="sft")
    assert line == (
        "1 pair of eval, rows of Intel Orca, prompt from `system` and `question`, conversational, template of sft"
    )
    line = understood_line(load_pairs([READ["HelpSteer3"][0]]), tokenizer="sft")
    assert "chosen and rejected from response1 or response2 by overall_preference, prompt from `context`" in line
    line = understood_line(load_pairs([READ["OpenAI"][0]]), lang="zh")
    assert "chosen 取自 `preferred_output`，rejected 取自 `non_preferred_output`，提示取自 `input.messages`" in line


def test_check_and_score_read_by_the_columns_and_the_checks_of_the_run_see_the_texts(tmp_path, capsys):
    path = tmp_path / "p.jsonl"
    row = {"q": "Who keeps the key?", "good": "Who keeps the key? The clerk.", "bad": "<|im_start|>Nobody."}
    path.write_text("\n".join(json.dumps(row | {"id": number}) for number in range(2)))
    columns = ["--columns", "prompt=q,chosen=good,rejected=bad,format=messages"]
    models = ["--reference", str(SAMPLE / "sft"), "--policy", f"a={SAMPLE / 'gentle' / 'checkpoint-60'}"]
    read = (
        "2 pairs of eval, rows of --columns, chosen from `good`, rejected from `bad`, prompt from `q`, conversational, "
        "template of "
    )
    for argv in (
        ["check", str(path), "--tokenizer", str(SAMPLE / "sft"), *columns],
        ["score", str(path), *models, "--evidence", "none", "--out", str(tmp_path / "columns"), *columns],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(argv)
        said = capsys.readouterr()
        assert stopped.value.code == 0, said.err
        assert said.out.startswith(read)
    unknown = {check.name: check.verdict for check in run_checks(open_run(tmp_path / "columns"))}
    assert {unknown[name] for name in TEXT_WARNINGS} == {"unknown"}, "the run does not hold the columns"
    path.write_text(
        "\n".join(json.dumps({"question": row["q"], "chosen": row["good"], "rejected": row["bad"]}) for _ in "ab")
    )
    with pytest.raises(SystemExit) as stopped:
        main(["score", str(path), *models, "--evidence", "none", "--out", str(tmp_path / "shape")])
    assert stopped.value.code == 0, capsys.readouterr().err
    found = {
        check.name: (check.verdict, check.values["n"])
        for check in run_checks(open_run(tmp_path / "shape"))
        if check.name in TEXT_WARNINGS
    }
    assert found.pop("markers") == found.pop("prompt_inside") == ("warn", 2)
    assert set(found.values()) == {("pass", 0)}
    assert read_pair_facts(open_run(tmp_path / "shape"))["question"].to_pylist() == [row["q"]] * 2


@pytest.mark.skipif(not HARMLESS.is_file(), reason="the HH data set is not here")
def test_hh_harmless_base_loads_whole():
    with gzip.open(HARMLESS, "rt", encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    pairs = load_pairs(rows)
    assert len(pairs) == len(rows) == 2312
    assert all(str(pair.prompt).startswith("\n\nHuman:") and pair.reading is None for pair in pairs)
    assert sum(flags["markers"] for pair in pairs if (flags := source_flags(pair.source))) == 6


def test_no_pair_of_the_sample_gives_a_complaint_about_its_text():
    for name in ("eval", "train"):
        for pair in load_pairs(SAMPLE / "pairs" / f"{name}.jsonl"):
            assert source_flags(pair.source) == dict.fromkeys(TEXT_WARNINGS, False)


def test_a_row_that_only_columns_can_read_has_no_flags():
    assert source_flags({"q": Q, "good": GOOD, "bad": BAD}) is None
