"""The reference models: a byte-level BPE tokenizer and small Llamas taught the replies of one or two families."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sample_data.sft import END, PAD, train_tokenizer
from tests.planted.families import FAMILIES
from tests.planted.replies import sft_text
from tests.planted.sequences import Sequences, sequence_logps

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>' }}{% endif %}"
)
TEXTS, BATCH, PEAK_LR, WARMUP = 8000, 16, 4e-3, 60
LATER = 80
"""Steps of the later stage."""
LAYERS, HEADS = 3, 4


def reference(cache: Path, families: tuple[str, ...], *, width: int, seed: int, steps: int = 1500) -> Path:
    """The folder of the SFT model of these families, trained now if it is not there yet."""
    folder = cache / f"sft-{'-'.join(families)}-{width}-{seed}-{steps}"
    if not (folder / "model.safetensors").exists():
        train_sft(families, width=width, seed=seed, steps=steps, folder=folder)
    return folder


def load(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A model of ours and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    return model, AutoTokenizer.from_pretrained(folder)


def train_sft(families: tuple[str, ...], *, width: int, seed: int, steps: int, folder: Path) -> None:
    """Train a tokenizer and a model on the families' texts and save both."""
    rng = random.Random(seed)
    texts = [sft_text(rng, FAMILIES[families[n % len(families)]]) for n in range(TEXTS)]
    tokenizer = train_tokenizer([f"{prompt} {reply}" for prompt, reply in texts])
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(seed)
    model = _new_model(tokenizer, width)
    loss = _teach(model, tokenizer, texts, rng, PEAK_LR, steps)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    print(f"{folder.name}: {model.num_parameters()} parameters, loss {loss:.3f}", flush=True)


def later_stage(folder: Path, families: tuple[str, ...]) -> Path:
    """The same model taught a little longer on other texts: a reference that nobody trained from."""
    later = folder.with_name(f"{folder.name}-later")
    if not (later / "model.safetensors").exists():
        model, tokenizer = load(folder)
        rng = random.Random(f"later {folder.name}")
        texts = [sft_text(rng, FAMILIES[families[n % len(families)]]) for n in range(LATER * BATCH)]
        _teach(model, tokenizer, texts, rng, PEAK_LR / 4, LATER)
        tokenizer.save_pretrained(later)
        model.save_pretrained(later)
    return later


def _teach(
    model: LlamaForCausalLM, tokenizer: Any, texts: list[tuple[str, str]], rng: random.Random, peak: float, steps: int
) -> float:
    """Teach the replies with AdamW and a cosine schedule; the mean loss of the last 100 steps, nats per token."""
    sequences = [Sequences.of_text(tokenizer, prompt, reply) for prompt, reply in texts]
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    losses: list[float] = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = peak * min((step + 1) / WARMUP, 0.5 * (1 + math.cos(math.pi * step / steps)))
        batch = Sequences.of_ids(rng.sample(sequences, BATCH))
        loss = -sequence_logps(model, batch).flat.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    last = losses[-100:]
    return sum(last) / len(last)


def _new_model(tokenizer: PreTrainedTokenizerFast, width: int) -> LlamaForCausalLM:
    ids = tokenizer.get_vocab()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=ids[END],
        pad_token_id=ids[PAD],
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)
