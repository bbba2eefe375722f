"""The trainer's own curves beside the recomputed ones, and the reasons why the two may differ."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from dpo_analysis import schema, words
from dpo_analysis.errors import InputError
from dpo_analysis.numerics.losses import LOSSES, check_loss
from dpo_analysis.numerics.metrics import METRICS
from dpo_analysis.runs import Run, Series
from dpo_analysis.tables.pairs import pair_table, step_table

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
"""Metrics that the trainer logs and that the run gives back."""
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


def overlay_table(run: Run) -> pd.DataFrame:
    """Recomputed and logged values side by side: one row per policy, split and metric that both have.

    Columns: series, model, step, split (the run's), logged_split (the trainer's word: train, eval, eval_<set>), metric,
    unit, recomputed with its 95 % interval (low, high), logged, difference (recomputed - logged), n_pairs, n_used. The
    run's split ``x`` is laid beside the logged ``x`` and ``eval_x``, at the policy's own step, with the series' own
    beta and loss. Empty where no log was imported. ``explain_difference`` says what difference to expect.

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
    """The trainers' logs with the run's own names of splits: ``schema.CURVES_SCHEMA`` and logged_split.

    ``logged_split`` is the trainer's word (train, eval, eval_<set>); ``split`` is the run's: what is logged as
    ``eval_x`` lies beside the run's split ``x``. Empty where no log was imported.

    Raises:
        StorageError: the log is damaged.
    """
    curves = run.curves()
    frame = schema.CURVES_SCHEMA.empty_table().to_pandas() if curves is None else curves.to_pandas()
    own = frame["split"].astype(str)
    return frame.assign(logged_split=own, split=own.where(own.isin(run.splits), own.str.removeprefix("eval_")))


def hidden_logs(run: Run, logged: pd.DataFrame, split: str) -> list[tuple[str, str, str]]:
    """The logs that lie beside no curve of ``split``, and why.

    Args:
        run: an open run.
        logged: what ``logged_curves`` gave.
        split: the split that is shown.

    Returns:
        (the trainer's word, the series that have it, the key of ``words`` that says why): another split of the run
        (``overview.log.other``), or none that was scored (``overview.log.none``).
    """
    rows = logged[logged["split"] != split].drop_duplicates(["logged_split", "series"])
    return [
        (str(word), ", ".join(group["series"]), f"overview.log.{'other' if own in run.splits else 'none'}")
        for (word, own), group in rows.groupby(["logged_split", "split"], sort=False)
    ]


def overlay_summary(overlay: pd.DataFrame) -> pd.DataFrame:
    """How far apart the curves of ``overlay_table`` are: one row per series, split and metric.

    Columns: series, split, metric, unit, n_points, mean_difference (mean of the absolute differences),
    largest_difference (absolute) and its step.
    """
    rows = []
    known = overlay[overlay["difference"].notna()]
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
                "step": int(group.loc[size.idxmax(), "step"]),
            }
        )
    columns = ["series", "split", "metric", "unit", "n_points", "mean_difference", "largest_difference", "step"]
    return pd.DataFrame(rows, columns=columns)


def explain_difference(run: Run, series: str, logged_split: str) -> list[str]:
    """Why logged and recomputed curves of a series may differ: keys of ``words``, the weightiest first; never empty.

    Args:
        run: an open run.
        series: one of its series.
        logged_split: the trainer's word: "train", "eval" or "eval_<set>".

    Raises:
        InputError: the run has no such series.
    """
    if series not in run.series:
        raise InputError(f"no series {series!r} in run {run.path}: it has {', '.join(run.series)}; give one of these")
    return [f"overlay.{name}" for name in _reasons(run.series[series], run.identity, logged_split)]


def difference_text(run: Run, series: str, logged_split: str, *, lang: str = "en") -> str:
    """The sentences of ``explain_difference`` one after the other, in ``lang``."""
    keys = explain_difference(run, series, logged_split)
    return ("" if lang == "zh" else " ").join(words.text(key, lang) for key in keys)


def _reasons(series: Series, identity: dict[str, Any], logged_split: str) -> Iterator[str]:
    facts = series.parameters
    yield "window" if logged_split == "train" else "batches"
    yield "subset"
    if series.logged_logps == "mean":
        yield "means"
    like_trainer = identity.get("numerics") == "trainer"
    if facts.get("bf16") is not False and not like_trainer:
        yield "bf16" if facts.get("bf16") else "bf16_unknown"
    if facts.get("saved_dtype") in ("float16", "bfloat16"):
        yield f"saved_{facts['saved_dtype']}"
    if identity.get("dtype") in ("float16", "bfloat16") or (like_trainer and facts.get("bf16") is False):
        yield "scored_low"
    if facts.get("ld_alpha") is not None:
        yield "ld_alpha"
    losses = [series.loss_type] if isinstance(series.loss_type, str) else series.loss_type
    if "sft" in losses:
        yield "sft"
    if not _has_loss(series):
        yield "no_loss"


def _has_loss(series: Series) -> bool:
    names = [series.loss_type] if isinstance(series.loss_type, str) else series.loss_type
    try:
        check_loss(series.loss_type, series.beta, series.parameters)
    except InputError:
        return False
    return all(name in LOSSES for name in names)


def _recomputed(run: Run) -> Iterator[dict[str, Any]]:
    for row in step_table(run).to_dict("records"):
        if pd.isna(row["step"]) or not row["n_used"]:
            continue
        head = {name: row[name] for name in ("series", "model", "step", "split", "n_pairs", "n_used")}
        for metric in COMPARED:
            if metric.endswith("_logps") and run.series[row["series"]].logged_logps == "mean":
                value, low, high = _mean_per_token(run, row, metric), np.nan, np.nan
            else:
                value, low, high = row[metric], row[f"{metric}_low"], row[f"{metric}_high"]
            yield head | {"metric": metric, "recomputed": value, "low": low, "high": high}


def _mean_per_token(run: Run, row: dict[str, Any], metric: str) -> float:
    """Mean over pairs of the logps per token, nats per token: what trainers that log averages show."""
    pairs = pair_table(run, model=f"{row['series']}/{row['model']}", split=row["split"])
    side = metric.removesuffix("_logps")
    return float((pairs[metric] / pairs[f"{side}_n_tokens"].astype("Float64")).mean())
