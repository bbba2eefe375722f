"""Samples of the reference, drawn when a training begins; how much of them the policy keeps tells of damage early."""

import hashlib
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import GenerationConfig

from dpo_analysis.data.tokenization import Response, TokenizedPair
from dpo_analysis.schema import CHOSEN, SCORED
from dpo_analysis.scoring.evidence.generation import cut_at_end

N_SAMPLES = 2
"""Samples of each prompt; they take the places of chosen and rejected in the trainer's batches."""
MAX_NEW_TOKENS = 64
"""Tokens after which a sample is cut: more would let a training wait for minutes before its first step."""
MIN_ROOM = 8
"""Tokens between a prompt and the trainer's ``max_length`` below which the prompt is not sampled."""
SEED = "live"


class Sampled(NamedTuple):
    """Samples of the reference.

    Attributes:
        rows: rows of the run folder.
        pairs: the pairs in these rows, with the samples ``sample-0`` and ``sample-1`` as responses.
    """

    rows: list[int]
    pairs: list[TokenizedPair]

    @property
    def examples(self) -> list[dict[str, Any]]:
        """The samples as rows of a trainer's data set."""
        return [
            {
                "prompt_ids": pair.responses["sample-0"].prompt_token_ids.tolist(),
                "chosen_ids": pair.responses["sample-0"].token_ids.tolist(),
                "rejected_ids": pair.responses["sample-1"].token_ids.tolist(),
            }
            for pair in self.pairs
        ]

    @property
    def label(self) -> dict[str, str]:
        """What the samples depend on beside the model, for the label of their file."""
        ids = " ".join(pair.pair.pair_id for pair in self.pairs)
        return {"drawn": str(N_SAMPLES), "longest": str(MAX_NEW_TOKENS), "seed": SEED, "prompts": ids}


def prompts_to_sample(
    keys: Sequence[tuple[int, TokenizedPair]], n_prompts: int, max_length: int | None
) -> list[tuple[int, TokenizedPair]]:
    """Return row and pair of the first ``n_prompts`` different prompts that leave room for a sample.

    Args:
        keys: row and pair of every pair, in order.
        n_prompts: prompts at most.
        max_length: tokens to which the trainer cuts a prompt with its response; None for no limit.
    """
    chosen: dict[str, tuple[int, TokenizedPair]] = {}
    for row, pair in keys:
        if pair.status in SCORED:
            length = len(pair.responses[CHOSEN].prompt_token_ids)
            if max_length is None or length + MIN_ROOM <= max_length:
                chosen.setdefault(pair.group_id, (row, pair))
    return list(chosen.values())[:n_prompts]


def draw_samples(
    model: Any,
    prompts: Sequence[tuple[int, TokenizedPair]],
    *,
    end_ids: Sequence[int],
    batch_size: int,
    max_length: int | None,
) -> Sampled:
    """Return samples of ``model`` at temperature 1 from the whole vocabulary.

    Args:
        model: a language model with ``generate``, in eval mode.
        prompts: row and pair of each prompt.
        end_ids: ids that end a text; they belong to the sample.
        batch_size: prompts that are continued together.
        max_length: tokens of a prompt with its sample, which is cut there; None for no limit.
    """
    pairs = []
    for start in range(0, len(prompts), batch_size):
        batch = [pair for _, pair in prompts[start : start + batch_size]]
        prompt_ids = [pair.responses[CHOSEN].prompt_token_ids for pair in batch]
        lines = _generate(model, prompt_ids, end_ids)
        for number, (pair, prompt) in enumerate(zip(batch, prompt_ids, strict=True)):
            drawn = lines[number * N_SAMPLES : (number + 1) * N_SAMPLES]
            room = MAX_NEW_TOKENS if max_length is None else max_length - len(prompt)
            samples: dict[str, Response] = {
                f"sample-{index}": cut_at_end(prompt, line[:room], end_ids) for index, line in enumerate(drawn)
            }
            pairs.append(replace(pair, responses=samples, status="ok"))
    return Sampled([row for row, _ in prompts], pairs)


def _generate(model: Any, prompts: Sequence[np.ndarray], end_ids: Sequence[int]) -> np.ndarray:
    """Return ``N_SAMPLES`` continuations of each prompt, int32, (samples, new tokens); prompts are padded in front."""
    width = max(map(len, prompts))
    ids, mask = np.zeros((len(prompts), width), np.int64), np.zeros((len(prompts), width), np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :], mask[row, width - len(prompt) :] = prompt, 1
    device = model.get_input_embeddings().weight.device
    config = GenerationConfig(
        max_new_tokens=MAX_NEW_TOKENS,
        do_sample=True,
        num_return_sequences=N_SAMPLES,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        eos_token_id=list(end_ids) or None,
        pad_token_id=end_ids[0] if end_ids else 0,
    )
    inputs, attention = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
    with _seeded(ids, device), torch.no_grad():
        sequences = model.generate(inputs, attention_mask=attention, generation_config=config)
    return sequences[:, width:].cpu().numpy().astype(np.int32)


@contextmanager
def _seeded(ids: np.ndarray, device: torch.device):
    """Seed torch by the prompts; afterwards the training's random numbers go on as if nothing had been drawn."""
    digest = hashlib.sha256(SEED.encode() + ids.tobytes()).digest()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        yield
