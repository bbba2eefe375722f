"""Rules that name pairs to leave out: ``ids:FILE``, ``finding:CAUSE`` and ``where:EXPR``, and the pairs they name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpo_analysis.arrays.pair_quantities import LossSettings
from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.cleaning.conditions import META, Condition
from dpo_analysis.cleaning.id_files import read_pair_ids
from dpo_analysis.data.shapes.json_values import json_value
from dpo_analysis.diagnosis import load_or_diagnose
from dpo_analysis.diagnosis.blame import blamed_pairs
from dpo_analysis.diagnosis.series_diagnosis import choose_log_ratios
from dpo_analysis.diagnosis.series_log_ratios import default_split
from dpo_analysis.errors import InputError, counted
from dpo_analysis.runs import Model, Run
from dpo_analysis.tables.export import files_of_table
from dpo_analysis.tables.pairs import pair_table

IDS, FINDING, WHERE = "ids", "finding", "where"
NAMED_IDS = 3
"""Unknown pair_ids that a message names."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as it was given, such as ``finding:collision``.

    Attributes:
        kind: ids, finding or where.
        value: the file, the cause or the condition.
    """

    kind: str
    value: str

    @property
    def text(self) -> str:
        """The rule in one line."""
        return f"{self.kind}:{' '.join(self.value.split())}"


@dataclass(frozen=True, slots=True)
class NamedPairs:
    """The pairs that a rule names.

    Attributes:
        rule: the rule.
        basis: what it was decided by, such as the checkpoint; empty where the rule says all.
        reasons: for each pair_id, why it is named, as values that JSON can hold.
    """

    rule: Rule
    basis: str
    reasons: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the rules are applied to.

    Attributes:
        split: split of the pairs.
        series: the series of findings and conditions; None for the one that ``diagnose`` speaks of.
        model: the checkpoint, NAME or SERIES/NAME; None for the last one of the series.
        settings: beta and loss of the numbers in conditions.
    """

    split: str
    series: str | None = None
    model: str | None = None
    settings: LossSettings = field(default_factory=LossSettings)


def parse_rule(text: str) -> Rule:
    """Return the rule of a text such as ``where:margin < -2``.

    Raises:
        InputError: it is none.
    """
    kind, colon, value = text.partition(":")
    kind, value = kind.strip(), value.strip()
    if not colon or kind not in NAMED_BY or not value:
        raise InputError(
            f"no rule {text[:80]!r} for --without: it is ids:FILE, finding:CAUSE or where:EXPR; give one of these"
        )
    return Rule(kind, value)


def named_pairs(run: Run, rule: Rule, choice: Choice) -> NamedPairs:
    """Return the pairs of a split that a rule names.

    Raises:
        InputError: the rule cannot be applied to this run.
        StorageError: a part is damaged.
    """
    return NAMED_BY[rule.kind](run, rule, choice)


def _by_ids(run: Run, rule: Rule, choice: Choice) -> NamedPairs:
    ids = read_pair_ids(rule.value)
    pairs = pair_index(run).pairs
    split_of = dict(zip(pairs["pair_id"], pairs["split"], strict=True))
    unknown = [pair_id for pair_id in ids if pair_id not in split_of]
    if unknown:
        named = ", ".join(pair_id[:40] for pair_id in unknown[:NAMED_IDS]) + (
            ", ..." if len(unknown) > NAMED_IDS else ""
        )
        raise InputError(
            f"unknown pair_ids in {rule.value}: {len(unknown)} of {len(ids)} are not in run {run.path} ({named}); give "
            "pair_ids of this run"
        )
    inside = [pair_id for pair_id in ids if split_of[pair_id] == choice.split]
    n_others = len(ids) - len(inside)
    basis = f"{n_others} of its {len(ids)} pair_ids are of other splits" if n_others else ""
    return NamedPairs(rule, basis, {pair_id: {} for pair_id in inside})


def _by_finding(run: Run, rule: Rule, choice: Choice) -> NamedPairs:
    shown = _shown_model(run, choice)
    diagnosis = load_or_diagnose(run, series=shown.series, model=shown.key)
    found = blamed_pairs(run, diagnosis, rule.value, choice.split)
    basis = f"{shown.key}, diagnosed on {diagnosis.split}"
    phrases = {pair.phrase: pair.side for pair in found if pair.phrase}
    basis += "".join(f", “{phrase}” in the {side} response alone" for phrase, side in phrases.items())
    finding = next(one for one in diagnosis.findings if one.cause == rule.value)
    if "opposed_right" in finding.values:
        basis += f"; this test marks {finding.values['opposed_right']} of the pairs that the policy orders right, too"
    facts = {"cause": rule.value, "model": shown.key, "diagnosed_split": diagnosis.split}
    reasons = {
        pair.pair_id: facts | {"side": pair.side, "phrase": pair.phrase or None, "why": pair.why} for pair in found
    }
    return NamedPairs(rule, basis, reasons)


def _by_condition(run: Run, rule: Rule, choice: Choice) -> NamedPairs:
    condition = Condition(rule.value)
    shown = _shown_model(run, choice)
    run.check_files(files_of_table(run, "pair", [shown]))
    from_rows = any(name.startswith(f"{META}.") for name in condition.columns)
    beta, loss_type = choice.settings
    table = pair_table(run, model=shown.key, split=choice.split, beta=beta, loss_type=loss_type, source=from_rows)
    named = table[condition.holds(table)]
    values = named[condition.columns].astype(object).where(named[condition.columns].notna(), None)
    reasons = {
        str(pair_id): {
            "where": condition.text,
            "model": shown.key,
            "values": dict(zip(values, map(json_value, row), strict=True)),
        }
        for pair_id, row in zip(named["pair_id"], values.itertuples(index=False, name=None), strict=True)
    }
    missing = int(table[condition.columns].isna().any(axis=1).sum())
    basis = shown.key + (f"; {counted(missing, 'pair')} without one of these values" if missing else "")
    return NamedPairs(rule, basis, reasons)


def _shown_model(run: Run, choice: Choice) -> Model:
    """Return the checkpoint that ``diagnose`` shows for a series and a model."""
    log_ratios = choose_log_ratios(run, series=choice.series, split=default_split(run), model=choice.model)
    return log_ratios.models[-1]


NAMED_BY: dict[str, Callable[[Run, Rule, Choice], NamedPairs]] = {
    IDS: _by_ids,
    FINDING: _by_finding,
    WHERE: _by_condition,
}


def rule_files(rules: list[Rule]) -> list[Path]:
    """Return the files that rules read."""
    return [Path(rule.value) for rule in rules if rule.kind == IDS]
