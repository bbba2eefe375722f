"""Invented evidence for the invented run: beside each token two others, which gained part of what it lost."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa

from dpo_analysis.runs import Model, RunWriter, open_run
from dpo_analysis.runs.evidence import kinds
from dpo_analysis.schema import EVIDENCE_SCHEMAS

OTHERS = ((0.05, 0.5), (0.01, 0.25))
"""Of each of the two: its share under the reference, and what it gets of the token's fall."""


def collect(writer: RunWriter, policy: Model, rows: Collection[int], vocabulary: int, part: int = 0) -> None:
    """Store evidence topk and kl about the pairs in these rows, all of one part."""
    run = open_run(writer.path)
    policy_logp, reference_logp = (_logps(run.scores(model, part), rows) for model in (policy, run.reference))
    kept = _of(run.responses(part), rows).to_pylist()
    lines: dict[str, list] = {"topk": [], "kl": []}
    for line in kept:
        place = line["row"], line["side"]
        named = {name: line[name] for name in ("row", "pair_id", "side")}
        ids = np.array(line["token_ids"])
        lines["topk"].append(named | _topk(ids, policy_logp[place], reference_logp[place], vocabulary))
        lines["kl"].append(named | _kl(policy_logp[place] - reference_logp[place]))
    for kind, found in lines.items():
        kinds.add_evidence(writer, kind, policy, part, pa.Table.from_pylist(found, schema=EVIDENCE_SCHEMAS[kind]))


def _of(table: pa.Table, rows: Collection[int]) -> pa.Table:
    return table.filter(pa.array(np.isin(table["row"].to_numpy(), list(rows))))


def _logps(scores: pa.Table, rows: Collection[int]) -> dict[tuple[int, str], np.ndarray]:
    lines = _of(scores, rows).to_pylist()
    return {(line["row"], line["side"]): np.array(line["logp"], dtype=float) for line in lines}


def _topk(ids: np.ndarray, policy_logp: np.ndarray, reference_logp: np.ndarray, vocabulary: int) -> dict[str, object]:
    fall = np.maximum(np.exp(reference_logp) - np.exp(policy_logp), 0)
    policy = np.stack([policy_logp, *(np.log(share + part * fall * 0.9) for share, part in OTHERS)])
    reference = np.stack([reference_logp, *(np.full(len(ids), np.log(share)) for share, _ in OTHERS)])
    entries = np.stack([ids, *((ids + 1 + other) % vocabulary for other in range(len(OTHERS)))])
    order = np.argsort(entries, axis=0)
    top = [np.take_along_axis(values, order, 0).T.ravel() for values in (entries, policy, reference)]
    names = ("top_id", "top_logp", "top_reference_logp")
    return {"gained": fall, "n_top": [len(entries)] * len(ids), **dict(zip(names, top, strict=True))}


def _kl(log_ratio: np.ndarray) -> dict[str, object]:
    moved = log_ratio**2 / 2 + 1e-3
    return {"kl_reference_policy": moved, "kl_policy_reference": moved, "null_variance": 2 * moved}
