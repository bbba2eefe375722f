"""A diagnosis as text: the sentences that pages, reports and the terminal share, and all lines for the terminal."""

import math
from collections.abc import Sequence
from typing import Any

from dpo_analysis import words
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, Diagnosis, Fall, Finding
from dpo_analysis.diagnosis.outcome.why import (
    counts_training_pairs,
    harm_sentence,
    short_phrase,
    state_sentence,
    why,
    why_sentence,
    with_source,
)
from dpo_analysis.diagnosis.phrases.phrase import Phrase
from dpo_analysis.diagnosis.thresholds import ENOUGH_FALLEN_PAIRS
from dpo_analysis.schema import SIDES
from dpo_analysis.text.numbers import fixed, signed_fixed, whole_percent
from dpo_analysis.text.regions import REGIONS

TERMINAL_PAIRS = 5
"""Pairs of a finding that the terminal lists."""


def fall_sentence(fall: Fall, lang: str = "en") -> str:
    """Return whether, since when, how far and in how many pairs the chosen responses fell."""
    since = words.text("diagnosis.step.unknown", lang)
    if fall.from_step is not None:
        since = words.text("diagnosis.step", lang, step=fall.from_step)
    return words.text(
        f"diagnosis.fall.{'hidden' if fall.hidden else fall.kind}",
        lang,
        drop=signed_fixed(fall.drop),
        low=signed_fixed(fall.low),
        high=signed_fixed(fall.high),
        lost=fixed(fall.lost),
        share=whole_percent(fall.share_of_pairs),
        worst=whole_percent(fall.worst_tenth),
        n=fall.n_pairs,
        since=since,
    )


def happened_sentences(diagnosis: Diagnosis, lang: str = "en") -> list[str]:
    """Return what happened in three short sentences: how far both sides moved, in which pairs, and what harm it did."""
    fall, metrics = diagnosis.fall, diagnosis.at_end
    changes = {side: signed_fixed(metrics[f"{side}_drift"]) for side in SIDES}
    changes |= {f"{side}_reward": signed_fixed(metrics[f"{side}_reward"]) for side in SIDES}
    has_tenth = math.isfinite(fall.worst_tenth) and bool(diagnosis.numbers) and fall.n_pairs >= ENOUGH_FALLEN_PAIRS
    spread = "diagnosis.spread" if has_tenth else "diagnosis.spread.none"
    shares = {"share": whole_percent(fall.share_of_pairs), "worst": whole_percent(fall.worst_tenth), "n": fall.n_pairs}
    return [
        words.text("diagnosis.change", lang, **changes),
        words.text(spread, lang, **shares),
        harm_sentence(diagnosis, lang) or diagnosis.harm.sentence(lang),
    ]


def phrase_sentence(phrase: Phrase, diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return in how many pairs a phrase lost how much at the checkpoint used, and what other pairs do with it."""
    values = {"phrase": short_phrase(phrase.text), "n": phrase.n_pairs, "nats": fixed(phrase.nats)}
    values["model"] = diagnosis.checkpoint_used
    if not math.isfinite(phrase.rejects):
        return words.text("diagnosis.phrase.no_texts", lang, **values)
    counts = {"rejects": f"{phrase.rejects:.0f}", "chooses": f"{phrase.chooses:.0f}"}
    of_training = ".train" if counts_training_pairs(diagnosis) else ""
    return words.text(f"diagnosis.phrase{of_training}", lang, **values, **counts)


def basis_sentence(diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return at which checkpoint the ledger was read, or that no decline is established."""
    if not diagnosis.numbers:
        return words.text("diagnosis.not_established", lang, lost=fixed(diagnosis.fall.lost))
    lost, clear = (diagnosis.numbers[name] for name in ("lost", "clear"))
    key = "diagnosis.used" if lost >= clear else "diagnosis.used.last"
    return words.text(key, lang, model=diagnosis.checkpoint_used, clear=fixed(clear), lost=fixed(lost))


def end_sentence(diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return rewards, margin, accuracy and loss of the last checkpoint."""
    metrics = diagnosis.at_end
    rewards = {name: signed_fixed(metrics[name], 3) for name in ("chosen_reward", "rejected_reward", "margin")}
    shares = {name: whole_percent(metrics[name]) for name in ("accuracy", "ranking_accuracy")}
    return words.text("diagnosis.at_end", lang, loss=fixed(metrics["loss"], 4), **rewards, **shares)


def both_ends_sentence(diagnosis: Diagnosis, lang: str = "en") -> list[str]:
    """Return what the loss was like at the checkpoint used and at the checkpoint shown; empty where both are one."""
    if not diagnosis.numbers_shown:
        return []
    first, shown = diagnosis.numbers["lost"], diagnosis.numbers_shown["lost"]
    values = {"used": diagnosis.checkpoint_used, "shown": diagnosis.checkpoint_shown}
    values["part"] = whole_percent(first / shown) if shown else "–"
    if "core.weight" not in diagnosis.numbers_shown:
        return [words.text("diagnosis.both_ends.no_tokens", lang, **values)]
    place = max(REGIONS, key=lambda region: diagnosis.numbers_shown[f"{region}.weight"])
    values["place"] = words.text(f"causes.place.{place}", lang)
    values["place_share"] = whole_percent(diagnosis.numbers_shown[f"{place}.weight"])
    return [words.text("diagnosis.both_ends", lang, **values)]


def cause_label(finding: Finding, lang: str = "en") -> str:
    """Return the name of a finding's cause, with its region where it has one."""
    name = words.text(f"diagnosis.cause.{finding.cause}", lang)
    if not finding.where or finding.cause == "length_or_eos":
        return name
    region = words.text(f"causes.place.{finding.where}", lang)
    return f"{name} ({region})" if lang == "en" else f"{name}（{region}）"


def share_lines(diagnosis: Diagnosis, lang: str = "en") -> list[str]:
    """Return the parts of the lost log-prob with their intervals, one line each."""
    lines = []
    for name, share in diagnosis.shares.items():
        interval = f" ({whole_percent(share.low)}–{whole_percent(share.high)})" if math.isfinite(share.low) else ""
        lines.append(f"{whole_percent(share.share):>4}{interval}  {words.text(f'diagnosis.share.{name}', lang)}")
    return lines


def diagnoses_as_json(diagnoses: Sequence[Diagnosis], lang: str = "en") -> dict[str, Any]:
    """Return one object for JSON: the first diagnosis, with those of the other series under ``others``."""
    first, *others = (_with_why(diagnosis, lang) for diagnosis in diagnoses)
    return first | {"others": others}


def _with_why(diagnosis: Diagnosis, lang: str) -> dict[str, Any]:
    """Return a diagnosis as plain values, with the sentences that a page begins with."""
    found = why(diagnosis, lang)
    sentences = {"state": state_sentence(diagnosis, lang), "why": found.sentence, "how_sure": found.sure}
    return diagnosis.to_json(lang) | sentences


def diagnosis_lines(diagnosis: Diagnosis, lang: str = "en") -> list[str]:
    """Return the whole diagnosis for a terminal: fall, basis, shares, verdict, findings and open questions."""
    lines = [f"{diagnosis.series} · {diagnosis.split}", "", why_sentence(diagnosis, lang)]
    lines += ["", fall_sentence(diagnosis.fall, lang)]
    lines += [end_sentence(diagnosis, lang), basis_sentence(diagnosis, lang)]
    if diagnosis.shares:
        lines += ["", words.text("diagnosis.shares.title", lang)]
        lines += [f"  {line}" for line in share_lines(diagnosis, lang)]
    lines += ["", *both_ends_sentence(diagnosis, lang)]
    lines.append(f"{words.text('diagnosis.harm', lang)} {diagnosis.harm.sentence(lang)}")
    lines += [measurement.sentence(lang) for measurement in diagnosis.probes]
    for finding in diagnosis.findings:
        if diagnosis.numbers or finding.verdict in (LIKELY, POSSIBLE):
            lines += ["", *_finding_lines(finding, lang)]
    if diagnosis.open:
        lines += ["", words.text("diagnosis.open", lang)]
    for item in diagnosis.open:
        lines += [f"  {item.question(lang)}", *([f"    {item.command}"] if item.command else [])]
    return lines


def _finding_lines(finding: Finding, lang: str) -> list[str]:
    verdict = words.text(f"diagnosis.verdict.{finding.verdict}", lang)
    certainty = words.text(f"diagnosis.certainty.{finding.certainty}", lang)
    lines = [f"[{verdict}] {cause_label(finding, lang)} – {certainty}", f"  {finding.sentence(lang)}"]
    if finding.verdict not in (LIKELY, POSSIBLE):
        return lines
    if finding.measured:
        lines.append(f"  {words.text('diagnosis.measured', lang)}: {finding.measured.sentence(lang)}")
    lines += [f"  {words.text('diagnosis.counter', lang)}: {line}" for line in finding.against(lang)]
    if finding.advice:
        advice = with_source(words.text(finding.advice, lang), finding, lang)
        lines.append(f"  {words.text('diagnosis.advice', lang)}: {advice}")
    if finding.pairs:
        lines.append(f"  {words.text('diagnosis.pairs', lang)}: {', '.join(finding.pairs[:TERMINAL_PAIRS])}")
    return lines
