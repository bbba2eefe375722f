"""A large run folder of invented numbers, written by the run folder's own writer: what the pages are timed on.

``python tests/benchmarks/bigrun.py OUT --pairs 60000 --checkpoints 10`` makes one in about two minutes.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.tokenization import Response, TokenizedPair
from dpo_analysis.diagnosis import save_diagnoses
from dpo_analysis.runs import Model, Part, RunWriter, Series, open_run
from dpo_analysis.runs.evidence.kinds import sample_rows
from dpo_analysis.runs.records import NoiseFloor
from tests.app import evident_pairs

VOCABULARY, EVIDENCE_PAIRS = 32_000, 512
WORDS = "the a of to and in is it you that he was for on are with as his they be at one have this".split()


def make_run(out: Path, *, pairs: int, checkpoints: int, mean_tokens: int = 90, seed: int = 0) -> Path:
    """Write a finished run of ``pairs`` pairs under a reference and ``checkpoints`` policies of one series."""
    tokenized = [_pair(number, np.random.default_rng([seed, number]), mean_tokens) for number in range(pairs)]
    models = [Model.reference(source="reference", weights="0" * 64)]
    models += [_checkpoint(step) for step in range(100, 100 * checkpoints + 1, 100)]
    identity = {"pairs": f"synthetic {pairs} {mean_tokens} {seed}", "tokenization": "trl", "dtype": "float32"}
    writer = RunWriter.open(
        out, identity=identity, tokenized=tokenized, series=[Series("big")], models=models, vocab=_vocab()
    )
    with writer:
        writer.write_inputs()
        writer.write_noise_floor(NoiseFloor(token=1e-6, response=1e-4, n_pairs=64))
        for number, model in enumerate(models):
            for part in writer.missing_parts(model):
                writer.write_scores(model, part, _scores(part, number / max(1, checkpoints), number))
        evident = sample_rows(writer.parts, EVIDENCE_PAIRS)
        for model in models[1:]:
            for part in writer.parts:
                rows = evident.intersection(part.rows)
                if rows:
                    evident_pairs.collect(writer, model, rows, VOCABULARY, part.index)
        writer.finish()
    save_diagnoses(open_run(out))
    return out


def _checkpoint(step: int) -> Model:
    weights = hashlib.sha256(str(step).encode()).hexdigest()
    return Model("big", f"checkpoint-{step}", step, "full", f"big/checkpoint-{step}", weights)


def _vocab() -> pa.Table:
    names = [f" {WORDS[number % len(WORDS)]}{number // len(WORDS)}".encode() for number in range(VOCABULARY)]
    columns = [list(range(VOCABULARY)), names, [False] * VOCABULARY]
    return pa.table(dict(zip(schema.VOCAB_SCHEMA.names, columns, strict=True)), schema=schema.VOCAB_SCHEMA)


def _pair(number: int, rng: np.random.Generator, mean_tokens: int) -> TokenizedPair:
    lengths = np.clip(rng.lognormal(np.log(mean_tokens) - 0.3, 0.8, 2), 4, 900).astype(int)
    texts = [" ".join(WORDS[place] for place in rng.integers(0, len(WORDS), length)) for length in lengths]
    prompt = f"Question {number}: " + " ".join(WORDS[place] for place in rng.integers(0, len(WORDS), 40))
    ids = [rng.integers(0, VOCABULARY, length).astype(np.int32) for length in lengths]
    start = rng.integers(0, VOCABULARY, 45).astype(np.int32)
    responses = {side: Response(start, one, False) for side, one in zip(schema.SIDES, ids, strict=True)}
    key = hashlib.sha256(str(number).encode()).hexdigest()[:16]
    row = Pair(key, "eval", prompt, texts[0], texts[1], None, {}, {"prompt": prompt, "n": number}, "big:1", "")
    return TokenizedPair(row, key, "ok", prompt, texts[0], texts[1], responses)


def _scores(part: Part, strength: float, number: int) -> pa.Table:
    """One part under a policy that drifted by ``strength``: rejected falls a lot, chosen a little."""
    lengths = np.array([len(response.token_ids) for pair in part.pairs for response in pair.responses.values()])
    total, rejected = int(lengths.sum()), np.repeat(np.arange(len(lengths)) % 2, lengths)
    base = np.random.default_rng([1, part.index]).exponential(1.5, total)
    own = np.random.default_rng([2, part.index, number])
    logp = -base - strength * (0.05 + 0.3 * rejected) * base + strength * 0.02 * own.standard_normal(total)
    columns = {
        "logp": np.minimum(logp, 0).astype(np.float32),
        "entropy": base.astype(np.float32),
        "rank": np.ceil(base).astype(np.int32),
        "argmax_id": own.integers(0, VOCABULARY, total).astype(np.int32),
        "argmax_logp": (-base / 4).astype(np.float32),
    }
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    keys = list(zip(*part.keys, strict=True))
    stored = {"row": keys[0], "pair_id": keys[1], "side": keys[2], "status": ["ok"] * len(lengths)}
    stored |= {"logps": pa.nulls(len(lengths), pa.float64())}
    stored |= {name: pa.ListArray.from_arrays(offsets, pa.array(values)) for name, values in columns.items()}
    return pa.table(
        [
            pa.array(stored[f.name], f.type)
            if isinstance(stored[f.name], tuple | list)
            else stored[f.name].cast(f.type)
            for f in schema.SCORES_SCHEMA
        ],
        schema=schema.SCORES_SCHEMA,
    )


def main() -> None:
    """Make one run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=60_000)
    parser.add_argument("--checkpoints", type=int, default=10)
    given = parser.parse_args()
    print(make_run(given.out, pairs=given.pairs, checkpoints=given.checkpoints))


if __name__ == "__main__":
    main()
