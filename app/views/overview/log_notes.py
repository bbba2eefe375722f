"""Notes on the trainer's log beside the reward curves: why it differs, and which logs are not shown."""

import streamlit as st
from shared import blocks, cached_tables

from dpo_analysis import words
from dpo_analysis.runs import Run
from dpo_analysis.tables.trainer_log import explain_difference
from dpo_analysis.text.numbers import significant

REWARD_METRICS = ("chosen_reward", "rejected_reward", "margin")
"""Metrics of the trainer's log that are drawn behind the reward curves."""


def draw(run: Run, lang: str) -> None:
    """Show both notes; nothing for a run without a trainer's log."""
    _differences(run, lang)
    notes = cached_tables.logs_of_other_splits(run)
    blocks.safe_html(*((blocks.NOTE, words.text(why, lang, log=name, series=series)) for name, series, why in notes))


def has_log(run: Run, series: str) -> bool:
    """Return whether the trainer's log is drawn behind the reward curves of a series."""
    log = cached_tables.logged(run)
    return bool((log["metric"].isin(REWARD_METRICS) & (log["series"] == series)).any()) if len(log) else False


def _differences(run: Run, lang: str) -> None:
    """Show why the log and the recomputed curves differ, and by how much at most."""
    log = cached_tables.logged(run)
    rows = log[log["metric"].isin(REWARD_METRICS)].drop_duplicates(["series", "logged_split"])
    keys = [
        key
        for series, name in zip(rows["series"], rows["logged_split"], strict=True)
        for key in explain_difference(run, series, name)
    ]
    reasons = list(dict.fromkeys(keys))
    if not reasons:
        return
    st.caption(words.text("overview.overlay", lang, why=words.text(reasons[0], lang)))
    with st.expander(words.text("overview.overlay.more", lang)):
        lines = [words.text(key, lang) for key in reasons] + _largest(run, lang)
        blocks.safe_html(*((blocks.EVIDENCE, line) for line in lines))


def _largest(run: Run, lang: str) -> list[str]:
    """Return a sentence per series about the curve that is farthest from its log."""
    rows = cached_tables.log_differences(run)
    rows = rows[rows["metric"].isin(REWARD_METRICS)].sort_values("largest_difference", ascending=False)
    return [
        words.text(
            "overview.overlay.largest",
            lang,
            series=row["series"],
            step=row["step"],
            n=row["n_points"],
            metric=words.text(f"figure.log.{row['metric']}", lang),
            difference=significant(row["largest_difference"], 2),
        )
        for row in rows.drop_duplicates("series").to_dict("records")
    ]
