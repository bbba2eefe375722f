"""YAML files of trainers as plain values."""

import re
from pathlib import Path
from typing import Any

import yaml

from dpo_analysis.errors import InputError
from dpo_analysis.text.bounded_json import MAX_DEPTH, is_deeper
from dpo_analysis.trainer.folder import is_regular, read_text

MAX_CHARACTERS = 32 * 2**10
MAX_ALIASES = 10
"""``*name`` in a file: with more of them a small file can stand for a value that fills the memory."""
FLOAT = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+")
"""A number such as 5e-1, which trainers read as a number and YAML 1.1 as a text."""


class _Loader(yaml.SafeLoader):
    """Reads plain values, with few aliases."""

    n_aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node.

        Raises:
            ValueError: too many aliases.
        """
        if self.check_event(yaml.AliasEvent):
            self.n_aliases += 1
            if self.n_aliases > MAX_ALIASES:
                raise ValueError(f"more than {MAX_ALIASES} aliases (*name)")
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789"))


def read_yaml_object(path: Path) -> dict[str, Any]:
    """Return the names and values of a YAML file.

    Raises:
        InputError: no such file, over 32 KiB, no YAML, or no names at its top.
    """
    if not is_regular(path):
        raise InputError(f"no config {path}: there is no such file; give the YAML file that the training was run with")
    text = read_text(path, MAX_CHARACTERS + 1)
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"config {path} is larger than 32 KiB; give the YAML file that the training was run with")
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - derives from SafeLoader, which makes plain values only
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"damaged config {path}: {reason}; correct the YAML and try again") from error
    if not isinstance(value, dict):
        raise InputError(f"no settings in {path}: it has no names at its top; give a config of a trainer")
    if is_deeper(value):
        raise InputError(
            f"damaged config {path}: nested deeper than {MAX_DEPTH} levels; correct the YAML and try again"
        )
    return {str(name): item for name, item in value.items()}
