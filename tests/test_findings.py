"""What findings say: every number has its unit, and every word of art stands in the glossary."""

import re
import string

import pytest

from dpo_analysis.diagnosis.causes import every_cause
from dpo_analysis.report import glossary
from dpo_analysis.words import LANGUAGES, catalogue, text

SHARES = {"end", "first", "share", "pushed", "pulled", "unexplained", "low", "high", "data", "longer", "pairs",
          "no_data", "worst", "turned", "turned_pairs",
          "accuracy", "ranking_accuracy",
          "wrong", "opposed", "opposed_right", "train", "held_out", "slip", "calm", "broke", "entropy",
          "part", "place_share", "fell_share", "weight"}  # fmt: skip
"""Values that bring their percent sign along."""
TEXT = {"place", "option", "n_tried", "checks", "since", "model", "causes", "split", "step", "n", "passed", "loss",
        "name", "parts",
        "cause", "recipient", "identical", "same", "tokens", "fell", "least", "needed", "below", "of", "rate",
        "series", "models", "used", "shown", "went", "far", "checks_failed", "fallen", "fallen_read", "least_read",
        "groups", "beta", "fitted", "phrase", "gained", "evidence", "rejects", "chooses",
        "state", "compared", "harm", "text", "note"}  # fmt: skip
"""Names, counts (whose noun stands behind them), and the loss and beta, which have no unit."""
AS_METRIC = {"metric", "logged", "recomputed", "difference", "reach"}
"""A metric, and values that stand behind its name and have its unit."""
DISTANCES = {"edit", "typical"}
RATIOS = {"both", "times", "surprise", "ratio", "median"}
TERMS = {
    "nats per pair were lost": "lost", "lost log-prob": "lost_share",
    "rejected in other pairs": "pushed", "chosen in other pairs": "pulled",
    "found in none of your texts": "no_data", "beginning": "place", "middle": "place", "ending": "place",
    "end-of-text token": "place", "near copies": "near", "edit distance": "near",
    "credit_z": "credit", "scoring noise": "noise", "margin": "margin", "accuracy": "accuracy",
    "chosen reward": "reward", "log-prob": "logp", "correlation only": "correlation",
    "tested by moving the weights": "tested", "arithmetic": "certainty", "exact split": "certainty",
    "comparison of two numbers": "certainty", "pairs that fell": "fell", "drop": "lost", "not explained": "unexplained",
    "phrase": "phrase",
}  # fmt: skip
PROBES = ("diagnosis.probe.", "diagnosis.signal.")
SAID = sorted(key for key in catalogue() if key.startswith("diagnosis.") and not key.startswith(PROBES))
PER_RESPONSE = {"chosen", "rejected", "train_change", "change"}
"""Mean changes of both sides, of which the last in a sentence has the unit of all."""
PER_TOKEN = {"hard", "gap", "per_token"}
NATS = {
    "drop",
    "gain",
    "near",
    "lost",
    "rise",
    "clear",
    "most",
    "margin",
    "lost_read",
    "lost_shown",
    "nats",
    "broke_nats",
}
REWARDS = {"chosen_reward", "rejected_reward"}
DEVIATIONS = {"z", "limit"}
MIXED = {"chance": {"artefact": r" nats\.$", "limit": r"\.$"}}
"""Values whose unit depends on the cause: nats of a token, or a share that brings its percent sign along."""
KNOWN = [SHARES, TEXT, AS_METRIC, DISTANCES, RATIOS, PER_RESPONSE, PER_TOKEN, NATS, REWARDS, DEVIATIONS, {"x"}, MIXED]


def behind(sentence):
    """Every field of a sentence with the text that follows it."""
    pieces = list(string.Formatter().parse(sentence))
    for (_, field, _, _), (following, *_) in zip(pieces, [*pieces[1:], ("", None, None, None)], strict=True):
        if field:
            yield field, following


@pytest.mark.parametrize("key", SAID)
def test_every_number_in_a_sentence_is_followed_by_its_unit(key):
    for field, following in behind(text(key)):
        assert any(field in fields for fields in KNOWN), f"{field} has no unit known to this test"
        if field in NATS:
            assert re.match(r" (nats|β × nats|\(β × nats\))", following), (field, following)
        if field in PER_TOKEN:
            assert following.startswith(" nats per token")
        if field in PER_RESPONSE:
            assert " nats" in text(key).partition(f"{{{field}}}")[2]
        if field in AS_METRIC:
            assert "{metric}" in text(key)
        if field in DISTANCES:
            assert f"edit distance {{{field}}}" in re.sub(r"(edit distance) is", r"\1", text(key))
        if field in REWARDS:
            assert "β × nats" in text(key)
        if field == "x":
            assert following.startswith(", from −1 to 1")
        if field in DEVIATIONS:
            assert following.startswith(" standard deviations")
        if field in RATIOS:
            assert re.search(r" times\b", following)
        if field in MIXED:
            assert re.match(MIXED[field][key.split(".")[1]], following), (field, following)


def test_nats_of_a_curve_are_per_response_and_those_of_a_gain_per_token():
    for key in SAID:
        for field, following in behind(text(key)):
            assert field != "rise" or following.startswith(" nats per response"), key
            assert (
                field != "gain"
                or following.startswith(" nats per token")
                or key.endswith(("eos.gained", "nothing_fell"))
            ), key


def test_a_probe_says_its_units():
    units = {
        "kept": " of the probability", "own": " nats per pair", "high": ".", "low": " to ",
        "n": " pairs", "same": " of ", "chosen": " nats per pair", "model": " ",
    }  # fmt: skip
    for key in (key for key in catalogue() if key.startswith("diagnosis.probe.")):
        for field, following in behind(text(key)):
            assert following.startswith(units[field]), (key, field, following)


@pytest.mark.parametrize("field", ["n"])
def test_every_count_has_its_noun(field):
    for key in SAID:
        for name, following in behind(text(key)):
            assert name != field or re.match(r" (pairs|public DPO runs|values in (its|the) log|of $)", following), key


def test_every_word_of_art_stands_in_the_glossary():
    sentences = " ".join(text(key) for key in SAID)
    for words, term in TERMS.items():
        assert words in sentences, f"no sentence says {words!r} any more"
        if term is not None:
            assert term in glossary.TERMS
    for term in glossary.TERMS:
        for end in ("", ".formula", ".meaning"):
            assert all(f"details.term.{term}{end}" in catalogue(lang) for lang in LANGUAGES)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_cause_stands_in_the_glossary_with_the_numbers_of_its_rule(lang):
    found = {one.name: one for one in glossary.glossary(lang)}
    for cause in every_cause():
        term = found[text(f"diagnosis.cause.{cause}", lang)]
        assert "{" not in "".join(term)
    assert "0.22" in found[text("diagnosis.cause.near_identical", lang)].formula
