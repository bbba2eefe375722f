"""A split as bars: what each part adds to the mean change, chosen left, rejected right, on one scale."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dpo_analysis import words
from dpo_analysis.figures.theme import LABEL, TITLE, blank, colour, dress, faded, percent, signed
from dpo_analysis.schema import SIDES

BAR, CHROME = 34, 92
"""Pixels: one part, and what stands above and below all of them."""


def split_bars(rows: pd.DataFrame, *, lang: str = "en", theme: str = "light") -> go.Figure:
    """The parts of one split, nats per response; whiskers: 95 % intervals over groups, where there are any.

    Args:
        rows: the rows of one ``by`` of ``dpo_analysis.tables.decompositions.split_table``.
        lang: "en" or "zh".
        theme: "light" or "dark".

    Returns:
        A figure; beside each bar stands its value and, in brackets, its share of the whole. Where parts go both ways
        no share is written: a part of more than the whole says nothing.
    """
    if rows.empty:
        return blank(lang=lang, theme=theme)
    parts = list(dict.fromkeys(rows["part"]))
    totals = {side: rows.loc[rows["side"] == side, "log_ratio"].sum() for side in SIDES}
    titles = [
        f"<b>{words.text(f'side.{side}', lang)}</b>  {words.text('causes.whole', lang, value=signed(totals[side]))}"
        for side in SIDES
    ]
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.05, shared_yaxes=True)
    for column, side in enumerate(SIDES, start=1):
        mine = rows[rows["side"] == side].set_index("part").reindex(parts).reset_index()
        figure.add_trace(_bars(mine, side, lang, theme), row=1, col=column)
        figure.add_trace(_values(mine, theme), row=1, col=column)
    return _finish(figure, rows, [_name(rows, part, lang) for part in parts], (lang, theme))


def _bars(rows: pd.DataFrame, side: str, lang: str, theme: str) -> go.Bar:
    shade = colour(side, theme)
    known = rows.fillna({"n_pairs": 0, "n_tokens": 0})
    notes = [
        words.text(
            "causes.hover" if row["n_tokens"] else "causes.hover.sums", lang,
            pairs=int(row["n_pairs"]), tokens=int(row["n_tokens"]),
            per_token=signed(row["log_ratio_per_token"], 3),
        ) for row in known.to_dict("records")
    ]  # fmt: skip
    reach = {
        "array": rows["high"] - rows["log_ratio"], "arrayminus": rows["log_ratio"] - rows["low"], "symmetric": False,
        "color": shade, "thickness": 1.2, "width": 5,
    }  # fmt: skip
    return go.Bar(
        x=rows["log_ratio"], y=list(range(len(rows))), orientation="h", error_x=reach, width=0.62,
        marker_color=faded(shade, 0.55), hovertext=notes, hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def _values(rows: pd.DataFrame, theme: str) -> go.Scatter:
    """Each value behind the end of its bar and whisker, with its share where all parts go the same way."""
    falls = rows["log_ratio"] < 0
    ends = rows["low"].fillna(rows["log_ratio"]).where(falls, rows["high"].fillna(rows["log_ratio"]))
    one_way = rows["share"].dropna().between(0, 1).all()
    shares = rows["share"] if one_way else rows["share"] * float("nan")
    labels = [_label(value, share) for value, share in zip(rows["log_ratio"], shares, strict=True)]
    return go.Scatter(
        x=ends.clip(upper=0).where(falls, ends), y=list(range(len(rows))), mode="text", cliponaxis=False,
        text=[f" {label} " for label in labels], hoverinfo="skip",
        textposition=["middle left" if fell else "middle right" for fell in falls],
        textfont={"size": LABEL, "color": colour("text", theme)},
    )  # fmt: skip


def _label(value: float, share: float) -> str:
    if pd.isna(value):
        return ""
    return signed(value) if pd.isna(share) else f"{signed(value)} ({percent(share)})"


def _name(rows: pd.DataFrame, part: str, lang: str) -> str:
    return words.text(f"causes.{rows['by'].iloc[0]}.{part}", lang)


def _finish(figure: go.Figure, rows: pd.DataFrame, names: list[str], look: tuple[str, str]) -> go.Figure:
    lang, theme = look
    axis = words.text("causes.column.log_ratio", lang)
    height = CHROME + BAR * len(names)
    low, high = rows[["log_ratio", "low"]].min().min(), rows[["log_ratio", "high"]].max().max()
    low, high = min(0.0, low), max(0.0, high)
    room = 0.45 * max(high - low, 1e-9)
    spread = [low - (room if low < 0 else 0), high + (room if high > 0 else 0.02 * room)]
    dress(figure, theme=theme, height=height)
    figure.update_xaxes(
        range=spread, gridcolor=colour("grid", theme), zeroline=True, zerolinecolor=colour("zero", theme),
        zerolinewidth=1.4, nticks=5, title={"text": axis, "standoff": 4, "font": {"size": LABEL}},
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[f"{name} " for name in names], autorange="reversed",
        showgrid=False, zeroline=False, tickfont={"size": LABEL, "color": colour("text", theme)}, automargin=True,
    )  # fmt: skip
    for note, axis in zip(figure.layout.annotations, figure.select_xaxes(), strict=True):
        note.update(font={"size": TITLE, "color": colour("text", theme)}, x=axis.domain[0], xanchor="left")
    return figure.update_layout(margin={"t": 30, "b": 48, "l": 12})
