"""Attaching of adapters to their base, and refusal of those whose numbers would not be those of training.

PEFT initialises weights that an adapter file lacks at random, with a warning; such an adapter is refused here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import peft as peft_library
import torch
from peft import PeftConfig, PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors.torch import load_file, save_file
from torch import nn

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.engine.memory import is_out_of_memory
from dpo_analysis.scoring.engine.placement import is_offloaded
from dpo_analysis.scoring.models.adapters.four_bit import has_bitsandbytes
from dpo_analysis.scoring.models.adapters.kinds import adapter_type, rewriting_method, vocabulary_rows
from dpo_analysis.scoring.models.adapters.load_errors import LOAD_ERRORS, first_line, first_names
from dpo_analysis.scoring.models.preflight import ModelFiles, read_json
from dpo_analysis.scoring.models.weight_files import (
    TensorInfo,
    adapter_does_not_fit,
    safetensors_header,
    unwrapped_name,
)

_SHARED = "vblora_vector_bank"
"""Part of the names under which VB-LoRA's one bank of vectors appears in every layer; its file holds it once."""
_NAMED_BY_HAND = re.compile(r"\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)\.default\b")


def attach_adapter(
    model: nn.Module, peft: PeftModel | None, files: ModelFiles, name: str, device: torch.device
) -> tuple[PeftModel, list[str]]:
    """Put an adapter on its base.

    Args:
        model: the base.
        peft: the base with other adapters already on it; None for none.
        files: the adapter's files.
        name: name for the adapter.
        device: where its weights are put.

    Returns:
        The base with its adapters, and notes for the log.

    Raises:
        DamagedWeights: the adapter's weights do not fit the base.
        InputError: part of the base is not in memory, or this PEFT or this machine cannot load such an adapter.
    """
    if is_offloaded(model):
        raise InputError(
            f"adapter {files.folder} on a base that does not fit into memory: PEFT cannot put it on weights that are "
            "on disk; merge it into its base, or use larger devices"
        )
    _check_loadable(files, device)
    resized = _resize_vocabulary(model, files, safetensors_header(files.weight_paths[0]))
    try:
        with _folder_as_peft_names_it(files) as folder:
            config = PeftConfig.from_pretrained(str(files.folder), local_files_only=True)
            config.inference_mode = True
            if peft is None:
                base: Any = model
                peft = cast(PeftModel, get_peft_model(base, config, adapter_name=name))
            else:
                peft.add_adapter(name, config)
            loaded = peft.load_adapter(str(folder), name, torch_device=str(device))
    except ImportError as error:
        raise InputError(f"adapter {files.folder} cannot be loaded: {first_line(error)}") from error
    except LOAD_ERRORS as error:
        if is_out_of_memory(error):
            raise
        raise adapter_does_not_fit(files.folder, files.full.folder, first_line(error)) from error
    missing = [key for key in loaded.missing_keys if _SHARED not in key]
    wrong = sorted([*missing, *_not_repeated(files, loaded.unexpected_keys)]) or _unsaved_modules(files)
    if wrong:
        why = f"weights do not match, such as {first_names(wrong)}"
        raise adapter_does_not_fit(files.folder, files.full.folder, why)
    peft.eval()
    return peft, [*resized, *_notes(peft, files, name)]


def _check_loadable(files: ModelFiles, device: torch.device) -> None:
    """Check that PEFT knows the adapter's type, and has what it needs for it.

    Raises:
        InputError: it does not, or has not.
    """
    kind = adapter_type(files.adapter_config)
    if kind not in PEFT_TYPE_TO_CONFIG_MAPPING:
        raise InputError(
            f"adapter of type {kind or 'unknown'} in {files.folder}: PEFT {peft_library.__version__} does not know it; "
            "upgrade peft, or copy adapter_config.json again"
        )
    if rewriting_method(files.adapter_config) == "LoftQ":
        lacking = [] if has_bitsandbytes() else ["bitsandbytes"]
        lacking += [] if find_spec("scipy") else ["scipy"]
        lacking += [] if torch.cuda.is_available() else ["a CUDA device"]
        if lacking:
            raise InputError(
                f"adapter {files.folder} was started by LoftQ: PEFT quantises its base again to load it, and lacks "
                f"{' and '.join(lacking)} on {device.type}; score it where these are, or merge it there"
            )


def _resize_vocabulary(model: nn.Module, files: ModelFiles, header: Mapping[str, TensorInfo]) -> list[str]:
    """Give the base as many rows as the adapter was trained with; the adapter's file holds them all.

    Returns:
        A note for the log where the number changed.

    Raises:
        DamagedWeights: the file holds them only in part, so that the others would be random.
    """
    causal: Any = model
    rows = vocabulary_rows(header)
    n_base, n_rows = causal.get_input_embeddings().weight.shape[0], next(iter(rows.values()), None)
    if n_rows is None or set(rows.values()) == {n_base}:
        return []
    head = causal.get_output_embeddings()
    copied = files.adapter_config.get("modules_to_save") or []
    tied = head is None or head.weight is causal.get_input_embeddings().weight
    is_whole = "embedding" in rows and ("head" in rows or (tied and not copied))
    if not is_whole or len(set(rows.values())) > 1:
        raise adapter_does_not_fit(
            files.folder,
            files.full.folder,
            f"it was trained on a vocabulary of {n_rows} tokens where the base has {n_base}, and its file lacks rows "
            "of the embedding or the head (save_embedding_layers=True saves them)",
        )
    causal.resize_token_embeddings(n_rows, mean_resizing=False)
    return [
        f"{files.folder}: its vocabulary has {n_rows} tokens where the base has {n_base}: the trainer's "
        "reference had those rows, too, and rewards against one without them can differ slightly from its log"
    ]


@contextmanager
def _folder_as_peft_names_it(files: ModelFiles) -> Iterator[Path]:
    """The adapter's folder, or a temporary one where names of its weights hold what wrappers of a model add."""
    (path,) = files.weight_paths
    names = {name: _NAMED_BY_HAND.sub(r".\1", unwrapped_name(name)) for name in safetensors_header(path)}
    if all(name == plain for name, plain in names.items()):
        yield files.folder
        return
    with TemporaryDirectory() as folder:
        tensors = {names[name]: value for name, value in load_file(path).items()}
        save_file(tensors, Path(folder) / path.name)
        yield Path(folder)


def _not_repeated(files: ModelFiles, unexpected: Sequence[str]) -> list[str]:
    """Return the unexpected tensors that are no repeats: PEFT saves some embeddings and tied tokens under two names."""
    if not unexpected:
        return []
    tensors = {unwrapped_name(name): value for name, value in load_file(files.weight_paths[0]).items()}
    used = [value for name, value in tensors.items() if name not in unexpected]
    repeated = {name for name in unexpected if name in tensors and any(map(tensors[name].equal, used))}
    return [name for name in unexpected if name not in repeated]


def _unsaved_modules(files: ModelFiles) -> list[str]:
    """Return the modules that were trained in full beside the adapter and whose weights its file lacks."""
    stored = ["." + key for path in files.weight_paths for key in safetensors_header(path)]
    trained = files.adapter_config.get("modules_to_save") or []
    return [name for name in trained if not any(f".{name}." in key for key in stored)]


def _notes(peft: PeftModel, files: ModelFiles, name: str) -> list[str]:
    config, notes = peft.peft_config[name], []
    method = rewriting_method(files.adapter_config)
    if method:
        notes.append(
            f"{files.folder}: {method} takes a part out of the base's weights, so this adapter has a base of its own "
            "and no part in the reference; a trainer that turns such an adapter off for its reference compares with "
            "the changed base, and logs other rewards"
        )
    known = {field.name for field in fields(config)} | {"auto_mapping"}
    unknown = [key for key, value in files.adapter_config.items() if key not in known and value]
    if unknown:
        notes.append(
            f"{files.folder}: PEFT {peft_library.__version__} does not know {first_names(unknown)} of its config; "
            "upgrade peft if scores look wrong"
        )
    n_ids, n_rows = _tokenizer_size(files.folder), _embedding_rows(peft)
    if n_ids > n_rows:
        notes.append(
            f"{files.folder}: its tokenizer has {n_ids} tokens and the base {n_rows}; where the trainer added rows to "
            "the base, they were not saved, and log-probs differ by what those tokens had: pass that base as --base"
        )
    if _has_no_effect(peft, name):
        notes.append(f"{files.folder}: all lora_B are zero, the adapter does nothing")
    return notes


def _embedding_rows(peft: PeftModel) -> int:
    causal: Any = peft.get_base_model()
    return causal.get_input_embeddings().weight.shape[0]


def _tokenizer_size(folder: Path) -> int:
    """Return the largest id among the tokens added to the tokenizer beside an adapter, plus 1; 0 without any."""
    try:
        added = read_json(folder / "tokenizer.json", missing="").get("added_tokens")
        return max((int(token["id"]) + 1 for token in added or ()), default=0)
    except (InputError, TypeError, KeyError, ValueError):
        return 0


def _has_no_effect(peft: PeftModel, name: str) -> bool:
    lora_b = [value for key, value in peft.named_parameters() if "lora_B" in key and f".{name}." in key]
    return bool(lora_b) and not any(bool(value.any()) for value in lora_b)
