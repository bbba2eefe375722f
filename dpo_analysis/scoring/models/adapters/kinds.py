"""What an adapter does to its base when PEFT attaches it, from its config and the header of its weights. Torch-free.

Most LoRA adapters leave the base as it is: any number of them can share one base in memory, and that base with every
adapter off is the reference. Other adapters change the base, and the weights of every later model with it.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.models.weight_files import TensorInfo, unwrapped_name

PROMPT_LEARNING = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE")
"""PEFT types that add virtual tokens, so that scores would not be at the positions of the response's tokens."""
NOT_ALONE = {
    "XLORA": "it mixes other adapters, whose folders it does not name; score one of those",
    "POLY": "it needs a task id with every sequence; pairs have none",
}
"""PEFT types that need more than the model and a sequence, with the reason and a remedy."""
REWRITES = {"pissa": "PiSSA", "olora": "OLoRA", "loftq": "LoftQ"}
"""Values of ``init_lora_weights`` for which PEFT takes a part out of the base's weights, the same at every load."""
LEAVES_BASE = ("true", "false", "none", "gaussian", "eva", "orthogonal", "mica")
"""Values of ``init_lora_weights``, in lower case, with which PEFT leaves the base as it is."""
_UNREPEATABLE = {
    "pissa_niter_": ("PiSSA by a fast SVD", "its starting point is drawn at random"),
    "corda": ("CorDA", "it takes the activations of its calibration data"),
    "lora_ga": ("LoRA-GA", "it takes the gradients of its first batches"),
}
_CHANGES_BASE = (
    "modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication", "ensure_weight_tying",
    "arrow_config", "megatron_config",
)  # fmt: skip
_CONVERTED = "pissa_converted"
_NOT_ADAPTER = re.compile(r"(\.base_layer)?\.(weight|bias)$")
_LORA_PART = re.compile(r"lora_|\.modules_to_save\.")


def check_scorable(folder: Path, config: Mapping[str, Any]) -> None:
    """Check that scores of an adapter have a meaning here, and that PEFT can repeat what it did to the base.

    Args:
        folder: the adapter's folder.
        config: its parsed adapter_config.json.

    Raises:
        InputError: they have none, or it cannot; with the reason and a remedy.
    """
    kind = adapter_type(config)
    if kind in PROMPT_LEARNING:
        raise InputError(f"adapter of type {kind} in {folder}: it adds virtual tokens; only weight adapters are scored")
    if kind in NOT_ALONE:
        raise InputError(f"adapter of type {kind} in {folder}: {NOT_ALONE[kind]}")
    if config.get("alora_invocation_tokens"):
        raise InputError(
            f"activated LoRA in {folder}: PEFT looks for its invocation tokens in whole sequences, which scoring does "
            "not show it; train a plain LoRA to score one"
        )
    start = str(config.get("init_lora_weights", True)).lower()
    found = next((name for name in _UNREPEATABLE if start.startswith(name)), None)
    if found is not None:
        raise InputError(_cannot_be_repeated(folder, *_UNREPEATABLE[found]))


def _cannot_be_repeated(folder: Path, method: str, why: str) -> str:
    converted = next((path for path in (folder / _CONVERTED, folder.parent / _CONVERTED) if path.is_dir()), None)
    remedy = (
        f"score {converted}, its conversion to plain LoRA"
        if converted
        else "save it as plain LoRA where it was trained: save_pretrained(NEW, "
        "path_initial_model_for_weight_conversion=ADAPTER_SAVED_BEFORE_TRAINING), or merge it there"
    )
    return (
        f"adapter {folder} was started by {method}, which changed the base's weights, and PEFT cannot change a fresh "
        f"base the same way: {why}; {remedy}"
    )


def adapter_type(config: Mapping[str, Any]) -> str:
    """Return the PEFT type in an adapter's config, in capitals; empty where it names none."""
    return str(config.get("peft_type") or "").upper()


def rewriting_method(config: Mapping[str, Any]) -> str:
    """Return the name of the method by which PEFT rewrites the base as it attaches this adapter; empty for none."""
    start = str(config.get("init_lora_weights", True)).lower()
    return REWRITES.get(start, "") if adapter_type(config) == "LORA" else ""


def shares_base(config: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Return whether other models may use the base that this adapter is attached to.

    Only what is known to leave the base alone may share it: a LoRA adapter that adds matrices to linear layers.

    Args:
        config: its parsed adapter_config.json.
        names: names of the tensors in its weight file.
    """
    start = str(config.get("init_lora_weights", True)).lower()
    if adapter_type(config) != "LORA" or start not in LEAVES_BASE or config.get("bias", "none") != "none":
        return False
    return not any(config.get(key) for key in _CHANGES_BASE) and not any(map(holds_base_weight, names))


def holds_base_weight(name: str) -> bool:
    """Return whether a tensor of an adapter file is a weight of the base, such as an embedding, and no added matrix."""
    return bool(_NOT_ADAPTER.search(name)) and not _LORA_PART.search(name)


def vocabulary_rows(header: Mapping[str, TensorInfo]) -> dict[str, int]:
    """Return the rows of the embedding and of the head that an adapter file holds, by ``embedding`` and ``head``.

    Args:
        header: type and shape of each tensor in the file.
    """
    rows: dict[str, int] = {}
    for name, tensor in header.items():
        plain = unwrapped_name(name)
        match = re.search(r"\.(embed_tokens|wte|embed_in|word_embeddings|lm_head|embed_out)\b", plain)
        if match is None or not tensor.shape:
            continue
        part = "head" if match[1] in ("lm_head", "embed_out") else "embedding"
        if holds_base_weight(plain) and plain.endswith(".weight") and len(tensor.shape) == 2:
            rows[part] = tensor.shape[0]
        elif "lora_embedding_A" in plain:
            rows.setdefault("lora", tensor.shape[-1])
    return rows
