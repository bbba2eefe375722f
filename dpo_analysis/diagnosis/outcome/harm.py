"""Whether the change of a policy is harmful: a second verdict beside why the chosen responses fell.

Higher likelihood of the chosen responses and larger margins need not help, and lower ones need not hurt; what signals
a decline is the mass and the entropy over the likeliest tokens (arXiv:2410.11677). A fall is harmless where the model
still moves among the tokens that it gave before. It is damage where the model slips into tokens that it hardly ever
gave, since one slip spoils the rest of a reply. Two signs of damage are needed, since each has another reason now and
then.
"""

import math
from dataclasses import asdict

from dpo_analysis.diagnosis.findings import Harm
from dpo_analysis.diagnosis.outcome.harm_signs import HarmSigns
from dpo_analysis.diagnosis.thresholds import (
    CALM_ENTROPY_CHANGE,
    CALM_NATS_PER_TOKEN,
    CALM_SLIP_CHANCE,
    DAMAGE_ENTROPY_CHANGE,
    DAMAGE_KEPT_MASS,
    DAMAGE_NATS_PER_TOKEN,
    DAMAGE_SIGNS,
    DAMAGE_SLIP_CHANCE,
    DAMAGE_TOP_MASS_LOST,
)
from dpo_analysis.text.numbers import fixed, signed_fixed, whole_percent, with_minus_signs

HARMLESS, COSTLY, DAMAGE, UNKNOWN = "harmless", "costly", "damage", "cannot_tell"
HARM_VERDICTS = (HARMLESS, COSTLY, DAMAGE, UNKNOWN)


def judge_harm(signs: HarmSigns) -> Harm:
    """Return whether a checkpoint's change is harmful, as far as its signs tell."""
    damage = damage_signs(signs)
    verdict = _verdict(signs, damage)
    values = {"slip": whole_percent(signs.slip_chance), "entropy": _signed_percent(signs.entropy_ratio - 1)}
    values |= {"lost": fixed(-min(signs.change_per_token, 0)), "change": signed_fixed(signs.change_per_token, 3)}
    values |= {"calm": whole_percent(CALM_SLIP_CHANCE), "broke": whole_percent(DAMAGE_SLIP_CHANCE)}
    values["broke_nats"] = f"{DAMAGE_NATS_PER_TOKEN:g}"
    values |= {"top": _signed_percent(signs.top_mass_ratio - 1), "kept": whole_percent(signs.kept_mass)}
    return Harm(verdict, harm_score(signs), _key(verdict, signs), values, asdict(signs), damage)


def harm_score(signs: HarmSigns) -> float:
    """Return how harmful a change is, from 0 to 1: 1 - (1 - chance of a slip) x probability that a chosen token kept.

    Without evidence the chance of a slip counts as 0, so scores with and without it do not compare.
    """
    if not math.isfinite(signs.change_per_token):
        return math.nan
    slip = signs.slip_chance if math.isfinite(signs.slip_chance) else 0.0
    return 1 - (1 - slip) * math.exp(min(signs.change_per_token, 0.0))


def damage_signs(signs: HarmSigns) -> tuple[str, ...]:
    """Return the names of the signs of damage that are present; a sign that was not measured is absent."""
    present = {
        "slip_chance": signs.slip_chance >= DAMAGE_SLIP_CHANCE,
        "entropy_ratio": abs(signs.entropy_ratio - 1) >= DAMAGE_ENTROPY_CHANGE,
        "top_mass_ratio": signs.top_mass_ratio <= 1 - DAMAGE_TOP_MASS_LOST,
        "kept_mass": signs.kept_mass <= DAMAGE_KEPT_MASS,
        "change_per_token": signs.change_per_token <= -DAMAGE_NATS_PER_TOKEN,
    }
    return tuple(name for name, is_present in present.items() if is_present)


def _key(verdict: str, signs: HarmSigns) -> str:
    """Return the key of the verdict's sentence."""
    if verdict == COSTLY and signs.entropy_ratio <= 1 - CALM_ENTROPY_CHANGE:
        return "diagnosis.harm.costly.diversity"
    if verdict == COSTLY and signs.slip_chance < CALM_SLIP_CHANCE:
        return "diagnosis.harm.costly.entropy"
    if not math.isfinite(signs.slip_chance) and verdict in (HARMLESS, DAMAGE):
        return f"diagnosis.harm.{verdict}.no_evidence"
    return f"diagnosis.harm.{verdict}"


def _verdict(signs: HarmSigns, damage: tuple[str, ...]) -> str:
    if not math.isfinite(signs.entropy_ratio):
        return UNKNOWN
    if len(damage) >= DAMAGE_SIGNS:
        return DAMAGE
    calm = abs(signs.entropy_ratio - 1) < CALM_ENTROPY_CHANGE and not damage
    if math.isfinite(signs.slip_chance):
        return HARMLESS if calm and signs.slip_chance < CALM_SLIP_CHANCE else COSTLY
    if calm and signs.change_per_token > -CALM_NATS_PER_TOKEN:
        return HARMLESS
    return UNKNOWN


def _signed_percent(share: float) -> str:
    return with_minus_signs(f"{share:+.0%}") if math.isfinite(share) else "–"
