"""What the benchmark scores: real HH pairs where they are at hand, else texts of the same token lengths; and samples.

A peer in dataset order meets pairs of mixed lengths; a peer on sorted data meets neighbours of the sorted order. Two
samples stand for the two: pairs drawn at random from the whole set, and whole batches drawn from the sorted set.
"""

import gzip
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

HH = Path(__file__).parents[3] / "shared" / "data" / "hh-harmless-base-test.jsonl.gz"
END = "<|endoftext|>"
HH_LOG_LENGTHS = {"prompt": (4.35, 0.99), "chosen": (3.31, 0.88), "rejected": (3.50, 0.93)}
"""Mean and standard deviation of the log of the token counts of HH harmless-base test, split and tokenised as here."""
LONGEST = {"prompt": 600, "chosen": 200, "rejected": 200}


class Corpus(NamedTuple):
    """Rows as a trainer takes them, the tokenizer for them, and a line that says what they are."""

    name: str
    rows: list[dict[str, str]]
    tokenizer: PreTrainedTokenizerFast


def hh_corpus(vocabulary: int) -> Corpus:
    """HH harmless-base test with a byte-level BPE of at most ``vocabulary`` entries trained on it."""
    with gzip.open(HH, "rt", encoding="utf-8") as lines:
        rows = [{side: row[side] for side in ("chosen", "rejected")} for row in map(json.loads, lines)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocabulary, 32_000),
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((row[side] for row in rows for side in row), trainer)
    name = f"Anthropic/hh-rlhf harmless-base test, {len(rows)} pairs, byte-level BPE of {tokenizer.get_vocab_size()}"
    return Corpus(name, rows, _fast(tokenizer))


def lognormal_corpus(vocabulary: int, seed: int = 0, pairs: int = 400) -> Corpus:
    """Texts of random words, a word a token, with lognormal lengths like HH's."""
    words = [END, *(f"w{number}" for number in range(1, min(vocabulary, 32_000)))]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token=END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    rng = np.random.default_rng(seed)
    lengths = {
        side: np.clip(rng.lognormal(*moments, pairs), 2, LONGEST[side]).astype(int)
        for side, moments in HH_LOG_LENGTHS.items()
    }
    texts = {
        side: [" ".join(words[word] for word in rng.integers(1, len(words), count)) for count in counts]
        for side, counts in lengths.items()
    }
    rows = [
        {"prompt": prompt, "chosen": f" {chosen}", "rejected": f" {rejected}"}
        for prompt, chosen, rejected in zip(*texts.values(), strict=True)
    ]
    return Corpus(
        f"{pairs} pairs of random words, lognormal lengths like HH harmless-base, seed {seed}", rows, _fast(tokenizer)
    )


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens([AddedToken(END, special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def random_samples(pairs: int, rounds: int, size: int, seed: int) -> list[list[int]]:
    """``size`` of ``pairs`` indices for every round, none twice, in random order: batches as in dataset order."""
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(pairs)[: rounds * size]
    return [part.tolist() for part in np.array_split(drawn, rounds)]


def sorted_samples(longest: np.ndarray, rounds: int, size: int, batch: int, seed: int) -> list[list[int]]:
    """Whole batches of neighbours in the order of ``longest`` (pairs,), the shortest first, for every round.

    The order is cut into as many strata as batches are needed and each stratum gives one; rounds take turns forth and
    back, so that each has short and long ones and all together have the lengths of the set.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(longest, kind="stable")
    strata = np.array_split(order, rounds * max(1, size // batch))
    samples: list[list[int]] = [[] for _ in range(rounds)]
    for place, stratum in enumerate(strata):
        turn, back = place % rounds, (place // rounds) % 2
        start = int(rng.integers(0, max(1, len(stratum) - batch + 1)))
        samples[rounds - 1 - turn if back else turn] += stratum[start : start + batch].tolist()
    return samples
