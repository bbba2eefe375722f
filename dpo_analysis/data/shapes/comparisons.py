"""Rows with two responses and a label that says which is better."""

from collections.abc import Callable
from typing import Any

from dpo_analysis.data.shapes.comparison import WINNER, Comparison, by_winner, comparison_reader
from dpo_analysis.data.shapes.pairing import score_of
from dpo_analysis.data.shapes.shape import Reading, Result, Shape, Values, has, is_messages, refuse
from dpo_analysis.data.shapes.trl import QUESTION
from dpo_analysis.data.shapes.turns import asked, first_turns, texts_of_parts

SKY, SEA = "Air scatters blue light most.", "It mirrors the sea."
STRONGEST = 3
"""The largest preference of HelpSteer; -100 marks a comparison without an answer."""
TIE = "A row that prefers neither response is left out and counted."


def _shape(name: str, parts: Comparison, becomes: str, users: str, **example: Any) -> Shape:
    columns = (parts.prompt, parts.first, parts.second, *parts.label)
    return Shape(
        name,
        columns,
        lambda row: has(row, *columns),
        comparison_reader(name, parts),
        example,
        f"{becomes} {TIE}",
        users,
    )


def _first_if_one(row: Values) -> float | None:
    label = score_of(row["labels"])
    return {1.0: 1.0, 0.0: -1.0}.get(label) if label is not None else None


def _negated(column: str) -> Callable[[Values], float | None]:
    def preference(row: Values) -> float | None:
        score = score_of(row[column])
        return None if score is None or abs(score) > STRONGEST else -score

    return preference


def _by_index(column: str) -> Callable[[Values], float | None]:
    def preference(row: Values) -> float | None:
        index = score_of(row[column])
        return {0.0: 1.0, 1.0: -1.0}.get(index) if index is not None else None

    return preference


def _by_scores(row: Values) -> float | None:
    first, second = score_of(row["score_0"]), score_of(row["score_1"])
    return None if first is None or second is None else first - second


SHP = _shape(
    "SHP",
    Comparison("history", "human_ref_A", "human_ref_B", ("labels",), _first_if_one),
    "The history becomes a user message; label 1 prefers A, and 0 prefers B.",
    "stanfordnlp/SHP, SHP-2",
    history="Why is the sky blue?",
    human_ref_A=SKY,
    human_ref_B=SEA,
    labels=1,
)
HELPSTEER3 = _shape(
    "HelpSteer3",
    Comparison("context", "response1", "response2", ("overall_preference",), _negated("overall_preference")),
    "`context` is the prompt; below 0 prefers response1, above 0 response2.",
    "nvidia/HelpSteer3",
    context=[QUESTION],
    response1=SKY,
    response2=SEA,
    overall_preference=-2,
)
HELPSTEER2 = _shape(
    "HelpSteer2 preference",
    Comparison(
        "prompt", "response_1", "response_2", ("preference_strength",), _negated("preference_strength"), plain=True
    ),
    "Plain text, as in TRL; below 0 prefers response_1, above 0 response_2.",
    "nvidia/HelpSteer2, preference",
    prompt="The sky is",
    response_1=" blue.",
    response_2=" green.",
    preference_strength=-1,
)
SAFE_RLHF = _shape(
    "PKU-SafeRLHF",
    Comparison("prompt", "response_0", "response_1", ("better_response_id",), _by_index("better_response_id"), True),
    "Plain text, as in TRL; `better_response_id` decides, and `safer_response_id` is not read.",
    "PKU-Alignment/PKU-SafeRLHF",
    prompt="Why is the sky blue?",
    response_0=SKY,
    response_1=SEA,
    better_response_id=0,
)


def _arena(row: Values) -> bool:
    return has(row, "winner") and all(is_messages(row.get(name)) for name in ("conversation_a", "conversation_b"))


def _read_arena(row: Values, where: str, pairing: str) -> Result:
    del pairing
    reading = Reading(
        ARENA.name, ("conversation_a", "conversation_b"), "conversation_a or _b by winner", "", implicit=True
    )
    preference = by_winner(str(row["winner"]))
    if preference is None:
        refuse(where, f"winner {str(row['winner'])[:40]!r} is none of model_a, model_b and tie", "correct the row")
    if preference == 0:
        return Result((), reading)
    names = ("conversation_a", "conversation_b")
    sides = [first_turns(texts_of_parts(row[name], name, where), row.get("turn")) for name in names]
    chosen, rejected = sides if preference > 0 else reversed(sides)
    return Result(({"chosen": chosen, "rejected": rejected},), reading)


ARENA = Shape(
    "Chatbot Arena",
    ("conversation_a", "conversation_b", "winner"),
    _arena,
    _read_arena,
    {
        "conversation_a": [QUESTION, {"role": "assistant", "content": SKY}],
        "conversation_b": [QUESTION, {"role": "assistant", "content": SEA}],
        "winner": "model_a",
    },
    "The messages that both conversations have in common at the beginning are the prompt; what follows the turn "
    f"numbered `turn` was not judged, and is left out. {TIE}",
    "lmsys/chatbot_arena_conversations, arena-human-preference-140k, mt_bench_human_judgments",
)


def _webgpt(row: Values) -> bool:
    question = row.get("question")
    return isinstance(question, dict) and "full_text" in question and has(row, "answer_0", "answer_1", "score_0")


def _read_webgpt(row: Values, where: str, pairing: str) -> Result:
    flat = dict(row) | {"question": row["question"]["full_text"]}
    parts = Comparison("question", "answer_0", "answer_1", ("score_0", "score_1"), _by_scores)
    return comparison_reader(WEBGPT.name, parts)({"score_1": None} | flat, where, pairing)


WEBGPT = Shape(
    "WebGPT comparisons",
    ("question", "answer_0", "answer_1", "score_0", "score_1"),
    _webgpt,
    _read_webgpt,
    {
        "question": {"full_text": "Why is the sky blue?"},
        "answer_0": SKY,
        "answer_1": SEA,
        "score_0": 1.0,
        "score_1": -1.0,
    },
    f"`question.full_text` becomes a user message; the higher score is better. {TIE}",
    "openai/webgpt_comparisons",
)


def _summaries(row: Values) -> bool:
    texts = row.get("summaries")
    return isinstance(texts, list) and len(texts) == 2 and has(row, "choice") and isinstance(row.get("info"), dict)


def _read_summaries(row: Values, where: str, pairing: str) -> Result:
    info = row["info"]
    column = "post" if info.get("post") else "article"
    texts = [item.get("text") if isinstance(item, dict) else item for item in row["summaries"]]
    flat = {"info": info.get(column), "first": texts[0], "second": texts[1], "choice": row["choice"]}
    if not isinstance(flat["info"], str):
        refuse(where, "no text in info.post or info.article", "a pair needs a prompt; correct the row")
    parts = Comparison("info", "first", "second", ("choice",), _by_index("choice"))
    result = comparison_reader(SUMMARIES.name, parts)(flat, where, pairing)
    return result._replace(reading=Reading(SUMMARIES.name, (f"info.{column}",), "summaries.text by choice", ""))


SUMMARIES = Shape(
    "summaries from feedback",
    ("info", "summaries", "choice"),
    _summaries,
    _read_summaries,
    {
        "info": {"post": "The sky was blue all day, and then it rained.", "title": "Sky"},
        "summaries": [{"text": "Blue, then rain.", "policy": "a"}, {"text": "Rain.", "policy": "b"}],
        "choice": 0,
    },
    "The post or article becomes a user message; `choice` is the number of the better summary.",
    "openai/summarize_from_feedback",
)


def _farm(row: Values) -> bool:
    return isinstance(row.get("instruction"), str) and has(row, "output_1", "output_2", "preference")


def _read_farm(row: Values, where: str, pairing: str) -> Result:
    columns = tuple(name for name in ("instruction", "input") if row.get(name))
    flat = dict(row) | {"instruction": asked(row, where, "instruction", "input")}
    parts = Comparison("instruction", "output_1", "output_2", ("preference",), _first_of_two)
    result = comparison_reader(ALPACA_FARM.name, parts)(flat, where, pairing)
    return result._replace(reading=Reading(ALPACA_FARM.name, columns, "output_1 or output_2 by preference", ""))


def _first_of_two(row: Values) -> float | None:
    number = score_of(row["preference"])
    return {1.0: 1.0, 2.0: -1.0, 0.0: 0.0}.get(number) if number is not None else None


ALPACA_FARM = Shape(
    "AlpacaFarm",
    ("instruction", "output_1", "output_2", "preference"),
    _farm,
    _read_farm,
    {"instruction": "Why is the sky blue?", "input": "", "output_1": SKY, "output_2": SEA, "preference": 1},
    f"The instruction, with `input` below it, becomes a user message; preference 1 prefers output_1. {TIE}",
    "tatsu-lab/alpaca_farm",
)
COMPARISONS = (SHP, HELPSTEER3, HELPSTEER2, SAFE_RLHF, ARENA, WEBGPT, SUMMARIES, ALPACA_FARM, WINNER)
"""Their shapes."""
