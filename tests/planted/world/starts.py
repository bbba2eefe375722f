"""The reference models of the randomised world: small models of four architectures, taught the texts of one family."""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GemmaConfig,
    GenerationConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from sample_data.sft import END, PAD, SPLIT, START
from tests.planted.world.texts import HH_EDGES, TEMPLATES, Texts

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'][0] + '\\n' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>a\\n' }}{% endif %}"
)
# A line break, not a space, stands before the content: a space would merge with its first word, and the tokens of a
# prompt would then not be the first tokens of prompt and response.
BATCH, PEAK_RATE, WARMUP, LONGEST = 16, 4e-3, 40, 512


@dataclass(frozen=True, slots=True)
class Start:
    """One reference.

    Attributes:
        name: name of its folder.
        family: name of the text family.
        architecture: llama, gpt2, gemma or qwen3.
        width: size of the hidden state.
        layers: number of layers.
        vocabulary: size of the tokenizer.
        fillers: fewest and most filler sentences.
        seed: of weights and texts.
        steps: SFT steps.
        half: which half of the real pairs it reads.
    """

    name: str
    family: str
    architecture: str
    width: int
    layers: int
    vocabulary: int
    fillers: tuple[int, int]
    seed: int
    steps: int = 650
    half: int = 0

    @property
    def texts(self) -> Texts:
        """The texts that it was taught."""
        family = HH_EDGES if self.family == "hh" else TEMPLATES[self.family]
        return Texts(family, *self.fillers, half=self.half)

    def as_json(self) -> dict[str, Any]:
        """Return every field."""
        return asdict(self)


def reference(cache: Path, start: Start) -> Path:
    """Return the folder of a reference, trained now if it is not there yet."""
    folder = cache / start.name
    if not (folder / "model.safetensors").exists():
        _train(start, folder)
    return folder


def load(folder: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """Return a model and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    return model, AutoTokenizer.from_pretrained(folder)


def _train(start: Start, folder: Path) -> None:
    rng, texts = random.Random(start.name), start.texts
    pairs = [texts.sft_text(rng) for _ in range(4000)]
    tokenizer = _tokenizer([f"{prompt} {reply}" for prompt, reply in pairs], start.vocabulary)
    torch.manual_seed(start.seed)
    model = _new_model(start, tokenizer)
    loss = teach(
        model, tokenizer, pairs, rng, PEAK_RATE if start.architecture != "gpt2" else PEAK_RATE / 2, start.steps
    )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    lengths = [len(tokenizer(reply)["input_ids"]) for _, reply in pairs[:200]]
    print(f"{start.name}: {model.num_parameters()} parameters, loss {loss:.3f}, "
          f"{sum(lengths) / len(lengths):.0f} tokens a reply", flush=True)  # fmt: skip


def later_stage(folder: Path, start: Start) -> Path:
    """Return the same model taught a little longer on other texts: a reference that no policy started from."""
    later = folder.with_name(f"{folder.name}-later")
    if not (later / "model.safetensors").exists():
        model, tokenizer = load(folder)
        rng = random.Random(f"later {folder.name}")
        pairs = [start.texts.sft_text(rng) for _ in range(800)]
        teach(model, tokenizer, pairs, rng, PEAK_RATE / 3, 60)
        tokenizer.save_pretrained(later)
        model.save_pretrained(later)
    return later


def teach(
    model: Any, tokenizer: Any, pairs: list[tuple[str, str]], rng: random.Random, peak: float, steps: int
) -> float:
    """Teach replies with AdamW and a cosine schedule; return the mean loss of the last 50 steps, nats per token."""
    rows = [encode(tokenizer, prompt, reply) for prompt, reply in pairs]
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    losses: list[float] = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = peak * min((step + 1) / WARMUP, 0.5 * (1 + math.cos(math.pi * step / steps)))
        tokens = response_logps(model, rng.sample(rows, BATCH))
        loss = -tokens.flat.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-50:]) / len(losses[-50:])


Ids = tuple[list[int], list[int]]
"""Token ids of a prompt and of its response."""


def encode(tokenizer: Any, prompt: str, reply: str) -> Ids:
    """Return the ids of prompt and reply as the chat template renders them."""
    turns = [{"role": "user", "content": prompt}]
    head = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    head_ids, reply_ids = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (head, reply + END))
    return head_ids, reply_ids


class Logps(NamedTuple):
    """Log-probs of response tokens, nats: ``flat`` in row order, shape (tokens,); ``row`` of each token."""

    flat: Tensor
    row: Tensor
    n_rows: int

    def sums(self) -> Tensor:
        """Return the log-prob of each response, shape (rows,)."""
        return torch.zeros(self.n_rows).index_add(0, self.row, self.flat)

    def lengths(self) -> Tensor:
        """Return the tokens of each response, shape (rows,)."""
        return torch.bincount(self.row, minlength=self.n_rows).float()


def response_logps(model: Any, rows: list[Ids]) -> Logps:
    """Return the log-probs of every response token. Padding stands on the right, where causal attention never looks."""
    lengths = torch.tensor([len(prompt) + len(response) for prompt, response in rows])
    starts = torch.tensor([len(prompt) for prompt, _ in rows])
    ids = torch.zeros((len(rows), int(lengths.max())), dtype=torch.int64)
    for n, (prompt, response) in enumerate(rows):
        ids[n, : lengths[n]] = torch.tensor([*prompt, *response])
    trunk = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = trunk.base_model(input_ids=ids, use_cache=False).last_hidden_state
    place = torch.arange(ids.shape[1])
    wanted = (place >= starts[:, None] - 1) & (place < lengths[:, None] - 1)
    row, column = wanted.nonzero(as_tuple=True)
    logits = trunk.get_output_embeddings()(hidden[row, column])
    flat = -torch.nn.functional.cross_entropy(logits, ids[row, column + 1], reduction="none")
    return Logps(flat, row, len(rows))


def _tokenizer(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer trained on ``texts``; the end-of-turn token is EOS, there is no BOS."""
    bpe = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, START, END],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=12,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token=PAD,
                                        clean_up_tokenization_spaces=False, model_max_length=1024)  # fmt: skip
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _new_model(start: Start, tokenizer: PreTrainedTokenizerFast) -> Any:
    ids = tokenizer.get_vocab()
    marks = {"vocab_size": len(tokenizer), "bos_token_id": None, "eos_token_id": ids[END], "pad_token_id": ids[PAD]}
    heads = 4
    if start.architecture == "gpt2":
        config = GPT2Config(n_embd=start.width, n_layer=start.layers, n_head=heads, n_positions=LONGEST,
                            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **marks)  # fmt: skip
    else:
        kinds = {"llama": LlamaConfig, "gemma": GemmaConfig, "qwen3": Qwen3Config}
        config = kinds[start.architecture](
            hidden_size=start.width, intermediate_size=3 * start.width, num_hidden_layers=start.layers,
            num_attention_heads=heads, num_key_value_heads=2 if start.architecture == "qwen3" else heads,
            head_dim=start.width // heads, max_position_embeddings=LONGEST, tie_word_embeddings=True, **marks,
        )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    model.generation_config = GenerationConfig(eos_token_id=ids[END], pad_token_id=ids[PAD])
    return model
