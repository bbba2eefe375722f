"""Scoring of models: from token ids to token log-probs. Importing this package loads no torch; its public names do.

``score`` writes a run folder, ``score_text`` returns the token table of one pair, and ``LogTokenRewardsCallback``
scores while TRL trains. ``arguments``, ``loop``,
``models.policy_names`` and ``models.preflight`` are torch-free.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpo_analysis.scoring.live.callback import LogTokenRewardsCallback as LogTokenRewardsCallback
    from dpo_analysis.scoring.run_score import score as score
    from dpo_analysis.scoring.single_pair import score_text as score_text

_PUBLIC = {"LogTokenRewardsCallback": "live.callback", "score": "run_score", "score_text": "single_pair"}
__all__ = ["LogTokenRewardsCallback", "score", "score_text"]


def __getattr__(name: str) -> object:
    """Import a public name at its first use."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
