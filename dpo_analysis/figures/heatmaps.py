"""Heat maps: where in the response the log-ratio goes (position x step), and one pair's tokens x checkpoints."""

import math
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dpo_analysis import schema, words
from dpo_analysis.figures.scales import axis_ticks, end_labels, scale_ends, scale_of
from dpo_analysis.figures.theme import (
    LABEL,
    TITLE,
    apply_theme,
    axes_of,
    color_of,
    diverging_colorscale,
    empty_figure,
    escaped,
    layout_of,
    sequential_colorscale,
    step_label,
    unit_label,
)
from dpo_analysis.figures.token_view.colors import BY_NAME
from dpo_analysis.figures.token_view.glyphs import glyph_text, glyphs

TOP, BOTTOM, TOKENS_BOTTOM, ROW, BETWEEN = 34, 44, 92, 26, 92
"""Pixels: above the first map, below the last one (with the texts of tokens more), one row, and between two maps."""
MIN_ROWS, MOST_ROWS = 3, 12
"""Rows that a map has room for at least, so that the scale beside it can be read, and at full height at most."""
MOST_NAMES, MOST_POSITIONS, MOST_TOKENS = 20, 5, 16
"""Checkpoints that are named beside a map, and positions below one of two maps, or below the map of tokens, at most."""
MAX_NAMED_TOKENS = 64
"""Up to so many tokens have their texts under the map; longer responses have them on hover."""


class _Look(NamedTuple):
    theme: str
    height: int


def position_heatmap(positions: pd.DataFrame, *, lang: str = "en", theme: str = "light") -> go.Figure:
    """Draw the mean log-ratio (colour, nats per token) by position in the response (x) and checkpoint (y).

    Chosen is left, rejected right, on one scale around 0.

    Args:
        positions: the position table (series, split, model, step, side, position, log_ratio, n_used).
        lang: "en" or "zh".
        theme: "light" or "dark".

    Returns:
        A figure with one row of maps per series and split.
    """
    groups = list(positions.groupby(["series", "split"], sort=False))
    if not groups:
        return empty_figure(lang=lang, theme=theme)
    titles = [
        f"<b>{escaped(series)}</b>  {escaped(split)}, {words.text(f'side.{side}', lang)}"
        for (series, split), _ in groups
        for side in schema.SIDES
    ]
    rows_of_maps = [_height(rows["model"].nunique()) for _, rows in groups]
    inner = sum(rows_of_maps) * ROW + (len(groups) - 1) * BETWEEN
    figure = _empty_maps((len(groups), 2), titles, rows_of_maps, BETWEEN / inner)
    limit = scale_of(positions["log_ratio"])
    for row, (_, rows) in enumerate(groups, start=1):
        for column, side in enumerate(schema.SIDES, start=1):
            drawn = _position_map(rows[rows["side"] == side], lang)
            figure.add_trace(drawn, row=row, col=column)
            _set_ticks(figure, drawn, MOST_POSITIONS, row=row, col=column)
    look = _Look(theme, inner + TOP + BOTTOM)
    _set_color_axis(figure, (-limit, limit), unit_label("log_ratio_per_token", lang), look)
    return _with_axes(figure, words.text("figure.axis.position", lang), look)


def _position_map(rows: pd.DataFrame, lang: str) -> go.Heatmap:
    order = _steps_by_model(rows)
    values, counts = (_matrix(rows, column, order) for column in ("log_ratio", "n_used"))
    hover = words.text("figure.hover.position", lang).replace("{value}", "%{z:+.3~g}")
    hover = hover.replace("{n}", "%{customdata:.0f}")
    return _map(values, _row_labels(order, lang), hover, counts.to_numpy(), gap=0)


def token_heatmap(
    tokens: pd.DataFrame,
    *,
    color: str = "advantage",
    scale: float | None = None,
    lang: str = "en",
    theme: str = "light",
) -> go.Figure:
    """Draw one number (colour) of a pair's tokens (x) under the checkpoints of one series (y), chosen above rejected.

    Args:
        tokens: the token table of one pair and one series.
        color: the number, one of ``COLORS``.
        scale: the value that gets the full colour, as in the token view; None is the 99th percentile of the column.
        lang: "en" or "zh".
        theme: "light" or "dark".

    Returns:
        A figure; up to 64 tokens are written under the map, more are named on hover.
    """
    count = _height(tokens["model"].nunique())
    look = _Look(theme, 2 * count * ROW + TOP + BETWEEN + 18 + TOKENS_BOTTOM)
    titles = [f"<b>{words.text(f'side.{side}', lang)}</b>" for side in schema.SIDES]
    figure = _empty_maps((2, 1), titles, [count, count], (BETWEEN + 18) / (look.height - TOP - TOKENS_BOTTOM))
    for row, side in enumerate(schema.SIDES, start=1):
        of_side = tokens[tokens["side"] == side]
        drawn = _token_map(of_side, color, lang)
        figure.add_trace(drawn, row=row, col=1)
        _set_ticks(figure, drawn, MOST_TOKENS, row=row, col=1)
        _name_tokens(figure, of_side, row)
    limit, quantity = scale or scale_of(tokens[color]), BY_NAME[color]
    _set_color_axis(figure, scale_ends(limit, quantity.ramp), unit_label(quantity.unit, lang), look)
    return _with_axes(figure, "", look).update_layout(margin_b=TOKENS_BOTTOM)


def _token_map(rows: pd.DataFrame, color: str, lang: str) -> go.Heatmap:
    order = _steps_by_model(rows)
    values = _matrix(rows, color, order)
    names = [escaped(name) for name in token_names(rows)]
    hover = words.text("figure.hover.token", lang).replace("{value}", "%{z:+.4~g}").replace("{token}", "%{customdata}")
    return _map(values, _row_labels(order, lang), hover, [names] * len(values), gap=0.5)


def _map(values: pd.DataFrame, labels: list[str], hover: str, customdata: Any, *, gap: float) -> go.Heatmap:
    """Return a map of models (y) x positions (x); ``gap`` is the space between two positions, pixels."""
    return go.Heatmap(
        x=list(values.columns),
        y=labels,
        z=values.to_numpy(),
        customdata=customdata,
        coloraxis="coloraxis",
        hovertemplate=hover.replace("{position}", "%{x}").replace("{model}", "%{y}") + "<extra></extra>",
        xgap=gap,
        ygap=1,
    )


def _height(models: int) -> int:
    """Return the height of a map of so many models, in rows; more than ``MOST_ROWS`` share that height."""
    return min(max(MIN_ROWS, models), MOST_ROWS)


def _set_ticks(figure: go.Figure, drawn: Any, most: int, **place: Any) -> None:
    """Name positions at equal distances, and every checkpoint or, of many, the last and those at equal distances."""
    if len(drawn.x):
        figure.update_xaxes(**axis_ticks(0, max(drawn.x[-1], 1), most=most, whole=True), **place)
        figure.update_yaxes(tickvals=drawn.y[:: -math.ceil(len(drawn.y) / MOST_NAMES)][::-1], **place)


def token_names(rows: pd.DataFrame) -> list[str]:
    """Return the text of every token as it is shown; tokens that share a character are numbered: ``好 1/2``.

    Args:
        rows: rows of the token table of one response.
    """
    pieces = rows.drop_duplicates("position").sort_values("position")["token_bytes"]
    names: list[str] = []
    for glyph in glyphs(list(pieces)):
        text = glyph_text(glyph)
        names += [text] if glyph.count == 1 else [f"{text} {part + 1}/{glyph.count}" for part in range(glyph.count)]
    return names


def _name_tokens(figure: go.Figure, rows: pd.DataFrame, row: int) -> None:
    names = token_names(rows)
    if 0 < len(names) <= MAX_NAMED_TOKENS:
        texts = [escaped(name if len(name) <= 10 else f"{name[:9]}…") for name in names]
        figure.update_xaxes(tickvals=list(range(len(names))), ticktext=texts, tickangle=-50, row=row, col=1)


def _matrix(rows: pd.DataFrame, column: str, order: dict[str, float]) -> pd.DataFrame:
    """Return a column as models x positions, the models in this order."""
    matrix = rows.pivot_table(index="model", columns="position", values=column, sort=False)
    return matrix.reindex(list(order))


def _steps_by_model(rows: pd.DataFrame) -> dict[str, float]:
    """Return the models in the table's order with their steps; NaN where a step is unknown."""
    first = rows.drop_duplicates("model")
    return {
        str(name): float(step) if pd.notna(step) else math.nan
        for name, step in zip(first["model"], first["step"], strict=True)
    }


def _row_labels(order: dict[str, float], lang: str) -> list[str]:
    steps = list(order.values())
    if len(set(steps)) == len(steps) and not any(math.isnan(step) for step in steps):
        return [step_label(step, name, lang) for name, step in order.items()]
    return [escaped(name) for name in order]


def _empty_maps(shape: tuple[int, int], titles: list[str], heights: list[int], gap: float) -> go.Figure:
    """Return subplots; ``heights`` weigh the rows, ``gap`` is the space between two rows as a share of the height."""
    rows, columns = shape
    spacing = min(gap, 0.9 / (rows - 1)) if rows > 1 else 0
    return make_subplots(
        rows, columns, subplot_titles=titles, horizontal_spacing=0.09, vertical_spacing=spacing, row_heights=heights
    )


def _set_color_axis(figure: go.Figure, ends: tuple[float, float], title: str, look: _Look) -> None:
    """Set the colours and their bar: orange to blue with 0 in the middle, orange to 0, or 0 to violet."""
    colors = diverging_colorscale(look.theme)
    if not ends[1]:
        colors = [[2 * float(place), color] for place, color in colors[:3]]
    elif not ends[0]:
        colors = sequential_colorscale(look.theme)
    ticks = sorted({ends[0], 0.0, ends[1]})
    labels = dict(zip(ends, end_labels(ends), strict=True))
    bar: dict[str, Any] = {
        "title": {"text": title, "side": "right"},
        "thickness": 10,
        "outlinewidth": 0,
        "tickvals": ticks,
        "ticktext": [labels.get(tick, "0") for tick in ticks],
        "y": 1,
        "yanchor": "top",
        "lenmode": "pixels",
        "len": min(200, look.height - TOP - 40),
    }
    figure.update_layout(coloraxis={"colorscale": colors, "cmin": ends[0], "cmax": ends[1], "colorbar": bar})


def _with_axes(figure: go.Figure, x_title: str, look: _Look) -> go.Figure:
    apply_theme(figure, theme=look.theme, height=look.height)
    figure.update_xaxes(title={"text": x_title, "standoff": 4, "font": {"size": LABEL}}, showgrid=False, zeroline=False)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, ticksuffix=" ")
    for title, axis in zip(layout_of(figure).annotations, axes_of(figure, "x"), strict=True):
        title.update(font={"size": TITLE, "color": color_of("text", look.theme)}, x=axis.domain[0], xanchor="left")
    figure.update_layout(margin={"l": 84, "r": 12, "t": TOP, "b": BOTTOM})
    return figure
