"""The three DPO runs of the sample: TRL's own trainer, started from the fp16 reference, checkpoints left tidy."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

BASE = "sample_data/sft"
BATCH, CHECKPOINTS, EVAL_BATCH, BETA = 16, 5, 50, 0.1
KEPT = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "trainer_state.json",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What distinguishes one run from another."""

    name: str
    learning_rate: float
    epochs: int
    seed: int
    lora: bool = False
    sft_weight: float = 0.0
    """Of an SFT term on the chosen replies beside the DPO loss; none of the runs that are shipped has one."""


RECIPES = (
    Recipe("gentle", 5e-5, 4, 11),
    Recipe("strong", 5e-4, 2, 12),
    Recipe("lora", 1e-3, 2, 13, lora=True),
)


def train(recipe: Recipe, reference: Path, rows: dict[str, list[dict[str, Any]]], out: Path) -> None:
    """Train one run and leave its five checkpoints, each cleaned by `tidy`."""
    torch.manual_seed(recipe.seed)
    tokenizer = AutoTokenizer.from_pretrained(reference)
    model = AutoModelForCausalLM.from_pretrained(reference, dtype=torch.float32)
    frozen = None if recipe.lora else AutoModelForCausalLM.from_pretrained(reference, dtype=torch.float32)
    lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = DPOTrainer(
        model,
        ref_model=frozen,
        args=_arguments(recipe, len(rows["train"]), out),
        train_dataset=_dataset(rows["train"]),
        eval_dataset=_dataset(rows["eval"]),
        processing_class=tokenizer,
        peft_config=lora if recipe.lora else None,
    )
    trainer.train()
    (out / "README.md").unlink(missing_ok=True)
    for folder in out.glob("checkpoint-*"):
        tidy(folder)


def _dataset(rows: list[dict[str, Any]]) -> Dataset:
    return Dataset.from_list([{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in rows])


def _arguments(recipe: Recipe, n_rows: int, out: Path) -> DPOConfig:
    every = n_rows * recipe.epochs // BATCH // CHECKPOINTS
    return DPOConfig(
        output_dir=str(out),
        learning_rate=recipe.learning_rate,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=EVAL_BATCH,
        beta=BETA,
        loss_type=["sigmoid", "sft"] if recipe.sft_weight else ["sigmoid"],
        loss_weights=[1.0, recipe.sft_weight] if recipe.sft_weight else None,
        lr_scheduler_type="linear",
        warmup_steps=8,
        precompute_ref_log_probs=not recipe.lora,
        logging_steps=5,
        eval_strategy="steps",
        eval_steps=every,
        save_steps=every,
        seed=recipe.seed,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
    )


def tidy(folder: Path) -> None:
    """Leave fp16 weights, the files that load them and the trainer's log: no pickle, no model card, no machine path."""
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in folder.glob("*.safetensors"):
        tensors = {key: value.half().contiguous() for key, value in load_file(path).items()}
        path.unlink()
        save_file(tensors, path, {"format": "pt"})
    _edit(folder / "config.json", dtype="float16")
    adapter = folder / "adapter_config.json"
    if adapter.exists():
        modules = sorted(json.loads(adapter.read_text())["target_modules"])
        _edit(adapter, base_model_name_or_path=BASE, target_modules=modules)
    tidy_tokenizer(folder)


def tidy_tokenizer(folder: Path) -> None:
    """Write tokenizer.json without indentation (a third of the size) and name a class that transformers 4 knows too."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False, separators=(",", ":")) + "\n")
    _edit(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    for path in folder.iterdir():
        path.chmod(0o644)


def _edit(path: Path, **values: Any) -> None:
    if path.exists():
        path.write_text(json.dumps(json.loads(path.read_text()) | values, indent=2) + "\n")
