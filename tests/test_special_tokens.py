"""A begin-of-text or end-of-text token more or less than the preset gives."""

import numpy as np
import pytest

from dpo_analysis.data.presets import Response
from dpo_analysis.data.special_tokens import with_special_tokens
from dpo_analysis.data.tokenization import SpecialTokenIds, TokenizedPair
from dpo_analysis.errors import InputError

BOS, EOS = 1, 2
SPECIAL = SpecialTokenIds(BOS, EOS)


def ids(*numbers):
    return np.array(numbers, dtype=np.int32)


def pair(prompt, chosen, rejected, *, special=SPECIAL):
    responses = {
        side: Response(ids(*prompt), ids(*answer), truncated=False)
        for side, answer in (("chosen", chosen), ("rejected", rejected))
    }
    return TokenizedPair(None, "0" * 16, "ok", "p", "c", "r", responses, special_ids=special)


def changed(tokenized):
    return [
        [(one.prompt_token_ids.tolist(), one.token_ids.tolist()) for one in entry.responses.values()]
        for entry in tokenized
    ]


PAIR = pair([5, 6], [7, EOS], [8, 9])
WITH_BOS = pair([BOS, 5], [7, EOS, EOS], [EOS])


@pytest.mark.parametrize(
    ("bos", "eos", "given", "expected"),
    [
        (None, None, PAIR, [([5, 6], [7, EOS]), ([5, 6], [8, 9])]),
        ("add", None, PAIR, [([BOS, 5, 6], [7, EOS]), ([BOS, 5, 6], [8, 9])]),
        ("add", None, WITH_BOS, [([BOS, BOS, 5], [7, EOS, EOS]), ([BOS, BOS, 5], [EOS])]),
        ("remove", None, WITH_BOS, [([5], [7, EOS, EOS]), ([5], [EOS])]),
        ("remove", None, PAIR, [([5, 6], [7, EOS]), ([5, 6], [8, 9])]),
        (None, "add", PAIR, [([5, 6], [7, EOS, EOS]), ([5, 6], [8, 9, EOS])]),
        (None, "remove", PAIR, [([5, 6], [7]), ([5, 6], [8, 9])]),
        (None, "remove", WITH_BOS, [([BOS, 5], [7, EOS]), ([BOS, 5], [EOS])]),
        ("add", "remove", PAIR, [([BOS, 5, 6], [7]), ([BOS, 5, 6], [8, 9])]),
    ],
)
def test_one_token_more_or_less(bos, eos, given, expected):
    assert changed(with_special_tokens([given], bos=bos, eos=eos)) == [expected]


def test_a_prompt_of_a_begin_of_text_alone_keeps_it():
    assert changed(with_special_tokens([pair([BOS], [7], [8])], bos="remove")) == [[([BOS], [7]), ([BOS], [8])]]


def test_ids_stay_int32_and_the_given_pairs_stay_as_they_are():
    before = changed([PAIR])
    (new,) = with_special_tokens([PAIR], bos="add", eos="add")
    assert {array.dtype for one in new.responses.values() for array in (one.prompt_token_ids, one.token_ids)} == {
        np.dtype(np.int32)
    }
    assert changed([PAIR]) == before


def test_pairs_that_are_not_scored_need_no_token():
    unscored = TokenizedPair(None, "0" * 16, "too_long", "p", "c", "r", {}, special_ids=SpecialTokenIds(None, None))
    assert with_special_tokens([unscored], bos="add", eos="add") == [unscored]


@pytest.mark.parametrize("name", ["bos", "eos"])
def test_a_tokenizer_without_the_token_is_refused(name):
    with pytest.raises(InputError, match=f"no {name} token in the tokenizer"):
        with_special_tokens([pair([5], [6], [7], special=SpecialTokenIds(None, None))], **{name: "add"})


@pytest.mark.parametrize("name", ["bos", "eos"])
def test_another_word_is_refused(name):
    with pytest.raises(InputError, match="there is add and remove"):
        with_special_tokens([PAIR], **{name: "twice"})
