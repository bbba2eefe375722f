"""Tokenisation as trainers do it: a preset turns preference pairs into the token ids that its trainer scores.

``PRESETS`` names them; each is a function of pairs, tokenizer and ``PresetSettings``. The tokenizer is passed in as an
object, so that nothing in this room imports torch or transformers.
"""

from dpo_analysis.data.presets.encoding import EncodedPair, Preset, PresetSettings, Response
from dpo_analysis.data.presets.registry import DEFAULTS, PRESETS, TEMPLATES, TRUNCATIONS, check_settings, with_defaults

__all__ = [
    "DEFAULTS",
    "PRESETS",
    "TEMPLATES",
    "TRUNCATIONS",
    "EncodedPair",
    "Preset",
    "PresetSettings",
    "Response",
    "check_settings",
    "with_defaults",
]
