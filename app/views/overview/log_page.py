"""The Overview of a run that holds training logs alone: their curves, and the last logged values."""

import pandas as pd
import streamlit as st
from shared import blocks, cache, cached_tables, state
from shared.tabs import tabs

from dpo_analysis import words
from dpo_analysis.figures.log_view.curves import CHARTS, charts_of, every_nth, log_curves
from dpo_analysis.runs import Run

METRICS = tuple(metric for chart in CHARTS.values() for metric in chart.lines)
"""The metrics of the table, in its order."""


def draw(run: Run, lang: str) -> None:
    """Draw the page of ``run``."""
    st.title(words.text("overview.log.title", lang), anchor=False)
    blocks.facts(run, lang)
    blocks.only_log(lang)
    curves = cached_tables.all_logged(run)
    charts = charts_of(curves)
    if not charts:
        st.info(words.text("overview.log.nothing", lang))
        return
    with tabs("overview.log", charts, lang) as opened:
        st.caption(words.text(f"overview.log.caption.{opened}", lang))
        chart = cache.drawn(_chart, run, name=opened)
        blocks.figure(chart, key=f"log-{opened}", alt=words.text("overview.log.title", lang))
    nth = every_nth(curves, opened)
    if nth > 1:
        blocks.safe_html((blocks.NOTE, words.text("overview.log.thinned", lang, n=nth)))
    gaps = int(curves["value"].isna().sum())
    if gaps:
        blocks.safe_html((blocks.NOTE, words.text("overview.log.gaps", lang, n=gaps)))
    st.subheader(words.text("overview.log.last", lang), anchor=False)
    blocks.table(_last_values(curves, lang), "%.4f")


def _chart(run: Run, *, name: str) -> object:
    return log_curves(cached_tables.all_logged(run), name, lang=state.language(), theme=state.theme())


def _last_values(curves: pd.DataFrame, lang: str) -> pd.DataFrame:
    """Return a row for every series and split: the last step, and the last value of every metric that was logged."""
    known = curves[curves["metric"].isin(METRICS) & curves["value"].notna()].sort_values("step")
    rows = []
    for (series, split), group in known.groupby(["series", "logged_split"]):
        last = group.drop_duplicates("metric", keep="last").set_index("metric")["value"]
        names = {words.text(f"figure.log.{metric}", lang): float(last[metric]) for metric in METRICS if metric in last}
        keys = {"series": str(series), "split": str(split), "step": int(group["step"].max())}
        rows.append({words.text(f"overview.log.column.{name}", lang): value for name, value in keys.items()} | names)
    return pd.DataFrame(rows)
