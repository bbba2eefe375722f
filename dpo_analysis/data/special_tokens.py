"""Begin-of-text and end-of-text tokens that a trainer added, or left out, against the preset of its tokenization."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from dpo_analysis.data.presets import Response
from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.errors import InputError

CHANGES = ("add", "remove")
"""What may be done with a begin-of-text or an end-of-text token."""


def with_special_tokens(
    tokenized: Iterable[TokenizedPair], *, bos: str | None = None, eos: str | None = None
) -> list[TokenizedPair]:
    """Return the pairs with one begin-of-text token more or less per prompt, and one end-of-text token per response.

    Args:
        tokenized: pairs of ``tokenize_pairs``, after truncation.
        bos: ``add`` puts the tokenizer's token in front of every prompt, ``remove`` takes it away where it is there;
            None changes nothing.
        eos: the same for the last token of every response.

    Raises:
        InputError: another word, or the tokenizer has no such token.
    """
    pairs = list(tokenized)
    for name, change in (("bos", bos), ("eos", eos)):
        if change is not None and change not in CHANGES:
            raise InputError(f"unknown --{name} {change!r}: there is {' and '.join(CHANGES)}; give one of them")
        ids = {getattr(pair.special_ids, name) for pair in pairs if pair.responses}
        if change is not None and None in ids:
            raise InputError(f"no {name} token in the tokenizer: --{name} {change} needs one; leave it out")
    if bos is None and eos is None:
        return pairs
    return [
        replace(pair, responses={side: _changed(one, pair, bos, eos) for side, one in pair.responses.items()})
        for pair in pairs
    ]


def _changed(response: Response, pair: TokenizedPair, bos: str | None, eos: str | None) -> Response:
    prompt, answer = response.prompt_token_ids, response.token_ids
    begin, end = pair.special_ids
    if bos == "add":
        prompt = np.concatenate([np.array([begin], dtype=np.int32), prompt])
    # a prompt and a response keep at least one token: without one nothing can be scored
    if bos == "remove" and len(prompt) > 1 and prompt[0] == begin:
        prompt = prompt[1:]
    if eos == "add":
        answer = np.concatenate([answer, np.array([end], dtype=np.int32)])
    if eos == "remove" and len(answer) > 1 and answer[-1] == end:
        answer = answer[:-1]
    return replace(response, prompt_token_ids=prompt, token_ids=answer)
