"""TRL: the era of a run from the names of its arguments, and how that era tokenised and what it logged.

The names of DPOConfig's fields were compared over the releases 0.9.3, 0.9.6, 0.10.1, 0.11.4, 0.12.2, 0.13 to 0.15,
0.19.1, 0.24 to 0.29.1 and 1.16. ``max_prompt_length`` and ``max_completion_length`` left with 0.29, ``use_liger_loss``
with 0.28, ``padding_value`` with 0.26 and ``max_target_length`` with 0.14; ``max_completion_length`` came with 0.11 and
``use_weighting`` with 0.12. The border between prompt and response moved last in 1.15.
"""

import re
from collections.abc import Mapping
from typing import Any

from dpo_analysis.trainer.evaluations import LOSES_LONGEST_END
from dpo_analysis.trainer.folder import TrainerFolder
from dpo_analysis.trainer.training import Fact, Facts
from dpo_analysis.trainer.training_args import FILE_NAME, NO_LIMIT, TrainingArguments, argument_facts, positive_number

NAME = "TRL"
CARD = "README.md"
CONFIG_CLASSES = ("DPOConfig",)
LATEST, SINCE_29, SINCE_27_2, SINCE_14, SINCE_12, UP_TO_11 = (
    "trl",
    "trl-0.29",
    "trl-0.28",
    "trl-0.24",
    "trl-0.12",
    "trl-0.9",
)
"""Tokenization presets of the eras, the newest first."""
FIRST_RELEASES = {
    (1, 15, 0): LATEST,
    (0, 29, 0): SINCE_29,
    (0, 27, 2): SINCE_27_2,
    (0, 14, 0): SINCE_14,
    (0, 12, 0): SINCE_12,
    (0, 0, 0): UP_TO_11,
}
"""The first release of every era."""
AVERAGED_LOSS = "ipo"
"""Up to TRL 0.28 its log-probs and rewards were logged as averages over the tokens of a response."""


def trl_facts(
    folder: TrainerFolder, arguments: TrainingArguments | None, logged_version: Fact | None = None
) -> Facts | None:
    """Return what a folder of TRL's DPOTrainer says; None where nothing in it speaks of TRL's DPO.

    Args:
        folder: the output folder.
        arguments: of its training_args.bin; None without one.
        logged_version: TRL's version from a log, for folders whose model card has none.
    """
    card = folder.card.versions.get("trl", "")
    release = Fact(card, CARD) if card or logged_version is None else logged_version
    version = str(release.value)
    is_dpo = arguments is not None and "beta" in arguments.values
    if not version and not is_dpo and (arguments is None or arguments.package != "trl"):
        return None
    facts = argument_facts(arguments) if arguments is not None else {}
    if arguments is not None and is_dpo and arguments.class_name not in CONFIG_CLASSES and arguments.class_name:
        folder.notes.append(
            f"{arguments.path} holds a {arguments.class_name}, not a DPOConfig: what it says of beta and loss is taken "
            "as DPO's"
        )
    era = era_fact(arguments.values if is_dpo and arguments is not None else None, version, release.source)
    facts["trainer"] = Fact(f"{NAME} {version}".strip(), release.source if version else FILE_NAME)
    return facts | {"tokenization": era} | era_facts(era.value, arguments, facts.get("loss_type"))


def era_fact(values: Mapping[str, Any] | None, version: str, source: str = CARD) -> Fact:
    """Return the tokenization preset of an era.

    Args:
        values: arguments of the DPO trainer; None where they are not known.
        version: TRL's version; empty where it is not known.
        source: the file that says the version.
    """
    by_release = _era_of_release(release_of(version))
    by_version = Fact(by_release, f"TRL {version} in {source}") if by_release else None
    if not values:
        return by_version or Fact(LATEST, "no file says which release of TRL it was", assumed=True)
    prompt, completion = "max_prompt_length" in values, "max_completion_length" in values
    if not prompt and not completion:
        # 1.15 changed no field, and wrote the same card.
        since_29 = by_version is not None and by_release in (LATEST, SINCE_29)
        return by_version if since_29 and by_version else Fact(LATEST, "TRL 1.15 or later", assumed=True)
    if not completion or "use_weighting" not in values:
        return Fact(UP_TO_11, f"{FILE_NAME}, whose fields are those of TRL 0.11 or earlier")
    if "max_target_length" in values:
        return Fact(SINCE_12, f"{FILE_NAME}, whose fields are those of TRL 0.12 or 0.13")
    if "padding_value" in values:
        return Fact(SINCE_14, f"{FILE_NAME}, whose fields are those of TRL 0.14 to 0.25")
    if "use_liger_loss" not in values:
        return Fact(SINCE_27_2, f"{FILE_NAME}, whose fields are those of TRL 0.28")
    reason = "TRL 0.26 and 0.27 have the same fields, and 0.27.2 alone adds no end-of-text token to conversations"
    return by_version or Fact(SINCE_14, reason, assumed=True)


def _era_of_release(release: tuple[int, ...] | None) -> str:
    """Return the era of a release; empty where the release is not known."""
    if release is None:
        return ""
    return next(era for first, era in FIRST_RELEASES.items() if release >= first)


def release_of(version: str) -> tuple[int, ...] | None:
    """Return the numbers of a version, ``(0, 24, 0)``; None where it has none."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", version)
    return tuple(int(number) for number in match.groups(default="0")) if match else None


def era_facts(era: str, arguments: TrainingArguments | None, loss_type: Fact | None) -> Facts:
    """Return the lengths that an era cut to, and whether it logged averages over tokens."""
    if era in (LATEST, SINCE_29):
        return {}
    values = arguments.values if arguments is not None else {}
    facts: Facts = {}
    for name in ("max_prompt_length", "max_completion_length"):
        if name in values:
            facts[name] = Fact(positive_number(values[name]) or NO_LIMIT, FILE_NAME)
    if era == UP_TO_11:
        # DPOTrainer replaced a missing length by these numbers before it tokenised.
        if positive_number(values.get("max_prompt_length")) is None:
            facts["max_prompt_length"] = Fact(128, "TRL 0.11 and earlier, where none is set")
        if values.get("max_length", NO_LIMIT) is None:
            facts["max_length"] = Fact(512, "TRL 0.11 and earlier, where none is set")
    if "use_weighting" in values and "discopop_tau" not in values:
        facts["parameters"] = Fact({LOSES_LONGEST_END: True}, f"{FILE_NAME}, whose fields are those of TRL 0.12")
    names = loss_type.value if loss_type is not None else []
    if AVERAGED_LOSS in ([names] if isinstance(names, str) else names):
        facts["logged_logps"] = Fact("mean", "TRL up to 0.28 with loss_type ipo")
    return facts
