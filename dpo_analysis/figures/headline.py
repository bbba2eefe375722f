"""The headline of a run: whether the chosen responses lost probability, since when, in how many pairs; no cause."""

import pandas as pd

from dpo_analysis import words
from dpo_analysis.figures.labels import checkpoint_label
from dpo_analysis.text.numbers import percent, signed


def headline(steps: pd.DataFrame, *, lang: str = "en") -> list[tuple[str, str, str, str]]:
    """Return what the last checkpoint of every series and split says about the chosen responses.

    "fell" and "rose" are said only where the interval of the mean chosen reward excludes 0; else "level".

    Args:
        steps: the step table.
        lang: "en" or "zh".

    Returns:
        (series, split, verdict, evidence), in the table's order; the last two are sentences.
    """
    groups = steps.groupby(["series", "split"], sort=False)
    return [(str(series), str(split), *_sentences(rows, lang)) for (series, split), rows in groups]


def _sentences(rows: pd.DataFrame, lang: str) -> tuple[str, str]:
    total, rows = int(rows["n_pairs"].iloc[-1]), rows.loc[rows["n_used"] > 0]
    if rows.empty:
        return words.text("figure.headline.none", lang, total=total), ""
    last = rows.iloc[-1]
    values = {
        "model": _checkpoint(last, lang),
        "drift": signed(last.chosen_drift, 1),
        "rejected": signed(last.rejected_drift, 1),
        "reward": signed(last.chosen_reward),
        "margin": signed(last.margin),
        "share": percent(last.share_chosen_fell),
        "used": int(last.n_used),
        "total": total,
    }
    kind = "fell" if last.chosen_reward_high < 0 else "rose" if last.chosen_reward_low > 0 else "level"
    onset = _checkpoint(onset_of_fall(rows), lang)
    since = words.text("figure.headline.since", lang, model=onset) if kind == "fell" else ""
    evidence = words.text("figure.headline.evidence", lang, since=since, **values)
    return words.text(f"figure.headline.{kind}", lang, **values), evidence


def onset_of_fall(rows: pd.DataFrame) -> pd.Series:
    """Return the first checkpoint from which the mean chosen reward stays below 0, else the last checkpoint.

    Args:
        rows: rows of the step table of one series and split, in the order of training.
    """
    not_below = (rows["chosen_reward"] >= 0).to_numpy().nonzero()[0]
    first = int(not_below[-1]) + 1 if len(not_below) else 0
    return rows.iloc[min(first, len(rows) - 1)]


def _checkpoint(row: pd.Series, lang: str) -> str:
    return checkpoint_label(row.step, str(row.model), lang)
