"""Checks of a run that need no model: is the setup sound, does it agree with the trainer's log, are the rows as meant.

A check is one question. Its answer is a verdict, the numbers behind it, and the pairs that it is about. The checks
that compare the setup with the trainer's log and with what the reference expects are in ``setup_checks``.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from dpo_analysis.arrays.response_sums import pair_index, pair_statuses
from dpo_analysis.data.row_texts import TEXT_WARNINGS
from dpo_analysis.data.row_warnings import ROW_WARNINGS, matching_rows
from dpo_analysis.diagnosis.check_rows import rows_to_check
from dpo_analysis.diagnosis.setup_checks.check import CHECK_VERDICTS, Check
from dpo_analysis.diagnosis.setup_checks.template import check_template
from dpo_analysis.diagnosis.setup_checks.trainer_log import check_logged
from dpo_analysis.diagnosis.setup_checks.trainer_reference import check_same_reference
from dpo_analysis.runs import Model, Run
from dpo_analysis.schema import FLAGGED
from dpo_analysis.tables.decompositions import decomposition_table
from dpo_analysis.tables.filters import FLIP_MARGIN, with_flip_margins
from dpo_analysis.tables.pairs import pair_table
from dpo_analysis.text.numbers import significant

SHARED_START_NATS = 1e-3
"""Nats per token, or per response at step 0: a smaller difference where there must be none is rounding, even where the
noise floor is smaller or was not measured."""
WITHIN_NOISE_SHARE = 0.5
"""Share of the pairs whose change lies within the noise floor, above which the run says little about its pairs."""
HARD_LABELS_SHARE = 0.05
"""Share of the pairs that DPO cannot turn in practice (``tables.filters.FLIP_MARGIN``): above it labels are doubted."""
ONE_SIDED_SHARE = 0.75
"""Share of the pairs in which the same side is the longer one, from which on length alone predicts most labels."""
EXAMPLE_PAIRS = 20
"""Pairs that a check names at most."""
NEED_TOKEN_IDS = ("double_bos", "double_eos", "no_eos", "truncated")
"""Row checks that only token ids can answer."""
MAY_BE_INTENDED = ("both_ways", "unused_logps")
"""Row checks that may meet what the data is meant to hold."""
APPENDS_END = ("trl-0.24", "trl-0.12", "trl-0.9", "openrlhf")
"""Presets whose trainer appends an end-of-text token to every response, so that two of them are as in training."""
ROW_CHECKS = [name for name in ROW_WARNINGS if name not in ("border_shift", "raw_text")]
"""The warnings of ``data.row_warnings`` that a run folder can answer."""


def run_checks(run: Run) -> list[Check]:
    """Return every check of ``run``, the gravest verdict first.

    Raises:
        StorageError: a part is damaged.
    """
    checks = [check(run) for check in CHECKS.values()]
    checks += _row_checks(run)
    return sorted(checks, key=lambda check: CHECK_VERDICTS.index(check.verdict))


def _finished(run: Run) -> Check:
    """Whether every part of every model is scored."""
    done, whole = (sum(parts) for parts in zip(*run.progress().values(), strict=True))
    return Check("finished", "pass" if done == whole else "note", {"done": done, "whole": whole})


def _scored(run: Run) -> Check:
    """Whether every response could be scored: it could not where a number is not finite, or memory ran out."""
    ids = pair_index(run).pairs["pair_id"].to_numpy(dtype=object)
    models, flagged = [], np.zeros(len(ids), dtype=bool)
    for model in run.models:
        flagged_by_model = np.isin(pair_statuses(run, model), FLAGGED)
        models += [model.key] if flagged_by_model.any() else []
        flagged |= flagged_by_model
    values = {"n": int(flagged.sum()), "models": ", ".join(models)} if models else {}
    return Check("scored", "fail" if models else "pass", values, tuple(ids[flagged][:EXAMPLE_PAIRS]))


def _weights(run: Run) -> Check:
    """Whether a policy after step 0 has the weights of the reference, as where an adapter was not applied."""
    same = [
        model.key for model in run.models if model.weights and model.weights == run.reference.weights and model.step
    ]
    return Check("weights", "fail" if same else "pass", {"models": ", ".join(same)} if same else {})


def _equal_checkpoints(run: Run) -> Check:
    """Whether two checkpoints have the same weights."""
    keys: dict[str, list[str]] = {}
    for model in run.models:
        if model.step != 0:  # before the first step all trainings have the weights of the reference
            keys.setdefault(model.weights, []).append(model.key)
    twins = [" = ".join(names) for weights, names in keys.items() if weights and len(names) > 1]
    return Check("twins", "warn" if twins else "pass", {"models": "; ".join(twins)} if twins else {})


def _start(run: Run) -> Check:
    """Whether every series is known to have started from the reference."""
    unknown = [name for name, series in run.series.items() if series.start != "reference"]
    return Check("start", "note" if unknown else "pass", {"series": ", ".join(unknown)} if unknown else {})


def _step_zero(run: Run) -> Check:
    """Whether every reward is 0 at step 0, where the policy is its reference."""
    first = [model for model in run.models if model.step == 0 and run.parts_done(model)]
    if not first:
        return Check("step0", "unknown")
    rows = pair_table(run, model=[model.key for model in first], source=False)
    ratios = rows[["chosen_log_ratio", "rejected_log_ratio"]].abs().max(axis=1)
    largest, allowed = float(ratios.max()), max(_response_noise(run), SHARED_START_NATS)
    off = rows.loc[ratios > allowed, "pair_id"]
    values = {"largest": significant(largest, 2), "allowed": significant(allowed, 2)}
    return Check("step0", "fail" if len(off) else "pass", values, tuple(dict.fromkeys(off))[:EXAMPLE_PAIRS])


def _beta_above_zero(run: Run) -> Check:
    """Whether every series has a beta above 0: with 0 every reward is 0 by definition, and the loss has no gradient."""
    zero = [name for name, series in run.series.items() if series.beta == 0]
    return Check("beta", "warn" if zero else "pass", {"series": ", ".join(zero)} if zero else {})


def _noise_floor(run: Run) -> Check:
    """Whether most chosen responses moved by more than the noise floor."""
    floor = run.noise_floor
    if floor is None:
        return Check("noise", "unknown")
    rows = pair_table(run, model=[model.key for model in _last_policies(run)], source=False)
    changes = rows["chosen_log_ratio"].dropna().abs()
    below = float((changes <= floor.response).mean()) if len(changes) else 0.0
    values = {"token": f"{floor.token:.2g}", "response": f"{floor.response:.2g}", "share": f"{below:.1%}"}
    return Check("noise", "warn" if below > WITHIN_NOISE_SHARE else "pass", values)


def _shared_beginning(run: Run) -> Check:
    """Whether both sides move alike on the tokens they start with, whose log-probs are the same until they differ."""
    last = _last_policies(run)
    rows = decomposition_table(run, model=last[0].key, by=("span", "quantile")) if last else pd.DataFrame()
    rows = rows[(rows["by"] == "span") & (rows["part"] == "before")] if len(rows) else rows
    if len(rows) < 2:
        return Check("beginning", "unknown")
    per_token = rows["log_ratio_per_token"].to_numpy()
    apart, allowed = abs(float(per_token[0] - per_token[1])), max(_response_noise(run), SHARED_START_NATS)
    values = {"apart": f"{apart:.2g}", "allowed": f"{allowed:.2g}", "model": last[0].key}
    return Check("beginning", "fail" if apart > allowed else "pass", values)


def _labels(run: Run) -> Check:
    """Whether DPO can turn most pairs: in some the reference prefers the rejected response too strongly for that."""
    last = _last_policies(run)
    if not last:
        return Check("labels", "unknown")
    rows = pair_table(run, model=last[0].key, source=False).dropna(subset=["margin"])
    rows = with_flip_margins(rows, run.series[last[0].series].beta)
    hard = rows.loc[rows["flip_margin"] >= FLIP_MARGIN, "pair_id"]
    against = float((rows["reference_margin"] < 0).mean()) if len(rows) else 0.0
    values = {"hard": len(hard), "n": len(rows), "against": f"{against:.0%}"}
    verdict = "warn" if len(hard) > HARD_LABELS_SHARE * len(rows) else "pass"
    return Check("labels", verdict, values, tuple(hard)[:EXAMPLE_PAIRS])


def _lengths(run: Run) -> Check:
    """Whether length alone predicts the label: a policy may then learn it instead of what the labels mean."""
    if not run.has_tokens:
        return Check("lengths", "unknown")
    lengths = pair_index(run).n_tokens
    lengths = lengths[np.isfinite(lengths).all(axis=1)]
    longer, shorter = (
        float((lengths[:, side] > lengths[:, 1 - side]).mean()) if len(lengths) else 0.0 for side in (0, 1)
    )
    chosen, rejected = lengths.mean(axis=0) if len(lengths) else (0.0, 0.0)
    values = {"longer": f"{longer:.0%}", "shorter": f"{shorter:.0%}", "n": len(lengths)}
    values |= {"chosen": f"{chosen:.1f}", "rejected": f"{rejected:.1f}"}
    return Check("lengths", "warn" if max(longer, shorter) >= ONE_SIDED_SHARE else "pass", values)


def _row_checks(run: Run) -> Iterator[Check]:
    """Yield the warnings that the command ``check`` gives about rows, as far as the run folder can answer them."""
    rows = rows_to_check(run)
    for name in ROW_CHECKS:
        if name in NEED_TOKEN_IDS and not run.has_tokens:
            yield Check(name, "unknown")
            continue
        if name in TEXT_WARNINGS and rows[name].isna().all():
            yield Check(name, "unknown")
            continue
        met = rows.loc[matching_rows(rows, ROW_WARNINGS[name]), "pair_id"]
        looked_at = int(rows[name].notna().sum()) if name in TEXT_WARNINGS else len(rows)
        share = f"{len(met) / max(looked_at, 1):.1%}"
        by_trainer = name == "double_eos" and run.identity.get("tokenization") in APPENDS_END
        verdict = ("note" if by_trainer or name in MAY_BE_INTENDED else "warn") if len(met) else "pass"
        values = {"n": len(met), "share": share, "of": looked_at}
        yield Check(name, verdict, values, tuple(met)[:EXAMPLE_PAIRS])


def _last_policies(run: Run) -> list[Model]:
    """Return the last scored policy of every series."""
    return list({model.series: model for model in run.models if run.parts_done(model)}.values())


def _response_noise(run: Run) -> float:
    """Return the noise floor of a response, nats; 0 where it was not measured."""
    floor = run.noise_floor
    return floor.response if floor else 0.0


CHECKS: dict[str, Callable[[Run], Check]] = {
    "finished": _finished,
    "scored": _scored,
    "weights": _weights,
    "twins": _equal_checkpoints,
    "start": _start,
    "step0": _step_zero,
    "beta": _beta_above_zero,
    "same_reference": check_same_reference,
    "logged": check_logged,
    "template": check_template,
    "noise": _noise_floor,
    "beginning": _shared_beginning,
    "labels": _labels,
    "lengths": _lengths,
}
