"""The presets by name, their defaults and the names that they take, and the check of settings against them."""

from difflib import get_close_matches
from typing import Any

from dpo_analysis.data.presets.axolotl import TURNS, encode_axolotl
from dpo_analysis.data.presets.encoding import Preset, PresetSettings
from dpo_analysis.data.presets.llamafactory import encode_llamafactory
from dpo_analysis.data.presets.llamafactory_template import template_data as llamafactory_templates
from dpo_analysis.data.presets.ms_swift import TRUNCATIONS as MS_SWIFT_TRUNCATIONS
from dpo_analysis.data.presets.ms_swift import encode_ms_swift
from dpo_analysis.data.presets.ms_swift_template import template_data as ms_swift_templates
from dpo_analysis.data.presets.openrlhf import encode_openrlhf
from dpo_analysis.data.presets.trl import encode_trl, encode_trl_029
from dpo_analysis.data.presets.trl_024 import encode_trl_012, encode_trl_024, encode_trl_028
from dpo_analysis.data.presets.trl_09 import encode_trl_09
from dpo_analysis.errors import InputError

PRESETS: dict[str, Preset] = {
    "trl": encode_trl,
    "trl-0.29": encode_trl_029,
    "trl-0.28": encode_trl_028,
    "trl-0.24": encode_trl_024,
    "trl-0.12": encode_trl_012,
    "trl-0.9": encode_trl_09,
    "llamafactory": encode_llamafactory,
    "ms-swift": encode_ms_swift,
    "openrlhf": encode_openrlhf,
    "axolotl": encode_axolotl,
}
TEMPLATES: dict[str, tuple[str, ...]] = {
    "llamafactory": tuple(llamafactory_templates()),
    "ms-swift": tuple(ms_swift_templates()),
    "axolotl": tuple(TURNS),
}
"""The names of chat templates that a preset knows, as its trainer spells them, for the presets that take one."""

DEFAULTS: dict[str, PresetSettings] = {
    "trl": PresetSettings(),
    "trl-0.29": PresetSettings(),
    "trl-0.28": PresetSettings(truncation="keep_end", max_prompt_length=512),
    "trl-0.24": PresetSettings(truncation="keep_end", max_prompt_length=512),
    "trl-0.12": PresetSettings(max_length=None),
    "trl-0.9": PresetSettings(max_length=512, truncation="keep_end", max_prompt_length=128),
    "llamafactory": PresetSettings(max_length=2048),
    "ms-swift": PresetSettings(max_length=None, truncation="delete"),
    "openrlhf": PresetSettings(max_length=512),
    "axolotl": PresetSettings(),
}
"""The settings that a trainer has where none are given.

ms-swift takes the model's longest length as max_length; Axolotl's configs always give theirs.
"""
LIMITS = {"max_length": "prompt + response", "max_prompt_length": "a prompt", "max_completion_length": "a response"}
"""The limits in tokens -> what each counts."""
DATED = "its text holds the date of the day of training"
REFUSED_TEMPLATES = {("ms-swift", name): DATED for name in ("llama3_2", "skywork_o1", "mistral_2501")}
"""(preset, template) -> why the template cannot be written down as data."""
TRUNCATIONS = ("keep_start", "keep_end")
"""The sides at which every preset with a choice can cut."""
TRAINER_TRUNCATIONS = {"ms-swift": ("delete", *MS_SWIFT_TRUNCATIONS)}
"""Further names of truncation, as the trainer of a preset spells them."""


def with_defaults(preset: str, **given: Any) -> PresetSettings:
    """Return the settings that are given and not None, and the preset's defaults for the rest.

    Raises:
        InputError: there is no such preset, or it cannot be used with the settings.
    """
    _check_preset(preset)
    known = {name: value for name, value in given.items() if value is not None}
    settings = DEFAULTS[preset]._replace(**known)
    check_settings(preset, settings)
    return settings


def check_settings(preset: str, settings: PresetSettings) -> None:
    """Check that ``preset`` is a key of ``PRESETS`` and can be used with ``settings``.

    Raises:
        InputError: it cannot; says which setting, and what there is.
    """
    _check_preset(preset)
    truncations = (*TRUNCATIONS, *TRAINER_TRUNCATIONS.get(preset, ()))
    if settings.truncation not in truncations:
        given = settings.truncation
        raise InputError(f"unknown truncation {given!r}: there is {', '.join(truncations)}; choose one of them")
    for name, counted in LIMITS.items():
        limit = getattr(settings, name)
        if limit is not None and limit < 1:
            raise InputError(f"bad {name} {limit}: it counts tokens of {counted}; give 1 or more")
    if settings.template is not None:
        _check_template(preset, settings.template)


def _check_preset(name: str) -> None:
    if name not in PRESETS:
        raise InputError(f"unknown tokenization {name!r}: there is {', '.join(PRESETS)}; choose one of them")


def _check_template(preset: str, name: str) -> None:
    if preset not in TEMPLATES:
        takers = ", ".join(TEMPLATES)
        raise InputError(f"template {name!r} with {preset}: only {takers} have templates by name; take it out")
    if name in TEMPLATES[preset]:
        return
    reason = REFUSED_TEMPLATES.get((preset, name))
    if reason:
        raise InputError(f"the {preset} template {name!r} cannot be used: {reason}; give rows rendered with it before")
    close = get_close_matches(name, TEMPLATES[preset], n=4) or TEMPLATES[preset][:4]
    raise InputError(
        f"unknown {preset} template {name!r}: there are {len(TEMPLATES[preset])}, such as {', '.join(close)}; "
        "templates that need code are left out"
    )
