"""Why did the chosen reward fall? Per-token implicit rewards of DPO checkpoints, from run folder to picture.

Importing this package never loads torch; scoring models is ``from dpo_analysis.scoring import score``.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpo_analysis import figures as figures
    from dpo_analysis.data.pairs import Pair as Pair
    from dpo_analysis.data.pairs import load_pairs as load_pairs
    from dpo_analysis.diagnosis import diagnose as diagnose
    from dpo_analysis.errors import DPOAnalysisError as DPOAnalysisError
    from dpo_analysis.imported import import_run as import_run
    from dpo_analysis.runs import Run as Run
    from dpo_analysis.runs import open_run as open_run
    from dpo_analysis.tables import probes as probes
    from dpo_analysis.tables.evidence import ches_table as ches_table
    from dpo_analysis.tables.evidence import credit_table as credit_table
    from dpo_analysis.tables.pairs import pair_table as pair_table
    from dpo_analysis.tables.positions import position_table as position_table
    from dpo_analysis.tables.responses import response_table as response_table
    from dpo_analysis.tables.steps import step_table as step_table
    from dpo_analysis.tables.tokens import token_table as token_table

__version__ = "0.1.0"

_PUBLIC = {
    "DPOAnalysisError": "errors",
    "Pair": "data.pairs",
    "Run": "runs",
    "ches_table": "tables.evidence",
    "credit_table": "tables.evidence",
    "diagnose": "diagnosis",
    "import_run": "imported",
    "load_pairs": "data.pairs",
    "open_run": "runs",
    "pair_table": "tables.pairs",
    "position_table": "tables.positions",
    "response_table": "tables.responses",
    "step_table": "tables.steps",
    "token_table": "tables.tokens",
}
"""The module of every public function and class."""
_MODULES = {"figures": "figures", "probes": "tables.probes"}
"""Public modules."""
__all__ = ["__version__", *_MODULES, *_PUBLIC]


def __getattr__(name: str) -> object:
    """Import a public name at its first use, so that ``--help`` and the demo start fast."""
    if name in _MODULES:
        return importlib.import_module(f"dpo_analysis.{_MODULES[name]}")
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"dpo_analysis.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'dpo_analysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
