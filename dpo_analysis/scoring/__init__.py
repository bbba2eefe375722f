"""Left of the wall: token ids to token log-probs. Importing this package loads no torch; its two functions do.

``score`` writes a run folder, ``score_text`` colours one answer. ``names``, ``preflight`` and ``work`` are torch-free.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpo_analysis.scoring.answer import score_text as score_text
    from dpo_analysis.scoring.score import score as score

_PUBLIC = {"score": "score", "score_text": "answer"}
__all__ = ["score", "score_text"]


class _Room(ModuleType):
    """This package: importing its submodule ``score`` must not hide the function of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, getattr(value, name) if name == "score" and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Room


def __getattr__(name: str) -> object:
    """Load ``score`` or ``score_text`` when it is first asked for."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
