"""What a reference says by itself: a pool of sampled replies per family, kept beside the model."""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch

from sample_data.sft import END
from tests.planted import sft
from tests.planted.families import Family
from tests.planted.replies import ask

N_PROMPTS, LONGEST = 400, 56


def draw_samples(reference: Path, family: Family) -> list[tuple[str, str, str]]:
    """(prompt, reply, another reply) of 400 prompts, drawn at temperature 1; made once."""
    path = reference / f"samples-{family.name}.json"
    if not path.exists():
        rng = random.Random(f"samples {family.name}")
        prompts = [ask(rng, family).prompt for _ in range(N_PROMPTS)]
        torch.manual_seed(0)
        first, second = (_say(reference, prompts) for _ in range(2))
        path.write_text(json.dumps(list(zip(prompts, first, second, strict=True))))
    return [(prompt, first, second) for prompt, first, second in json.loads(path.read_text())]


@torch.no_grad()
def _say(reference: Path, prompts: list[str]) -> list[str]:
    """One sampled reply to every prompt, without its end-of-text token."""
    model, tokenizer = sft.load(reference)
    tokenizer.padding_side = "left"
    replies = []
    for first in range(0, len(prompts), 100):
        turns = [[{"role": "user", "content": prompt}] for prompt in prompts[first : first + 100]]
        texts = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        batch = tokenizer(texts, add_special_tokens=False, return_tensors="pt", padding=True)
        ids = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            do_sample=True,
            max_new_tokens=LONGEST,
            top_k=0,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.get_vocab()[END],
        )
        said = tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        replies += said
    return replies
