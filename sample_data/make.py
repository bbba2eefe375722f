"""Make sample_data/ again: text, tokenizer, reference, three DPO runs. `python sample_data/make.py [FOLDER]`."""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import torch  # noqa: E402

from sample_data import dpo, sft, text  # noqa: E402

PAIR_SEED, SFT_SEED = 2026, 7
N_TRAIN, N_EVAL, N_SFT = 1200, 150, 10_000
PACKAGES = ("torch", "transformers", "tokenizers", "trl", "peft", "datasets", "accelerate", "safetensors", "numpy")


def make_pairs(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Write pairs/train.jsonl and pairs/eval.jsonl and hand the rows on."""
    pairs = text.make_pairs(PAIR_SEED, N_TRAIN + N_EVAL)
    rows = {"train": pairs[:N_TRAIN], "eval": pairs[N_TRAIN:]}
    (out / "pairs").mkdir(parents=True, exist_ok=True)
    for split, some in rows.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in some]
        (out / "pairs" / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return rows


def make_reference(rows: dict[str, list[dict[str, Any]]], out: Path) -> None:
    """Train tokenizer and SFT model on texts that hold no prompt of any pair."""
    rng = random.Random(SFT_SEED)  # noqa: S311
    exclude = frozenset(row["prompt"][0]["content"] for some in rows.values() for row in some)
    texts = [text.sft_text(rng, exclude) for _ in range(N_SFT)]
    tokenizer = sft.train_tokenizer([f"user\n{prompt}assistant\n{reply}" for prompt, reply in texts])
    model = sft.new_model(tokenizer, SFT_SEED)
    print(f"vocabulary {len(tokenizer)}, parameters {model.num_parameters()}")
    loss = sft.train_sft(model, tokenizer, texts, seed=SFT_SEED)
    print(f"sft loss {loss:.3f} nats per token")
    sft.save_reference(model, tokenizer, out / "sft")
    dpo.tidy_tokenizer(out / "sft")


def write_hashes(out: Path) -> None:
    """Write SHA256SUMS over everything made here, in the format of `sha256sum -c`."""
    files = sorted(p for name in ("pairs", "sft", *(r.name for r in dpo.RECIPES)) for p in (out / name).rglob("*.*"))
    kept = [p for p in files if p.suffix in (".safetensors", ".jsonl") or p.name == "tokenizer.json"]
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(out).as_posix()}\n" for p in kept]
    (out / "SHA256SUMS").write_text("".join(lines))


def main(out: Path) -> None:
    """Make everything under `out`, one thread, and say how long each step took."""
    torch.set_num_threads(1)
    print("python", sys.version.split()[0], *(f"{name} {version(name)}" for name in PACKAGES), flush=True)
    started = time.process_time()
    rows = make_pairs(out)
    make_reference(rows, out)
    print(f"reference: {time.process_time() - started:.0f} CPU s", flush=True)
    for recipe in dpo.RECIPES:
        started = time.process_time()
        dpo.train(recipe, out / "sft", rows, out / recipe.name)
        print(f"{recipe.name}: {time.process_time() - started:.0f} CPU s", flush=True)
    write_hashes(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
