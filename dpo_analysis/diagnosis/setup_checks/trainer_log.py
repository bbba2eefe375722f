"""Whether the trainer's log agrees with the recomputed values, as far as chance explains the differences.

A log accuses nobody by itself. A training value is the mean over the batches of a logging window, under weights older
than the checkpoint; an evaluation may be that of other pairs. Only evaluations of the pairs that were scored can show
that a setup is wrong, and the number of evaluated pairs, which the log holds, says whether they may be these.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dpo_analysis.diagnosis.setup_checks.check import Check
from dpo_analysis.diagnosis.setup_checks.log_fit import decided_by_fit
from dpo_analysis.diagnosis.setup_checks.logging_window import logging_window
from dpo_analysis.diagnosis.setup_checks.trainer_reference import fitted_betas
from dpo_analysis.runs import Run
from dpo_analysis.tables.trainer_log import COMPARED, logged_curves, trainer_log_table
from dpo_analysis.text.numbers import fixed, signed_fixed
from dpo_analysis.trainer.evaluations import evaluated_pairs

FAR_HALF_WIDTHS = 3
"""A logged value counts as far off where it differs from the recomputed one by more half-widths of its interval."""
LOG_ROUNDING = 1e-6
"""A difference from the trainer's log up to this is rounding, in the metric's unit, where an interval has no width."""
TRAINING_LOG = "train"
"""The trainer's word for values that it logged while training; every other word names an evaluation."""
REWARDS = ("chosen_reward", "rejected_reward", "margin")
SCALED_BY_BETA = (*REWARDS, "loss", "accuracy_trl")
"""Metrics that another beta changes; the share of margins above 0 changes where that beta is 0."""
GROUP = ["series", "logged_split", "split"]


class _Splits(NamedTuple):
    """The rows of evaluations: those of pairs that were scored or may have been, and those of others."""

    compared: pd.DataFrame
    others: pd.DataFrame
    undecided: bool


def check_logged(run: Run) -> Check:
    """Return whether the trainer's log agrees with the recomputed values, as far as chance explains the differences.

    What ``score`` found by trying other settings counts first. Evaluations are compared where there are any. Where an
    evaluation differs and has another number of pairs, it is that of other pairs, and nothing is compared. Training
    values are never more than a note.

    Raises:
        StorageError: the log or a part is damaged.
    """
    table, logged = trainer_log_table(run), logged_curves(run)
    check = compare_with_log(run, table.dropna(subset=["difference", "low", "high"]), logged)
    check = decided_by_fit(run, check)
    lost = int((logged["metric"].isin(COMPARED) & ~np.isfinite(logged["value"].astype(float))).sum())
    if not lost:
        return check
    verdict = "note" if check.verdict == "pass" else check.verdict
    key = check.key or f"checks.logged.{check.verdict}"
    notes = (*check.notes, "checks.logged.not_finite")
    return Check("logged", verdict, {**check.values, "not_finite": lost}, key=key, notes=notes)


def compare_with_log(run: Run, table: pd.DataFrame, logged: pd.DataFrame) -> Check:
    """Return the check of a table of ``trainer_log_table`` without undefined values; ``logged``: ``logged_curves``."""
    if table.empty:
        return Check("logged", "unknown")
    betas = fitted_betas(run, table)
    table = table[~(table["series"].isin(list(betas)) & table["metric"].isin(SCALED_BY_BETA))]
    evaluated = table[table["logged_split"] != TRAINING_LOG]
    if evaluated.empty:
        return _training_check(run, table, logged)
    reach = (FAR_HALF_WIDTHS * _half_widths(evaluated)).clip(lower=LOG_ROUNDING)
    evaluated = evaluated.assign(reach=reach, far=evaluated["difference"].abs() > reach)
    splits = _split_by_pairs(evaluated, logged)
    if splits.compared.empty:
        return Check("logged", "unknown", _others(splits.others), key="checks.logged.others")
    if not splits.compared["far"].any():
        return Check("logged", "pass", {"n": len(splits.compared)})
    values = _farthest(splits.compared)
    if splits.undecided:
        return Check("logged", "warn", values | {"undecided": True}, key="checks.logged.undecided")
    return Check("logged", "warn", values)


def _split_by_pairs(evaluated: pd.DataFrame, logged: pd.DataFrame) -> _Splits:
    """Return the evaluations that can be compared, and those of another number of pairs with other log-probs.

    Where only the rewards of another number of pairs differ, the pairs may be a sample of the trainer's.
    """
    others, undecided = [], []
    for (series, logged_split, _), rows in evaluated.groupby(GROUP, sort=False):
        if not rows["far"].any():
            continue
        of_set = logged[(logged["series"] == series) & (logged["logged_split"] == logged_split)]
        found = evaluated_pairs(of_set, int(rows["n_used"].max()), int(rows["n_pairs"].max()))
        if found.same is False and (rows["far"] & rows["metric"].str.endswith("_logps")).any():
            others.append(rows.assign(n_logged=found.n))
        elif not found.same:
            undecided.append(rows)
    compared = evaluated.drop(index=[label for rows in others for label in rows.index])
    decided = int(compared["far"].sum()) - sum(int(rows["far"].sum()) for rows in undecided)
    return _Splits(compared, pd.concat(others) if others else evaluated.head(0), bool(undecided) and decided == 0)


def _others(rows: pd.DataFrame) -> dict[str, Any]:
    """Return what shows that an evaluation is that of other pairs: their number, and the farthest value."""
    found = _farthest(rows[rows["metric"].str.endswith("_logps")])
    worst = rows[(rows["series"] == found["series"]) & (rows["split"] == found["split"])].iloc[0]
    return found | {"n_logged": int(worst["n_logged"]), "n_pairs": int(worst["n_pairs"])}


def _training_check(run: Run, table: pd.DataFrame, logged: pd.DataFrame) -> Check:
    """Return the check of values that were logged while training: a note, however far they lie off.

    The mean over the n pairs of a window varies more than that over all N pairs, by N / n in the variance, and the
    policy moved since the window: by no more than since the checkpoint before, unless training went back and forth.
    """
    steps = logged.loc[(logged["logged_split"] == TRAINING_LOG) & (logged["metric"] == "loss"), ["series", "step"]]
    windows = {
        name: logging_window(run.series[name], steps.loc[steps["series"] == name, "step"])
        for name in table["series"].unique()
    }
    table = table.assign(moved=_moved_since_before(run, table)).dropna(subset=["moved"])
    if table.empty:
        return Check("logged", "unknown")
    in_window = table["series"].map({name: window.n_pairs for name, window in windows.items()})
    half_widths = _half_widths(table) * np.sqrt(1 + table["n_used"] / in_window)
    reach = (FAR_HALF_WIDTHS * half_widths + table["moved"]).clip(lower=LOG_ROUNDING)
    table = table.assign(reach=reach, far=table["difference"].abs() > reach)
    smallest = min(windows.values())
    notes = () if smallest.batch_known else ("checks.logged.no_batch",)
    values: dict[str, Any] = {"n": len(table), "window": smallest.n_pairs}
    if not table["far"].any():
        return Check("logged", "pass", values, key="checks.logged.pass_training", notes=notes)
    return Check("logged", "note", values | _farthest(table), notes=notes)


def _half_widths(table: pd.DataFrame) -> pd.Series:
    """Return half the width of each recomputed value's interval, shape (rows,), in the unit of the metric.

    A share that is 0 or 1 in every pair has an interval without width; with 95 % confidence it misses by up to 3 / n.
    """
    half = (table["high"] - table["low"]) / 2
    return half.where((table["metric"] != "accuracy_trl") | (half > 0), 3 / table["n_used"])


def _moved_since_before(run: Run, table: pd.DataFrame) -> pd.Series:
    """Return by how much each recomputed value changed since the checkpoint before, or since the reference.

    Shape (rows,), in the unit of the metric; NaN for a first checkpoint where the reference's value is not known.
    """
    keys = ["series", "split", "metric"]
    before = table.sort_values("step").groupby(keys)["recomputed"].shift().reindex(table.index)
    rewards = table.pivot_table(index=["series", "split", "step"], columns="metric", values="recomputed")
    for label in table.index[before.isna()]:
        row = table.loc[label]
        metric, beta = str(row["metric"]), run.series[row["series"]].beta
        if metric in REWARDS:
            before[label] = 0.0
        elif metric.endswith("_logps") and beta:
            side = metric.removesuffix("_logps")
            reward = rewards.get(f"{side}_reward", pd.Series(dtype=float)).get(tuple(row[["series", "split", "step"]]))
            before[label] = np.nan if reward is None else row["recomputed"] - reward / beta
    return (table["recomputed"] - before).abs()


def _farthest(table: pd.DataFrame) -> dict[str, Any]:
    """Return the value that lies farthest off, in multiples of its allowed difference, and how many are too far."""
    far = table[table["far"]]
    worst = far.iloc[int((far["difference"].abs() / far["reach"]).to_numpy().argmax())]
    values = {name: worst[name] for name in ("series", "metric", "split", "step")}
    values |= {name: fixed(worst[name], 3) for name in ("logged", "recomputed", "reach")}
    return values | {"far": len(far), "n": len(table), "difference": signed_fixed(worst["difference"], 3)}
