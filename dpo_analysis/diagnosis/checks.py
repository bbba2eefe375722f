"""What is known about a run without any model: is its setup sound, does it agree with the log, are its rows as meant.

A check is one question; its answer is a verdict, the numbers behind it, and the pairs that it is about.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dpo_analysis.arrays.response_sums import inputs, statuses
from dpo_analysis.data.row_warnings import COMPLAINTS, met_by
from dpo_analysis.diagnosis.check_rows import rows_of_run
from dpo_analysis.runs import Model, Run
from dpo_analysis.schema import FLAGGED, SIDES
from dpo_analysis.tables.decompositions import split_table
from dpo_analysis.tables.filters import FLIP_MARGIN, with_flips
from dpo_analysis.tables.pairs import pair_table
from dpo_analysis.tables.trainer_log import overlay_table

VERDICTS = ("fail", "warn", "note", "unknown", "pass")
"""The gravest first; ``unknown``: this run does not hold what would answer the question."""
HALF_WIDTHS = 3
"""A logged value that is farther from the recomputed one than so many half-widths of its interval is told."""
ALIKE = 1e-3
"""Nats per token that both sides may differ by on the tokens that they share, where the noise floor is smaller."""
SAME_LOGPS = 0.01
"""Nats by which a mean logged log-prob may differ from the recomputed one to count as that of the same pairs."""
EXAMPLES = 20
ONE_SIDED = 0.75
"""Share of the pairs in which the same side is the longer one, from which on length alone tells most labels."""
BY_TOKEN = ("double_bos", "double_eos", "no_eos", "truncated")
"""Complaints that only token ids can give cause for."""
MAY_BE_RIGHT = ("both_ways",)
"""Complaints about what may well be meant."""
FROM_RUN = [name for name in COMPLAINTS if name != "border_shift"]


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    Attributes:
        name: what was asked: ``checks.<name>`` in words.
        verdict: one of ``VERDICTS``: ``checks.<name>.<verdict>`` in words takes ``values``.
        values: the numbers and names of the answer.
        pair_ids: pairs that it is about, the first ``EXAMPLES``.
    """

    name: str
    verdict: str
    values: dict[str, object] = field(default_factory=dict)
    pair_ids: tuple[str, ...] = ()


def run_checks(run: Run) -> list[Check]:
    """Every check of ``run``, the gravest verdict first.

    Raises:
        StorageError: a part is damaged.
    """
    found = [check(run) for check in CHECKS.values()]
    found += list(_data(run))
    return sorted(found, key=lambda check: VERDICTS.index(check.verdict))


def _finished(run: Run) -> Check:
    done, whole = (sum(parts) for parts in zip(*run.progress().values(), strict=True))
    return Check("finished", "pass" if done == whole else "note", {"done": done, "whole": whole})


def _scored(run: Run) -> Check:
    """Responses that a model could not score: not finite, or out of memory."""
    ids, models = inputs(run).pairs["pair_id"].to_numpy(dtype=object), []
    lost = np.zeros(len(ids), dtype=bool)
    for model in run.models:
        flagged = np.isin(statuses(run, model), FLAGGED)
        models += [model.key] if flagged.any() else []
        lost |= flagged
    values: dict[str, object] = {"n": int(lost.sum()), "models": ", ".join(models)} if models else {}
    return Check("scored", "fail" if models else "pass", values, tuple(ids[lost][:EXAMPLES]))


def _weights(run: Run) -> Check:
    """Policies with the reference's own weights: an adapter that was not applied, or a checkpoint of step 0."""
    same = [
        model.key for model in run.models if model.weights and model.weights == run.reference.weights and model.step
    ]
    return Check("weights", "fail" if same else "pass", {"models": ", ".join(same)} if same else {})


def _twins(run: Run) -> Check:
    keys: dict[str, list[str]] = {}
    for model in run.models:
        keys.setdefault(model.weights, []).append(model.key)
    twins = [" = ".join(names) for weights, names in keys.items() if weights and len(names) > 1]
    return Check("twins", "warn" if twins else "pass", {"models": "; ".join(twins)} if twins else {})


def _start(run: Run) -> Check:
    unknown = [name for name, series in run.series.items() if series.start != "reference"]
    return Check("start", "note" if unknown else "pass", {"series": ", ".join(unknown)} if unknown else {})


def _step_zero(run: Run) -> Check:
    """At step 0 the policy is its reference, so every reward must be 0."""
    first = [model for model in run.models if model.step == 0 and run.parts_done(model)]
    if not first:
        return Check("step0", "unknown")
    rows = pair_table(run, model=[model.key for model in first], source=False)
    ratios = rows[["chosen_log_ratio", "rejected_log_ratio"]].abs().max(axis=1)
    largest, allowed = float(ratios.max()), max(_noise(run), ALIKE)
    off = rows.loc[ratios > allowed, "pair_id"]
    values = {"largest": f"{largest:.4f}", "allowed": f"{allowed:.4f}"}
    return Check("step0", "fail" if len(off) else "pass", values, tuple(dict.fromkeys(off))[:EXAMPLES])


def _logged(run: Run) -> Check:
    """Recomputed against logged: the points that lie farther apart than chance explains."""
    table = overlay_table(run).dropna(subset=["difference", "low", "high"])
    if table.empty:
        return Check("logged", "unknown")
    reach = HALF_WIDTHS * (table["high"] - table["low"]) / 2
    far = table[table["difference"].abs() > reach]
    if far.empty:
        return Check("logged", "pass", {"n": len(table)})
    worst = far.loc[(far["difference"].abs() / reach[far.index].clip(lower=1e-9)).idxmax()]
    values = {name: worst[name] for name in ("series", "metric", "split", "step")}
    values |= {"far": len(far), "n": len(table), "difference": f"{worst['difference']:+.3f}".replace("-", "\u2212")}
    return Check("logged", "warn", values)


def _same_reference(run: Run) -> Check:
    """Where both sides' logged log-probs are the recomputed ones, the rewards must be, too: else the reference is not.

    A reward is beta times a log-prob minus the reference's, so this is arithmetic, whatever pairs were logged.
    """
    table = overlay_table(run).dropna(subset=["difference"])
    wide = table.pivot_table(index=["series", "step", "logged_split"], columns="metric", values="difference").abs()
    logps, rewards = ([f"{side}_{what}" for side in SIDES] for what in ("logps", "reward"))
    if not set(logps + rewards) <= set(wide.columns):
        return Check("same_reference", "unknown")
    same = wide.loc[(wide[logps] <= SAME_LOGPS).all(axis=1), rewards].max(axis=1).dropna()
    if len(same) < 2:
        return Check("same_reference", "unknown")
    beta = max(run.series[name].beta for name in same.index.get_level_values("series"))
    worst, allowed = float(same.median()), beta * 2 * SAME_LOGPS + _noise(run)
    values = {"n": len(same), "off": f"{worst:.4f}", "allowed": f"{allowed:.4f}"}
    return Check("same_reference", "fail" if worst > allowed else "pass", values)


def _noise_floor(run: Run) -> Check:
    floor = run.noise_floor
    if floor is None:
        return Check("noise", "unknown")
    last = pair_table(run, model=[model.key for model in _last(run)], source=False)["chosen_log_ratio"].dropna().abs()
    below = float((last <= floor.response).mean()) if len(last) else 0.0
    values = {"token": f"{floor.token:.2g}", "response": f"{floor.response:.2g}", "share": f"{below:.1%}"}
    return Check("noise", "warn" if below > 0.5 else "pass", values)


def _shared_beginning(run: Run) -> Check:
    """Behind the same tokens the same token has one log-prob, so both sides move alike until they differ."""
    last = _last(run)
    rows = split_table(run, model=last[0].key, by=("span", "quantile")) if last else pd.DataFrame()
    rows = rows[(rows["by"] == "span") & (rows["part"] == "before")] if len(rows) else rows
    if len(rows) < 2:
        return Check("beginning", "unknown")
    per_token = rows["log_ratio_per_token"].to_numpy()
    apart, allowed = abs(float(per_token[0] - per_token[1])), max(_noise(run), ALIKE)
    values = {"apart": f"{apart:.2g}", "allowed": f"{allowed:.2g}", "model": last[0].key}
    return Check("beginning", "fail" if apart > allowed else "pass", values)


def _labels(run: Run) -> Check:
    """Pairs whose rejected response the reference prefers so strongly that DPO cannot turn them in practice."""
    last = _last(run)
    if not last:
        return Check("labels", "unknown")
    rows = pair_table(run, model=last[0].key, source=False).dropna(subset=["margin"])
    rows = with_flips(rows, run.series[last[0].series].beta)
    hard = rows.loc[rows["flip_margin"] >= FLIP_MARGIN, "pair_id"]
    against = float((rows["reference_margin"] < 0).mean()) if len(rows) else 0.0
    values = {"hard": len(hard), "n": len(rows), "against": f"{against:.0%}"}
    return Check("labels", "warn" if len(hard) > 0.05 * len(rows) else "pass", values, tuple(hard)[:EXAMPLES])


def _lengths(run: Run) -> Check:
    """Whether length alone tells the two responses apart: a policy may learn it instead of what is meant."""
    if not run.has_tokens:
        return Check("lengths", "unknown")
    lengths = inputs(run).n_tokens
    lengths = lengths[np.isfinite(lengths).all(axis=1)]
    longer, shorter = (float((lengths[:, one] > lengths[:, 1 - one]).mean()) if len(lengths) else 0.0 for one in (0, 1))
    chosen, rejected = lengths.mean(axis=0) if len(lengths) else (0.0, 0.0)
    values = {"longer": f"{longer:.0%}", "shorter": f"{shorter:.0%}", "n": len(lengths)}
    values |= {"chosen": f"{chosen:.1f}", "rejected": f"{rejected:.1f}"}
    return Check("lengths", "warn" if max(longer, shorter) >= ONE_SIDED else "pass", values)


def _data(run: Run) -> Iterator[Check]:
    """The complaints that ``check`` makes about rows, as far as a run folder tells."""
    rows = rows_of_run(run)
    for name in FROM_RUN:
        if name in BY_TOKEN and not run.has_tokens:
            yield Check(name, "unknown")
            continue
        met = rows.loc[met_by(rows, COMPLAINTS[name]), "pair_id"]
        share = f"{len(met) / max(len(rows), 1):.1%}"
        verdict = ("note" if name in MAY_BE_RIGHT else "warn") if len(met) else "pass"
        yield Check(name, verdict, {"n": len(met), "share": share}, tuple(met)[:EXAMPLES])


def _last(run: Run) -> list[Model]:
    """The last scored policy of every series."""
    return list({model.series: model for model in run.models if run.parts_done(model)}.values())


def _noise(run: Run) -> float:
    floor = run.noise_floor
    return floor.response if floor else 0.0


CHECKS: dict[str, Callable[[Run], Check]] = {
    "finished": _finished,
    "scored": _scored,
    "weights": _weights,
    "twins": _twins,
    "start": _start,
    "step0": _step_zero,
    "same_reference": _same_reference,
    "logged": _logged,
    "noise": _noise_floor,
    "beginning": _shared_beginning,
    "labels": _labels,
    "lengths": _lengths,
}
