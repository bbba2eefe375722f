"""What measured influence says: which group of training pairs, if any, pushes the lost tokens down.

A group is confirmed where, at both checkpoints that ``influence_groups`` chooses, its net effect on the targets is at
most ``CONFIRMED_EFFECT``, and the effects of all other groups lie above ``INNOCENT_EFFECT`` or ``RIVAL_EFFECT_SHARE``
of it. This is an intervention: weights were moved along the group's gradient and the tokens scored again. Only such a
finding may use a causal verb.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.diagnosis.findings import fill_sentence
from dpo_analysis.diagnosis.influence_groups import OWN, PULLERS, PUSHERS
from dpo_analysis.diagnosis.series_log_ratios import default_split
from dpo_analysis.diagnosis.thresholds import CONFIRMED_EFFECT, INEXACT_SHARE, INNOCENT_EFFECT, RIVAL_EFFECT_SHARE
from dpo_analysis.numerics.bootstrap import ratio_intervals
from dpo_analysis.runs import Run
from dpo_analysis.runs.evidence.influence import EFFECTS, answered_question, read_influence
from dpo_analysis.schema import CHOSEN, REJECTED
from dpo_analysis.text.numbers import signed_fixed

EFFECT_COLUMNS = [
    "model",
    "step",
    "group",
    "n_group_pairs",
    "n_targets",
    "net",
    "low",
    "high",
    "chosen",
    "rejected",
    "error",
]
GROUP_OF_CAUSE = {"collision": PUSHERS, "style_drift": PULLERS, "competing_answer": PULLERS, "near_identical": OWN}
"""The group whose confirmation confirms each cause."""
CHECKPOINTS_NEEDED = 2
"""Checkpoints that must agree."""


@dataclass(frozen=True, slots=True)
class InfluenceVerdict:
    """The verdict on one series and one split.

    Attributes:
        group: the confirmed group; empty for none.
        key: key of the verdict's sentence in ``words``.
        values: names and numbers in the sentence, as text.
        effects: the numbers behind it, see ``effect_table``.
    """

    group: str
    key: str
    values: Mapping[str, str]
    effects: pd.DataFrame

    def confirms(self, cause: str) -> bool:
        """Return whether the group that this cause blames was confirmed."""
        return bool(self.group) and GROUP_OF_CAUSE.get(cause) == self.group

    def sentence(self, lang: str = "en") -> str:
        """Return what was measured and what follows from it."""
        return fill_sentence(self.key, self.values, lang)


def effect_table(run: Run, series: str, split: str) -> pd.DataFrame:
    """Return one row per group and checkpoint, by step.

    Only checkpoints that answered the same question as the last one count, since effects of other groups or on other
    targets cannot be compared.

    Returns:
        Columns: model, step, group, n_group_pairs, n_targets (responses watched). net: change of a target's
        summed log-prob by a unit SGD step down the group's mean DPO loss, mean over targets, nats per unit step;
        negative pushes the targets down, 0 does nothing. low, high: its 95 % interval over the targets' groups. chosen,
        rejected: the parts of net that come from the two responses in the loss. error: by how much net differs at a
        longer step.

    Raises:
        StorageError: a file is damaged.
    """
    questions = {model: answered_question(run, model, split) for model in run.models if model.series == series}
    newest = next((question for question in reversed(questions.values()) if question), None)
    frames = []
    for model, question in questions.items():
        table = read_influence(run, EFFECTS, model, split) if question == newest else None
        if table is not None and table.num_rows:
            frames.append(_net_effects(run, table.to_pandas()).assign(model=model.name, step=model.step))
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=EFFECT_COLUMNS)
    return frame[EFFECT_COLUMNS].astype({"step": "Int64"})


def _net_effects(run: Run, effects: pd.DataFrame) -> pd.DataFrame:
    """Return one row per group from the effects on every target of one checkpoint."""
    group_ids = pair_index(run).pairs.set_index("row")["group_id"]
    rows = []
    for group, lines in effects.groupby("group", sort=False):
        by_side = lines.pivot_table(index="row", columns="side", values="effect")
        net = by_side.sum(axis=1).to_numpy()
        codes = pd.factorize(group_ids.reindex(by_side.index))[0].astype(np.int64)
        low, high = ratio_intervals(net[:, None], np.ones((len(net), 1)), codes, int(codes.max()) + 1)
        rows.append(
            {
                "group": group,
                "n_group_pairs": int(lines["n_group_pairs"].iloc[0]),
                "n_targets": len(net),
                "net": float(net.mean()),
                "low": float(low[0]),
                "high": float(high[0]),
                "chosen": float(by_side[CHOSEN].mean()),
                "rejected": float(by_side[REJECTED].mean()),
                "error": float(lines.groupby("row")["effect_error"].sum().mean()),
            }
        )
    return pd.DataFrame(rows)


def read_influence_verdict(run: Run, series: str, split: str | None = None) -> InfluenceVerdict | None:
    """Return the verdict on a series; None where its influence was not measured.

    Args:
        run: an open run.
        series: the series.
        split: split of the pairs that fell and were watched; None for ``default_split``.

    Raises:
        StorageError: a file is damaged.
    """
    effects = effect_table(run, series, split or default_split(run))
    if effects.empty:
        return None
    last = effects[effects["model"] == effects["model"].iloc[-1]].sort_values("net", kind="stable")
    lowest, others = last.iloc[0], last["net"].iloc[1:]
    values = {
        "group": f"confirmation.group.{lowest['group']}",
        "net": signed_fixed(lowest["net"]),
        "low": signed_fixed(lowest["low"]),
        "high": signed_fixed(lowest["high"]),
        "model": str(lowest["model"]),
        "n": str(int(lowest["n_targets"])),
        "others": signed_fixed(others.min() if len(others) else float("nan")),
    }
    group, reason = _judge(effects)
    return InfluenceVerdict(group, f"confirmation.{reason}", values, effects)


def _judge(effects: pd.DataFrame) -> tuple[str, str]:
    """Return the group that is confirmed at every checkpoint, or none, and the last part of the sentence's key."""
    if (effects["error"] > INEXACT_SHARE * effects["net"].abs().clip(lower=-INNOCENT_EFFECT)).any():
        return "", "inexact"
    if effects["model"].nunique() < CHECKPOINTS_NEEDED:
        return "", "one_checkpoint"
    by_model = [rows for _, rows in effects.groupby("model", sort=False)]
    lowest = {str(rows["group"].iloc[int(rows["net"].argmin())]) for rows in by_model}
    if len(lowest) == 1 and all(_stands_alone(rows["net"].to_numpy()) for rows in by_model):
        return lowest.pop(), "confirmed"
    return "", "none"


def _stands_alone(nets: np.ndarray) -> bool:
    """Return whether the lowest net effect is confirmed and all others lie above their threshold."""
    lowest, *others = np.sort(nets)
    limit = min(INNOCENT_EFFECT, RIVAL_EFFECT_SHARE * lowest)
    return bool(lowest <= CONFIRMED_EFFECT and others and min(others) > limit)
