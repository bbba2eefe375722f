"""Phrases: words from tokens, the longest repeats against brute force, what a phrase lost and who rejects it."""

import itertools
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis import schema
from dpo_analysis.arrays.texts import pair_texts
from dpo_analysis.arrays.vocabulary import Vocabulary, read_vocabulary
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.diagnosis import diagnose
from dpo_analysis.diagnosis.ledger.bigram_counts import BigramCounts
from dpo_analysis.diagnosis.ledger.reader import read_ledger
from dpo_analysis.diagnosis.phrases.phrases import phrase_places
from dpo_analysis.diagnosis.phrases.repeats import KEPT_BY_LONGER, LONGEST_PHRASE, find_repeats
from dpo_analysis.diagnosis.phrases.replacement import find_replacement
from dpo_analysis.diagnosis.phrases.response_words import response_words
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.runs import open_run

SENTENCE = "Is there anything else I can help you with?"


def vocabulary(*pieces: str | bytes) -> Vocabulary:
    contents = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    columns = {"token_id": range(len(contents)), "bytes": contents, "special": [False] * len(contents)}
    return Vocabulary(pa.table({name: pa.array(list(values)) for name, values in columns.items()}, schema.VOCAB_SCHEMA))


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([" good", " mor", "ning", "!"], [" good", " morning!"]),
        (["one", "\n", "two"], ["one\n", "two"]),
        (["a", " ", "b"], ["a", " b"]),
        ([b"\xe4\xbd", b"\xa0", "好", "a"], ["你", "好", "a"]),
        ([" caf", b"\xc3", b"\xa9", "s"], [" cafés"]),
    ],
)
def test_words_are_whole_whatever_the_tokens(pieces, words):
    ids = np.arange(len(pieces))
    found = response_words(vocabulary(*pieces), np.array([len(pieces)]), ids)
    contents = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    joined = [b"".join(contents[a:b]).decode() for a, b in zip(found.start, found.stop, strict=True)]
    assert joined == words


def test_words_with_equal_tokens_have_equal_numbers_in_every_response():
    known = vocabulary(" so", " he", "ard", " it")
    ids = np.array([0, 1, 2, 3, 1, 2, 3, 1])
    found = response_words(known, np.array([4, 4]), ids)
    assert found.pair.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.codes[1] == found.codes[3], "' heard' in both"
    assert found.codes[2] == found.codes[4], "' it' in both"
    assert found.codes[5] not in found.codes[:5], "' he' alone is a word of its own"


def slow_repeats(responses, least):
    """The repeats by counting every sequence of every length."""
    pairs_with = Counter()
    for length in range(1, LONGEST_PHRASE + 1):
        for response in responses:
            grams = {tuple(response[start : start + length]) for start in range(len(response) - length + 1)}
            pairs_with.update(grams)
    enough = {gram: count for gram, count in pairs_with.items() if count >= least}
    found = {}
    for gram, count in enough.items():
        around = []
        for response in responses:
            for start in range(len(response) - len(gram) + 1):
                if tuple(response[start : start + len(gram)]) != gram:
                    continue
                wider = [response[start - 1 : start + len(gram)]] if start else []
                if start + len(gram) < len(response):
                    wider.append(response[start : start + len(gram) + 1])
                around.append(max((enough.get(tuple(one), 0) for one in wider), default=0))
        if int(np.median(around)) < KEPT_BY_LONGER * count:
            found[gram] = count
    return found


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=7), min_size=2, max_size=8), st.integers(2, 3))
def test_repeats_are_those_that_counting_finds(responses, least):
    codes = np.array(list(itertools.chain(*responses)))
    pair = np.repeat(np.arange(len(responses)), [len(response) for response in responses])
    found = find_repeats(codes, pair, least)
    grams = {tuple(codes[one.starts[0] : one.starts[0] + one.n_words].tolist()): one.n_pairs for one in found}
    assert grams == slow_repeats(responses, least)


@pytest.fixture(scope="module")
def sample():
    return open_run(sample_run())


@pytest.fixture(scope="module")
def strong(sample):
    return diagnose(sample, series="strong")


def test_the_sample_shows_the_sentence_that_annotators_are_tired_of(strong):
    first = strong.phrases[0]
    assert (first.text, first.place) == (SENTENCE, "closing")
    assert strong.phrases_used[0].text == SENTENCE


def test_the_phrase_is_counted_as_a_search_in_the_texts_counts_it(sample, strong):
    train = sample.pairs(columns=["pair_id", "split"]).to_pandas()
    texts = pair_texts(sample, train[train["split"] == "train"]["pair_id"].tolist())
    chosen, rejected = (texts[side].str.contains(SENTENCE, regex=False) for side in ("chosen", "rejected"))
    first = strong.phrases[0]
    assert first.rejects == (rejected & ~chosen).sum()
    assert first.chooses == (chosen & ~rejected).sum()


def test_a_phrase_lost_what_its_tokens_lost_and_no_token_counts_twice(sample, strong):
    log_ratios = SeriesLogRatios(sample, "strong", "eval")
    ledger = read_ledger(sample, log_ratios, len(log_ratios.models) - 1, BigramCounts(sample, "train", "eval"))
    ledger = ledger or read_ledger(
        sample, log_ratios, len(log_ratios.models) - 1, BigramCounts(sample, "train", "eval"), without_evidence=True
    )
    places, counted = phrase_places(read_vocabulary(sample), ledger), np.zeros(len(ledger.tokens.pair), dtype=int)
    for place, phrase in zip(places, strong.phrases, strict=True):
        lost = 0.0
        for first, stop in zip(place.first, place.stop, strict=True):
            free = counted[first:stop] == 0
            lost += float(ledger.tokens.lost[first:stop][free].sum())
            counted[first:stop] = 1
        assert lost == pytest.approx(place.lost.sum())
        assert phrase.share == pytest.approx(lost / ledger.tokens.lost.sum())
    assert sum(phrase.share for phrase in strong.phrases) < 1


def test_the_example_has_the_phrase_at_its_positions(sample, strong):
    example = strong.example
    text = pair_texts(sample, [example.pair_id])["chosen"].iloc[0]
    assert SENTENCE in text
    assert example.phrase == SENTENCE
    assert 0 < example.phrase_lost <= example.lost
    assert 0 <= example.first < example.last


def test_a_series_in_which_nothing_fell_has_no_phrase(sample):
    found = diagnose(sample, series="gentle")
    assert found.phrases == found.phrases_used == []
    assert found.example is None


def test_what_the_model_moved_to_are_whole_words_of_chosen_responses(sample):
    log_ratios = SeriesLogRatios(sample, "strong", "eval")
    counts = BigramCounts(sample, "train", "eval")
    ledger = read_ledger(sample, log_ratios, 0, counts)
    assert ledger is not None
    found = find_replacement(sample, ledger, "closing")
    assert found
    assert "<|" not in found
    train = sample.pairs(columns=["pair_id", "split"]).to_pandas()
    texts = pair_texts(sample, train[train["split"] == "train"]["pair_id"].tolist())
    chosen, rejected = (texts[side].str.contains(found, regex=False).sum() for side in ("chosen", "rejected"))
    assert chosen > rejected, "other pairs choose it"


def test_bigrams_with_parts_of_characters_are_left_out(sample):
    found = [diagnose(sample, series=name) for name in ("strong", "lora")]
    changes = [change for one in found for change in one.patterns]
    assert changes
    assert not any("\\x" in change.before + change.token for change in changes)
