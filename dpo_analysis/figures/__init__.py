"""Tables to figures: Plotly charts and the token view as HTML, for app, notebooks and reports alike; no streamlit."""

from dpo_analysis.figures.comparison import pair_changes, position_change
from dpo_analysis.figures.curves import accuracy_curves, logp_curves, reward_curves
from dpo_analysis.figures.decompositions import split_bars
from dpo_analysis.figures.headline import headline
from dpo_analysis.figures.heatmaps import position_heatmap, token_heatmap
from dpo_analysis.figures.loss_shares import share_bars
from dpo_analysis.figures.pair_scatter import MAX_POINTS as SCATTER_POINTS
from dpo_analysis.figures.pair_scatter import drop_scatter
from dpo_analysis.figures.static_svg import svg
from dpo_analysis.figures.token_view.colors import COLORS
from dpo_analysis.figures.token_view.text_units import UNITS
from dpo_analysis.figures.token_view.view import TokenView, token_view
from dpo_analysis.figures.trajectory import token_trajectory

__all__ = [
    "COLORS",
    "SCATTER_POINTS",
    "UNITS",
    "TokenView",
    "accuracy_curves",
    "drop_scatter",
    "headline",
    "logp_curves",
    "pair_changes",
    "position_change",
    "position_heatmap",
    "reward_curves",
    "share_bars",
    "split_bars",
    "svg",
    "token_heatmap",
    "token_trajectory",
    "token_view",
]
