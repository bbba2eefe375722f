"""Whether the trainer's reference and its beta were those of the run, from logged rewards where log-probs agree.

A reward is beta times (log-prob minus the reference's log-prob), so this is arithmetic, whatever pairs were logged.
"""

import numpy as np
import pandas as pd

from dpo_analysis.diagnosis.setup_checks.check import Check
from dpo_analysis.runs import Run
from dpo_analysis.schema import SIDES
from dpo_analysis.tables.steps import step_table
from dpo_analysis.tables.trainer_log import trainer_log_table
from dpo_analysis.text.numbers import significant

SAME_LOGPS_NATS = 0.01
"""Nats by which a mean logged log-prob may differ from the recomputed one to count as that of the same pairs."""
MOVED_TIMES = 5
"""Multiple of the allowed difference that a mean change must reach, before a ratio of rewards to it means anything."""
LEAST_POINTS = 2
"""Checkpoints at which the log-probs must agree, before rewards that do not agree accuse the reference."""
LOGPS, REWARDS = ([f"{side}_{metric}" for side in SIDES] for metric in ("logps", "reward"))
POINT = ["series", "step", "logged_split", "split"]


def check_same_reference(run: Run) -> Check:
    """Return whether the trainer's reference was this one: its logged rewards agree where its logged log-probs do.

    Rewards that differ by one constant factor at every point come from another beta, which changes no log-prob.

    Raises:
        StorageError: the log or a part is damaged.
    """
    table = trainer_log_table(run).dropna(subset=["difference"])
    # Averages over tokens are compared by ``score``: the limits of this check are nats of a response.
    averaged = [name for name, series in run.series.items() if series.logged_logps == "mean"]
    table = table[~table["series"].isin(averaged)]
    betas = fitted_betas(run, table)
    off = _same_log_probs(table, "difference").abs().max(axis=1)
    fitted = off.index.get_level_values("series").isin(list(betas))
    rest = off[~fitted]
    if len(rest) < LEAST_POINTS and not betas:
        return Check("same_reference", "unknown")
    allowed, worst = _allowed(run, rest), float(rest.median()) if len(rest) else 0.0
    values = {"n": len(rest), "off": significant(worst, 2), "allowed": significant(allowed, 2)}
    if len(rest) >= LEAST_POINTS and worst > allowed:
        return Check("same_reference", "fail", values)
    if not betas:
        return Check("same_reference", "pass", values)
    name = next(iter(betas))
    used = f"{run.series[name].beta:.3g}"
    values = {"series": name, "n": int(fitted.sum()), "beta": used, "fitted": f"{betas[name]:.3g}"}
    if not run.series[name].beta:
        return Check("same_reference", "warn", values, key="checks.same_reference.beta_zero")
    values["ratio"] = f"{betas[name] / run.series[name].beta:.3g}"
    return Check("same_reference", "warn", values, key="checks.same_reference.beta")


def fitted_betas(run: Run, table: pd.DataFrame) -> dict[str, float]:
    """Return, by series, the beta with which the logged rewards fit, where they do not fit with that of the run.

    Args:
        run: an open run.
        table: of ``trainer_log_table``, without undefined differences.
    """
    logged = _same_log_probs(table, "logged")
    betas: dict[str, float] = {}
    for name in logged.index.get_level_values("series").unique():
        points = logged.loc[[name]]
        theirs, changes = points.to_numpy().ravel(), _changes(run, str(name), points.index).ravel()
        if not changes.any():
            continue
        beta = float(theirs @ changes / (changes @ changes))
        allowed = 2 * SAME_LOGPS_NATS + _noise(run)
        constant = float(np.abs(theirs - beta * changes).max()) <= allowed * max(beta, 0.0)
        largest = float(np.abs(changes).max())
        differs = abs(beta - run.series[name].beta) * largest > allowed * max(beta, run.series[name].beta)
        if constant and beta > 0 and largest > MOVED_TIMES * allowed and differs:
            betas[str(name)] = beta
    return betas


def _changes(run: Run, series: str, points: pd.Index) -> np.ndarray:
    """Return the mean change of both sides' log-probs against the reference at these points, nats, (points, sides)."""
    table = step_table(run, series=series).set_index(["step", "split"])[[f"{side}_drift" for side in SIDES]]
    at = pd.MultiIndex.from_arrays([points.get_level_values(name) for name in ("step", "split")])
    return table[~table.index.duplicated()].reindex(at).fillna(0.0).to_numpy(dtype=float)


def _same_log_probs(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column of the two mean rewards at every point whose log-probs agree, shape (points, sides)."""
    apart = table.pivot_table(index=POINT, columns="metric", values="difference").abs()
    if not set(LOGPS + REWARDS) <= set(apart.columns):
        empty = pd.MultiIndex.from_arrays([[]] * len(POINT), names=POINT)
        return pd.DataFrame(index=empty, columns=REWARDS, dtype=float)
    same = apart[(apart[LOGPS] <= SAME_LOGPS_NATS).all(axis=1)].index
    return table.pivot_table(index=POINT, columns="metric", values=column).loc[same, REWARDS].dropna()


def _allowed(run: Run, points: pd.Series) -> float:
    """Return how far a mean reward may lie off where the mean log-probs agree, beta x nats."""
    names = points.index.get_level_values("series") if len(points) else run.series
    return max(run.series[name].beta for name in names) * 2 * SAME_LOGPS_NATS + _noise(run)


def _noise(run: Run) -> float:
    """Return the noise floor of a response, nats; 0 where it was not measured."""
    floor = run.noise_floor
    return floor.response if floor else 0.0
