"""Run folders made of real rows: read as ``score`` reads them, with invented tokens and log-probs."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.data.pairs import Pair, load_pairs
from dpo_analysis.data.tokenization import Response, TokenizedPair, limit_groups
from dpo_analysis.runs import Run, RunWriter, Series, open_run
from tests.handmade import model

MODELS = ("reference", "gentle/checkpoint-10")


def data_run(
    path: Path,
    *sources: object,
    pairing: str = "best-worst",
    limit: int | None = None,
    statuses: Mapping[int, str] | None = None,
    margins: Sequence[float] = (),
    part_size: int = 4,
    finish: bool = True,
    models: Sequence[str] = MODELS,
) -> Run:
    """Write a run of the pairs of some sources and open it.

    Args:
        path: where.
        *sources: as for ``load_pairs``, and so is ``pairing``.
        pairing: see there.
        limit: as ``--limit``, and logged as ``score`` logs it.
        statuses: number of a pair -> its status where it is not ok.
        margins: margin of each pair under every policy, in nats; 0 for the others.
        part_size: rows of a part.
        finish: whether all is scored.
        models: the reference and the policies.
    """
    pairs = load_pairs(*sources, pairing=pairing)
    numbers = {id(pair): number for number, pair in enumerate(pairs)}
    whole = [tokenized(pair, (statuses or {}).get(number, "ok")) for number, pair in enumerate(pairs)]
    kept = limit_groups(whole, limit)
    read = {split: sum(pair.split == split for pair in pairs) for split in {pair.split for pair in pairs}}
    with RunWriter.open(
        path, identity={"pairs": "p", "dtype": "float32"}, tokenized=kept, series=[Series("gentle")],
        models=[model(key) for key in models], part_size=part_size,
    ) as writer:  # fmt: skip
        writer.log("start", limit=limit, pairs_read=read)
        writer.write_inputs()
        for one in [model(key) for key in models]:
            for part in writer.missing_parts(one):
                by_id = {pair.pair.pair_id: numbers[id(pair.pair)] for pair in part.pairs}
                gains = {key: margins[n] if n < len(margins) else 0.0 for key, n in by_id.items()}
                writer.write_scores(one, part, _scores(part, gains if one.series else dict.fromkeys(gains, 0.0)))
        if finish:
            writer.finish()
    return open_run(path)


def tokenized(pair: Pair, status: str = "ok") -> TokenizedPair:
    """A pair whose tokens are the words of its texts, by a hash."""
    prompt, chosen, rejected = (_text(getattr(pair, name)) for name in ("prompt", "chosen", "rejected"))
    group = hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()[:16]
    scored = {
        side: Response(_ids(prompt), _ids(text), False)
        for side, text in zip(schema.SIDES, (chosen, rejected), strict=True)
    }
    return TokenizedPair(pair, group, status, prompt, chosen, rejected, scored if status in schema.SCORED else {})


def _text(side: object) -> str:
    return " ".join(str(message["content"]) for message in side) if isinstance(side, list) else str(side)


def _ids(text: str) -> np.ndarray:
    words = text.split() or [""]
    return np.array([int(hashlib.sha256(w.encode("utf-8", "replace")).hexdigest()[:4], 16) for w in words], np.int32)


def _scores(part, gains: Mapping[str, float]) -> pa.Table:
    lengths = {pair.pair.pair_id: {side: len(r.token_ids) for side, r in pair.responses.items()} for pair in part.pairs}
    rows = []
    for row, pair_id, side in part.keys:
        logp = [-1.0] * lengths[pair_id][side]
        logp[0] += gains[pair_id] / 2 * (1 if side == schema.CHOSEN else -1)
        rows.append(
            {"row": row, "pair_id": pair_id, "side": side, "status": "ok", "logp": logp, "entropy": [1.0] * len(logp),
             "rank": [1] * len(logp), "argmax_id": [3] * len(logp), "argmax_logp": [-0.5] * len(logp)}
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema.SCORES_SCHEMA)
