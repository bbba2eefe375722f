"""The token view: chosen above rejected, checkpoints side by side, every token coloured by one number on one scale."""

import html
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dpo_analysis.figures.token_view.grid import Noise
from dpo_analysis.figures.token_view.page import html_page
from dpo_analysis.figures.token_view.payload import payload

FRAME_CLASS = "dpo-analysis-token-view"
AROUND_FRAMES = (
    """<script>
window.dpoAnalysisTokenViews ||= addEventListener("message", ({ data, source }) => {
  const height = data && data.tokenViewHeight;
  if (!(height > 0 && height < 1e5)) return;
  for (const frame of document.querySelectorAll("iframe.FRAME_CLASS")) {
    if (frame.contentWindow !== source) continue;
    frame.style.height = `${height}px`;
    let behind = frame, color = [];
    do {
      color = (getComputedStyle(behind).backgroundColor.match(/[\\d.]+/g) || []).map(Number);
      behind = behind.parentElement;
    } while (behind && (color.length < 3 || color[3] === 0));
    const isDark = color.length > 2 && color[3] !== 0 && 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] < 128;
    source.postMessage({ scheme: isDark ? "dark" : "light" }, "*");
  }
}) || true;
</script>"""
).replace("FRAME_CLASS", FRAME_CLASS)
"""Makes every frame as high as its view and as light or dark as the notebook behind it; a frame cannot do so itself."""


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token view that a notebook shows as it is; ``html`` is the same as one self-contained page."""

    payload: dict[str, Any]

    @property
    def html(self) -> str:
        """One HTML page that loads nothing and runs only its own script (content-security policy by hash)."""
        return html_page(self.payload)

    def _repr_html_(self) -> str:
        tokens = max((side["count"] for side in self.payload["sides"]), default=0)
        height = 190 + len(self.payload["sides"]) * min(480, 70 + 10 * max(6, tokens // 3))
        source = html.escape(self.html, quote=True)
        style = f"width:100%;height:{height}px;border:0"
        frame = f'<iframe class="{FRAME_CLASS}" sandbox="allow-scripts" srcdoc="{source}" style="{style}"></iframe>'
        return f"{AROUND_FRAMES}{frame}"


def token_view(
    tokens: pd.DataFrame, *, noise: Noise | None = None, scale: float | None = None, **look: Any
) -> TokenView:
    """Colour the tokens of one pair; of more than four checkpoints the first, the middle and the last are shown.

    Args:
        tokens: the token table of one pair (``dpo_analysis.tables.pairs.token_table`` or ``scoring.score_text``).
        noise: the run's noise floor; smaller values are grey.
        scale: the value that gets the full colour; None is the 99th percentile over all panels shown.
        look: color="advantage" (or another of ``COLORS``), unit="token" (or word, sentence, line), marks=False,
            most=False, lang="en" (or "zh"): see ``payload.DisplayOptions``.

    Raises:
        InputError: no tokens, tokens of several pairs, an unknown color or unit, or a color without values.
    """
    return TokenView(payload(tokens, noise=noise, scale=scale, **look))
