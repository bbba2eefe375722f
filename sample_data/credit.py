"""Does the implicit reward find the planted errors? `python sample_data/credit.py [RUN]` answers for every checkpoint.

The truth: in each held-out rejected reply the one token where it departs from the correct text (its decision token).
Two scores are compared on all tokens of that reply: -advantage of the checkpoint, and surprisal, -log pi_ref, which
needs no policy. AUROC is the mean over replies of the share of other tokens that score lower (ties count half);
`pooled` is one AUROC over the tokens of all replies; top-1 is the share of replies where the decision token scores
highest. Neither torch nor sklearn is needed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import dpo_analysis
from dpo_analysis.tables.tokens import token_parts

HERE = Path(__file__).resolve().parent
KINDS = {
    "all": ("wrong_slot", "rude", "half_wrong", "favourite"),
    "rare": ("wrong_slot", "rude"),
    "fluent": ("half_wrong", "favourite"),
    "half_wrong": ("half_wrong",),
    "favourite": ("favourite",),
}


def decision_position(row: dict[str, Any], token_bytes: list[bytes]) -> int:
    """Position of the first rejected token that departs from the correct text: it holds the first byte that differs.

    Args:
        row: A pair as in pairs/eval.jsonl, with one entry in `error_spans`.
        token_bytes: The rejected response's tokens.

    Raises:
        ValueError: The tokens do not spell the rejected content.
    """
    span, content = row["error_spans"][0], row["rejected"][0]["content"]
    if not b"".join(token_bytes).startswith(content.encode()):
        raise ValueError(f"the tokens spell {b''.join(token_bytes)!r}, not {content!r}; score sample_data again")
    wrong, correct = content[span["start"] : span["end"]].encode(), span["correct"].encode()
    same = next((i for i in range(len(correct)) if wrong[i : i + 1] != correct[i : i + 1]), len(correct))
    at = len(content[: span["start"]].encode()) + same
    return int(np.searchsorted(np.cumsum([len(token) for token in token_bytes]), at, side="right"))


def auroc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Chance that a true item scores higher than a false one, ties counted half; both arguments shape (items,)."""
    ranks = pd.Series(scores).rank().to_numpy()
    n_true = int(truth.sum())
    return float((ranks[truth].sum() - n_true * (n_true + 1) / 2) / (n_true * (len(truth) - n_true)))


def score_line(replies: list[dict[str, Any]], score: str) -> dict[str, float]:
    """Per-pair AUROC, top-1 and pooled AUROC of one score over some replies."""
    pooled_truth = np.concatenate([np.arange(len(r[score])) == r["decision"] for r in replies])
    pooled = auroc(np.concatenate([r[score] for r in replies]), pooled_truth)
    each = [auroc(r[score], np.arange(len(r[score])) == r["decision"]) for r in replies]
    top1 = [int(np.argmax(r[score])) == r["decision"] for r in replies]
    return {"auroc": float(np.mean(each)), "top1": float(np.mean(top1)), "pooled": pooled}


def credit_table(replies: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per checkpoint and kind of error: both scores side by side.

    Args:
        replies: One per checkpoint and held-out pair: series, step, kind, decision (a position), and the two scores
            minus_advantage (beta x nats) and surprisal (nats), each of shape (tokens,).
    """
    lines = []
    for series, step in sorted({(r["series"], r["step"]) for r in replies}):
        for kind, members in KINDS.items():
            some = [r for r in replies if (r["series"], r["step"]) == (series, step) and r["kind"] in members]
            head = {"series": series, "step": step, "errors": kind, "n": len(some)}
            sides = {"adv": score_line(some, "minus_advantage"), "surp": score_line(some, "surprisal")}
            lines.append(head | {f"{side}_{key}": v for side, line in sides.items() for key, v in line.items()})
    return pd.DataFrame(lines)


def read_replies(path: Path) -> list[dict[str, Any]]:
    """The held-out rejected replies of a scored run folder, for every checkpoint of every series."""
    run = dpo_analysis.open_run(path)
    pairs = run.pairs(columns=["pair_id", "split", "source"]).to_pylist()
    rows = {pair["pair_id"]: json.loads(pair["source"]) for pair in pairs if pair["split"] == "eval"}
    replies = []
    for tokens in token_parts(run):
        rejected = tokens[(tokens["side"] == "rejected") & tokens["pair_id"].isin(list(rows))]
        for (pair_id, series, step), some in rejected.groupby(["pair_id", "series", "step"]):
            row = rows[str(pair_id)]
            replies.append(
                {
                    "series": series,
                    "step": step,
                    "kind": row["error_kind"],
                    "decision": decision_position(row, list(some["token_bytes"])),
                    "minus_advantage": -some["advantage"].to_numpy(),
                    "surprisal": -some["reference_logp"].to_numpy(),
                }
            )
    return replies


def main(path: Path) -> None:
    """Print the table, and the two promises at the first checkpoint of `gentle`."""
    table = credit_table(read_replies(path))
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    gentle = table.query("series == 'gentle'")
    first = gentle.query("step == step.min()").set_index("errors")
    print(
        f"\ngentle, step {gentle['step'].min()}: AUROC of -advantage over all {first.loc['all', 'adv_auroc']:.3f} "
        f"per reply, {first.loc['all', 'adv_pooled']:.3f} pooled; on fluent errors top-1 "
        f"{first.loc['fluent', 'adv_top1']:.3f} where surprisal has {first.loc['fluent', 'surp_top1']:.3f}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "run")
