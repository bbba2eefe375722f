"""What a diagnosis says, as frozen data: the fall, the findings, what stays open; words are put to it elsewhere."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dpo_analysis import words

KINDS = ("below_start", "below_peak", "offset", "noise", "none")
"""below_start: below the reference; below_peak: below the series' own highest checkpoint; offset: already there at the
first checkpoint and not deeper since; noise: within the noise floor; none."""
LIKELY, POSSIBLE, UNLIKELY, CANNOT_TELL = "likely", "possible", "unlikely", "cannot tell"
VERDICTS = (LIKELY, POSSIBLE, CANNOT_TELL, UNLIKELY)
CERTAINTIES = ("identity", "decomposition", "association", "intervention")
"""How it is known: by arithmetic; as a part of parts that add up; as what goes with it; by a change that was made."""


@dataclass(frozen=True, slots=True)
class Fall:
    """Whether, since when and how much the chosen responses lost.

    Attributes:
        kind: one of ``KINDS``.
        baseline_step: the step that the fall is measured from; 0 for the reference, None where it has no step.
        from_step: for below_start and offset the first step from which the mean stays below; for below_peak the peak.
        last_step: the step that it is measured at.
        drop: mean change of a chosen response's log-prob since the baseline, nats per pair; negative is a fall.
        low: lower end of its 95 % interval over groups.
        high: upper end.
        unit: of the four.
        share_of_pairs: share of the pairs that fell by more than the noise floor since the baseline.
        lost: mean over all pairs of what was lost where it was lost, max(0, -change), nats per pair.
        worst_tenth: share of ``lost`` in the tenth of the pairs that lost most.
        hidden: the mean does not fall while ``lost`` is an established decline: few pairs pay.
        n_pairs: pairs that count.
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
    """A share of the lost log-prob with its 95 % interval over groups."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Token:
    """One token that shows a finding: its pair, side and place from 0."""

    pair_id: str
    side: str
    position: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What an intervention showed, as a key of words with its values."""

    key: str
    values: Mapping[str, str]

    def sentence(self, lang: str = "en") -> str:
        """What was done and what came of it."""
        return told(self.key, self.values, lang)


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause and what the run says about it.

    Attributes:
        cause: its name: ``diagnosis.cause.<cause>`` in words.
        verdict: one of ``VERDICTS``.
        certainty: one of ``CERTAINTIES``.
        where: opening, core, closing, end, or empty where it has no place.
        share: of the lost log-prob that goes with it, with ``low`` and ``high``; NaN where that has no meaning.
        low: lower end of the 95 % interval over groups.
        high: upper end.
        unit: of the three.
        key: of its sentence in words, with ``values``.
        values: numbers and names of the sentence and of the counter-evidence, as text.
        pairs: ids of pairs that show it, the clearest first.
        tokens: tokens that show it.
        counter: keys of the sentences that speak against it.
        advice: key of what people change in this case; empty for none.
        source: where signature and advice come from.
        measured: what ``score --confirm`` showed of the group that this cause blames; None where nobody asked.
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
    tokens: tuple[Token, ...] = ()
    counter: tuple[str, ...] = ()
    advice: str = ""
    source: str = ""
    measured: Measured | None = None

    def sentence(self, lang: str = "en") -> str:
        """The finding in one sentence."""
        return told(self.key, self.values, lang)

    def against(self, lang: str = "en") -> list[str]:
        """What speaks against it, one sentence each."""
        return [told(key, self.values, lang) for key in self.counter]

    def __str__(self) -> str:
        """The verdict and the sentence."""
        return f"{self.verdict}: {self.sentence()}"


class Pattern(NamedTuple):
    """A token behind another at which the fallen chosen responses lost, or others gained.

    Attributes:
        way: ``lost`` or ``gained``.
        place: in the response: opening, core, closing or end.
        before: text of the token in front; empty at the start of a response.
        token: text of the token.
        n_pairs: fallen pairs in which it happened.
        nats: log-prob lost there, nats per fallen pair; of a gainer the lost nats times its share of the gained
            probability.
        rejects: other pairs whose rejected response alone has it; the mean over the fallen pairs it happened in.
        chooses: the same of chosen responses.
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
class Open:
    """A question that this run cannot answer, and the command that would settle it; empty for none."""

    key: str
    values: Mapping[str, str] = field(default_factory=dict)
    command: str = ""

    def question(self, lang: str = "en") -> str:
        """The question in words."""
        return told(self.key, self.values, lang)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is said about one series on one split; iterating gives its findings, the first one first.

    Attributes:
        series: the series.
        split: the split of the pairs.
        fall: is there one.
        checkpoint_used: SERIES/NAME of the checkpoint that the ledger was read at; empty for none.
        shares: of the lost log-prob, by name: see ``ledger.SHARES``; they add up to 1. Empty without evidence.
        findings: every cause, the gravest verdict first.
        open: what stays open.
        numbers: the signals that the causes were judged by, by name; empty where no decline is established.
        at_end: metrics of the last checkpoint, by name.
        probes: what the probes of the last checkpoint say; empty where none were made.
        patterns: the word pairs that lost most and those that gained most; empty without a ledger.
    """

    series: str
    split: str
    fall: Fall
    checkpoint_used: str
    shares: dict[str, Share]
    findings: list[Finding]
    open: list[Open]
    numbers: dict[str, float]
    at_end: dict[str, float]
    probes: list[Measured] = field(default_factory=list)
    patterns: list[Pattern] = field(default_factory=list)

    def __iter__(self) -> Iterator[Finding]:
        """The findings."""
        return iter(self.findings)

    @property
    def named(self) -> list[Finding]:
        """The findings that are likely, ``unexplained`` aside."""
        return [one for one in self.findings if one.verdict == LIKELY and one.cause != "unexplained"]

    def to_json(self, lang: str = "en") -> dict[str, Any]:
        """The whole as plain values ready for JSON; what is undefined is None."""
        return {
            "series": self.series,
            "split": self.split,
            "fall": _plain(_fields(self.fall)),
            "checkpoint_used": self.checkpoint_used or None,
            "shares": {name: _plain(_fields(share)) for name, share in self.shares.items()},
            "findings": [_finding(one, lang) for one in self.findings],
            "open": [{"question": one.question(lang), "command": one.command or None} for one in self.open],
            "numbers": _plain(self.numbers),
            "at_end": _plain(self.at_end),
            "probes": [one.sentence(lang) for one in self.probes],
            "patterns": [_plain(one._asdict()) for one in self.patterns],
        }


def told(key: str, values: Mapping[str, str], lang: str) -> str:
    """The words behind ``key``; values that are themselves keys of words are put in as these words."""
    said = {name: words.text(value, lang) if value in words.WORDS else value for name, value in values.items()}
    return words.text(key, lang, **said)


def _finding(one: Finding, lang: str) -> dict[str, Any]:
    found = _fields(one) | {"sentence": one.sentence(lang), "counter": one.against(lang)}
    found["advice"] = told(one.advice, one.values, lang) if one.advice else ""
    found["measured"] = one.measured.sentence(lang) if one.measured else None
    found |= {"values": dict(one.values), "pairs": list(one.pairs), "tokens": [_fields(token) for token in one.tokens]}
    return _plain(found)


def _fields(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that JSON has; NaN is None."""
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in plain.items()}
