"""Tables to figures: Plotly charts and the token view as HTML, for app, notebooks and reports alike; no streamlit."""

from dpo_analysis.figures.curves import accuracy_curves, logp_curves, reward_curves
from dpo_analysis.figures.headline import headline
from dpo_analysis.figures.heatmaps import position_heatmap, token_heatmap
from dpo_analysis.figures.tokens import COLORS, TokenView, token_view
from dpo_analysis.figures.trajectory import token_trajectory

__all__ = [
    "COLORS",
    "TokenView",
    "accuracy_curves",
    "headline",
    "logp_curves",
    "position_heatmap",
    "reward_curves",
    "token_heatmap",
    "token_trajectory",
    "token_view",
]
