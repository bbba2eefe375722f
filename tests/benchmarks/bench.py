"""One shape's models and samples, and every contender's run over a sample as a function without arguments."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from clock import timed
from contenders import TRL, Sums, exact, logp_only, open_engine, ours, plain_script, requests_of, sums_of
from corpus import Corpus, sorted_samples
from shapes import Shape, build, ideal_seconds, in_float64

from dpo_analysis.scoring.requests import Request

ENGINE = "dpo_analysis.scoring.engine.engine:Engine"
"""The engine that is measured where no other is named."""
POLICY, REFERENCE = 1, 2
"""Seeds of the two models' weights."""
SEED = 0
"""Seed of the samples."""
SWEEP = (1, 2, 4, 8)
"""Pairs in a batch that are tried for each peer, as far as a sorted sample has as many."""
EXACT_PAIRS = 4
Runs = dict[str, Callable[[], object]]


class Bench:
    """Models, data and contenders of one shape; each contender has its own copy of the same weights."""

    def __init__(self, shape: Shape, corpus: Corpus, *, engine: str, folder: str, peers: Sequence[str]) -> None:
        """Draw the weights, tokenise the data, open the engines; ``folder`` holds what TRL writes."""
        self.shape, self.peers = shape, peers
        self.trl = TRL(build(shape, POLICY), build(shape, REFERENCE), corpus, folder)
        self.plain = build(shape, POLICY)
        models = [build(shape, seed) for seed in (POLICY, REFERENCE)]
        self.engines = [open_engine(engine, model) for model in models]
        self.slim = [logp_only(*each) for each in zip(self.engines, models, strict=True)] if engine == ENGINE else []
        self.path: str = getattr(self.engines[0], "route_name", "")
        columns = (self.trl.rows[side] for side in ("prompt_ids", "chosen_ids", "rejected_ids"))
        self.lengths = np.array([[len(ids) for ids in column] for column in columns]).T  # (pairs, 3)
        self.requests: dict[str, list[Request]] = {}

    def sample(self, name: str, indices: list[int]) -> str:
        """Make the pairs ``indices`` known to every contender as ``name``."""
        self.requests[name] = requests_of(self.trl.add(name, indices), self.trl.max_length)
        return name

    def neighbours(self, rounds: int, size: int, batch: int) -> list[list[int]]:
        """Samples of at least ``size`` pairs: whole batches of the data sorted by the padded length of a pair."""
        longest = self.lengths[:, 0] + self.lengths[:, 1:].max(axis=1)
        return sorted_samples(longest, rounds, size, batch, SEED)

    def runs(self, name: str, kind: str, *, trl: int, plain: int) -> Runs:
        """Every contender over the sample ``name``, called ``CONTENDER KIND``; peers in batches of so many pairs."""
        requests = self.requests[name]
        every: Runs = {
            "ours": partial(ours, self.engines, requests),
            "trl_evaluate": partial(self.trl.evaluate, name, trl),
            "trl_reference_pass": partial(self.trl.reference_pass, name, trl),
            "plain_script": partial(plain_script, self.plain, requests, plain),
        }
        runs = {peer: run for peer, run in every.items() if peer == "ours" or peer in self.peers}
        if self.slim:
            runs["ours_logp_only"] = partial(ours, self.slim, requests)
        return {f"{contender} {kind}": run for contender, run in runs.items()}

    def sweep(self) -> dict[str, dict[int, float]]:
        """CPU seconds of TRL's reference pass and of the plain script at every batch size, on neighbours."""
        sizes = [size for size in SWEEP if size <= self.shape.sorted_pairs]
        name = self.sample("sweep", self.neighbours(1, max(sizes), max(sizes))[0])
        spent: dict[str, dict[int, float]] = {"trl": {}, "plain": {}}
        for size in sizes:
            spent["trl"][size] = timed(partial(self.trl.reference_pass, name, size)).cpu
            spent["plain"][size] = timed(partial(plain_script, self.plain, self.requests[name], size)).cpu
        return spent

    def ideal(self, name: str, rates: dict[str, float]) -> float:
        """CPU seconds of one model's necessary matrix products over the sample ``name``."""
        requests = self.requests[name]
        lengths = [
            (len(chosen.prompt_token_ids), len(chosen.token_ids), len(rejected.token_ids))
            for chosen, rejected in zip(requests[::2], requests[1::2], strict=True)
        ]
        return ideal_seconds(self.shape, lengths, rates)

    def many(self, name: str, checkpoints: int) -> Callable[[], object]:
        """Ours for so many policies and the reference; the policies share one set of weights to save memory."""
        return partial(ours, [self.engines[0]] * checkpoints + [self.engines[1]], self.requests[name])

    def errors(self, name: str) -> dict[str, Any]:
        """Worst distances from float64 and from TRL's sums over the first pairs of the sample ``name``, in nats."""
        requests = self.requests[name]
        scores = ours(self.engines, requests)
        few = requests[: 2 * EXACT_PAIRS]
        truth = exact(in_float64(self.shape, POLICY), few)
        total = np.array([one.sum() for one in truth]).reshape(-1, 2)
        tokens = np.concatenate(truth)
        plain = plain_script(self.plain, few, 1)
        trl = [self.trl.reference_pass(name, 1, model) for model in (self.trl.trainer.model, None)]
        return {
            "pairs": len(requests) // 2,
            "exact_pairs": len(truth) // 2,
            "tokens": len(tokens),
            "token_ours_vs_float64": _worst(scores[0].logp[: len(tokens)], tokens),
            "token_plain_vs_float64": _worst(np.concatenate(plain), tokens),
            "sum_ours_vs_float64": _worst(sums_of(scores[0])[: len(total)], total),
            "sum_trl_vs_float64": _worst(trl[0][: len(total)], total),
            "sum_ours_vs_trl": max(_worst(sums_of(mine), other) for mine, other in zip(scores, trl, strict=True)),
            "mean_absolute_sum": float(np.abs(trl[0]).mean()),
        }


def _worst(some: np.ndarray | Sums, other: np.ndarray | Sums) -> float:
    return float(np.abs(some.astype(np.float64) - other).max())
