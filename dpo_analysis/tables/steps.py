"""Tables with one row per checkpoint: every metric with its interval, and how many pairs have which status."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from dpo_analysis.arrays.pair_quantities import LossSettings, pair_quantities
from dpo_analysis.arrays.response_sums import counted_pairs, pair_index, pair_statuses
from dpo_analysis.arrays.selection import Names, choose_models, name_list
from dpo_analysis.numerics.metrics import METRICS, metrics_with_intervals
from dpo_analysis.runs import Run
from dpo_analysis.schema import PENDING, STATUSES
from dpo_analysis.tables.pairs import pair_keys

STEP_KEYS = ["series", "model", "step", "split", "n_pairs", "n_used"]


def step_table(
    run: Run,
    *,
    beta: float | None = None,
    loss_type: str | Sequence[str] | None = None,
    series: Names = None,
    model: Names = None,
    split: Names = None,
) -> pd.DataFrame:
    """Return one row per policy and split with every metric and its 95 % interval over groups of pairs.

    A pair counts when both responses are scored under policy and reference; without such a pair the metrics are NaN.
    Intervals as in ``numerics.bootstrap``.

    Args:
        run: an open run.
        beta: None for the beta of each series.
        loss_type: a TRL loss name or several; None for the loss of each series.
        series: only these series.
        model: only these policies, NAME or SERIES/NAME.
        split: only these splits.

    Returns:
        Columns: series, model, step, split, n_pairs, n_used (pairs that count), then each of ``metrics.METRICS`` with
        ``<metric>_low`` and ``<metric>_high``, in the metric's unit.

    Raises:
        InputError: nothing in the run has such a name, or the loss is no function of a single pair.
        StorageError: a part is damaged.
    """
    settings = LossSettings(beta, loss_type)
    mask = pair_keys(run, settings, split)[1]
    pairs = pair_index(run).pairs
    splits = pairs["split"].to_numpy(dtype=object)
    groups = {name: pd.factorize(pairs["group_id"].where(splits == name))[0] for name in name_list(split) or run.splits}
    rows = []
    for policy in choose_models(run, series, model):
        numbers = pair_quantities(run, policy, settings)
        for name, codes in groups.items():
            in_split = mask & (splits == name)
            used = in_split & numbers["used"]
            row = {"series": policy.series, "model": policy.name, "step": policy.step, "split": name}
            row |= {"n_pairs": int(in_split.sum()), "n_used": int(used.sum())}
            columns = {key: values[used] for key, values in numbers.items()}
            rows.append(row | metrics_with_intervals(columns, codes[used], int(codes.max(initial=-1)) + 1))
    columns = [f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*STEP_KEYS, *columns]).astype({"step": "Int64"})


def series_by_severity(steps: pd.DataFrame) -> list[str]:
    """Return the names of the series in a step table, that with the lowest chosen reward at the end first.

    Readers are shown series in this order; files keep the order of the run. Of several splits the lowest reward counts.
    Series that end alike keep the table's order, and series in which no pair counts come last.

    Args:
        steps: a step table, or any rows with series, split, n_used and chosen_reward in the order of training.
    """
    counted = steps[steps["n_used"] > 0]
    ends = (
        counted.drop_duplicates(["series", "split"], keep="last").groupby("series", sort=False)["chosen_reward"].min()
    )
    names = pd.Series(steps["series"].unique(), dtype=object)
    order = names.map(ends).to_numpy(dtype=float).argsort(kind="stable")
    return names.iloc[order].tolist()


def worst_series_first(steps: pd.DataFrame) -> pd.DataFrame:
    """Return a step table with the series in the order of ``series_by_severity``."""
    return in_series_order(steps, series_by_severity(steps))


def in_series_order(rows: pd.DataFrame, series: Sequence[str]) -> pd.DataFrame:
    """Return the rows of any table with the series in this order; the rows of a series keep their order."""
    places = {name: place for place, name in enumerate(series)}
    return rows.sort_values("series", key=lambda names: names.map(places), kind="stable", ignore_index=True)


def status_table(run: Run, *, split: Names = None) -> pd.DataFrame:
    """Return one row per policy: series, model, ``used`` (pairs that count), and the number of pairs of every status.

    Raises:
        InputError: the run has no such split.
        StorageError: a part is damaged.
    """
    mask, rows = pair_keys(run, LossSettings(), split)[1], []
    for policy in run.models:
        statuses = Counter(pair_statuses(run, policy)[mask].tolist())
        counts = {name: statuses.get(name, 0) for name in (*STATUSES, PENDING)}
        used = int(counted_pairs(run, policy)[mask].sum())
        rows.append({"series": policy.series, "model": policy.name, "used": used, **counts})
    return pd.DataFrame(rows, columns=["series", "model", "used", *STATUSES, PENDING])
