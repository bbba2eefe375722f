"""A phrase at which probability was lost, and the pair that shows the fall best, as frozen data."""

import math
from dataclasses import dataclass
from typing import NamedTuple


class Phrase(NamedTuple):
    """A word sequence at which the chosen responses that fell lost log-prob.

    Attributes:
        text: the words, without white space at their ends.
        n_pairs: pairs that fell whose chosen response has it.
        nats: log-prob that it lost in each of them, mean, nats and not negative.
        share: share of all log-prob that these responses lost, from 0 to 1; the phrases of a diagnosis do not overlap.
        place: region of the response in which most of it was lost: opening, core, closing or end.
        rejects: other pairs whose rejected response alone has it, mean over ``n_pairs``; NaN without texts.
        chooses: other pairs whose chosen response alone has it, the same mean.
    """

    text: str
    n_pairs: int
    nats: float
    share: float
    place: str
    rejects: float
    chooses: float


@dataclass(frozen=True, slots=True)
class Example:
    """The pair that shows the fall best.

    Attributes:
        pair_id: id of the pair.
        model: SERIES/NAME of the checkpoint that it is shown at.
        lost: log-prob that the tokens of its chosen response lost, nats; tokens that gained do not offset it.
        phrase: the phrase that lost most over all pairs, or where none stands out the word that lost most in this
            pair; empty where nothing was lost.
        phrase_lost: log-prob that the phrase lost in this pair, nats; NaN without a phrase.
        repeated: whether the phrase is that of many pairs.
        first: position of the phrase's first token in the chosen response, from 0; -1 without a phrase.
        last: position of its last token.
    """

    pair_id: str
    model: str
    lost: float
    phrase: str = ""
    phrase_lost: float = math.nan
    repeated: bool = False
    first: int = -1
    last: int = -1
