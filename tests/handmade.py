"""Run folders whose every log-prob is written down in the test that needs it."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.tokenization import Response, TokenizedPair
from dpo_analysis.runs import Model, NoiseFloor, Run, RunWriter, Series, open_run

PROMPT = np.array([9], dtype=np.int32)
VOCAB = pa.table(
    {"token_id": [0, 1, 2, 3], "bytes": [b" sky", b"\xe4\xb8", b"\xad\n", b"=1"], "special": [False] * 4},
    schema=schema.VOCAB_SCHEMA,
)


def model(key: str) -> Model:
    """``series/name`` as a model; the step is the number at the name's end, where there is one."""
    if key == schema.REFERENCE:
        return Model.reference(source="sft", weights="r" * 64)
    series, name = key.split("/")
    number = name.rpartition("-")[2]
    return Model(series, name, int(number) if number.isdigit() else None, "fake", key, key.ljust(64, "w"))


def pair(number: int, lengths: tuple[int, int], **facts) -> TokenizedPair:
    """A pair with ids 0, 1, 2, 3, 0 ... on both sides."""
    facts = {"split": "eval", "group": f"g{number}", "status": "ok", "source": {}} | facts
    row = Pair(f"p{number}", facts["split"], "x", "c", "r", None, {}, facts["source"], f"f:{number}", "")
    sides = {
        side: Response(PROMPT, np.arange(length, dtype=np.int32) % 4, False)
        for side, length in zip(schema.SIDES, lengths, strict=True)
    }
    scored = facts["status"] in schema.SCORED
    return TokenizedPair(row, facts["group"], facts["status"], "x", "c", "r", sides if scored else {})


def make_run(
    path: Path,
    scores: dict[str, list],
    *,
    facts: dict[int, dict] | None = None,
    series: list[Series] | None = None,
    part_size: int = 512,
    missing: tuple = (),
    sums_only: bool = False,
    vocab: pa.Table | None = VOCAB,
    curves: pa.Table | None = None,
    noise: float | None = None,
) -> Run:
    """Write a run folder and open it.

    Args:
        path: where.
        scores: model key -> for every pair (chosen logps by token, rejected logps by token), or a status.
        facts: pair number -> split, group, status, source where they are not the usual.
        series: their betas and losses; DPO's usual ones where None.
        part_size: rows of a part.
        missing: (model key, part) that are not scored.
        sums_only: store sums in place of tokens.
        vocab: bytes of the ids; curves: the trainer's log; noise: floor of a response, nats.
    """
    first = scores[schema.REFERENCE]
    tokenized = [
        pair(number, (2, 2) if isinstance(sides, str) else tuple(map(len, sides)), **(facts or {}).get(number, {}))
        for number, sides in enumerate(first)
    ]
    models = [model(key) for key in scores]
    named = series or [Series(name) for name in dict.fromkeys(one.series for one in models[1:])]
    with RunWriter.open(
        path, identity={"pairs": "p", "dtype": "float32"}, tokenized=tokenized, series=named, models=models,
        part_size=part_size, vocab=vocab,
    ) as writer:  # fmt: skip
        writer.write_inputs()
        if curves is not None:
            writer.write_curves(curves)
        if noise is not None:
            writer.write_noise_floor(NoiseFloor(noise, noise, 1))
        for one in models:
            for part in writer.missing_parts(one):
                if (one.key, part.index) not in missing:
                    writer.write_scores(one, part, _table(part, tokenized, scores[one.key], sums_only))
        if not missing:
            writer.finish()
    return open_run(path)


def _table(part, tokenized, values, sums_only) -> pa.Table:
    numbers = {one.pair.pair_id: number for number, one in enumerate(tokenized)}
    rows = []
    for row, pair_id, side in part.keys:
        content = values[numbers[pair_id]]
        status = content if isinstance(content, str) else tokenized[numbers[pair_id]].status
        logp = [float("-inf")] * 2 if isinstance(content, str) else list(content[schema.SIDES.index(side)])
        lists = {"logp": logp, "entropy": [1.0 + len(logp)] * len(logp), "rank": [1] * len(logp),
                 "argmax_id": [3] * len(logp), "argmax_logp": [-0.5] * len(logp)}  # fmt: skip
        kept = {"logps": float(np.sum(logp))} if sums_only else lists
        rows.append({"row": row, "pair_id": pair_id, "side": side, "status": status} | kept)
    return pa.Table.from_pylist(rows, schema=schema.SCORES_SCHEMA)
