"""Rows with several responses to one prompt, each with a score or a rank."""

from collections.abc import Callable, Sequence
from typing import Any

from dpo_analysis.data.shapes.pairing import paired, score_of
from dpo_analysis.data.shapes.shape import Reading, Result, Shape, Values, is_messages, refuse, text_in
from dpo_analysis.data.shapes.trl import BAD, GOOD, QUESTION
from dpo_analysis.data.shapes.turns import as_messages, as_response, asked

SCORES = ("overall_score", "score", "rating")
"""Where a completion of UltraFeedback has its score, in the order in which they are looked for."""
LISTS = (
    ("generations", "ratings"),
    ("generations", "rating"),
    ("responses", "scores"),
    ("responses", "rewards"),
    ("all_generated_responses", "all_rm_scores"),
)
"""Columns of responses and of their scores, the highest of which is the best."""
RANKED = "Responses are paired by `--pairing`; two with the same score are never a pair."
SKY, SEA = "Air scatters blue light most.", "It mirrors the sea."


def _objects(row: Values, column: str, key: str) -> bool:
    items = row.get(column)
    return isinstance(items, list) and bool(items) and all(isinstance(item, dict) and key in item for item in items)


def _rows(prompt: Any, responses: Sequence[Any], scores: Sequence[float | None], pairing: str) -> tuple[Any, ...]:
    return tuple(
        {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        for chosen, rejected in paired(responses, scores, pairing)
    )


def _check_scores(scores: Sequence[float | None], where: str, name: str) -> None:
    if all(score is None for score in scores):
        refuse(where, f"no response has a number as its {name}", "the responses cannot be ranked; correct the row")


def _completion_score(item: dict[str, Any]) -> float | None:
    """Return the score of a completion: its own, else the mean rating of its annotations."""
    own = next((score for name in SCORES if (score := score_of(item.get(name))) is not None), None)
    annotations = item.get("annotations")
    if own is not None or not isinstance(annotations, dict):
        return own
    ratings = [score_of(aspect.get("Rating")) for aspect in annotations.values() if isinstance(aspect, dict)]
    numbers = [rating for rating in ratings if rating is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _read_ultrafeedback(row: Values, where: str, pairing: str) -> Result:
    prompt = asked(row, where, "instruction")
    responses = [as_response(item["response"], "completions.response", where) for item in row["completions"]]
    scores = [_completion_score(item) for item in row["completions"]]
    _check_scores(scores, where, "overall_score")
    reading = Reading(ULTRAFEEDBACK.name, ("instruction",), "completions.response and overall_score", "")
    return Result(_rows(prompt, responses, scores, pairing), reading)


def _lists(row: Values) -> tuple[str, str] | None:
    """Return the columns of responses and of their scores; None where there are none."""
    return next((pair for pair in LISTS if all(isinstance(row.get(name), list) for name in pair)), None)


def _distilabel(row: Values) -> bool:
    return _lists(row) is not None


def _read_distilabel(row: Values, where: str, pairing: str) -> Result:
    texts, scores = _lists(row) or LISTS[0]
    if len(row[texts]) != len(row[scores]):
        refuse(where, f"{len(row[texts])} {texts} and {len(row[scores])} {scores}", "each response needs its score")
    column = next((name for name in ("instruction", "input", "prompt") if isinstance(row.get(name), str)), "")
    if not column:
        refuse(where, "no text in instruction, input or prompt", "a pair needs a prompt; correct the row")
    kept = [(text, score_of(score)) for text, score in zip(row[texts], row[scores], strict=True) if text is not None]
    _check_scores([score for _, score in kept], where, scores)
    plain = column == "prompt" and all(isinstance(text, str) for text, _ in kept)
    prompt = row[column] if plain else asked(row, where, column)
    responses = [text if plain else as_response(text, texts, where) for text, _ in kept]
    system = row.get("system") or row.get("system_prompt")
    used = ("system" if row.get("system") else "system_prompt", column) if system else (column,)
    rows = _rows(prompt, responses, [score for _, score in kept], pairing)
    reading = Reading(DISTILABEL.name, used, f"{texts} and {scores}", "")
    return Result(rows, reading, system if isinstance(system, str) else "")


def _read_nectar(row: Values, where: str, pairing: str) -> Result:
    """Return pairs of texts: the prompt holds the turns as HH writes them, and TRL takes a prompt text as it is."""
    prompt = text_in(row, "prompt", where)
    responses = [text_in(item, "answer", where) for item in row["answers"]]
    ranks = [score_of(item["rank"]) for item in row["answers"]]
    _check_scores(ranks, where, "rank")
    scores = [None if rank is None else -rank for rank in ranks]
    return Result(
        _rows(prompt, responses, scores, pairing), Reading(NECTAR.name, ("prompt",), "answers.answer and rank", "")
    )


def _read_nemo(row: Values, where: str, pairing: str) -> Result:
    column = "context" if "context" in row else "prompt"
    context = row[column]
    prompt = asked(row, where, column) if isinstance(context, str) else as_messages(context, column, where)
    responses = [as_response(item["completion"], "completions.completion", where) for item in row["completions"]]
    ranks = [score_of(item.get("rank")) for item in row["completions"]]
    _check_scores(ranks, where, "rank")
    scores = [None if rank is None else -rank for rank in ranks]
    reading = Reading(NEMO.name, (column,), "completions.completion and rank", "")
    return Result(_rows(prompt, responses, scores, pairing), reading)


def _read_stack_exchange(row: Values, where: str, pairing: str) -> Result:
    prompt = asked(row, where, "question")
    responses = [as_response(item.get("text"), "answers.text", where) for item in row["answers"]]
    scores = [score_of(item["pm_score"]) for item in row["answers"]]
    _check_scores(scores, where, "pm_score")
    reading = Reading(STACK_EXCHANGE.name, ("question",), "answers.text and pm_score", "")
    return Result(_rows(prompt, responses, scores, pairing), reading)


def _nemo(row: Values) -> bool:
    context = row.get("context", row.get("prompt"))
    return _objects(row, "completions", "completion") and (is_messages(context) or isinstance(context, str))


def _has_objects(column: str, key: str, *names: str) -> Callable[[Values], bool]:
    return lambda row: _objects(row, column, key) and all(row.get(name) is not None for name in names)


ULTRAFEEDBACK = Shape(
    "UltraFeedback",
    ("instruction", "completions"),
    _has_objects("completions", "response", "instruction"),
    _read_ultrafeedback,
    {
        "instruction": "Why is the sky blue?",
        "completions": [
            {"model": "a", "response": SKY, "overall_score": 9.0},
            {"model": "b", "response": SEA, "overall_score": 3.0},
        ],
    },
    f"The instruction becomes a user message. {RANKED} Without `overall_score` the mean of the ratings is the score.",
    "openbmb/UltraFeedback",
)
DISTILABEL = Shape(
    "distilabel generations and ratings",
    ("instruction", "generations", "ratings"),
    _distilabel,
    _read_distilabel,
    {"instruction": "Why is the sky blue?", "generations": [SKY, SEA], "ratings": [5, 1]},
    f"The instruction, or `input`, becomes a user message; `prompt` stays plain text. The lists may also be named "
    f"`responses` and `scores` or `rewards`. {RANKED}",
)
NECTAR = Shape(
    "Nectar",
    ("prompt", "answers"),
    _has_objects("answers", "rank", "prompt"),
    _read_nectar,
    {
        "prompt": "\n\nHuman: Why is the sky blue?\n\nAssistant: ",
        "answers": [{"answer": SKY, "model": "a", "rank": 1}, {"answer": SEA, "model": "b", "rank": 2}],
    },
    f"Plain text, as in TRL. Rank 1 is the best. {RANKED}",
    "berkeley-nest/Nectar",
)
NEMO = Shape(
    "NeMo-RL",
    ("context", "completions"),
    _nemo,
    _read_nemo,
    {
        "context": [QUESTION],
        "completions": [{"rank": 0, "completion": [GOOD]}, {"rank": 1, "completion": [BAD]}],
    },
    f"The lowest rank is the best. {RANKED}",
)
STACK_EXCHANGE = Shape(
    "stack-exchange-preferences",
    ("question", "answers"),
    _has_objects("answers", "pm_score", "question"),
    _read_stack_exchange,
    {
        "question": "Why is the sky blue?",
        "answers": [
            {"answer_id": 1, "text": SKY, "pm_score": 4},
            {"answer_id": 2, "text": SEA, "pm_score": 0},
        ],
    },
    f"The question becomes a user message. {RANKED}",
    "HuggingFaceH4/stack-exchange-preferences",
)
RANKED_SHAPES = (ULTRAFEEDBACK, NEMO, NECTAR, STACK_EXCHANGE, DISTILABEL)
"""Their shapes."""
