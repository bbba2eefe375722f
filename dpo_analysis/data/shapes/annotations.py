"""Exports of annotation tools in which people compared two responses: Argilla records and Label Studio tasks."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dpo_analysis.data.shapes.pairing import paired, score_of
from dpo_analysis.data.shapes.shape import Reading, Result, Shape, Values, is_messages, refuse
from dpo_analysis.data.shapes.turns import as_messages, as_response, asked

PROMPTS = ("prompt", "instruction", "question", "input", "query", "context", "text", "chat")
"""Fields that hold the prompt, in the order in which they are looked for."""
NUMBERED = re.compile(r"\d$|[_-][abAB]$|[a-z][AB]$|chosen|rejected")
"""Names of fields that are responses: with a number or a letter at the end."""
LEFT, RIGHT = ("left", "a", "first"), ("right", "b", "second")
"""Answers that name a side by its place."""
TIES = ("tie", "equal", "same", "both", "neither", "none")
"""Answers that prefer neither."""
FLAT_ENDS = (".responses", ".suggestion")
"""Ends of the columns with the answers where a record was flattened."""
SKY, SEA = "Air scatters blue light most.", "It mirrors the sea."
VOTES = "The response that most answers prefer is chosen; a record without a majority is left out and counted."


def _prompt_and_responses(fields: Mapping[str, Any], where: str) -> tuple[str, list[str]]:
    """Return the field of the prompt and those of the responses.

    Raises:
        InputError: there is no prompt, or fewer than two responses.
    """
    prompt = next((name for name in PROMPTS if isinstance(fields.get(name), str) or is_messages(fields.get(name))), "")
    responses = [name for name, value in fields.items() if name != prompt and isinstance(value, str)]
    named = [name for name in responses if NUMBERED.search(name)]
    responses = named if len(named) > 1 else responses
    if not prompt or len(responses) < 2:
        needs = f"a field of the prompt ({', '.join(PROMPTS[:4])}) and two of the responses"
        refuse(where, f"the fields {sorted(fields)} have no prompt and two responses", f"a record needs {needs}")
    return prompt, responses


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _named(answer: object, names: Sequence[str]) -> str | None:
    """Return the response that an answer names; empty for a tie, None where it names none."""
    text = _plain(answer)
    by_name = {_plain(name): name for name in names}
    if text in by_name:
        return by_name[text]
    if any(word in text for word in TIES):
        return ""
    if text in LEFT or text in RIGHT:
        return names[0] if text in LEFT else names[1]
    digits = re.search(r"\d+$", text)
    ends = [name for name in names if digits and re.search(rf"(?<!\d){digits[0]}$", str(name))]
    return ends[0] if len(ends) == 1 else None


def _scores(answer: Any, names: Sequence[str]) -> dict[str, float] | None:
    """Return a score for every response that an answer names; None where it names none.

    An answer is a label, or a ranking: a list of names, the best first, or of ``{value, rank}``.
    """
    if isinstance(answer, list):
        ranked: dict[str, float] = {}
        for place, item in enumerate(answer):
            value, rank = (item.get("value"), item.get("rank")) if isinstance(item, dict) else (item, None)
            name, number = _named(value, names), score_of(rank)
            if name:
                ranked[name] = -float(place) if number is None else -number
        return ranked or None
    named = _named(answer, names) if isinstance(answer, str) else None
    if named is None:
        return None
    return {name: float(name == named) for name in names}


def _result(
    shape: str, fields: Mapping[str, Any], answers: Sequence[Any], where: str, pairing: str, label: str
) -> Result:
    prompt, names = _prompt_and_responses(fields, where)
    scored = [scores for answer in answers if (scores := _scores(answer, names)) is not None]
    if not scored:
        refuse(where, "no answer names one of the responses", f"the responses are {names}; annotate it")
    total: Counter[str] = Counter()
    for scores in scored:
        total.update(scores)
    given = fields[prompt]
    turns = asked(fields, where, prompt) if isinstance(given, str) else as_messages(given, prompt, where)
    kept = [name for name in names if name in total]
    responses = [as_response(fields[name], name, where) for name in kept]
    pairs = paired(responses, [total[name] for name in kept], pairing)
    rows = tuple({"prompt": turns, "chosen": chosen, "rejected": rejected} for chosen, rejected in pairs)
    return Result(rows, Reading(shape, (f"fields {prompt}",), f"{' or '.join(names)} by {label}", ""))


def _values(question: Any) -> list[Any]:
    """Return the answers to a question of a record: those of people, or a suggestion."""
    items = question if isinstance(question, list) else [question]
    submitted = [item for item in items if not isinstance(item, dict) or item.get("status") in (None, "submitted")]
    return [item.get("value") if isinstance(item, dict) else item for item in submitted]


def _argilla(row: Values) -> bool:
    return isinstance(row.get("fields"), dict) and ("responses" in row or "suggestions" in row)


def _flat_argilla(row: Values) -> bool:
    return "chosen" not in row and any(name.endswith(FLAT_ENDS) for name in row)


def _nested(row: Values) -> dict[str, Any]:
    """Return the record that was flattened: answers stand in ``QUESTION.responses`` and ``QUESTION.suggestion``."""
    ends = {"responses": FLAT_ENDS[0], "suggestions": FLAT_ENDS[1]}
    answers = {
        kind: {
            name.removesuffix(end): [{"value": value} for value in (cell if kind == "responses" else [cell])]
            for name, cell in row.items()
            if name.endswith(end) and cell is not None and (kind == "suggestions" or isinstance(cell, list))
        }
        for kind, end in ends.items()
    }
    metadata = ("id", "status", "_server_id", "score")
    fields = {name: value for name, value in row.items() if "." not in name and name not in metadata}
    return {"fields": fields, **answers}


def _by_question(answers: Any) -> dict[str, list[Any]]:
    """Return the answers of a record by question, from either of its layouts."""
    if isinstance(answers, dict):
        return {str(name): _values(values) for name, values in answers.items()}
    found: dict[str, list[Any]] = {}
    for item in answers if isinstance(answers, list) else ():
        if not isinstance(item, dict):
            continue
        if isinstance(item.get("values"), dict):
            if item.get("status") in (None, "submitted"):
                for name, value in item["values"].items():
                    found.setdefault(str(name), []).extend(_values(value))
        elif "value" in item:
            found.setdefault(str(item.get("question_name", "")), []).extend(_values(item))
    return found


def _read_argilla(row: Values, where: str, pairing: str) -> Result:
    row = row if _argilla(row) else _nested(row)
    fields = row["fields"]
    _, names = _prompt_and_responses(fields, where)
    for source in ("responses", "suggestions"):
        for question, answers in _by_question(row.get(source)).items():
            if any(_scores(answer, names) is not None for answer in answers):
                return _result(ARGILLA.name, fields, answers, where, pairing, f"{source} {question}".strip())
    refuse(where, "no response and no suggestion names one of the responses", f"they are {names}")


def _label_studio(row: Values) -> bool:
    return isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_label_studio(row: Values, where: str, pairing: str) -> Result:
    answers = [
        result["value"].get("selected")
        for annotation in row["annotations"]
        if isinstance(annotation, dict) and not annotation.get("was_cancelled")
        for result in _list(annotation.get("result"))
        if isinstance(result, dict) and result.get("type") == "pairwise" and isinstance(result.get("value"), dict)
    ]
    if not answers:
        refuse(where, "no annotation with a result of the type pairwise", "only Pairwise projects hold preferences")
    return _result(LABEL_STUDIO.name, row["data"], answers, where, pairing, "value.selected")


ARGILLA = Shape(
    "Argilla records",
    ("fields", "responses"),
    lambda row: _argilla(row) or _flat_argilla(row),
    _read_argilla,
    {
        "id": "1",
        "fields": {"prompt": "Why is the sky blue?", "response1": SKY, "response2": SEA},
        "responses": {"preference": [{"value": "response1", "user_id": "u"}]},
        "suggestions": {},
    },
    f"The prompt becomes a user message. {VOTES} Without answers of people the suggestion is used.",
    "`dataset.records.to_list(flatten=False)`",
)
LABEL_STUDIO = Shape(
    "Label Studio pairwise",
    ("data", "annotations"),
    _label_studio,
    _read_label_studio,
    {
        "data": {"prompt": "Why is the sky blue?", "answer1": SKY, "answer2": SEA},
        "annotations": [{"result": [{"type": "pairwise", "value": {"selected": "left"}}]}],
    },
    f"The prompt becomes a user message. {VOTES}",
    "JSON export of a project with the Pairwise tag",
)
ANNOTATIONS = (ARGILLA, LABEL_STUDIO)
"""Their shapes."""
