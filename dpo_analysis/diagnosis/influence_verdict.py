"""What the influence that was measured says: which group of pairs, if any, pushes the lost tokens down.

One group is confirmed where at both checkpoints that ``groups`` asks its net effect lowers the targets by at least
``CONFIRMED`` and no other group's by as much as ``INNOCENT`` or ``BESIDE`` of it. It is an intervention: weights were
moved along a group's gradient and the tokens scored again. Only such a finding may use a causal verb.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dpo_analysis import words
from dpo_analysis.arrays.response_sums import inputs
from dpo_analysis.diagnosis.influence_groups import OWN, PULLERS, PUSHERS
from dpo_analysis.diagnosis.thresholds import BESIDE, CONFIRMED, INEXACT, INNOCENT
from dpo_analysis.numerics.bootstrap import ratio_intervals
from dpo_analysis.runs import Run
from dpo_analysis.runs.evidence.influence import EFFECTS, question_of, read_influence
from dpo_analysis.schema import SIDES

COLUMNS = [
    "model", "step", "group", "n_group_pairs", "n_targets", "net", "low", "high", "chosen", "rejected", "error",
]  # fmt: skip
CAUSES = {"collision": PUSHERS, "style_drift": PULLERS, "competing_answer": PULLERS, "near_identical": OWN}
"""Which group being confirmed confirms which cause."""
CHECKPOINTS = 2
"""Checkpoints that must agree."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The answer of one series on one split.

    Attributes:
        group: the group that is confirmed; empty for none.
        key: of its sentence in words, with ``values``.
        values: names and numbers of the sentence, as text.
        effects: ``effect_table``.
    """

    group: str
    key: str
    values: Mapping[str, str]
    effects: pd.DataFrame

    def confirms(self, cause: str) -> bool:
        """Whether it is this cause's group that was confirmed."""
        return bool(self.group) and CAUSES.get(cause) == self.group

    def sentence(self, lang: str = "en") -> str:
        """What was measured and what follows from it."""
        said = {name: words.text(value, lang) if value in words.WORDS else value for name, value in self.values.items()}
        return words.text(self.key, lang, **said)


def effect_table(run: Run, series: str, split: str) -> pd.DataFrame:
    """One row per group and checkpoint that was asked just what the last one was, by step.

    Returns:
        Columns: model, step, group, n_group_pairs, n_targets (fallen responses watched); net: change of a target's
        summed log-prob by a unit SGD step down the group's mean DPO loss, mean over targets, nats per unit step, with
        its 95 % interval over the targets' groups (low, high); chosen and rejected: what the two halves of the loss
        do; error: by how much net differs at a longer step.

    Raises:
        StorageError: a file is damaged.
    """
    asked = {model: question_of(run, model, split) for model in run.models if model.series == series}
    newest = next((question for question in reversed(asked.values()) if question), None)
    frames = []
    for model, question in asked.items():
        table = read_influence(run, EFFECTS, model, split) if question == newest else None
        if table is not None and table.num_rows:
            frames.append(_of_model(run, table.to_pandas()).assign(model=model.name, step=model.step))
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)
    return frame[COLUMNS].astype({"step": "Int64"})


def _of_model(run: Run, effects: pd.DataFrame) -> pd.DataFrame:
    known = inputs(run).pairs.set_index("row")["group_id"]
    rows = []
    for group, own in effects.groupby("group", sort=False):
        halves = own.pivot_table(index="row", columns="side", values="effect")
        net = halves.sum(axis=1).to_numpy()
        codes = pd.factorize(known.reindex(halves.index))[0].astype(np.int64)
        ends = ratio_intervals(net[:, None], np.ones((len(net), 1)), codes, int(codes.max()) + 1)
        low, high = (float(end[0]) for end in ends)
        rows.append({
            "group": group, "n_group_pairs": int(own["n_group_pairs"].iloc[0]), "n_targets": len(net),
            "net": float(net.mean()), "low": low, "high": high,
            **{side: float(halves[side].mean()) for side in SIDES},
            "error": float(own.groupby("row")["effect_error"].sum().mean()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def confirmed(run: Run, series: str, split: str | None = None) -> Confirmation | None:
    """What was measured of a series; None where nobody asked.

    Args:
        run: an open run.
        series: the series.
        split: whose fallen pairs were watched; None for ``eval`` where the run has it, else its first.

    Raises:
        StorageError: a file is damaged.
    """
    effects = effect_table(run, series, split or ("eval" if "eval" in run.splits else run.splits[0]))
    if effects.empty:
        return None
    last = effects[effects["model"] == effects["model"].iloc[-1]].sort_values("net", kind="stable")
    first = last.iloc[0]
    values = {
        "group": f"confirmation.group.{first['group']}", "net": _nats(first["net"]), "low": _nats(first["low"]),
        "high": _nats(first["high"]), "model": str(first["model"]), "n": str(int(first["n_targets"])),
        "others": _nats(last["net"].iloc[1:].min() if len(last) > 1 else float("nan")),
    }  # fmt: skip
    guilty, why = _verdict(effects)
    return Confirmation(guilty, f"confirmation.{why}", values, effects)


def _verdict(effects: pd.DataFrame) -> tuple[str, str]:
    """The group that is guilty at every checkpoint and why, or why none is."""
    if (effects["error"] > INEXACT * effects["net"].abs().clip(lower=-INNOCENT)).any():
        return "", "inexact"
    named = {str(rows["group"].iloc[int(rows["net"].argmin())]) for _, rows in effects.groupby("model", sort=False)}
    if effects["model"].nunique() < CHECKPOINTS:
        return "", "one_checkpoint"
    alone = all(_alone(rows["net"].to_numpy()) for _, rows in effects.groupby("model", sort=False))
    return (named.pop(), "confirmed") if alone and len(named) == 1 else ("", "none")


def _alone(nets: np.ndarray) -> bool:
    """Whether one net effect is at or below the threshold and all others are above theirs."""
    order = np.sort(nets)
    return bool(order[0] <= CONFIRMED and (order[1:] > min(INNOCENT, BESIDE * order[0])).all() and len(order) > 1)


def _nats(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:+.2f}".replace("-", "\u2212")
