"""The shares of the lost log-prob as bars, with their intervals; the unexplained one in its own colour."""

import plotly.graph_objects as go

from dpo_analysis import words
from dpo_analysis.diagnosis.findings import Diagnosis
from dpo_analysis.figures.decompositions import BAR
from dpo_analysis.figures.theme import LABEL, blank, colour, dress, faded, percent

CHROME = 64
ROLES = {"pushed": "rejected", "pulled": "chosen", "no_data": "negative", "unexplained": "reference"}
"""The palette's colour of each share: what others reject, what others choose, what nobody says, what stays open."""


def share_bars(found: Diagnosis, *, lang: str = "en", theme: str = "light") -> go.Figure:
    """Pushed, pulled, in no data and unexplained: parts of one whole; whiskers: 95 % intervals over groups.

    Args:
        found: a diagnosis with shares; without them the figure says that there is nothing.
        lang: "en" or "zh".
        theme: "light" or "dark".
    """
    if not found.shares:
        return blank(lang=lang, theme=theme)
    names, own = list(found.shares), list(found.shares.values())
    values = [one.share for one in own]
    ends = [one.high if one.high == one.high else one.share for one in own]
    reach = {
        "array": [end - value for end, value in zip(ends, values, strict=True)],
        "arrayminus": [one.share - one.low if one.low == one.low else 0 for one in own],
        "symmetric": False, "thickness": 1.2, "width": 5, "color": colour("muted", theme),
    }  # fmt: skip
    said = [words.text(f"diagnosis.share.{name}", lang) for name in names]
    figure = go.Figure(
        go.Bar(
            x=values, y=list(range(len(names))), orientation="h", width=0.62, error_x=reach, hovertext=said,
            hovertemplate="%{hovertext}<extra></extra>",
            marker_color=[faded(colour(ROLES[name], theme), 0.6) for name in names],
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=ends, y=list(range(len(names))), mode="text", text=[f"  {percent(value)}" for value in values],
            textposition="middle right", hoverinfo="skip", cliponaxis=False,
            textfont={"size": LABEL, "color": colour("text", theme)},
        )
    )  # fmt: skip
    dress(figure, theme=theme, height=CHROME + BAR * len(names))
    title = words.text("diagnosis.shares.axis", lang)
    figure.update_xaxes(
        range=[0, 1.12], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%", gridcolor=colour("grid", theme),
        zerolinecolor=colour("zero", theme), title={"text": title, "standoff": 4, "font": {"size": LABEL}},
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(names))), autorange="reversed", showgrid=False, zeroline=False, automargin=True,
        ticktext=[f"{words.text(f'diagnosis.share.{name}.short', lang)} " for name in names],
        tickfont={"size": LABEL, "color": colour("text", theme)},
    )  # fmt: skip
    return figure.update_layout(margin={"t": 8, "b": 48, "l": 12})
