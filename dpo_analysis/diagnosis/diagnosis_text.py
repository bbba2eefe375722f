"""A diagnosis as a person reads it: the fall, where the loss belongs, what is likely, and a page for the terminal."""

import math
from collections.abc import Sequence
from typing import Any

from dpo_analysis import words
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, Diagnosis, Fall, Finding
from dpo_analysis.diagnosis.symptoms import nats, plain, share
from dpo_analysis.diagnosis.thresholds import DAMAGE, ESTABLISHED, READ


def fall_sentence(fall: Fall, lang: str = "en") -> str:
    """Whether, since when, how much and in how many pairs the chosen responses fell."""
    since = words.text("diagnosis.step.unknown", lang)
    if fall.from_step is not None:
        since = words.text("diagnosis.step", lang, step=fall.from_step)
    values = {
        "drop": nats(fall.drop), "low": nats(fall.low), "high": nats(fall.high), "lost": plain(fall.lost),
        "share": share(fall.share_of_pairs), "worst": share(fall.worst_tenth), "n": fall.n_pairs, "since": since,
    }  # fmt: skip
    return words.text(f"diagnosis.fall.{'hidden' if fall.hidden else fall.kind}", lang, **values)


def basis_sentence(found: Diagnosis, lang: str = "en") -> str:
    """At which checkpoint the ledger was read, or that no decline is established."""
    if not found.numbers:
        return words.text("diagnosis.not_established", lang, lost=plain(found.fall.lost), gate=plain(ESTABLISHED, 1))
    lost, key = found.numbers["lost"], "diagnosis.used" if found.numbers["lost"] >= READ else "diagnosis.used.last"
    return words.text(key, lang, model=found.checkpoint_used, gate=plain(READ, 1), lost=plain(lost))


def end_sentence(found: Diagnosis, lang: str = "en") -> str:
    """Rewards, margin, accuracy and loss of the last checkpoint."""
    own = found.at_end
    rewards = {name: nats(own[name], 3) for name in ("chosen_reward", "rejected_reward", "margin")}
    shares = {name: share(own[name]) for name in ("accuracy", "ranking_accuracy")}
    return words.text("diagnosis.at_end", lang, loss=plain(own["loss"], 4), **rewards, **shares)


def verdict_sentence(found: Diagnosis, lang: str = "en") -> str:
    """What is likely, in one sentence."""
    if found.named:
        by_cause: dict[str, list[Finding]] = {}
        for one in found.named:
            by_cause.setdefault(one.cause, []).append(one)
        causes = "; ".join(_with_shares(some, lang) for some in by_cause.values())
        return words.text("diagnosis.named", lang, causes=causes)
    return words.text("diagnosis.named.none" if found.numbers else "diagnosis.named.no_fall", lang)


def shares_sentence(found: Diagnosis, lang: str = "en") -> list[str]:
    """What the verdict's shares are shares of: not of the whole fall, but of what was lost at the checkpoint read."""
    if not (found.named and found.shares):
        return []
    lost, end = (found.numbers[name] for name in ("lost", "lost_at_end"))
    key = "diagnosis.named.at" if lost != end else "diagnosis.named.at.last"
    return [words.text(key, lang, lost=plain(lost), end=plain(end), model=found.checkpoint_used)]


def damage_sentence(found: Diagnosis, lang: str = "en") -> list[str]:
    """How much of the loss went to what no text has by the last checkpoint, where it is much; else nothing."""
    own = found.numbers.get("no_data_at_end", math.nan)
    if not own >= DAMAGE:
        return []
    return [words.text("diagnosis.damage", lang, end=share(own), first=share(found.numbers["no_data"]))]


def _with_shares(some: Sequence[Finding], lang: str) -> str:
    """A cause with the places where it is likely and their shares of the lost log-prob, where it has any."""
    name = words.text(f"diagnosis.cause.{some[0].cause}", lang)
    told = [one for one in some if one.where and one.unit == "share" and math.isfinite(one.share)]
    if not told:
        return name
    parts = [f"{words.text(f'causes.place.{one.where}', lang)} {share(one.share)}" for one in told]
    return words.text("diagnosis.named.shares", lang, name=name, parts=", ".join(parts))


def cause_label(one: Finding, lang: str = "en") -> str:
    """A cause's name, with its place where it has one."""
    name = words.text(f"diagnosis.cause.{one.cause}", lang)
    if not one.where or one.cause == "length_or_eos":
        return name
    place = words.text(f"causes.place.{one.where}", lang)
    return f"{name} ({place})" if lang == "en" else f"{name}（{place}）"


def share_lines(found: Diagnosis, lang: str = "en") -> list[str]:
    """The shares of the lost log-prob with their intervals, one line each."""
    lines = []
    for name, own in found.shares.items():
        ends = f" ({share(own.low)}–{share(own.high)})" if math.isfinite(own.low) else ""
        lines.append(f"{share(own.share):>4}{ends}  {words.text(f'diagnosis.share.{name}', lang)}")
    return lines


def as_object(found: Sequence[Diagnosis], lang: str = "en") -> dict[str, Any]:
    """One object for JSON: the first diagnosis, and those of the other series under ``others``."""
    first, *others = (one.to_json(lang) for one in found)
    return first | {"others": others}


def lines(found: Diagnosis, lang: str = "en") -> list[str]:
    """The whole for a terminal: fall, basis, shares, verdict, findings with counter-evidence and advice, open ends."""
    said = [
        f"{found.series} · {found.split}",
        "",
        fall_sentence(found.fall, lang),
        end_sentence(found, lang),
        basis_sentence(found, lang),
    ]
    if found.shares:
        said += ["", words.text("diagnosis.shares.title", lang), *(f"  {line}" for line in share_lines(found, lang))]
    said += ["", verdict_sentence(found, lang), *shares_sentence(found, lang), *damage_sentence(found, lang)]
    said += [one.sentence(lang) for one in found.probes]
    for one in (
        found.findings if found.numbers else [one for one in found.findings if one.verdict in (LIKELY, POSSIBLE)]
    ):
        said += ["", *_finding(one, lang)]
    if found.open:
        said += ["", words.text("diagnosis.open", lang)]
        said += [
            line for one in found.open for line in (f"  {one.question(lang)}", f"    {one.command}") if line.strip()
        ]
    return said


def _finding(one: Finding, lang: str) -> list[str]:
    verdict = words.text(f"diagnosis.verdict.{one.verdict}", lang)
    said = [f"[{verdict}] {cause_label(one, lang)} – {words.text(f'diagnosis.certainty.{one.certainty}', lang)}"]
    said.append(f"  {one.sentence(lang)}")
    if one.verdict not in (LIKELY, POSSIBLE):
        return said
    said += [f"  {words.text('diagnosis.measured', lang)}: {one.measured.sentence(lang)}"] if one.measured else []
    said += [f"  {words.text('diagnosis.counter', lang)}: {line}" for line in one.against(lang)]
    if one.advice:
        source = f" ({one.source})" if one.source else ""
        said.append(f"  {words.text('diagnosis.advice', lang)}: {words.text(one.advice, lang)}{source}")
    if one.pairs:
        said.append(f"  {words.text('diagnosis.pairs', lang)}: {', '.join(one.pairs[:5])}")
    return said
