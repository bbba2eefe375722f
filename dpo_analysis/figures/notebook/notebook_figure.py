"""A Plotly figure that is also seen where no script draws it: in nbconvert's HTML, and on pages that show notebooks."""

import importlib
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio

from dpo_analysis.errors import InputError

PLOTLY_ALONE = "plotly_mimetype"
"""Plotly's own choice in a notebook: data for a front end that draws it, and nothing for nbconvert."""


class NotebookFigure(go.Figure):
    """A figure that a notebook gets as data for its own front end, and as a picture for every other reader."""

    def _ipython_display_(self) -> None:
        if pio.renderers.default != PLOTLY_ALONE or not pio.renderers.render_on_display:
            super()._ipython_display_()
            return
        show = importlib.import_module("IPython.display").display
        show(self._repr_mimebundle_() | {"text/html": self.picture()}, raw=True)

    def picture(self) -> str:
        """Return the figure as an SVG element; a heat map as HTML that loads Plotly's script from the web."""
        from dpo_analysis.figures.static_svg import svg
        from dpo_analysis.figures.theme import traces_of

        figure: go.Figure = self
        if any(trace.type.endswith("gl") for trace in traces_of(self)):  # drawn by WebGL, for speed
            traces = [trace.to_plotly_json() for trace in traces_of(self)]
            figure = go.Figure([trace | {"type": trace["type"].removesuffix("gl")} for trace in traces], self.layout)
        try:
            return svg(figure, title=_title(self))
        except InputError:
            return self.to_html(full_html=False, include_plotlyjs="cdn")


def in_notebooks(figure: go.Figure) -> NotebookFigure:
    """Return the same figure as a ``NotebookFigure``; a copy would take as long as the figure itself."""
    figure.__class__ = NotebookFigure
    return figure  # pyright: ignore[reportReturnType]


def _title(figure: Any) -> str:
    """Return what a screen reader says: the figure's title, else those of its panels and axes."""
    texts = [figure.layout.title.text, *(note.text for note in figure.layout.annotations)]
    axes = [figure.layout.xaxis.title.text, figure.layout.yaxis.title.text]
    return "; ".join(dict.fromkeys(text for text in [*texts, *axes] if text))
