"""How often the interval of chance holds the observed share, in runs in which only chance acts.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.null_coverage --runs 2000

Texts, labels, losses and gains are drawn at random and independent of each other. Each share's interval must hold the
observed value in 93 to 97 % of the runs. Minutes on one core; writes tests/benchmarks/results/null-coverage.json.

* apart: the fallen pairs are of another split than the counted pairs, as eval and train;
* within: they are among the counted pairs, as where a run has one split.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from dpo_analysis.diagnosis.ledger.chance import ChanceShare
from dpo_analysis.diagnosis.ledger.nulls import chance_shares
from dpo_analysis.diagnosis.ledger.reversed_labels import find_reversed_labels
from tests.unrelated import random_ledger, random_texts

RESULTS = Path(__file__).parent / "results" / "null-coverage.json"
WANTED = 0.93, 0.97
COUNTED, FALLEN = 30, 30
"""Pairs that are counted, and fallen pairs. So few, and so long, that no share is 0 in most of the runs: a share that
takes few values lies in its interval more often."""
VOCABULARY, TOKENS = 100, 40
"""Tokens that texts are drawn from, and tokens of a typical response."""


def shares_of_run(seed: int, way: str) -> dict[str, ChanceShare]:
    """Every share of one random run beside chance, by name."""
    rng = np.random.default_rng([seed, way == "apart"])
    n_pairs = COUNTED + (FALLEN if way == "apart" else 0)
    texts = random_texts(rng, n_pairs, VOCABULARY, TOKENS)
    counted = np.arange(n_pairs) < COUNTED
    ledger = random_ledger(rng, texts, np.arange(n_pairs)[-FALLEN:], counted=counted)
    found = chance_shares(ledger, seed=seed)
    shares = {f"{name} {region or 'whole'}": share for region, row in found.items() for name, share in row.items()}
    lost = np.where(rng.random(n_pairs) < 0.6, rng.exponential(size=n_pairs), 0)
    return shares | {"turned": find_reversed_labels(texts, lost, np.arange(n_pairs), seed=seed).turned}


def coverage(runs: int, way: str) -> dict[str, dict[str, float]]:
    """For every share the part of the runs whose interval holds it, and where the rest lies."""
    found: defaultdict[str, list[ChanceShare]] = defaultdict(list)
    for seed in range(runs):
        for name, share in shares_of_run(seed, way).items():
            if share.high > 0:
                found[name].append(share)
    return {
        name: {
            "covered": float(np.mean([share.covered for share in shares])),
            "above": float(np.mean([share.above for share in shares])),
            "observed": float(np.mean([share.observed for share in shares])),
            "expected": float(np.mean([share.expected for share in shares])),
            "zero": float(np.mean([share.observed == 0 for share in shares])),
            "runs": len(shares),
        }
        for name, shares in found.items()
    }


def main() -> int:
    """Measure, print, keep; 1 where a coverage is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    given = parser.parse_args()
    start = time.process_time()
    found = {way: coverage(given.runs, way) for way in ("apart", "within")}
    missed = 0
    for way, shares in found.items():
        for name, row in shares.items():
            fails = not WANTED[0] <= row["covered"] <= WANTED[1]
            missed += fails
            print(
                f"{way:<8}{name:<16}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items()), "MISSED" * fails
            )
    seconds = time.process_time() - start
    print(f"{missed} missed; {seconds:.0f} s of CPU")
    if given.runs >= 2000:
        RESULTS.write_text(json.dumps({"cpu_seconds": round(seconds), "coverage": found}, indent=1) + "\n")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
