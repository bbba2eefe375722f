"""The tokenizer and the reference model of the sample run: byte-level BPE with a chat template, and a small Llama."""

from __future__ import annotations

import math
import random
import string
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# GPT-2's splitting with one change: every digit stands alone, so that a wrong digit is a token of its own.
SPLIT = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
VOCAB_SIZE, LONGEST_TOKEN = 960, 9
BATCH, STEPS, PEAK_LR, WARMUP = 16, 2600, 3e-3, 100


def train_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE on `texts`; the end-of-turn token is EOS, the padding token is another one, there is no BOS."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=LONGEST_TOKEN,
        show_progress=False,
    )
    # A space never stands alone before a letter: a wrong word then differs from the right one at its first token.
    letters = [f" {letter}" * 200 for letter in string.ascii_letters]
    bpe.train_from_iterator([*texts, *letters], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False, model_max_length=1024
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    return tokenizer.get_vocab()[token]


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A randomly initialised Llama of about a third of a million parameters."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=80,
        intermediate_size=240,
        num_hidden_layers=3,
        num_attention_heads=5,
        num_key_value_heads=5,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=_id(tokenizer, END),
        pad_token_id=_id(tokenizer, PAD),
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=_id(tokenizer, END), pad_token_id=_id(tokenizer, PAD))
    return model


def train_sft(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: Sequence[tuple[str, str]], *, seed: int
) -> float:
    """Teach the replies (not the prompts) with AdamW and a cosine schedule; the mean loss of the last 100 steps."""
    examples = [_encode(tokenizer, prompt, reply) for prompt, reply in texts]
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, betas=(0.9, 0.98), weight_decay=0.01)
    losses = []
    model.train()
    for step, batch in enumerate(_batches(examples, _id(tokenizer, PAD), seed)):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * min((step + 1) / WARMUP, 0.5 * (1 + math.cos(math.pi * step / STEPS)))
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 200 == 0:
            print(f"  sft step {step} loss {sum(losses[-100:]) / len(losses[-100:]):.3f}", flush=True)
    model.eval()
    return sum(losses[-100:]) / 100


def _encode(tokenizer: PreTrainedTokenizerFast, prompt: str, reply: str) -> tuple[list[int], int]:
    turns = [{"role": "user", "content": prompt}]
    head = str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
    head_ids = tokenizer(head, add_special_tokens=False)["input_ids"]
    return head_ids + tokenizer(reply + END, add_special_tokens=False)["input_ids"], len(head_ids)


def _batches(examples: list[tuple[list[int], int]], pad: int, seed: int) -> Iterator[dict[str, torch.Tensor]]:
    rng, queue = random.Random(seed), []  # noqa: S311
    for _ in range(STEPS):
        if len(queue) < BATCH:
            queue = rng.sample(examples, len(examples))
        batch, queue = queue[:BATCH], queue[BATCH:]
        length = max(len(ids) for ids, _ in batch)
        rows = [ids + [pad] * (length - len(ids)) for ids, _ in batch]
        labels = [[-100] * head + ids[head:] + [-100] * (length - len(ids)) for ids, head in batch]
        mask = [[1] * len(ids) + [0] * (length - len(ids)) for ids, _ in batch]
        yield {
            "input_ids": torch.tensor(rows),
            "attention_mask": torch.tensor(mask),
            "labels": torch.tensor(labels),
        }


def save_reference(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the model as fp16 safetensors, with its tokenizer; the trainers start from these rounded weights."""
    tokenizer.save_pretrained(folder)
    model.half().save_pretrained(folder)
