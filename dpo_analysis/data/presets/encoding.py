"""What a preset returns for a pair: its texts, and the token ids of prompt and responses, cut as its trainer cuts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.data.pairs import Pair
from dpo_analysis.schema import SIDES


class PresetSettings(NamedTuple):
    """The trainer's settings that decide how a row becomes token ids.

    Attributes:
        max_length: longest prompt + response in tokens; None cuts nothing.
        truncation: one of ``TRUNCATIONS``; presets whose trainer has no choice ignore it.
        max_prompt_length: longest prompt in tokens, for trainers with such a limit; None sets none.
        max_completion_length: longest response in tokens, for trainers with such a limit; None sets none.
        template: the trainer's name of a chat template; None for the tokenizer's chat template.
    """

    max_length: int | None = 1024
    truncation: str = "keep_start"
    max_prompt_length: int | None = None
    max_completion_length: int | None = None
    template: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """Token ids of a response and of the prompt that conditions it.

    Attributes:
        prompt_token_ids: int32, shape (prompt tokens,); at least one id, since nothing scores a sequence's first token.
        token_ids: int32, shape (response tokens,), with end-of-text where there is one; at least one id, all scored.
        truncated: whether prompt + response was longer than a limit and was cut.
    """

    prompt_token_ids: np.ndarray
    token_ids: np.ndarray
    truncated: bool


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """Texts and token ids of a pair, cut to length; or the status for which it is not scored.

    Attributes:
        prompt: the text in front of both responses.
        chosen: the text of the chosen response.
        rejected: the text of the rejected response.
        responses: side -> Response; empty with a problem.
        prompt_ids: int32 ids of the whole prompt, shape (tokens,), which pairs of the same prompt share; None where it
            was not tokenised.
        problem: empty, or a status of ``schema.NOT_SCORED``.
        reason: a sentence that explains ``problem``.
        border_shift: prompt tokens that count as response, because they change when the response follows.
    """

    prompt: str
    chosen: str
    rejected: str
    responses: dict[str, Response] = field(default_factory=dict)
    prompt_ids: np.ndarray | None = None
    problem: str = ""
    reason: str = ""
    border_shift: int = 0


Preset = Callable[[Sequence[Pair], Any, PresetSettings], list[EncodedPair]]
"""A function of pairs, tokenizer and settings, that encodes the pairs in their order."""


class CutSide(NamedTuple):
    """Ids of prompt and response, int32 of shape (tokens,) each, after the trainer's cuts, and whether any was cut."""

    prompt: np.ndarray
    response: np.ndarray
    truncated: bool


def encoded_pair(
    texts: tuple[str, str, str], prompt_ids: np.ndarray, sides: Sequence[CutSide], *, border_shift: int = 0
) -> EncodedPair:
    """Return the pair of texts (prompt, chosen, rejected), with ids of the chosen and of the rejected side.

    A sequence's first token is never scored, so it is context even when no prompt is left. A pair is ``too_long``
    where a limit leaves no token of a response, and ``empty`` where nothing was cut and there is none.
    """
    responses = {side: _response(cut) for side, cut in zip(SIDES, sides, strict=True)}
    without = [side for side, response in responses.items() if len(response.token_ids) == 0]
    if not without:
        return EncodedPair(*texts, responses, prompt_ids, border_shift=border_shift)
    if responses[without[0]].truncated:
        problem, reason = "too_long", f"the trainer's limits leave no token of the {without[0]} response"
    else:
        problem, reason = "empty", "no token is left to score"
    return EncodedPair(*texts, {}, prompt_ids, problem, reason, border_shift)


def _response(side: CutSide) -> Response:
    ids = np.concatenate([side.prompt, side.response]).astype(np.int32)
    border = max(len(side.prompt), 1)
    return Response(ids[:border], ids[border:], side.truncated)
