"""The curves of the trainer's log beside the recomputed curves, and the reasons why the two may differ."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from dpo_analysis import schema, words
from dpo_analysis.arrays.selection import name_list
from dpo_analysis.errors import InputError
from dpo_analysis.numerics.losses import LOSSES
from dpo_analysis.numerics.metrics import METRICS
from dpo_analysis.numerics.pair_loss import PairLogps, check_loss, loss
from dpo_analysis.runs import Run, Series
from dpo_analysis.runs.summaries.evaluated_sums import evaluated_sums
from dpo_analysis.schema import SIDES
from dpo_analysis.tables.steps import step_table
from dpo_analysis.trainer.evaluations import EVALUATION_BATCH, LOSES_LONGEST_END, mean_of_batches

COMPARED = (
    "loss",
    "accuracy_trl",
    "margin",
    "chosen_reward",
    "rejected_reward",
    "chosen_logps",
    "rejected_logps",
    "entropy",
)
"""Metrics that the trainer logs and that a step table has."""
AVERAGED = ("margin", "chosen_reward", "rejected_reward", "chosen_logps", "rejected_logps")
"""Metrics that some trainers log as averages over tokens."""
COLUMNS = [
    "series",
    "model",
    "step",
    "split",
    "logged_split",
    "metric",
    "unit",
    "recomputed",
    "low",
    "high",
    "logged",
    "difference",
    "n_pairs",
    "n_used",
]
DIFFERENCE_COLUMNS = [
    "series",
    "split",
    "metric",
    "unit",
    "n_points",
    "mean_difference",
    "largest_difference",
    "step",
]


def trainer_log_table(run: Run) -> pd.DataFrame:
    """Return recomputed and logged values side by side: one row per policy, split and metric that both have.

    The split ``x`` of the run is compared with the logged ``x`` and ``eval_x``, at the step of the policy, with beta
    and loss of the series. Empty where no log was imported. ``explain_difference`` says which difference to expect.

    Returns:
        Columns: series, model, step, split (of the run), logged_split (the trainer's name: train, eval, eval_<set>),
        metric, unit, recomputed with its 95 % interval (low, high), logged, difference (recomputed - logged), all in
        that unit, n_pairs, n_used.

    Raises:
        StorageError: a part is damaged.
    """
    logged = logged_curves(run).rename(columns={"value": "logged"})
    logged = logged[logged["metric"].isin(COMPARED)]
    if logged.empty:
        return pd.DataFrame(columns=COLUMNS)
    recomputed = pd.DataFrame(_recomputed(run))
    if recomputed.empty:
        return pd.DataFrame(columns=COLUMNS)
    both = recomputed.merge(logged, on=["series", "split", "step", "metric"], how="inner")
    both["difference"] = both["recomputed"] - both["logged"]
    both["unit"] = [METRICS[name].unit for name in both["metric"]]
    return both.astype({"step": "Int64"}).reindex(columns=COLUMNS)


def logged_curves(run: Run) -> pd.DataFrame:
    """Return the trainers' logs with the names of the run's splits: ``schema.CURVES_SCHEMA`` and logged_split.

    ``logged_split`` is the trainer's name (train, eval, eval_<set>); ``split`` is that of the run: what is logged as
    ``eval_x`` belongs to the split ``x``. Values have the unit of their metric. Empty where no log was imported.

    Raises:
        StorageError: the log is damaged.
    """
    curves = run.curves()
    frame = schema.CURVES_SCHEMA.empty_table().to_pandas() if curves is None else curves.to_pandas()
    name = frame["split"].astype(str)
    return frame.assign(logged_split=name, split=name.where(name.isin(run.splits), name.str.removeprefix("eval_")))


def logs_of_other_splits(run: Run, logged: pd.DataFrame, split: str) -> list[tuple[str, str, str]]:
    """Return the logs that belong to no curve of ``split``, and why.

    Args:
        run: an open run.
        logged: a table of ``logged_curves``.
        split: the split that is shown.

    Returns:
        For each the trainer's name, the series that have it, and the key of ``words`` with the reason: another split of
        the run (``overview.log.other``), or a split that was not scored (``overview.log.none``).
    """
    rows = logged[logged["split"] != split].drop_duplicates(["logged_split", "series"])
    return [
        (str(name), ", ".join(group["series"]), f"overview.log.{'other' if of_run in run.splits else 'none'}")
        for (name, of_run), group in rows.groupby(["logged_split", "split"], sort=False)
    ]


def trainer_log_differences(table: pd.DataFrame) -> pd.DataFrame:
    """Return how far apart the curves of ``trainer_log_table`` are: one row per series, split and metric.

    Returns:
        Columns: series, split, metric, unit, n_points, mean_difference (mean of the absolute differences) and
        largest_difference (absolute), both in that unit, and the step of the largest.
    """
    rows = []
    known = table[table["difference"].notna()]
    for (series, split, metric), group in known.groupby(["series", "split", "metric"], sort=False):
        size = group["difference"].abs()
        rows.append(
            {
                "series": series,
                "split": split,
                "metric": metric,
                "unit": METRICS[str(metric)].unit,
                "n_points": len(group),
                "mean_difference": float(size.mean()),
                "largest_difference": float(size.max()),
                "step": int(group["step"].to_numpy()[size.to_numpy().argmax()]),
            }
        )
    return pd.DataFrame(rows, columns=DIFFERENCE_COLUMNS)


def explain_difference(run: Run, series: str, logged_split: str) -> list[str]:
    """Return why logged and recomputed curves of a series may differ: keys of ``words``, the main reason first.

    There is always at least one.

    Args:
        run: an open run.
        series: one of its series.
        logged_split: the trainer's name of the split: "train", "eval" or "eval_<set>".

    Raises:
        InputError: the run has no such series.
    """
    if series not in run.series:
        raise InputError(f"no series {series!r} in run {run.path}: it has {', '.join(run.series)}; give one of these")
    return [f"overlay.{name}" for name in _reasons(run.series[series], run.identity, logged_split)]


def difference_text(run: Run, series: str, logged_split: str, *, lang: str = "en") -> str:
    """Return the sentences of ``explain_difference`` as one text in ``lang``; arguments and errors as there."""
    keys = explain_difference(run, series, logged_split)
    return ("" if lang == "zh" else " ").join(words.text(key, lang) for key in keys)


def _reasons(series: Series, identity: dict[str, Any], logged_split: str) -> Iterator[str]:
    parameters = series.parameters
    yield "window" if logged_split == "train" else "batches"
    yield "subset"
    if series.logged_logps == "mean":
        yield "means"
    like_trainer = identity.get("numerics") == "trainer"
    if parameters.get("bf16") is not False and not like_trainer:
        yield "bf16" if parameters.get("bf16") else "bf16_unknown"
    if parameters.get("saved_dtype") in ("float16", "bfloat16"):
        yield f"saved_{parameters['saved_dtype']}"
    if identity.get("dtype") in ("float16", "bfloat16") or (like_trainer and parameters.get("bf16") is False):
        yield "scored_low"
    if parameters.get("ld_alpha") is not None:
        yield "ld_alpha"
    losses = name_list(series.loss_type)
    if "sft" in losses:
        yield "sft"
    if not _has_loss(series, losses):
        yield "no_loss"


def _has_loss(series: Series, losses: list[str]) -> bool:
    try:
        check_loss(series.loss_type, series.beta, series.parameters)
    except InputError:
        return False
    return all(name in LOSSES for name in losses)


def _recomputed(run: Run) -> Iterator[dict[str, Any]]:
    """Return one row per policy, split and metric with its value and interval."""
    for record in step_table(run).to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        if pd.isna(row["step"]) or not row["n_used"]:
            continue
        keys = {name: row[name] for name in ("series", "model", "step", "split", "n_pairs", "n_used")}
        as_logged = _as_logged(run, row)
        for metric in COMPARED:
            value, low, high = row[metric], row[f"{metric}_low"], row[f"{metric}_high"]
            if metric in as_logged:
                moved = as_logged[metric] - value
                averaged = run.series[row["series"]].logged_logps == "mean" and metric in AVERAGED
                value = as_logged[metric]
                low, high = (np.nan, np.nan) if averaged else (low + moved, high + moved)
            yield keys | {"metric": metric, "recomputed": value, "low": low, "high": high}


def _as_logged(run: Run, row: dict[str, Any]) -> dict[str, float]:
    """Return the metrics that the trainer logs as another mean than the step table's, as the trainer logs them.

    A trainer logs means of batch means, and some trainers log log-probs and rewards as averages over tokens.
    """
    series = run.series[row["series"]]
    batch, averaged = series.parameters.get(EVALUATION_BATCH), series.logged_logps == "mean"
    uneven = bool(batch) and row["n_used"] % batch != 0
    if not uneven and not averaged and not series.parameters.get(LOSES_LONGEST_END):
        return {}
    sums = evaluated_sums(run, run.model(f"{row['series']}/{row['model']}"), row["split"])
    per = sums.n_tokens if averaged else np.ones_like(sums.n_tokens)
    logps, rewards = sums.policy / per, series.beta * sums.log_ratios / per
    values = {
        f"{side}_{name}": of[:, i]
        for name, of in (("logps", logps), ("reward", rewards))
        for i, side in enumerate(SIDES)
    }
    values["margin"] = rewards[:, 0] - rewards[:, 1]
    values["accuracy_trl"] = (values["margin"] > 0).astype(float)
    if _has_loss(series, name_list(series.loss_type)) and series.parameters.get("ld_alpha") is None:
        terms = PairLogps(*sums.policy.T, *sums.reference.T, *sums.n_tokens.T)
        values["loss"] = loss(terms, beta=series.beta, loss_type=series.loss_type, parameters=series.parameters)
    # transformers weighs the loss of each batch by its pairs; the trainers' metrics are plain means of batch means
    return {name: mean_of_batches(column, None if name == "loss" else batch) for name, column in values.items()}
