"""The result of a diagnosis as frozen data, from which sentences are made on demand."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from dpo_analysis import words
from dpo_analysis.diagnosis.phrases.phrase import Example, Phrase

FALL_KINDS = ("below_start", "below_peak", "offset", "noise", "none")
"""below_start: below the reference; below_peak: below the series' own highest checkpoint; offset: already below the
reference at the first checkpoint and not lower since; noise: within the noise floor; none: no fall."""
LIKELY, POSSIBLE, UNLIKELY, CANNOT_TELL = "likely", "possible", "unlikely", "cannot tell"
VERDICTS = (LIKELY, POSSIBLE, CANNOT_TELL, UNLIKELY)
CERTAINTIES = ("identity", "decomposition", "association", "intervention", "comparison")
"""How a finding is known. identity: it is arithmetic; decomposition: it is one of several parts that add up to the
whole; association: it occurs together with the fall; intervention: something was changed, and the effect measured;
comparison: numbers that should agree, of two samples or of a sample and a threshold, do not."""


@dataclass(frozen=True, slots=True)
class Fall:
    """Whether the chosen responses of one series fell, since when and how far.

    Attributes:
        kind: one of ``FALL_KINDS``.
        baseline_step: the step that the change is measured from; 0 for the reference, None where it has no step.
        from_step: for below_start and offset the first step from which the mean stays below; for below_peak the peak.
        last_step: the step that the change is measured at.
        drop: mean change of a chosen response's log-prob since the baseline, nats per pair; negative is a fall.
        low: lower end of its 95 % interval over groups, nats per pair.
        high: upper end.
        unit: unit of drop, low, high and lost.
        share_of_pairs: share of the pairs that fell by more than the noise floor since the baseline.
        lost: mean over all pairs of max(0, -change), nats per pair: pairs that rose do not offset pairs that fell.
        worst_tenth: share of ``lost`` in the tenth of the pairs that lost most.
        hidden: the mean does not fall although ``lost`` is an established decline, because few pairs lost it.
        n_pairs: pairs with a finite change.
    """

    kind: str
    baseline_step: int | None
    from_step: int | None
    last_step: int | None
    drop: float
    low: float
    high: float
    unit: str
    share_of_pairs: float
    lost: float
    worst_tenth: float
    hidden: bool
    n_pairs: int


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the lost log-prob, from 0 to 1, with its 95 % interval over groups."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ExampleToken:
    """A token that shows a finding: pair, side and position in the response, from 0."""

    pair_id: str
    side: str
    position: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of an intervention or a probe, as the key of a sentence in ``words`` and the values in it."""

    key: str
    values: Mapping[str, str]

    def sentence(self, lang: str = "en") -> str:
        """Return what was done and what it showed, in one sentence."""
        return fill_sentence(self.key, self.values, lang)


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause and what the run says about it.

    Attributes:
        cause: name of the cause, which is ``diagnosis.cause.<cause>`` in ``words``.
        verdict: one of ``VERDICTS``.
        certainty: one of ``CERTAINTIES``.
        where: region of the response: opening, core, closing or end; empty where the cause has no region.
        share: share of the lost log-prob that the cause accounts for; NaN where that has no meaning.
        low: lower end of the share's 95 % interval over groups.
        high: upper end.
        unit: unit of share, low and high.
        key: key of the finding's sentence in ``words``.
        values: numbers and names in the sentence and in the counter-evidence, as text.
        pairs: ids of pairs that show the finding, the clearest first.
        tokens: tokens that show it.
        counter: keys of the sentences with counter-evidence.
        advice: key of the sentence with the usual remedy; empty for none.
        source: the paper or module that signature and advice come from.
        measured: what ``score --confirm`` showed about the group that this cause blames; None where it was not run.
    """

    cause: str
    verdict: str
    certainty: str
    where: str = ""
    share: float = math.nan
    low: float = math.nan
    high: float = math.nan
    unit: str = "share"
    key: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    pairs: tuple[str, ...] = ()
    tokens: tuple[ExampleToken, ...] = ()
    counter: tuple[str, ...] = ()
    advice: str = ""
    source: str = ""
    measured: Measurement | None = None

    def sentence(self, lang: str = "en") -> str:
        """Return the finding in one sentence."""
        return fill_sentence(self.key, self.values, lang)

    def against(self, lang: str = "en") -> list[str]:
        """Return the counter-evidence, one sentence each."""
        return [fill_sentence(key, self.values, lang) for key in self.counter]

    def __str__(self) -> str:
        """Return the verdict and the sentence."""
        return f"{self.verdict}: {self.sentence()}"


class BigramChange(NamedTuple):
    """A bigram, a token behind its previous token, where chosen responses lost log-prob, or gained it.

    Attributes:
        way: ``lost`` or ``gained``.
        place: region of the response in which the largest amount occurred: opening, core, closing or end.
        before: text of the previous token; empty at the start of a response.
        token: text of the token.
        n_pairs: pairs that fell in which it happened.
        nats: log-prob lost there, nats per fallen pair and not negative; for a token that gained, the nats lost at that
            position times the token's share of the probability that moved there.
        rejects: other pairs whose rejected response alone has the bigram, mean over the positions where it happened.
        chooses: other pairs whose chosen response alone has it, the same mean.
    """

    way: str
    place: str
    before: str
    token: str
    n_pairs: int
    nats: float
    rejects: float
    chooses: float


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question that this run cannot answer, and the command that would answer it; empty where there is none."""

    key: str
    values: Mapping[str, str] = field(default_factory=dict)
    command: str = ""

    def question(self, lang: str = "en") -> str:
        """Return the question in words."""
        return fill_sentence(self.key, self.values, lang)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run shows, in one sentence.

    Attributes:
        kind: one of ``outcome.answer.ANSWERS``.
        key: key of the sentence in ``words``.
        values: numbers and names in the sentence, as text; a value may be a key of ``words`` itself.
    """

    kind: str
    key: str
    values: Mapping[str, str] = field(default_factory=dict)

    def sentence(self, lang: str = "en") -> str:
        """Return the answer in words."""
        return fill_sentence(self.key, self.values, lang)


@dataclass(frozen=True, slots=True)
class Harm:
    """Whether the change of a checkpoint is harmful.

    Attributes:
        verdict: one of ``outcome.harm.HARM_VERDICTS``.
        score: from 0 to 1; larger is more harmful; NaN where nothing is known.
        key: key of the sentence in ``words``.
        values: numbers in the sentence, as text.
        numbers: ``outcome.harm_signs.HarmSigns``, by name.
        signs: names of the signs of damage that are present.
    """

    verdict: str
    score: float
    key: str
    values: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    signs: tuple[str, ...] = ()

    def sentence(self, lang: str = "en") -> str:
        """Return the verdict in words."""
        return fill_sentence(self.key, self.values, lang)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The diagnosis of one series on one split; iterating over it yields its findings, the gravest verdict first.

    Attributes:
        series: name of the series.
        split: split of the pairs.
        fall: whether and how far the chosen responses fell.
        checkpoint_used: SERIES/NAME of the checkpoint that the ledger was read at; empty for none.
        checkpoint_shown: SERIES/NAME of the checkpoint that the fall is measured at.
        answer: what the run shows, in one sentence.
        harm: whether what the checkpoint shown lost is harmful.
        shares: parts of the lost log-prob, by the names in ``ledger.SHARES``; they add up to 1. Empty without evidence.
        shares_shown: the same at the checkpoint shown; empty where it is the checkpoint used.
        findings: the findings of every cause, the gravest verdict first.
        open: the questions that stay open.
        numbers: ``FallStatistics``, by name; empty where no decline is established.
        numbers_shown: the same at the checkpoint shown; empty where it is the checkpoint used.
        at_end: metrics of the last checkpoint, by name.
        probes: results of the last checkpoint's probes; empty where none were made.
        patterns: the bigrams that lost most and those that gained most; empty without a ledger.
        phrases: the phrases that lost most at the checkpoint shown, the largest loss first; empty without tokens.
        phrases_used: the same at the checkpoint used; empty where it is the checkpoint shown.
        counted_split: split of the pairs whose texts the ledger and the phrases count; empty where nothing was counted.
        example: the pair that shows the fall best at the checkpoint shown; None without tokens.
        moved_to: words of other pairs' chosen responses that took probability at the place of the first cause by pull;
            empty where no cause is a pull.
    """

    series: str
    split: str
    fall: Fall
    checkpoint_used: str
    checkpoint_shown: str
    answer: Answer
    harm: Harm
    shares: dict[str, Share]
    findings: list[Finding]
    open: list[OpenQuestion]
    numbers: dict[str, float]
    at_end: dict[str, float]
    probes: list[Measurement] = field(default_factory=list)
    patterns: list[BigramChange] = field(default_factory=list)
    phrases: list[Phrase] = field(default_factory=list)
    phrases_used: list[Phrase] = field(default_factory=list)
    counted_split: str = ""
    example: Example | None = None
    moved_to: str = ""
    shares_shown: dict[str, Share] = field(default_factory=dict)
    numbers_shown: dict[str, float] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Finding]:
        """Iterate over the findings."""
        return iter(self.findings)

    def __repr__(self) -> str:
        """Return series, split and the answer; everything else is in the attributes."""
        from dpo_analysis.diagnosis.outcome.notebook_card import one_line

        return one_line(self)

    def _repr_html_(self) -> str:
        """Return the card that a notebook shows."""
        from dpo_analysis.diagnosis.outcome.notebook_card import card_html

        return card_html(self)

    def _repr_markdown_(self) -> str:
        """Return the same card as Markdown."""
        from dpo_analysis.diagnosis.outcome.notebook_card import card_markdown

        return card_markdown(self)

    @property
    def named(self) -> list[Finding]:
        """The findings that are likely, without ``unexplained``."""
        return [finding for finding in self.findings if finding.verdict == LIKELY and finding.cause != "unexplained"]

    def to_json(self, lang: str = "en") -> dict[str, Any]:
        """Return everything as plain values ready for JSON; undefined numbers are None, others have six decimals."""
        return {
            "series": self.series,
            "split": self.split,
            "fall": _json_values(_field_values(self.fall)),
            "answer": {"kind": self.answer.kind, "sentence": self.answer.sentence(lang)},
            "harm": _harm_as_json(self.harm, lang),
            "checkpoint_used": self.checkpoint_used or None,
            "checkpoint_shown": self.checkpoint_shown or None,
            "shares": {name: _json_values(_field_values(share)) for name, share in self.shares.items()},
            "shares_shown": {name: _json_values(_field_values(share)) for name, share in self.shares_shown.items()},
            "findings": [_finding_as_json(finding, lang) for finding in self.findings],
            "open": [{"question": item.question(lang), "command": item.command or None} for item in self.open],
            "numbers": _json_values(self.numbers),
            "numbers_shown": _json_values(self.numbers_shown),
            "at_end": _json_values(self.at_end),
            "probes": [measurement.sentence(lang) for measurement in self.probes],
            "patterns": [_json_values(bigram._asdict()) for bigram in self.patterns],
            "phrases": [_json_values(phrase._asdict()) for phrase in self.phrases],
            "phrases_used": [_json_values(phrase._asdict()) for phrase in self.phrases_used],
            "counted_split": self.counted_split or None,
            "moved_to": self.moved_to or None,
            "example": _json_values(_field_values(self.example)) if self.example else None,
        }


def fill_sentence(key: str, values: Mapping[str, str], lang: str) -> str:
    """Return the sentence of ``key``; values that are keys of ``words`` themselves are replaced by their texts."""
    keys = words.catalogue(lang)
    texts = {name: words.text(value, lang) if value in keys else value for name, value in values.items()}
    return words.text(key, lang, **texts)


def _harm_as_json(harm: Harm, lang: str) -> dict[str, Any]:
    numbers = {"score": harm.score} | dict(harm.numbers)
    texts = {"verdict": harm.verdict, "sentence": harm.sentence(lang), "signs": list(harm.signs)}
    return texts | _json_values(numbers)


def _finding_as_json(finding: Finding, lang: str) -> dict[str, Any]:
    texts = {"sentence": finding.sentence(lang), "counter": finding.against(lang)}
    texts["advice"] = fill_sentence(finding.advice, finding.values, lang) if finding.advice else ""
    texts["measured"] = finding.measured.sentence(lang) if finding.measured else None
    examples = {"pairs": list(finding.pairs), "tokens": [_field_values(token) for token in finding.tokens]}
    return _json_values(_field_values(finding) | texts | {"values": dict(finding.values)} | examples)


def _field_values(record: Fall | Share | Finding | ExampleToken | Example) -> dict[str, Any]:
    """Return the fields of one dataclass by name, without descending into them as ``asdict`` does."""
    return {item.name: getattr(record, item.name) for item in fields(record)}


def _json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same values with None for numbers that JSON does not have, and floats rounded to six decimals."""
    return {name: _json_number(value) if isinstance(value, float) else value for name, value in values.items()}


def _json_number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
