"""What ``score`` found when it held the run against the trainer's log: the setting by which the log fits, or none."""

from collections.abc import Mapping
from typing import Any

from dpo_analysis.diagnosis.setup_checks.check import Check
from dpo_analysis.runs import Run
from dpo_analysis.schema import SIDES
from dpo_analysis.text.numbers import fixed

EVENT = "log_fit"
"""Name of the events in the run's log."""
GRAVEST_FIRST = ("fits", "no_fit", "other_pairs", "another_reference", "agrees")
BY_OTHER_CHECKS = ("beta",)
"""Settings of a fit that another check names: a wrong beta is found by ``same_reference``."""


def last_fits(run: Run) -> list[dict[str, Any]]:
    """Return the last answer for every series, the gravest first; empty where none was asked for.

    Raises:
        StorageError: the run's log cannot be read.
    """
    last = {str(event.get("series")): event for event in run.log() if event.get("event") == EVENT}
    known = [event for name, event in last.items() if name in run.series and _is_answer(event)]
    return sorted(known, key=lambda event: GRAVEST_FIRST.index(event["outcome"]))


def _is_answer(event: Mapping[str, Any]) -> bool:
    """Return whether an event has an outcome, and numbers where numbers belong: anybody can write a log."""
    means = [event.get(name) or [] for name in ("logged", "recomputed")]
    are_numbers = all(
        isinstance(values, list) and len(values) <= len(SIDES) and all(type(value) in (int, float) for value in values)
        for values in means
    )
    return event.get("outcome") in GRAVEST_FIRST and are_numbers and type(event.get("n_tried", 0)) in (int, type(None))


def decided_by_fit(run: Run, compared: Check) -> Check:
    """Return the check of the trainer's log as ``score`` decided it: to four digits, not within chance.

    Args:
        run: an open run.
        compared: the check that compares within chance; it stays where ``score`` decided nothing.
    """
    fits = last_fits(run)
    if not fits:
        return compared
    fit = fits[0]
    values = dict(compared.values) | {name: str(fit.get(name, "")) for name in ("series", "step", "split", "option")}
    values |= _farthest_mean(fit)
    values["n_tried"] = int(fit.get("n_tried") or 0)
    if fit["outcome"] == "fits" and fit.get("setting") == "logged_logps":
        return Check("logged", "note", values, key="checks.logged.averaged")
    if fit["outcome"] == "fits" and fit.get("setting") == "beta" and compared.verdict == "warn":
        return Check("logged", "note", values, key="checks.logged.beta")
    if fit["outcome"] == "fits" and fit.get("setting") not in BY_OTHER_CHECKS:
        return Check("logged", "fail", values | {"far": 1, "n": 1}, key="checks.logged.fits")
    if fit["outcome"] == "no_fit":
        verdict = "warn" if compared.verdict == "warn" else "note"
        return Check("logged", verdict, values | {"undecided": True}, key="checks.logged.no_fit")
    if fit["outcome"] == "other_pairs" and fit.get("logged"):
        return Check("logged", "unknown", values, key="checks.logged.other_sample")
    if (
        fit["outcome"] == "agrees"
        and all(one.get("exact") for one in fits)
        and len(fits) == len(run.series)
        and fit.get("logged")
    ):
        return Check("logged", "pass", values, key="checks.logged.pass_exact")
    return compared


def _farthest_mean(fit: Mapping[str, Any]) -> dict[str, str]:
    """Return metric, logged and recomputed mean of the side that lies farther off; empty where none is known."""
    logged, recomputed = fit.get("logged") or (), fit.get("recomputed") or ()
    off = [abs(float(theirs) - float(ours)) for theirs, ours in zip(logged, recomputed, strict=False)]
    if not off:
        return {}
    side = off.index(max(off))
    means = {"logged": float(logged[side]), "recomputed": float(recomputed[side])}
    return {"metric": f"{SIDES[side]}_logps"} | {name: fixed(mean, 4) for name, mean in means.items()}
