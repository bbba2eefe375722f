"""How cost and memory grow with pairs and with checkpoints: ``score`` on the sample model, one command, JSON out.

    python tests/benchmarks/growth.py --json growth.json

Each size is scored into a fresh folder by a process of its own, one thread. The smallest runs first and last: what lies
between the two is the machine's other load. The pairs are the sample's, over and over, their prompts numbered. Without
evidence, which is of a fixed number of pairs, but for the comparison of checkpoints, which is of a run as it is.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import cycle, islice, pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}

from clock import hardware, versions
from phases import Phases

SAMPLE = Path(__file__).parents[2] / "sample_data"
SERIES = ("gentle", "strong")
FIXED = ("noise", "rest")
"""Phases that do not grow with the pairs: the noise floor, and loading, self-checks and the like."""
Result = dict[str, Any]


def rows(count: int) -> Iterator[str]:
    """``count`` lines of JSON: the sample's pairs over and over, each prompt with a number of its own."""
    lines = (SAMPLE / "pairs" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(islice(cycle(lines), count)):
        row = json.loads(line)
        row["prompt"][0]["content"] = f"{number}. {row['prompt'][0]['content']}"
        yield json.dumps(row, ensure_ascii=False) + "\n"


def policies(count: int) -> dict[str, str]:
    """The first ``count`` full checkpoints of the sample, by name."""
    found = (path for series in SERIES for path in sorted((SAMPLE / series).glob("checkpoint-*")))
    return {f"{path.parent.name}/{path.name}": str(path) for path in islice(found, count)}


def scored(pairs: int, checkpoints: int, options: dict[str, Any], answer: Connection) -> None:
    """Score once and send what it cost; to be run in a process of its own."""
    import torch

    from dpo_analysis.runs import RunWriter
    from dpo_analysis.scoring import inputs, noise_floor, score
    from dpo_analysis.scoring.engine.engine import Engine

    torch.set_num_threads(1)
    by_model: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pairs.jsonl"
        with source.open("w", encoding="utf-8") as file:
            file.writelines(rows(pairs))
        phases = Phases(whole="noise")
        phases.watch(inputs, "load_compressed_pairs", "reading")
        phases.watch(inputs, "tokenize_pairs", "tokenising")
        phases.watch(noise_floor, "noise_floor", "noise")
        phases.watch(Engine, "score", "scoring", size=lambda _, requests, **options: sum(r.n_tokens for r in requests))
        for step in ("open", "write_inputs", "write_scores", "finish"):
            phases.watch(RunWriter, step, "writing")
        score(
            source,
            reference=str(SAMPLE / "sft"),
            policies=policies(checkpoints),
            out=f"{folder}/run",
            device="cpu",
            **options,
            report=lambda progress: by_model[progress.model].append(time.process_time()),
        )
        seconds = phases.stop()
    facts = {"pairs": pairs, "checkpoints": checkpoints, "cpu_seconds": seconds, "parts": phases.calls["scoring"]}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.send(facts | {"peak_mb": peak, "by_model": _passes(by_model)})


def _passes(ends: dict[str, list[float]]) -> dict[str, float]:
    """CPU seconds of each model's parts but the first two, which load it: from one part's end to the next one's."""
    return {model: sum(later - former for former, later in pairwise(at[1:])) for model, at in ends.items()}


def in_own_process(pairs: int, checkpoints: int, **options: Any) -> Result:
    """``scored`` in a fresh process, and what follows from its seconds."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=scored, args=(pairs, checkpoints, options, send))
    child.start()
    send.close()
    found = receive.recv()
    child.join()
    parts = found.pop("parts")
    seconds, models = found["cpu_seconds"], checkpoints + 1
    tokens = found["tokens"] = sum(size for size, _ in parts)
    growing = sum(spent for phase, spent in seconds.items() if phase not in FIXED)
    found["microseconds"] = {
        "scoring a token": 1e6 * seconds["scoring"] / tokens,
        "all that grows, a token": 1e6 * growing / tokens,
        "reading a pair": 1e6 * seconds["reading"] / pairs,
        "tokenising a pair": 1e6 * seconds["tokenising"] / pairs,
        "writing a pair of a model": 1e6 * seconds["writing"] / pairs / models,
    }
    rates = [1e6 * spent / size for size, spent in parts]
    tenth = max(1, len(rates) // 10)
    found["scoring_a_token_by_tenths"] = [
        statistics.median(rates[start : start + tenth]) for start in range(0, len(rates), tenth)
    ][:10]
    return found


def growth(sizes: list[int], checkpoints: list[int], pairs: int) -> Result:
    """Every size with one policy, then every number of checkpoints over ``pairs`` pairs."""
    by_pairs = [in_own_process(size, 1, evidence="none") for size in [*sizes, sizes[0]]]
    by_checkpoints = [in_own_process(pairs, count) for count in checkpoints]
    few, many, again = by_pairs[0], by_pairs[-2], by_pairs[-1]
    passes = [spent for model, spent in by_checkpoints[-1]["by_model"].items() if model != "reference"]
    names = ("scoring a token", "all that grows, a token")
    return {
        "by_pairs": by_pairs,
        "by_checkpoints": by_checkpoints,
        "peak_mb_growth": many["peak_mb"] - few["peak_mb"],
        "cost_ratio": {
            name: 2 * many["microseconds"][name] / (few["microseconds"][name] + again["microseconds"][name])
            for name in names
        },
        "smallest_again": {name: again["microseconds"][name] / few["microseconds"][name] for name in names},
        "further_checkpoint_of_first_pass": [spent / passes[0] for spent in passes[1:]],
    }


def table(result: Result) -> str:
    """The result as Markdown."""
    names = list(result["by_pairs"][0]["microseconds"])
    lines = [f"| pairs | policies | peak MB | {' | '.join(f'{name}, us' for name in names)} |"]
    lines.append("|---" * (3 + len(names)) + "|")
    for run in result["by_pairs"] + result["by_checkpoints"]:
        costs = " | ".join(f"{run['microseconds'][name]:.1f}" for name in names)
        lines.append(f"| {run['pairs']:,} | {run['checkpoints']} | {run['peak_mb']:.0f} | {costs} |")
    further = result["further_checkpoint_of_first_pass"]
    lines += ["", f"- peak memory grew by {result['peak_mb_growth']:.0f} MB"]
    lines += [f"- most against fewest pairs, {name}: {ratio:.3f}" for name, ratio in result["cost_ratio"].items()]
    lines += [f"- fewest again against fewest, {name}: {ratio:.3f}" for name, ratio in result["smallest_again"].items()]
    if further:
        told = ", ".join(f"{ratio:.3f}" for ratio in further)
        lines.append(f"- each further checkpoint, of the first one's pass: {statistics.median(further):.3f} ({told})")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Measure how scoring grows with pairs and checkpoints, on this CPU.")
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000, 10_000, 50_000], help="sizes, ascending")
    parser.add_argument(
        "--checkpoints", type=int, nargs="+", default=[1, 2, 4, 8], help="numbers of policies, ascending"
    )
    parser.add_argument("--checkpoint-pairs", type=int, default=4_096, help="pairs that those score")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args(arguments)
    before = hardware()
    result = growth(options.pairs, options.checkpoints, options.checkpoint_pairs)
    result |= {"threads": 1, "hardware": before, "versions": versions()}
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
