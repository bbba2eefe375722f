"""From checked folders to models in memory: nothing missing, nothing made up, no code and no pickle from outside.

transformers and PEFT fill what a checkpoint lacks with random numbers and a warning; here that is a refusal.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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
from dpo_analysis.scoring.models.preflight import ModelFiles
from dpo_analysis.scoring.models.tokenizer import load_tokenizer as load_tokenizer
from dpo_analysis.scoring.models.weight_files import Damaged, safetensors_header
from dpo_analysis.scoring.workers.ranks import own_rank

LARGE = 3_000_000_000
"""Parameters above which a CUDA model is scored in bfloat16 unless the caller says otherwise."""
SMALL = 2_000_000
"""Parameters below which a second thread gains little."""
NUMERICS = ("default", "trainer")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, load reports and warnings of transformers and PEFT; afterwards as it was before."""
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


def pick_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is CUDA, else MPS, else the CPU. A local rank picks among several GPUs.

    Raises:
        InputError: unknown or not on this machine.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    kind, _, index = name.partition(":")
    if kind not in there or not (index.isdigit() or not index):
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda or mps")
    if not there[kind]:
        raise InputError(f"no {kind} device on this machine: torch {torch.__version__} sees none; use --device cpu")
    if kind == "cuda":
        return torch.device(kind, (int(index) if index else own_rank().local) % torch.cuda.device_count())
    return torch.device(name)


def pick_dtype(name: str | None, n_parameters: int, device: torch.device) -> str:
    """float32, but bfloat16 for more than ``LARGE`` parameters on CUDA; ``name`` overrules.

    Raises:
        InputError: unknown name.
    """
    if name is None:
        return "bfloat16" if device.type == "cuda" and n_parameters > LARGE else "float32"
    if name not in DTYPES:
        raise InputError(f"unknown dtype {name!r}; use {', '.join(DTYPES)}")
    return name


def check_numerics(name: str, dtype: str | None) -> None:
    """Refuse numerics that are none, and a type of weights beside the trainer's.

    Raises:
        InputError: so.
    """
    if name not in NUMERICS:
        raise InputError(f"unknown --numerics {name!r}; use {' or '.join(NUMERICS)}")
    if name == "trainer" and dtype not in (None, "float32"):
        raise InputError(
            f"--dtype {dtype} beside --numerics trainer: that is float32 weights under bfloat16 autocast; leave out one"
        )


@contextmanager
def few_threads(n_parameters: int, device: torch.device) -> Iterator[None]:
    """One thread for models below ``SMALL`` on the CPU; afterwards as many as before.

    They are fast enough so, do not wait for a busy machine at every barrier, and give the same bytes on any machine of
    one kind, however many cores it has.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu" and n_parameters < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def check_class(files: ModelFiles) -> None:
    """Refuse a model type for which transformers itself has no causal language model.

    Raises:
        InputError: it has none; code that a checkpoint brings along is never run.
    """
    kind, folder = str(files.config.get("model_type")), files.full.folder
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return
    if kind in CONFIG_MAPPING and CONFIG_MAPPING[kind] in MODEL_FOR_CAUSAL_LM_MAPPING:
        return
    if files.config.get("auto_map"):
        raise InputError(
            f"model code asked for in {folder}: code from a checkpoint is never run, and transformers "
            f"{transformers.__version__} does not know model type {kind!r}; use a version that has it built in"
        )
    raise InputError(
        f"model type {kind!r} in {folder}: transformers {transformers.__version__} has no causal language model of it; "
        f"upgrade transformers, or point at a causal language model"
    )


def load_full(
    files: ModelFiles, *, dtype: str, device: torch.device, device_map: DeviceMap | None = None
) -> tuple[nn.Module, list[str]]:
    """The full model in ``files`` in eval mode on ``device``, or spread as ``device_map`` says, and what to log of it.

    Raises:
        Damaged: a weight is missing, of the wrong shape or unreadable.
        InputError: transformers has no class for it, or it carries unmerged adapter weights.
    """
    where = files.folder
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            str(where), dtype=DTYPES[dtype], use_safetensors=True, trust_remote_code=False, local_files_only=True,
            output_loading_info=True, device_map=device_map,
        )  # type: ignore[misc]  # fmt: skip
    except _LOAD_ERRORS as error:
        if is_out_of_memory(error):
            raise
        raise Damaged(f"cannot load {where}: {_first_line(error)}; check its config.json and weights") from error
    for kind, keys in (("missing", info["missing_keys"]), ("misshapen", info["mismatched_keys"])):
        if keys:
            raise Damaged(
                f"{kind} weights in {where}: {_some(keys)} would be random; the save was not finished or the config is "
                f"another model's; use another checkpoint"
            )
    unexpected = sorted(map(str, info["unexpected_keys"]))
    if any("lora_" in key for key in unexpected):
        raise InputError(f"unmerged LoRA weights in {where}: {unexpected[0]}; save the adapter alone, or merge it")
    notes = [f"{where}: ignored weights {_some(unexpected)}"] if unexpected else []
    return (model.to(device) if device_map is None else model).eval(), notes


def attach_adapter(
    model: nn.Module, peft: PeftModel | None, files: ModelFiles, name: str, device: torch.device
) -> tuple[PeftModel, list[str]]:
    """Put the adapter in ``files`` on its base ``model`` as ``name``, beside those that ``peft`` has already.

    Raises:
        InputError: the adapter's weights are not those the base has places for, or the base is not wholly in memory.
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
            peft = get_peft_model(model, config, adapter_name=name)  # type: ignore[arg-type, assignment]
        else:
            peft.add_adapter(name, config)
        assert isinstance(peft, PeftModel)
        found = peft.load_adapter(str(files.folder), name, torch_device=str(device))
    except _LOAD_ERRORS as error:
        if is_out_of_memory(error):
            raise
        raise _unfit(files, _first_line(error)) from error
    wrong = sorted([*found.missing_keys, *found.unexpected_keys]) or _unsaved_modules(files)
    if wrong:
        raise _unfit(files, f"weights do not match, such as {_some(wrong)}")
    peft.eval()
    return peft, [f"{files.folder}: all lora_B are zero, the adapter does nothing"] if _does_nothing(peft, name) else []


def _unfit(files: ModelFiles, why: str) -> InputError:
    base = files.full.folder
    return Damaged(f"adapter {files.folder} does not fit base {base}: {why}; pass the base it was trained on as --base")


def _unsaved_modules(files: ModelFiles) -> list[str]:
    """Modules that the adapter says it trained whole and whose weights its file lacks."""
    stored = ["." + key for path in files.weights for key in safetensors_header(path)]
    wanted = files.adapter.get("modules_to_save") or []
    return [name for name in wanted if not any(f".{name}." in key for key in stored)]


def _does_nothing(peft: PeftModel, name: str) -> bool:
    ends = [value for key, value in peft.named_parameters() if "lora_B" in key and f".{name}." in key]
    return bool(ends) and not any(bool(value.any()) for value in ends)


def check_embedding(model: nn.Module, largest_id: int, where: str) -> None:
    """Refuse token ids that the model has no row for, before a forward fails on them (on CUDA: for good).

    Raises:
        InputError: ``largest_id`` is beyond the embedding.
    """
    rows = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    if largest_id >= rows:
        raise InputError(f"token id {largest_id} for {where}: it knows {rows}; use the tokenizer it was trained with")


def first_bad_weight(model: nn.Module) -> str:
    """Name of the first weight that holds NaN or infinity; empty if none does."""
    there = ((name, value) for name, value in model.named_parameters() if not value.is_meta)
    bad = (name for name, value in there if not bool(torch.isfinite(value).all()))
    return next(bad, "")


def _some(keys: object) -> str:
    names = sorted(str(key) for key in keys)  # type: ignore[attr-defined]
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines else type(error).__name__
    return text[:160]
