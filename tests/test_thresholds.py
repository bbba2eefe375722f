"""A changed threshold needs a new version of the rules: else diagnoses saved under the old one would count as valid."""

import hashlib
import importlib
import json
import pkgutil

from dpo_analysis import diagnosis
from dpo_analysis.diagnosis import thresholds

RECORDED = (6, "d916db4eea803e1bdb6054f5b27c1d1f8a254d543600d69302af4af1731eadbe")
"""The version of the rules and the hash of the numbers it had: to be written anew with each version."""


def as_text(value):
    """A number, or several, as text; None for anything else and for what is not a number."""
    if isinstance(value, tuple):
        parts = [as_text(part) for part in value]
        return ", ".join(map(str, parts)) if parts and None not in parts else None
    return f"{value:.9g}" if isinstance(value, int | float) and value == value else None


def numbers():
    """Every constant of the diagnosis that is a number, by name: thresholds, and sizes of samples and lists."""
    names = [found.name for found in pkgutil.walk_packages(diagnosis.__path__, f"{diagnosis.__name__}.")]
    constants = [item for name in names for item in vars(importlib.import_module(name)).items() if item[0].isupper()]
    found = {(name, as_text(value)) for name, value in constants if as_text(value) is not None}
    return sorted((name, value) for name, value in found if name not in ("RULES_VERSION", "RANK"))


def hash_of(constants):
    return hashlib.sha256(json.dumps(constants).encode()).hexdigest()


def test_changed_thresholds_have_a_new_rules_version():
    found = (thresholds.RULES_VERSION, hash_of(numbers()))
    assert found == RECORDED, f"raise RULES_VERSION in diagnosis/thresholds.py, and record it here with {found[1]}"


def test_the_hash_sees_every_threshold():
    constants = dict(numbers())
    assert {name for name in vars(thresholds) if name.isupper()} - {"RULES_VERSION"} <= constants.keys()
    for name in constants:
        assert hash_of(sorted((constants | {name: "other"}).items())) != hash_of(numbers())
