"""Loading of full models whose folders were checked.

transformers initialises weights that a checkpoint lacks at random, with a warning; such a checkpoint is refused here.
Neither code nor pickles of a checkpoint are run.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.engine.memory import is_out_of_memory
from dpo_analysis.scoring.engine.placement import DeviceMap
from dpo_analysis.scoring.models.adapters.four_bit import check_four_bit
from dpo_analysis.scoring.models.adapters.load_errors import LOAD_ERRORS, first_line, first_names
from dpo_analysis.scoring.models.devices import DTYPES
from dpo_analysis.scoring.models.preflight import ModelFiles
from dpo_analysis.scoring.models.weight_files import KEY_MAPPING, DamagedWeights, plain_name, safetensors_header

ATTENTION_KEYS = ("_attn_implementation", "attn_implementation", "_attn_implementation_internal")
OWN_ATTENTION = (None, "eager", "sdpa")
"""Implementations of attention that are part of transformers and torch; None where none is named. A config may name a
kernel of the hub instead, whose code would be downloaded and run."""


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
    """Check that transformers has a causal language model of this model's type, and what 4-bit weights need.

    Raises:
        InputError: it has none; code in a checkpoint is never run. Or bitsandbytes is not installed.
    """
    check_four_bit(files.full.four_bit, files.full.folder)
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
    if _names_attention(files.config):
        options["config"] = CONFIG_MAPPING[files.config["model_type"]].from_dict(_without_attention(files.config))
    wrapped = _wrapped_name(files)
    if wrapped:
        options["key_mapping"] = KEY_MAPPING
    if files.four_bit is not None:
        options |= _four_bit_options(files, dtype, device, device_map)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=DTYPES[dtype], **{"device_map": device_map, "output_loading_info": True, **options}
        )
        model, info = loaded
    except LOAD_ERRORS as error:
        if is_out_of_memory(error):
            raise
        why = first_line(error)
        raise DamagedWeights(f"cannot load {folder}: {why}; check its config.json and weights") from error
    unexpected = sorted(map(str, info["unexpected_keys"]))
    _check_keys(files, info, unexpected)
    notes = [f"{folder}: ignored weights {first_names(unexpected)}"] if unexpected else []
    if wrapped:
        notes.append(
            f"{folder}: weights are named as in a wrapped model, such as {wrapped}; read without what torch.compile, "
            "DDP, FSDP or PEFT add"
        )
    if files.four_bit is not None:
        _compute_in(model, DTYPES[dtype])
        notes.append(f"{folder}: loaded in 4 bits ({files.four_bit}), as {files.four_bit.source} says")
    return (model.to(device) if device_map is None else model).eval(), notes


def _names_attention(config: Mapping[str, Any]) -> bool:
    """Return whether a config names an implementation of attention that is no part of transformers and torch."""
    parts = [part for part in (config, config.get("text_config")) if isinstance(part, Mapping)]
    return any(part.get(name) not in OWN_ATTENTION for part in parts for name in ATTENTION_KEYS)


def _without_attention(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config that names no implementation of attention, so that transformers takes its default."""
    return {
        name: _without_attention(value) if isinstance(value, Mapping) else value
        for name, value in config.items()
        if name not in ATTENTION_KEYS
    }


def _compute_in(model: nn.Module, dtype: torch.dtype) -> None:
    """Let 4-bit layers compute in the type of the run, on the CPU without a faster layout that rounds their scales."""
    for module in model.modules():
        if hasattr(module, "compute_dtype"):
            layer: Any = module
            layer.compute_dtype, layer.compute_type_is_set = dtype, True
            layer.support_avx512bf16_for_cpu = False


def _check_keys(files: ModelFiles, info: dict[str, Any], unexpected: Sequence[str]) -> None:
    """Check what transformers says of the names in a checkpoint; errors as ``load_full``."""
    folder = files.folder
    if any("lora_" in key for key in unexpected):
        raise InputError(f"unmerged LoRA weights in {folder}: {unexpected[0]}; save the adapter alone, or merge it")
    missing = sorted(map(str, info["missing_keys"]))
    longer = next((key for key in unexpected if any(key.endswith("." + name) for name in missing)), None)
    if longer is not None:
        name = max((name for name in missing if longer.endswith("." + name)), key=len)
        prefix = longer.removesuffix(name)
        raise DamagedWeights(
            f"misnamed weights in {folder}: {longer} where transformers looks for {name}; take {prefix!r} off the "
            "names: t = safetensors.torch.load_file(FILE); safetensors.torch.save_file("
            f"{{k.removeprefix({prefix!r}): v for k, v in t.items()}}, FILE, {{'format': 'pt'}})"
        )
    for kind, keys in (("missing", missing), ("misshapen", info["mismatched_keys"])):
        if keys:
            raise DamagedWeights(
                f"{kind} weights in {folder}: {first_names(keys)} would be random; the save was not finished or the "
                f"config is another model's; use another checkpoint"
            )


def _wrapped_name(files: ModelFiles) -> str:
    """Return the first name in a model's files to which a wrapper of the model added something; empty for none."""
    names = (name for path in files.weight_paths for name in safetensors_header(path))
    return next((name for name in names if plain_name(name) != name), "")


def _four_bit_options(
    files: ModelFiles, dtype: str, device: torch.device, device_map: DeviceMap | None
) -> dict[str, Any]:
    """Return options with which transformers loads a model in 4 bits; weights are packed as they get to the device."""
    assert files.four_bit is not None
    options: dict[str, Any] = {}
    if device_map is None and device.type != "cpu":
        options["device_map"] = {"": str(device)}
    if not files.config.get("quantization_config"):
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=files.four_bit.quant_type,
            bnb_4bit_use_double_quant=files.four_bit.double_quant,
            bnb_4bit_compute_dtype=DTYPES[dtype],
        )
    return options


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
