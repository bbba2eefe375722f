"""Heat maps: where in the response the log-ratio goes (position x step), and one pair's tokens x checkpoints."""

import math

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dpo_analysis import schema, words
from dpo_analysis.figures.scales import end_words, scale_ends, scale_of
from dpo_analysis.figures.theme import LABEL, TITLE, blank, colour, diverging, dress, plain, rising, step_label, unit
from dpo_analysis.figures.token_view.colors import BY_NAME
from dpo_analysis.figures.token_view.glyphs import cells, shown

TOP, ROW, CHROME = 34, 26, 92
"""Pixels: above the first map, one checkpoint's row, and between two maps (axis and title)."""
LEAST = 3
"""Rows that a map has room for at least, so that the scale beside it can be read."""
LABELLED = 64
"""Up to so many tokens each has its text under the map; longer responses have it on hover."""


def position_heatmap(positions: pd.DataFrame, *, lang: str = "en", theme: str = "light") -> go.Figure:
    """Mean log-ratio by position in the response x checkpoint, nats; chosen left, rejected right, one scale.

    Args:
        positions: the position table (series, split, model, step, side, position, log_ratio, n_used).
        lang: "en" or "zh".
        theme: "light" or "dark".

    Returns:
        A figure with one row of maps per series and split.
    """
    groups = list(positions.groupby(["series", "split"], sort=False))
    if not groups:
        return blank(lang=lang, theme=theme)
    names = [
        f"<b>{plain(series)}</b>  {plain(split)}, {words.text(f'side.{side}', lang)}"
        for (series, split), _ in groups
        for side in schema.SIDES
    ]
    counts = [max(LEAST, rows["model"].nunique()) for _, rows in groups]
    height = sum(counts) * ROW + (len(groups) - 1) * CHROME + TOP + 44
    figure = _frame((len(groups), 2), names, counts, CHROME / (height - TOP - 44))
    limit = scale_of(positions["log_ratio"])
    for row, (_, rows) in enumerate(groups, start=1):
        for column, side in enumerate(schema.SIDES, start=1):
            trace = _position_trace(rows[rows["side"] == side], lang)
            figure.add_trace(trace, row=row, col=column)
    _colour_axis(figure, (-limit, limit), unit("log_ratio_per_token", lang), (theme, height))
    return _finish(figure, words.text("figure.axis.position", lang), (theme, height))


def _position_trace(rows: pd.DataFrame, lang: str) -> go.Heatmap:
    grid = rows.pivot_table(index="model", columns="position", values="log_ratio", sort=False)
    counts = rows.pivot_table(index="model", columns="position", values="n_used", sort=False)
    order = _ordered(rows)
    grid, counts = grid.reindex(list(order)), counts.reindex(list(order))
    template = words.text("figure.hover.position", lang).replace("{position}", "%{x}").replace("{model}", "%{y}")
    template = template.replace("{value}", "%{z:+.3~g}").replace("{n}", "%{customdata:.0f}")
    return go.Heatmap(
        x=list(grid.columns), y=_labels(order, lang), z=grid.to_numpy(), customdata=counts.to_numpy(),
        coloraxis="coloraxis", hovertemplate=template + "<extra></extra>", xgap=0, ygap=1,
    )  # fmt: skip


def token_heatmap(
    tokens: pd.DataFrame,
    *,
    color: str = "advantage",
    scale: float | None = None,
    lang: str = "en",
    theme: str = "light",
) -> go.Figure:
    """One pair's tokens x checkpoints of one series, chosen above rejected, one scale.

    Args:
        tokens: the token table of one pair and one series.
        color: the column that is drawn, one of ``COLORS``.
        scale: the value that gets the full colour, as the token view beside it has it; None is ``scale_of`` the column.
        lang: "en" or "zh".
        theme: "light" or "dark".

    Returns:
        A figure; up to 64 tokens are written under the map, more are named on hover.
    """
    count = max(LEAST, tokens["model"].nunique())
    height = 2 * count * ROW + TOP + CHROME + 18 + 92
    titles = [f"<b>{words.text(f'side.{side}', lang)}</b>" for side in schema.SIDES]
    figure = _frame((2, 1), titles, [count, count], (CHROME + 18) / (height - TOP - 92))
    for row, side in enumerate(schema.SIDES, start=1):
        figure.add_trace(_token_trace(tokens[tokens["side"] == side], color, lang), row=row, col=1)
        _name_tokens(figure, tokens[tokens["side"] == side], row)
    limit = scale or scale_of(tokens[color])
    known = BY_NAME[color]
    _colour_axis(figure, scale_ends(limit, known.ramp), unit(known.unit, lang), (theme, height))
    return _finish(figure, "", (theme, height)).update_layout(margin_b=92)


def _token_trace(rows: pd.DataFrame, color: str, lang: str) -> go.Heatmap:
    order = _ordered(rows)
    grid = rows.pivot_table(index="model", columns="position", values=color, sort=False).reindex(list(order))
    names = [plain(name) for name in token_names(rows)]
    template = words.text("figure.hover.token", lang).replace("{position}", "%{x}").replace("{model}", "%{y}")
    template = template.replace("{value}", "%{z:+.4~g}").replace("{token}", "%{customdata}")
    return go.Heatmap(
        x=list(grid.columns), y=_labels(order, lang), z=grid.to_numpy(), customdata=[names] * len(grid),
        coloraxis="coloraxis", hovertemplate=template + "<extra></extra>", xgap=0.5, ygap=1,
    )  # fmt: skip


def token_names(rows: pd.DataFrame) -> list[str]:
    """Each token's text as it is shown; a part of a character is its cell and its place in it: ``好 1/2``."""
    pieces = rows.drop_duplicates("position").sort_values("position")["token_bytes"]
    names: list[str] = []
    for cell in cells(list(pieces)):
        text = shown(cell)
        names += [text] if cell.count == 1 else [f"{text} {part + 1}/{cell.count}" for part in range(cell.count)]
    return names


def _name_tokens(figure: go.Figure, rows: pd.DataFrame, row: int) -> None:
    names = token_names(rows)
    if 0 < len(names) <= LABELLED:
        texts = [plain(name if len(name) <= 10 else f"{name[:9]}…") for name in names]
        figure.update_xaxes(tickvals=list(range(len(names))), ticktext=texts, tickangle=-50, row=row, col=1)


def _ordered(rows: pd.DataFrame) -> dict[str, float]:
    """Models in the table's order with their steps."""
    first = rows.drop_duplicates("model")
    return {
        str(name): float(step) if pd.notna(step) else math.nan
        for name, step in zip(first["model"], first["step"], strict=True)
    }


def _labels(order: dict[str, float], lang: str) -> list[str]:
    steps = list(order.values())
    if len(set(steps)) == len(steps) and not any(math.isnan(step) for step in steps):
        return [step_label(step, name, lang) for name, step in order.items()]
    return [plain(name) for name in order]


def _frame(shape: tuple[int, int], titles: list[str], weights: list[int], between: float) -> go.Figure:
    """Empty maps; ``between`` is the gap of two rows as a share of the drawn height."""
    rows, columns = shape
    spacing = min(between, 0.9 / (rows - 1)) if rows > 1 else 0
    return make_subplots(
        rows, columns, subplot_titles=titles, horizontal_spacing=0.09, vertical_spacing=spacing, row_heights=weights
    )


def _colour_axis(figure: go.Figure, ends: tuple[float, float], title: str, look: tuple[str, int]) -> None:
    """The colours and their bar: orange to blue with 0 in the middle, orange to 0, or 0 to violet."""
    theme, height = look
    colours = diverging(theme)
    if not ends[1]:
        colours = [[2 * float(place), shade] for place, shade in colours[:3]]
    elif not ends[0]:
        colours = rising(theme)
    ticks = sorted({ends[0], 0.0, ends[1]})
    bar = {"title": {"text": title, "side": "right"}, "thickness": 10, "outlinewidth": 0, "tickvals": ticks}
    names = dict(zip(ends, end_words(ends), strict=True))
    bar |= {"ticktext": [names.get(tick, "0") for tick in ticks], "y": 1, "yanchor": "top"}
    bar |= {"lenmode": "pixels", "len": min(200, height - TOP - 40)}
    figure.update_layout(coloraxis={"colorscale": colours, "cmin": ends[0], "cmax": ends[1], "colorbar": bar})


def _finish(figure: go.Figure, x_title: str, look: tuple[str, int]) -> go.Figure:
    theme, height = look
    text = colour("text", theme)
    dress(figure, theme=theme, height=height)
    figure.update_xaxes(title={"text": x_title, "standoff": 4, "font": {"size": LABEL}}, showgrid=False, zeroline=False)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, ticksuffix=" ")
    for note, axis in zip(figure.layout.annotations, figure.select_xaxes(), strict=True):
        note.update(font={"size": TITLE, "color": text}, x=axis.domain[0], xanchor="left")
    figure.update_layout(margin={"l": 84, "r": 12, "t": TOP, "b": 44})
    return figure
