"""The Streamlit page of the token-view benchmark: one pair as our component, as st.html of spans, or as a Plotly map.

    streamlit run token_contenders.py -- KIND TOKENS

"Next pair" draws another pair of random words, so that nothing that was sent before can be sent again.
"""

import html
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "app"), str(ROOT)]

from shared.token_component import show_tokens  # noqa: E402  app/ is no package

from dpo_analysis.figures.token_view.payload import payload  # noqa: E402

MODELS, SIDES, ROW = (100, 200, 300), ("chosen", "rejected"), 12
"""Steps shown side by side; tokens in a row of the Plotly map."""
LETTERS = "etaoinshrdlucmfwyp"


def words(count: int, draw: np.random.Generator) -> list[str]:
    """Random words as tokens: a space in front of most, a line break about every 80 tokens."""
    lengths = draw.integers(1, 8, count)
    letters = ["".join(draw.choice(list(LETTERS), length)) for length in lengths]
    kind = draw.random(count)
    return ["\n" if k < 1 / 80 else word if k < 0.2 else f" {word}" for k, word in zip(kind, letters, strict=True)]


def tokens(count: int, pair: int) -> pd.DataFrame:
    """The token table of one invented pair: ``count`` tokens on each side under three checkpoints."""
    draw = np.random.default_rng(pair)
    frames = []
    for side in SIDES:
        texts = words(count, draw)
        for step in MODELS:
            change = draw.standard_t(2, count) * step / 1000
            frames.append(
                pd.DataFrame(
                    {
                        "pair_id": f"p{pair}", "side": side, "series": "s", "model": f"checkpoint-{step}",
                        "step": step, "position": range(count), "token_bytes": [text.encode() for text in texts],
                        "text": texts, "logp": change - 3, "reference_logp": -3.0, "log_ratio": change,
                        "advantage": 0.1 * change, "value": 0.1 * change.cumsum(),
                    }
                )
            )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def component(table: pd.DataFrame, pair: int) -> None:
    """Our token view."""
    show_tokens(payload(table), None, key="bench")


def spans(table: pd.DataFrame, pair: int) -> None:
    """What one would write first: a span per token with its colour, and its value as title, in scrolling boxes."""
    limit = table["advantage"].abs().quantile(0.99)
    boxes = []
    for (_side, _step), rows in table.groupby(["side", "step"], sort=False):
        marks = [
            f'<span style="background:{shade(value / limit)}" title="{value:+.4f}">{html.escape(text)}</span>'
            for text, value in zip(rows["text"], rows["advantage"], strict=True)
        ]
        boxes.append(f'<div style="height:460px;overflow:auto;white-space:pre-wrap">{"".join(marks)}</div>')
    grid = "display:grid;grid-template-columns:1fr 1fr 1fr;gap:12px"
    st.html(f'<div class="token-view" style="{grid}">{"".join(boxes)}</div>')


def shade(share: float) -> str:
    """White to blue or orange, as #rrggbb."""
    pole = (11, 98, 196) if share > 0 else (230, 97, 0)
    part = 0.66 * min(abs(share), 1)
    return "#" + "".join(f"{round(255 + part * (end - 255)):02x}" for end in pole)


def plotly(table: pd.DataFrame, pair: int) -> None:
    """A heat map of twelve tokens a row with their text in it."""
    figure = make_subplots(2, 3)
    for place, (_key, rows) in enumerate(table.groupby(["side", "step"], sort=False)):
        height = -(-len(rows) // ROW)
        values = np.full(height * ROW, np.nan)
        values[: len(rows)] = rows["advantage"]
        texts = [*rows["text"], *[""] * (height * ROW - len(rows))]
        figure.add_trace(
            go.Heatmap(
                z=values.reshape(height, ROW), text=np.array(texts).reshape(height, ROW), texttemplate="%{text}",
                coloraxis="coloraxis",
            ),
            row=place // 3 + 1, col=place % 3 + 1,
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    rows_of_tokens = -(-len(table) // len(MODELS) // len(SIDES) // ROW)
    figure.update_layout(coloraxis={"colorscale": "RdBu", "cmid": 0}, height=200 + 2 * 20 * rows_of_tokens)
    st.plotly_chart(figure, theme=None, key=f"map{pair}")


KINDS = {"component": component, "spans": spans, "plotly": plotly}


def page(kind: str, count: int) -> None:
    """Draw the current pair, and behind it a mark that names it."""
    st.set_page_config(layout="wide")
    pair = st.session_state.setdefault("pair", 0)
    st.button("Next pair", on_click=lambda: st.session_state.update(pair=pair + 1))
    KINDS[kind](tokens(count, pair), pair)
    st.container(key="drawn").text(str(pair))


if __name__ == "__main__":
    page(sys.argv[1], int(sys.argv[2]))
