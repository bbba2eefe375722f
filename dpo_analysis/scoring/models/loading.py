"""Loading of models whose folders were checked, and of adapters onto their base.

transformers and PEFT initialise weights that a checkpoint lacks at random, with a warning; such a checkpoint is refused
here. Neither code nor pickles of a checkpoint are run.
"""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import transformers
from peft import PeftConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from torch import nn
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.engine.memory import is_out_of_memory
from dpo_analysis.scoring.engine.placement import DeviceMap, is_offloaded
from dpo_analysis.scoring.models.devices import DTYPES
from dpo_analysis.scoring.models.preflight import ModelFiles
from dpo_analysis.scoring.models.weight_files import DamagedWeights, adapter_does_not_fit, safetensors_header

_LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars, load reports and warnings of transformers and PEFT; restored afterwards."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def check_class(files: ModelFiles) -> None:
    """Check that transformers has a causal language model of this model's type.

    Raises:
        InputError: it has none; code in a checkpoint is never run.
    """
    kind, folder = str(files.config.get("model_type")), files.full.folder
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return
    if kind in CONFIG_MAPPING and CONFIG_MAPPING[kind] in MODEL_FOR_CAUSAL_LM_MAPPING:
        return
    if files.config.get("auto_map"):
        raise InputError(
            f"model code needed in {folder}: code from a checkpoint is never run, and transformers "
            f"{transformers.__version__} does not know model type {kind!r}; use a version that does"
        )
    raise InputError(
        f"model type {kind!r} in {folder}: transformers {transformers.__version__} has no causal language model of it; "
        f"upgrade transformers, or point at a causal language model"
    )


def load_full(
    files: ModelFiles, *, dtype: str, device: torch.device, device_map: DeviceMap | None = None
) -> tuple[nn.Module, list[str]]:
    """Load a full model in eval mode.

    Args:
        files: its files.
        dtype: float32, bfloat16 or float16.
        device: where it is put.
        device_map: spreads it over several devices instead, as for transformers.

    Returns:
        The model, and notes for the log.

    Raises:
        DamagedWeights: a weight is missing, of the wrong shape or unreadable.
        InputError: it holds adapter weights that were not merged.
    """
    folder = files.folder
    options: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=DTYPES[dtype], device_map=device_map, output_loading_info=True, **options
        )
        model, info = loaded
    except _LOAD_ERRORS as error:
        if is_out_of_memory(error):
            raise
        why = _first_line(error)
        raise DamagedWeights(f"cannot load {folder}: {why}; check its config.json and weights") from error
    for kind, keys in (("missing", info["missing_keys"]), ("misshapen", info["mismatched_keys"])):
        if keys:
            raise DamagedWeights(
                f"{kind} weights in {folder}: {_first_names(keys)} would be random; the save was not finished or the "
                f"config is another model's; use another checkpoint"
            )
    unexpected = sorted(map(str, info["unexpected_keys"]))
    if any("lora_" in key for key in unexpected):
        raise InputError(f"unmerged LoRA weights in {folder}: {unexpected[0]}; save the adapter alone, or merge it")
    notes = [f"{folder}: ignored weights {_first_names(unexpected)}"] if unexpected else []
    return (model.to(device) if device_map is None else model).eval(), notes


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
        InputError: the adapter's weights do not fit the base, or part of the base is not in memory.
    """
    if is_offloaded(model):
        raise InputError(
            f"adapter {files.folder} on a base that does not fit into memory: PEFT cannot put it on weights that are "
            "on disk; merge it into its base, or use larger devices"
        )
    try:
        config = PeftConfig.from_pretrained(str(files.folder), local_files_only=True)
        config.inference_mode = True
        if peft is None:
            base: Any = model
            peft = cast(PeftModel, get_peft_model(base, config, adapter_name=name))
        else:
            peft.add_adapter(name, config)
        loaded = peft.load_adapter(str(files.folder), name, torch_device=str(device))
    except _LOAD_ERRORS as error:
        if is_out_of_memory(error):
            raise
        raise adapter_does_not_fit(files.folder, files.full.folder, _first_line(error)) from error
    wrong = sorted([*loaded.missing_keys, *loaded.unexpected_keys]) or _unsaved_modules(files)
    if wrong:
        why = f"weights do not match, such as {_first_names(wrong)}"
        raise adapter_does_not_fit(files.folder, files.full.folder, why)
    peft.eval()
    no_effect = _has_no_effect(peft, name)
    return peft, [f"{files.folder}: all lora_B are zero, the adapter does nothing"] if no_effect else []


def _unsaved_modules(files: ModelFiles) -> list[str]:
    """Return the modules that were trained in full beside the adapter and whose weights its file lacks."""
    stored = ["." + key for path in files.weight_paths for key in safetensors_header(path)]
    trained = files.adapter_config.get("modules_to_save") or []
    return [name for name in trained if not any(f".{name}." in key for key in stored)]


def _has_no_effect(peft: PeftModel, name: str) -> bool:
    lora_b = [value for key, value in peft.named_parameters() if "lora_B" in key and f".{name}." in key]
    return bool(lora_b) and not any(bool(value.any()) for value in lora_b)


def check_embedding(model: nn.Module, largest_token_id: int, source: str) -> None:
    """Check that the embedding has a row for every token id; a forward that fails on one breaks CUDA for good.

    Raises:
        InputError: ``largest_token_id`` is beyond the embedding.
    """
    causal: Any = model
    rows = causal.get_input_embeddings().weight.shape[0]
    if largest_token_id >= rows:
        raise InputError(
            f"token id {largest_token_id} for {source}: its vocabulary has {rows} tokens; use its tokenizer"
        )


def first_bad_weight(model: nn.Module) -> str:
    """Return the name of the first weight that holds NaN or infinity; empty if none does."""
    in_memory = ((name, value) for name, value in model.named_parameters() if not value.is_meta)
    bad = (name for name, value in in_memory if not bool(torch.isfinite(value).all()))
    return next(bad, "")


def _first_names(keys: Iterable[object]) -> str:
    names = sorted(str(key) for key in keys)
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines else type(error).__name__
    return text[:160]
