"""A small DPO training of the sample's model by TRL, for tests of the callback; also a script, for ``torchrun``.

As a script: ``small_training.py OUTPUT_DIR [resume]``. It ends with the token rewards in OUTPUT_DIR/dpo_analysis.
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"


def rows(split, count, *, text=False):
    """The first rows of a split: conversations, or plain texts."""
    lines = (SAMPLE / f"pairs/{split}.jsonl").read_text("utf-8").splitlines()[:count]
    found = [{name: json.loads(line)[name] for name in ("prompt", "chosen", "rejected")} for line in lines]
    if not text:
        return found
    return [{name: one[name][0]["content"] for name in one} for one in found]


def model():
    return AutoModelForCausalLM.from_pretrained(str(SAMPLE / "sft"), dtype=torch.float32)


def small_trainer(out, *, policy=None, reference=True, train=None, evaluated=None, peft_config=None, **options):
    """A DPOTrainer that takes 12 steps, evaluates every 3 and saves every 4."""
    torch.manual_seed(0)
    disable_progress_bars()
    given = {
        "output_dir": str(out),
        "max_steps": 12,
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 8,
        "learning_rate": 3e-4,
        "eval_strategy": "steps",
        "eval_steps": 3,
        "logging_steps": 3,
        "save_steps": 4,
        "beta": 0.2,
        "bf16": False,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "gradient_checkpointing": False,
    } | options
    evaluated = evaluated if evaluated is not None else Dataset.from_list(rows("eval", 64))
    return DPOTrainer(
        policy or model(),
        ref_model=model() if reference else None,
        args=DPOConfig(**given),
        train_dataset=Dataset.from_list(rows("train", 48) if train is None else train),
        eval_dataset=evaluated or None,
        processing_class=AutoTokenizer.from_pretrained(str(SAMPLE / "sft")),
        peft_config=peft_config,
    )


def main():
    from dpo_analysis.scoring import LogTokenRewardsCallback

    torch.set_num_threads(1)
    trainer = small_trainer(sys.argv[1])
    trainer.add_callback(LogTokenRewardsCallback(trainer=trainer, num_pairs=64))
    trainer.train(resume_from_checkpoint="resume" in sys.argv or None)


if __name__ == "__main__":
    main()
