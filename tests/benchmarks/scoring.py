"""How fast, how small and how exact scoring is, beside its peers: one command, a table and JSON.

    python tests/benchmarks/scoring.py --shape 100M/32k --json result.json

Float32 on one CPU thread. Contenders take turns in one process; ratios are taken within a round, of CPU seconds for the
same pairs and number of models, and told as the median with the range. Each peer runs at its default batch size on
pairs in the order of the data, and at the best batch size of a sweep on length-sorted data.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}

import datasets
import torch
import transformers
from bench import ENGINE, POLICY, REFERENCE, SEED, Bench, Runs
from clock import hardware, interleaved, peak_mb, timed, versions
from corpus import HH, hh_corpus, lognormal_corpus, random_samples
from report import checkpoints, costs, ratios, spread, table
from shapes import HEAD_ROWS, SHAPES, TRUNK_ROWS, Shape, matmul_rates

PEERS = ("trl_evaluate", "trl_reference_pass", "plain_script")
CHECKPOINTS = 8


def measure(bench: Bench, *, pairs: int, rounds: int, quick: bool) -> dict[str, Any]:
    """Everything that is measured of one shape; ``quick`` leaves out sorted data, memory and checkpoints."""
    size = bench.trl.default_batch_size
    drawn = random_samples(len(bench.lengths), rounds, pairs, SEED)
    samples = {"default": [bench.sample(f"default-{number}", indices) for number, indices in enumerate(drawn)]}
    sizes = {"trl default": size, "plain default": size}
    result: dict[str, Any] = {"peak_mb_above_weights": {}, "batch_pairs": sizes}
    if not quick:
        result["sweep_cpu_seconds"] = sweep = bench.sweep()
        for peer, spent in sweep.items():
            sizes[f"{peer} best"] = min(spent, key=spent.__getitem__)
        batch = max(sizes["trl best"], sizes["plain best"])
        near = bench.neighbours(rounds, bench.shape.sorted_pairs, batch)
        samples["best"] = [bench.sample(f"best-{number}", indices) for number, indices in enumerate(near)]
    plan = [_round(bench, samples, number, sizes) for number in range(rounds)]
    if not quick:
        result["peak_mb_above_weights"] = {run: peak_mb(plan[0][run]) for run in plan[0] if "reference" not in run}
    for run in bench.runs(bench.sample("warm", drawn[0][:2]), "warm", trl=2, plain=2).values():
        run()
    spent, rates = interleaved(plan, between=partial(matmul_rates, bench.shape))
    n_pairs = {kind: [len(bench.requests[name]) // 2 for name in names] for kind, names in samples.items()}
    ideal = {
        kind: [bench.ideal(name, rate) for name, rate in zip(names, rates, strict=True)]
        for kind, names in samples.items()
    }
    result |= {
        "contenders": costs(spent, n_pairs, ideal),
        "ratios": ratios(spent),
        "matmul": _matmul(bench.shape, rates),
    }
    result["errors"] = bench.errors(samples["default"][0])
    if not quick:
        many = timed(bench.many(samples["default"][0], CHECKPOINTS))
        result["checkpoints"] = checkpoints(spent, CHECKPOINTS, many.cpu)
    return result


def _round(bench: Bench, samples: dict[str, list[str]], number: int, sizes: dict[str, int]) -> Runs:
    runs: Runs = {}
    for kind, names in samples.items():
        runs |= bench.runs(names[number], kind, trl=sizes[f"trl {kind}"], plain=sizes[f"plain {kind}"])
    return runs


def _matmul(shape: Shape, rates: list[dict[str, float]]) -> dict[str, Any]:
    facts: dict[str, Any] = {part: spread([rate[part] / 1e9 for rate in rates]) for part in ("trunk", "head")}
    weights = ", ".join(f"{out}x{width}" for out, width in dict.fromkeys(shape.projections))
    return facts | {
        "unit": "GFLOP per CPU second",
        "trunk_shapes": f"{TRUNK_ROWS} rows by a layer's {weights}",
        "head_shapes": f"{HEAD_ROWS} rows by {shape.vocabulary}x{shape.hidden}",
    }


def main(arguments: list[str]) -> int:
    """Run the command; 2 when the data asked for are not there."""
    options = _options(arguments)
    shape = SHAPES[options.shape]
    if options.data == "hh" and not HH.is_file():
        print("error: no HH data beside this checkout; use --data lognormal", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)
    logging.getLogger("trl").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    corpus = (hh_corpus if options.data == "hh" else lognormal_corpus)(shape.vocabulary)
    pairs = options.pairs or shape.pairs
    before = hardware()
    peers = PEERS[:1] if options.quick else PEERS
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(shape, corpus, engine=options.engine, folder=folder, peers=peers)
        result = measure(bench, pairs=pairs, rounds=options.rounds, quick=options.quick)
    title = f"{options.shape}, {corpus.name}; float32, one thread of {before['cpu']}"
    title += f", {options.rounds} rounds of {pairs} pairs"
    facts = {"title": title, "shape": options.shape, "model": shape.facts() | {"seeds": [POLICY, REFERENCE]}}
    facts |= {"data": corpus.name, "sampling": SAMPLING, "engine": options.engine, "engine_path": bench.path}
    facts |= {"lengths": _lengths(bench), "dtype": "float32", "threads": 1, "versions": versions(), "hardware": before}
    print(table(facts | result))
    if options.json:
        options.json.write_text(json.dumps(facts | result, indent=1) + "\n", encoding="utf-8")
    return 0


SAMPLING = (
    f"seed {SEED}. default: each round, other pairs drawn at random from the whole set, in random order. "
    "best: whole batches of neighbours of the set sorted by padded length, one from each of equal strata"
)


def _lengths(bench: Bench) -> dict[str, float]:
    """Mean tokens of a pair of the whole set: read twice (2p + c + r), once (p + c + r), and in responses (c + r)."""
    prompt, chosen, rejected = bench.lengths.mean(axis=0).tolist()
    responses = chosen + rejected
    return {"twice": 2 * prompt + responses, "once": prompt + responses, "responses": responses}


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure scoring beside its peers on this CPU.")
    parser.add_argument("--shape", choices=SHAPES, default="20M/32k", help="parameters/vocabulary (default 20M/32k)")
    parser.add_argument("--pairs", type=int, help="pairs of one round on unsorted data (default by shape)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--data", choices=("hh", "lognormal"), default="hh" if HH.is_file() else "lognormal")
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="only TRL's evaluation at its default, and the errors")
    parser.add_argument("--engine", default=ENGINE, metavar="MODULE:CLASS", help="another engine to measure")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
