"""A diagnosis as text: the sentences that pages, reports and the terminal share, and all lines for the terminal."""

import math
from collections.abc import Sequence
from typing import Any

from dpo_analysis import words
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, Diagnosis, Fall, Finding
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


def likely_sentence(diagnosis: Diagnosis, lang: str = "en") -> list[str]:
    """Return the likely causes with their shares and what these are shares of; empty where no cause is likely.

    The shares are those of the loss at the checkpoint used, not of the whole fall.
    """
    if not diagnosis.named:
        return []
    by_cause: dict[str, list[Finding]] = {}
    for finding in diagnosis.named:
        by_cause.setdefault(finding.cause, []).append(finding)
    causes = "; ".join(_cause_with_shares(findings, lang) for findings in by_cause.values())
    lines = [words.text("diagnosis.named", lang, causes=causes)]
    if diagnosis.shares:
        lost, end = (diagnosis.numbers[name] for name in ("lost", "lost_at_end"))
        key = "diagnosis.named.at" if lost != end else "diagnosis.named.at.last"
        lines.append(words.text(key, lang, lost=fixed(lost), end=fixed(end), model=diagnosis.checkpoint_used))
    return lines


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
    shares = {name: share.share for name, share in diagnosis.shares_shown.items()}
    shares = shares or {"pushed": diagnosis.numbers_shown["pushed"]}
    went = max(shares, key=lambda name: shares[name])
    values |= {"place": words.text(f"causes.place.{place}", lang), "went": words.text(f"diagnosis.went.{went}", lang)}
    values["place_share"] = whole_percent(diagnosis.numbers_shown[f"{place}.weight"])
    values["share"] = whole_percent(shares[went])
    return [words.text("diagnosis.both_ends", lang, **values)]


def _cause_with_shares(findings: Sequence[Finding], lang: str) -> str:
    """Return the name of a cause, with the regions where it is likely and their shares of the loss, if it has any."""
    name = words.text(f"diagnosis.cause.{findings[0].cause}", lang)
    with_share = [finding for finding in findings if finding.where and finding.unit == "share"]
    parts = [
        f"{words.text(f'causes.place.{finding.where}', lang)} {whole_percent(finding.share)}"
        for finding in with_share
        if math.isfinite(finding.share)
    ]
    return words.text("diagnosis.named.shares", lang, name=name, parts=", ".join(parts)) if parts else name


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
    first, *others = (diagnosis.to_json(lang) for diagnosis in diagnoses)
    return first | {"others": others}


def diagnosis_lines(diagnosis: Diagnosis, lang: str = "en") -> list[str]:
    """Return the whole diagnosis for a terminal: fall, basis, shares, verdict, findings and open questions."""
    lines = [f"{diagnosis.series} · {diagnosis.split}", "", diagnosis.answer.sentence(lang)]
    lines += ["", fall_sentence(diagnosis.fall, lang)]
    lines += [end_sentence(diagnosis, lang), basis_sentence(diagnosis, lang)]
    if diagnosis.shares:
        lines += ["", words.text("diagnosis.shares.title", lang)]
        lines += [f"  {line}" for line in share_lines(diagnosis, lang)]
    lines.append("")
    for sentences in (likely_sentence, both_ends_sentence):
        lines += sentences(diagnosis, lang)
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
        source = f" ({finding.source})" if finding.source else ""
        lines.append(f"  {words.text('diagnosis.advice', lang)}: {words.text(finding.advice, lang)}{source}")
    if finding.pairs:
        lines.append(f"  {words.text('diagnosis.pairs', lang)}: {', '.join(finding.pairs[:TERMINAL_PAIRS])}")
    return lines
