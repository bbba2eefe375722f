"""Why the chosen reward moved, in one sentence, and how sure that is; the state of a series in two or three words."""

from typing import NamedTuple

from dpo_analysis import words
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, Diagnosis, Finding, fill_sentence
from dpo_analysis.diagnosis.ledger.bigram_counts import TRAIN_SPLIT
from dpo_analysis.diagnosis.outcome.harm import UNKNOWN
from dpo_analysis.diagnosis.outcome.public_runs import public_runs
from dpo_analysis.diagnosis.phrases.phrase import Phrase
from dpo_analysis.text.numbers import fixed, whole_percent

STATES = ("fell", "fell_in_some", "fell_from_peak", "offset", "held", "rose", "too_few")
"""fell: below the reference; fell_in_some: the mean hides a fall in some pairs; fell_from_peak: below its peak and not
below the reference; offset: below the reference from the first checkpoint on; held: within noise; rose: above the
reference; too_few: too few pairs to say."""
GRAVE_STATES = ("fell", "offset", "fell_in_some", "fell_from_peak")
LONGEST_PHRASE = 70
"""Letters of a phrase in a sentence."""
SHORTEST_PHRASE = 4
"""Bytes below which a phrase shows nothing to a reader: "the", a single Chinese character."""
LEAST_RISE_NATS = 0.1
"""Nats per response below which a mean that rose is said to have held: a tenth of a nat is a change by 10 %."""
LEAST_PAIRS = 3
"""Other pairs that must reject a phrase before it is named."""
PUSH_CAUSES, PULL_CAUSES = ("collision",), ("style_drift", "competing_answer")


class Why(NamedTuple):
    """The reason that a diagnosis gives.

    Attributes:
        sentence: the reason, in one sentence.
        sure: how sure it is, in a few words; empty where nothing is claimed.
        finding: the finding that it speaks of; None for none.
    """

    sentence: str
    sure: str
    finding: Finding | None


def state_of(diagnosis: Diagnosis) -> str:
    """Return what the chosen responses of a series did: one of ``STATES``."""
    fall = diagnosis.fall
    if diagnosis.answer.kind == "too_few":
        return "too_few"
    if fall.hidden:
        return "fell_in_some"
    if fall.kind == "below_peak" and not diagnosis.numbers:
        return "held"
    if fall.kind == "none" and fall.drop < LEAST_RISE_NATS:
        return "held"
    by_kind = {"below_start": "fell", "below_peak": "fell_from_peak", "offset": "offset", "noise": "held"}
    return by_kind.get(fall.kind, "rose" if fall.low > 0 else "held")


def state_sentence(diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return what the chosen responses of a series did, and since which step where they fell."""
    found, since = state_of(diagnosis), diagnosis.fall.from_step
    text = words.text(f"diagnosis.state.{found}", lang)
    seen_before = since is not None and since != diagnosis.fall.last_step
    if found not in ("fell", "fell_from_peak") or not seen_before:
        return text
    return words.text("diagnosis.state.since", lang, state=text, step=since)


def why(diagnosis: Diagnosis, lang: str = "en") -> Why:
    """Return the reason that a diagnosis gives, with the words of the run's texts that show it."""
    kind = diagnosis.answer.kind
    findings = [finding for finding in diagnosis.findings if finding.cause != "unexplained"]
    likely = [finding for finding in findings if finding.verdict == LIKELY]
    possible = [finding for finding in findings if finding.verdict == POSSIBLE]
    if kind == "cause" and likely:
        return _named("diagnosis.why.cause", likely[0], diagnosis, lang)
    if kind == "cannot_tell" and possible:
        return _named("diagnosis.why.possible", possible[0], diagnosis, lang)
    if kind == "setup" and likely:
        return Why(likely[0].sentence(lang), how_sure(likely[0], diagnosis, lang), likely[0])
    sure = words.text(f"diagnosis.sure.{kind}", lang) if kind in ("memorised", "ordinary_fall") else ""
    return Why(diagnosis.answer.sentence(lang), sure, None)


def why_sentence(diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return the reason that a diagnosis gives, in one sentence, without how sure it is."""
    return why(diagnosis, lang).sentence


def how_sure(finding: Finding, diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return how sure a finding is: its verdict, how it is known, where it was read, and what stays unexplained."""
    verdict = words.text(f"diagnosis.verdict.{finding.verdict}", lang)
    parts = [verdict, words.text(f"diagnosis.certainty.{finding.certainty}", lang)]
    if diagnosis.numbers_shown and diagnosis.numbers_shown["lost"]:
        part = whole_percent(diagnosis.numbers["lost"] / diagnosis.numbers_shown["lost"])
        model = diagnosis.checkpoint_used.partition("/")[2]
        parts.append(words.text("diagnosis.sure.read", lang, part=part, model=model))
    if diagnosis.shares:
        share = whole_percent(diagnosis.shares["unexplained"].share)
        parts.append(words.text("diagnosis.sure.unexplained", lang, share=share))
    return " · ".join(parts)


def normal_sentence(diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return how public DPO runs ended beside how far this run fell; empty where the chosen reward did not fall.

    The ratio is the change of the chosen reward over that of the rejected reward, at the last checkpoint.
    """
    chosen, rejected = (diagnosis.at_end[f"{side}_reward"] for side in ("chosen", "rejected"))
    if not chosen < 0 or state_of(diagnosis) == "too_few":
        return ""
    public = public_runs()
    values = {"below": public.n_below, "n": public.n_runs, "median": fixed(public.median_ratio)}
    values["series"] = diagnosis.series
    if not rejected < 0:
        return words.text("diagnosis.normal.rejected_rose", lang, **values)
    ratio = chosen / rejected
    compared = words.text(f"diagnosis.normal.{'milder' if ratio <= public.median_ratio else 'harder'}", lang)
    return words.text("diagnosis.normal", lang, ratio=fixed(ratio), compared=compared, **values)


def harm_sentence(diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return whether the change of the checkpoint shown is harmful; empty where this cannot be told."""
    if diagnosis.harm.verdict == UNKNOWN:
        return ""
    harm = diagnosis.harm.sentence(lang)
    if state_of(diagnosis) != "too_few":
        return harm
    return words.text("diagnosis.harm.few", lang, n=diagnosis.fall.n_pairs, harm=harm)


def advice_sentence(diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return what people change about the cause that ``why`` speaks of, with its source, else what to do next."""
    finding = why(diagnosis, lang).finding
    if finding is None or not finding.advice:
        key = f"diagnosis.next.{diagnosis.answer.kind}"
        return words.text(key, lang) if key in words.catalogue(lang) else ""
    advice = fill_sentence(finding.advice, finding.values, lang)
    text = with_source(advice, finding, lang)
    return words.text("console.labelled", lang, label=words.text("diagnosis.advice", lang), text=text)


def with_source(advice: str, finding: Finding, lang: str = "en") -> str:
    """Return an advice with the paper that it comes from in brackets; the advice alone where there is none."""
    if not (advice and finding.source):
        return advice
    return words.text("diagnosis.in_brackets", lang, text=advice, note=finding.source)


def phrase_of(finding: Finding, diagnosis: Diagnosis) -> Phrase | None:
    """Return the phrase that shows a finding; None where no phrase does.

    Of a push the phrase with the largest loss, weighed by how much more other pairs reject it than they choose it; of
    every other cause the phrase that lost most, at the cause's place if there is one. Both are those of the checkpoint
    that the causes were read at.
    """
    phrases = diagnosis.phrases_used or diagnosis.phrases
    if finding.cause in PUSH_CAUSES:
        rejected = [phrase for phrase in phrases if phrase.rejects > phrase.chooses and phrase.rejects >= LEAST_PAIRS]
        return max(rejected, key=lambda phrase: phrase.share * _excess(phrase), default=None)
    if finding.cause not in (*PULL_CAUSES, "same_rejected", "length_or_eos"):
        return None
    phrases = [phrase for phrase in phrases if len(phrase.text.encode()) >= SHORTEST_PHRASE]
    at_place = [phrase for phrase in phrases if phrase.place == finding.where]
    return next(iter(at_place or phrases), None)


def _excess(phrase: Phrase) -> float:
    """Return how much more other pairs reject a phrase than they choose it, from -1 to 1; few pairs count less."""
    return (phrase.rejects - phrase.chooses) / (phrase.rejects + phrase.chooses + LEAST_PAIRS)


def counts_training_pairs(diagnosis: Diagnosis) -> bool:
    """Return whether the pairs whose texts are counted are the training pairs, and the pairs that fell are not."""
    return diagnosis.counted_split == TRAIN_SPLIT != diagnosis.split


def short_phrase(text: str) -> str:
    """Return a phrase as a sentence shows it, cut behind a word where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_PHRASE else f"{line[: LONGEST_PHRASE - 1].rstrip()}…"


def _named(key: str, finding: Finding, diagnosis: Diagnosis, lang: str) -> Why:
    cause = words.text(f"diagnosis.cause.{finding.cause}", lang)
    if key == "diagnosis.why.possible" and lang == "en":
        cause = cause[:1].lower() + cause[1:]
    sentence = words.text(key, lang, cause=cause, evidence=_evidence(finding, diagnosis, lang))
    return Why(sentence, how_sure(finding, diagnosis, lang), finding)


def _evidence(finding: Finding, diagnosis: Diagnosis, lang: str) -> str:
    """Return the words of the run's texts that show a finding, as the end of a sentence; empty where none do."""
    phrase = phrase_of(finding, diagnosis)
    if phrase is None:
        return ""
    values = {"phrase": short_phrase(phrase.text)}
    values |= {"rejects": f"{phrase.rejects:.0f}", "chooses": f"{phrase.chooses:.0f}"}
    if finding.cause in PUSH_CAUSES:
        of_training = ".train" if counts_training_pairs(diagnosis) else ""
        return words.text(f"diagnosis.why.rejected{of_training}", lang, **values)
    if finding.cause in PULL_CAUSES and diagnosis.moved_to:
        return words.text("diagnosis.why.moved", lang, gained=short_phrase(diagnosis.moved_to), **values)
    return words.text("diagnosis.why.lost", lang, **values)
