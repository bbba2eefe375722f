"""Run folders in which word pairs lose probability to a token that the test names: what a diagnosis is told from."""

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.tokenization import Response, TokenizedPair
from dpo_analysis.runs import Model, Run, RunWriter, Series, open_run
from dpo_analysis.runs.evidence import kinds
from dpo_analysis.schema import SIDES

LIKELY, RARE = 0.6, 0.01
"""Probability of every label under the reference, and of a token that gains."""
END = 9
"""The end-of-text token."""
KEY = ("row", "pair_id", "side")
"""The columns that name a response."""
Moves = Mapping[tuple[int, int], tuple[float, int | None]]
"""(previous token, token): share of its probability that it keeps at the end, who gets the rest (None: the tail)."""
HIT, ALT = (50, 51), (50, 52)
"""A word pair, and another one in the same context."""


def text(number: int, *middle: int, length: int = 26, start: int = 0) -> list[int]:
    """A response of its own tokens with ``middle`` in its core (or at ``start`` where given) and an end of text."""
    filler = [1000 + 100 * number + place for place in range(length - len(middle) - 1)]
    place = start if start else 10
    return [*filler[:place], *middle, *filler[place:], END]


def pushed(count: int = 160, fallen: int = 32, start: int = 0) -> list[tuple[list[int], list[int]]]:
    """Texts of which few choose HIT and all others reject it, in the core or at ``start``."""
    return [
        (text(n, *HIT, start=start), text(n, 500 + n, start=start))
        if n < fallen
        else (text(n, 90_000 + n, start=start), text(n, *HIT, start=start))
        for n in range(count)
    ]


def pulled(count: int = 96, start: int = 0) -> list[tuple[list[int], list[int]]]:
    """Texts of which a third choose HIT and the others ALT, in the core or at ``start``; nobody rejects either."""
    return [
        (text(n, *(HIT if n < count // 3 else ALT), start=start), text(n, 500 + n, start=start)) for n in range(count)
    ]


def with_rejected_lost(moves: Moves, texts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Moves:
    """Return the same losses and, at a word pair that it alone has, a larger one of every rejected response.

    So does any training: where only the chosen responses fall, the columns are swapped.
    """
    alone = (next(pair for pair in pairwise(rejected) if pair not in pairwise(chosen)) for chosen, rejected in texts)
    return dict.fromkeys(alone, (0.0005, None)) | dict(moves)


def make_run(
    path: Path,
    texts: Sequence[tuple[Sequence[int], Sequence[int]]],
    moves: Moves,
    *,
    steps: Sequence[int] = (10, 20, 40),
    strengths: Sequence[float] = (0.1, 0.6, 1.0),
    groups: Sequence[str] | None = None,
    reference: Mapping[str, float] | None = None,
    split: str = "train",
    collected: bool = True,
    null_evidence: Collection[int] = (),
    explained: float | None = None,
) -> Run:
    """Write the run and open it.

    Args:
        path: where.
        texts: ids of chosen and rejected of each pair.
        moves: what loses, and to whom.
        steps: the checkpoints of series ``s``.
        strengths: how much of the loss has happened at each.
        groups: the prompt of each pair; None: each its own.
        reference: probability of a label by side, where it is not ``LIKELY``.
        split: of all pairs.
        collected: with evidence ``topk``.
        null_evidence: numbers of the pairs whose evidence is null, as where a response did not fit into memory.
        explained: share of what each token lost that the policy's movement explains, for evidence ``kl``; None for no
            such evidence.
    """
    tokenized = [_pair(number, sides, split, (groups or {}) and groups[number]) for number, sides in enumerate(texts)]
    policies = [Model("s", f"checkpoint-{step}", step, "fake", "m", f"{step:064d}") for step in steps]
    models = [Model.reference(source="sft", weights="r" * 64), *policies]
    likely = dict.fromkeys(SIDES, LIKELY) | dict(reference or {})
    ids = sorted({one for sides in texts for side in sides for one in side} | {to for _, to in moves.values() if to})
    vocab = pa.table(
        {"token_id": ids, "bytes": [f" w{one}".encode() for one in ids], "special": [one == END for one in ids]},
        schema=schema.VOCAB_SCHEMA,
    )
    with RunWriter.open(
        path, identity={"pairs": "p", "dtype": "float32"}, tokenized=tokenized, series=[Series("s")], models=models,
        part_size=512, vocab=vocab,
    ) as writer:  # fmt: skip
        writer.write_inputs()
        (part,) = writer.parts
        for model, strength in zip(models, [0.0, *strengths], strict=True):
            rows = [
                _scored(row, pair_id, side, tokenized, (moves, strength), likely) for row, pair_id, side in part.keys
            ]
            writer.write_scores(
                model, part, pa.Table.from_pylist([one for one, _ in rows], schema=schema.SCORES_SCHEMA)
            )
            if model.is_reference:
                continue
            if collected:
                tops = [_nulled(top, null_evidence) for _, top in rows]
                kinds.add_evidence(writer, "topk", model, 0, pa.Table.from_pylist(tops, schema=schema.TOPK_SCHEMA))
            if explained is not None:
                divergences = [_nulled(_divergence(scores, likely, explained), null_evidence) for scores, _ in rows]
                table = pa.Table.from_pylist(divergences, schema=schema.KL_SCHEMA)
                kinds.add_evidence(writer, "kl", model, 0, table)
        writer.finish()
    return open_run(path)


def _nulled(line: dict, null_evidence: Collection[int]) -> dict:
    return {name: line[name] for name in KEY} if int(line["pair_id"], 16) in null_evidence else line


def _divergence(scores: dict, likely: Mapping[str, float], explained: float) -> dict:
    """KL(pi_ref || pi) at every token of one response: this share of what the token lost; its variance is 1."""
    lost = [max(math.log(likely[scores["side"]]) - logp, 0.0) for logp in scores["logp"]]
    key = {name: scores[name] for name in KEY}
    ones = [1.0] * len(lost)
    return key | {
        "kl_reference_policy": [explained * nats for nats in lost], "kl_policy_reference": ones, "null_variance": ones,
    }  # fmt: skip


def _pair(number: int, sides: tuple, split: str, group: str | None) -> TokenizedPair:
    row = Pair(f"{number:016x}", split, "x", "c", "r", None, {}, {}, "", "")
    prompt = np.array([1], dtype=np.int32)
    own = {side: Response(prompt, np.array(ids, np.int32), False) for side, ids in zip(SIDES, sides, strict=True)}
    return TokenizedPair(row, group or f"g{number}", "ok", "x", "c", "r", own)


def _scored(row, pair_id, side, tokenized, moved: tuple[Moves, float], likely) -> tuple[dict, dict]:
    ids = tokenized[int(pair_id, 16)].responses[side].token_ids.tolist()
    moves, strength = moved
    logp, tops = [], []
    for before, token in zip([-1, *ids[:-1]], ids, strict=True):
        keep, gainer = moves.get((before, token), (1.0, None))
        loss = likely[side] * (1 - keep) * strength
        logp.append(math.log(likely[side] - loss))
        kept = [(token, likely[side] - loss, likely[side])]
        kept += [(gainer, RARE + loss, RARE)] if gainer is not None else []
        tops.append((loss, sorted(kept)))
    lists = {"logp": logp, "entropy": [1.0] * len(ids), "rank": [1] * len(ids), "argmax_id": ids,
             "argmax_logp": [-0.1] * len(ids)}  # fmt: skip
    key = {"row": row, "pair_id": pair_id, "side": side}
    flat = [one for _, kept in tops for one in kept]
    top = {
        "gained": [loss for loss, _ in tops], "n_top": [len(kept) for _, kept in tops],
        "top_id": [one[0] for one in flat], "top_logp": [math.log(one[1]) for one in flat],
        "top_reference_logp": [math.log(one[2]) for one in flat],
    }  # fmt: skip
    return key | {"status": "ok"} | lists, key | top
