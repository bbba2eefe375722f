"""Bases that were 4-bit in training (QLoRA): what a record says of them, and what that means for scores. Torch-free.

A record is a base's config.json, an adapter's config, a config of a trainer or its saved arguments, as a mapping.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError

_BITS = ("quantization_bit", "quant_bits")
_METHODS = ("quantization_method", "quant_method")
_BITSANDBYTES = ("bnb", "bitsandbytes")
_DOUBLE = ("bnb_4bit_use_double_quant", "double_quantization", "use_bnb_nested_quant")
_TYPES = ("bnb_4bit_quant_type", "quantization_type")
OFFSET = (
    "on a model of 327 thousand parameters that moved the log-prob of a response by 3 to 4 nats and a reward at beta "
    "0.1 by 0.16 on average, and large models usually by less"
)
"""What a base that is not packed as in training changes; measured with a LoRA adapter trained for 120 steps."""


@dataclass(frozen=True, slots=True)
class FourBit:
    """How bitsandbytes packs the weights of a base into 4 bits.

    Attributes:
        quant_type: ``nf4`` or ``fp4``.
        double_quant: whether the scales of the blocks are quantised, too.
        source: where this was read, for the log.
    """

    quant_type: str
    double_quant: bool
    source: str

    def __str__(self) -> str:
        """Return it in the words of a note."""
        return self.quant_type + (" with double quantisation" if self.double_quant else "")


def four_bit_of(record: Mapping[str, Any], source: str) -> FourBit | None:
    """Return how a record says that the base was packed into 4 bits; None where it does not say so.

    Names of transformers, TRL, LLaMA-Factory, ms-swift, Axolotl and OpenRLHF are known; what a record leaves out is as
    in the trainer that writes such records.

    Args:
        record: a parsed config or the saved arguments of a trainer.
        source: name of the file, for the log.
    """
    nested = record.get("quantization_config")
    values = nested if isinstance(nested, Mapping) else record
    method = next((str(values[key]).lower() for key in _METHODS if values.get(key)), "bnb")
    bits = next((values[key] for key in _BITS if values.get(key)), None)
    packed = values.get("load_in_4bit") is True or values.get("_load_in_4bit") is True or str(bits) == "4"
    base = str(record.get("base_model_name_or_path") or "").lower()
    if not (packed and method in _BITSANDBYTES):
        return FourBit("nf4", True, source) if base.rstrip("/").endswith("bnb-4bit") else None
    quant_type = next((str(values[key]) for key in _TYPES if values.get(key)), "nf4")
    # transformers and TRL write both fields; the trainers that leave them out use double quantisation
    double = next((values[key] is True for key in _DOUBLE if key in values), True)
    return FourBit(quant_type if quant_type in ("nf4", "fp4") else "nf4", double, source)


def has_bitsandbytes() -> bool:
    """Return whether bitsandbytes is installed."""
    return find_spec("bitsandbytes") is not None


def check_four_bit(four_bit: FourBit | None, folder: Path) -> None:
    """Check that a model in 4 bits can be loaded.

    Raises:
        InputError: bitsandbytes is not installed.
    """
    if four_bit is not None and not has_bitsandbytes():
        raise InputError(
            f"4-bit weights in {folder} need bitsandbytes, which is not installed: pip install bitsandbytes, or point "
            "at the unquantised model"
        )


def check_quantization(config: Mapping[str, Any], folder: Path) -> None:
    """Check that the weights of a full model are unquantised, or in the 4 bits of bitsandbytes.

    Raises:
        InputError: they are quantised in another way.
    """
    record = config.get("quantization_config")
    if not record or four_bit_of({"quantization_config": record}, "") is not None:
        return
    method = str(record.get("quant_method", "unknown")) if isinstance(record, Mapping) else "unknown"
    bits = " in 8 bits" if method in _BITSANDBYTES else ""
    raise InputError(
        f"quantised weights ({method}{bits}) in {folder}: only bitsandbytes in 4 bits is loaded, other formats need "
        "kernels of their own; point at the unquantised model"
    )


def four_bit_note(four_bit: FourBit, *, scored: bool, is_possible: bool = True) -> str:
    """Return a line for the log on a base that was 4-bit in training.

    Args:
        four_bit: how it was packed.
        scored: whether the models are scored in 4 bits.
        is_possible: whether they could be, with bitsandbytes.
    """
    start = f"the base was 4-bit in training ({four_bit}), as {four_bit.source} says"
    if scored:
        return f"{start}: base and adapters are scored in 4 bits, too"
    remedy = "pip install bitsandbytes" if is_possible else "score such adapters and their base in a run of their own"
    return f"{start}, and is scored unquantised: {OFFSET}; to score it in 4 bits, {remedy}"
