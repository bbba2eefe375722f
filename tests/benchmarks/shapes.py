"""Random-weight models of known shape, the floating-point work that scoring needs, and the matrix-multiply rate."""

import time
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM

TRUNK_ROWS, HEAD_ROWS = 1024, 256
"""Rows of the matrix products whose rate is measured: a pack of tokens in the trunk, a chunk of them in the head."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A Qwen2 decoder with a tied head; one round of the benchmark takes ``pairs`` in data order, and sorted ones."""

    hidden: int
    inner: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int
    pairs: int = 8
    sorted_pairs: int = 8

    @property
    def projections(self) -> list[tuple[int, int]]:
        """(out, in) of every weight matrix of one layer: q, k, v, o, gate, up, down."""
        head_dim = self.hidden // self.heads
        narrow, wide = self.key_value_heads * head_dim, self.heads * head_dim
        mixing = [(wide, self.hidden), (narrow, self.hidden), (narrow, self.hidden), (self.hidden, wide)]
        return [*mixing, (self.inner, self.hidden), (self.inner, self.hidden), (self.hidden, self.inner)]

    @property
    def trunk_parameters(self) -> int:
        """Weights that every token meets; embeddings and norms do not count."""
        return self.layers * sum(rows * columns for rows, columns in self.projections)

    @property
    def head_parameters(self) -> int:
        """Weights that every token to be predicted meets."""
        return self.hidden * self.vocabulary

    def facts(self) -> dict[str, int]:
        """Sizes for the record."""
        return asdict(self) | {"trunk_parameters": self.trunk_parameters, "head_parameters": self.head_parameters}


def build(shape: Shape, seed: int) -> Qwen2ForCausalLM:
    """The model of ``shape`` in float32 and eval mode, its weights drawn from ``seed``."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return Qwen2ForCausalLM(config).eval()


def in_float64(shape: Shape, seed: int) -> Qwen2ForCausalLM:
    """The same weights in float64, its norms too, which the model itself would compute in float32."""
    model = build(shape, seed).double()
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(_norm, module)
    return model


def _norm(module: nn.Module, states: Tensor) -> Tensor:
    scale = torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + module.variance_epsilon)
    return module.weight * states * scale


def ideal_seconds(shape: Shape, lengths: list[tuple[int, int, int]], rates: dict[str, float]) -> float:
    """CPU seconds of the necessary matrix products of one model at the measured rates.

    Necessary are: the prompt once, each response but its last token, and the head once for every response token.
    Attention scores are left out (below 2 % at these lengths).

    Args:
        shape: the model.
        lengths: tokens of prompt, chosen and rejected, one triple a pair.
        rates: ``trunk`` and ``head`` in floating-point operations a second.
    """
    trunk = sum(prompt + chosen + rejected - 2 for prompt, chosen, rejected in lengths)
    head = sum(chosen + rejected for _, chosen, rejected in lengths)
    return 2 * trunk * shape.trunk_parameters / rates["trunk"] + 2 * head * shape.head_parameters / rates["head"]


def matmul_rates(shape: Shape, seconds: float = 0.3) -> dict[str, float]:
    """Bare rate of the model's own matrix products (operations per CPU second), outputs allocated beforehand.

    ``trunk``: the seven projections of a layer, 1024 rows each. ``head``: 256 rows by the whole vocabulary.
    """
    return {
        "trunk": _rate(shape.projections, TRUNK_ROWS, seconds),
        "head": _rate([(shape.vocabulary, shape.hidden)], HEAD_ROWS, seconds),
    }


def _rate(weights: list[tuple[int, int]], rows: int, seconds: float) -> float:
    products = [
        (torch.randn(rows, width), torch.randn(out, width).t(), torch.empty(rows, out)) for out, width in weights
    ]
    work = 2 * rows * sum(out * width for out, width in weights)
    with torch.inference_mode():
        _multiply(products)
        done, start = 0, time.process_time()
        while (spent := time.process_time() - start) < seconds or done == 0:
            _multiply(products)
            done += 1
    return done * work / spent


def _multiply(products: list[tuple[Tensor, Tensor, Tensor]]) -> None:
    for left, right, out in products:
        torch.mm(left, right, out=out)


SHAPES = {
    "1M/4k": Shape(128, 352, 4, 2, 2, 4_000),
    "20M/32k": Shape(384, 1024, 6, 6, 2, 32_000),
    "100M/32k": Shape(768, 2048, 12, 12, 4, 32_000, sorted_pairs=4),
    "100M/151k": Shape(768, 2048, 12, 12, 4, 151_936, sorted_pairs=4),
}
