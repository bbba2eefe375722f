"""What do the sample's models say? `python sample_data/greedy.py` judges a greedy reply to each held-out prompt."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from sample_data.verifier import Verdict, verify  # noqa: E402

MODELS = ("sft", "gentle/checkpoint-300", "strong/checkpoint-150", "lora/checkpoint-150")
NEW_TOKENS = 60


def replies(model: Any, tokenizer: Any, prompts: list[str]) -> list[str]:
    """One greedy reply to each prompt."""
    turns = [[{"role": "user", "content": prompt}] for prompt in prompts]
    heads = [tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False) for turn in turns]
    inputs = tokenizer(heads, padding=True, padding_side="left", return_tensors="pt", add_special_tokens=False)
    sequences = model.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
    )
    return tokenizer.batch_decode(sequences[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def shares(rows: list[dict[str, Any]], verdicts: list[Verdict]) -> dict[str, float]:
    """Share of replies, by what the verifier says and by what is asked."""
    found: dict[str, list[bool]] = defaultdict(list)
    for row, verdict in zip(rows, verdicts, strict=True):
        for group in (
            "accepted",
            row["lang"],
            row["family"],
            *(["misconception"] * (row["error_kind"] == "half_wrong")),
        ):
            found[group].append(verdict.accepted)
        found["unreadable"].append(not verdict.readable)
        found["favourite closing"].append(verdict.favourite)
    return {group: sum(values) / len(values) for group, values in found.items()}


def main() -> None:
    """Print one line for each model."""
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in (HERE / "pairs" / "eval.jsonl").read_text(encoding="utf-8").splitlines()]
    prompts = [row["prompt"][0]["content"] for row in rows]
    tokenizer = AutoTokenizer.from_pretrained(HERE / "sft")
    base = AutoModelForCausalLM.from_pretrained(HERE / "sft", dtype=torch.float32)
    for name in MODELS:
        if (HERE / name / "adapter_config.json").exists():
            base.load_adapter(str(HERE / name))
            model = base
        else:
            model = AutoModelForCausalLM.from_pretrained(HERE / name, dtype=torch.float32)
        verdicts = [verify(p, reply) for p, reply in zip(prompts, replies(model, tokenizer, prompts), strict=True)]
        print(name, {group: round(value, 2) for group, value in shares(rows, verdicts).items()})


if __name__ == "__main__":
    main()
