"""The statistics by which the causes are judged, each with its unit; what a run does not hold is NaN, never a guess."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.arrays.region_sums import region_logps
from dpo_analysis.arrays.response_sums import pair_index, response_sums
from dpo_analysis.diagnosis.ledger.flipped_labels import Responses, count_agreement
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.diagnosis.thresholds import EARLY_TRAINING_SHARE, FALLEN_PAIR_NATS, PSEUDO_COUNT_SHARE
from dpo_analysis.numerics.edit_distance import normalized_edit_distances
from dpo_analysis.runs import Run
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import CHOSEN, REJECTED, SIDES
from dpo_analysis.tables.evidence import credit_table
from dpo_analysis.tables.trainer_log import logged_curves
from dpo_analysis.text.regions import REGIONS

Array = NDArray[np.float64]
COMPARED_PAIRS = 256
"""Fallen pairs whose responses are compared, those that fell most; and pairs of the sample beside them."""
POSSIBLE_OPPONENTS = 4096
"""Pairs among which those that oppose a label are looked for."""
CONCENTRATED_BIGRAMS = 5
"""Bigrams whose share of the lost nats is ``concentration``."""
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class FallStatistics:
    """Statistics of the fallen pairs at one checkpoint of a series.

    The field names are those in the JSON of a diagnosis. "Lost log-prob" is that of the fallen chosen responses at this
    checkpoint, every fallen pair counting the same, unless nats are named.

    Attributes:
        lost: mean over all pairs of max(0, -change), nats per pair.
        lost_at_end: the same at the last checkpoint.
        pushed: C, share of the lost log-prob on tokens that other pairs reject in this context more than they choose.
        pulled: P, share of it that went to tokens that other pairs choose in this context.
        no_data: share of it that went to improbable tokens that no text of the run has in this context.
        x: X, mean over the lost log-prob of (r - c) / (r + c + K), from -1 to 1; above 0 other pairs push it down.
        by_region: for each region of the response its ``weight``, ``pushed``, ``pulled`` and ``x`` (see
            ``Ledger.by_region``), and ``others``: mean change in this region of the chosen responses that did not fall,
            nats per pair; above 0 they gained.
        concentration: share of the lost nats on the five bigrams that lost most.
        edit: mean edit distance between the two responses of fallen pairs, in tokens, share of the longer response.
        gap: how much less likely a rejected token is than a chosen one under the reference, nats per token.
        rise: highest mean change of the chosen responses on the whole curve, nats; NaN where its start was not seen.
        expected: fall over what the policy's movement explains, -sum KL(pi_ref || pi), of fallen pairs; 1 is just that.
        rejected_expected: the same of the rejected responses of the same pairs.
        credit_size: mean |credit_z| over both responses of all pairs with evidence, standard deviations.
        end: share of the lost log-prob on end-of-text tokens.
        ended: share of it that went to an end of text: responses end earlier.
        contradicted: share of the lost nats in pairs whose chosen response another pair of the same prompt rejects, or
            whose rejected response another one chooses.
        contradicted_pairs: share of all pairs that are so.
        turned: share of the lost nats in pairs whose label other pairs oppose (``ledger.flipped_labels``).
        turned_pairs: share of all pairs that are so, from a sample.
        both_expected: change of both responses of all pairs over -2 sum KL(pi_ref || pi); 1 is what answers of the
            reference show, whichever of them is labelled chosen.
        longer: share of the fallen pairs whose chosen response is the longer one, in tokens.
        argmax_gain: share of the gained probability that went to the token that the reference found likeliest.
        no_data_at_end: ``no_data`` at the last checkpoint: how much of the loss is damage by then.
    """

    lost: float
    lost_at_end: float
    pushed: float = NAN
    pulled: float = NAN
    no_data: float = NAN
    x: float = NAN
    by_region: Mapping[str, Mapping[str, float]] | None = None
    concentration: float = NAN
    edit: float = NAN
    gap: float = NAN
    rise: float = NAN
    expected: float = NAN
    rejected_expected: float = NAN
    credit_size: float = NAN
    end: float = NAN
    ended: float = NAN
    contradicted: float = NAN
    contradicted_pairs: float = NAN
    turned: float = NAN
    turned_pairs: float = NAN
    both_expected: float = NAN
    longer: float = NAN
    argmax_gain: float = NAN
    no_data_at_end: float = NAN

    @property
    def data_driven(self) -> float:
        """C + P, share of the lost log-prob that the texts of other pairs account for; NaN without a ledger."""
        return self.pushed + self.pulled

    def to_json(self) -> dict[str, float]:
        """Return every number by name; those of a region as ``<region>.<name>``."""
        plain = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "by_region"}
        by_region = self.by_region or {}
        return plain | {f"{name}.{key}": value for name, region in by_region.items() for key, value in region.items()}


def compute_statistics(
    run: Run, log_ratios: SeriesLogRatios, index: int, ledger: Ledger | None, last_ledger: Ledger | None = None
) -> FallStatistics:
    """Return the statistics of the checkpoint at ``index``.

    Args:
        run: an open run.
        log_ratios: the log-ratios of the series.
        index: index of the checkpoint in them.
        ledger: the ledger of this checkpoint; None without evidence.
        last_ledger: the ledger of the last checkpoint.

    Raises:
        StorageError: a part is damaged.
    """
    statistics: dict[str, Any] = {"lost": float(log_ratios.lost[index]), "lost_at_end": float(log_ratios.lost[-1])}
    statistics |= _text_statistics(run, log_ratios, index)
    statistics |= _kl_statistics(run, log_ratios, index)
    statistics["rise"] = _highest_mean(run, log_ratios)
    if ledger is not None:
        statistics |= _ledger_statistics(log_ratios, ledger, _unfallen_gains(run, log_ratios, index))
    if last_ledger is not None:
        shares = last_ledger.shares(log_ratios.groups[last_ledger.pair_indices])
        statistics["no_data_at_end"] = shares["no_data"].share
    return FallStatistics(**statistics)


def _ledger_statistics(
    log_ratios: SeriesLogRatios, ledger: Ledger, unfallen_gains: Mapping[str, float]
) -> dict[str, Any]:
    shares = ledger.shares(log_ratios.groups[ledger.pair_indices])
    loss_share = ledger.tokens.loss_share
    by_region = {name: region | {"others": unfallen_gains[name]} for name, region in ledger.by_region().items()}
    return {name: shares[name].share for name in ("pushed", "pulled", "no_data")} | {
        "x": float((loss_share * ledger.tokens.x).sum() / loss_share.sum()),
        "by_region": by_region,
        "end": by_region["end"]["weight"],
        "ended": ledger.end_of_text_share(),
        "concentration": _concentration(ledger),
        "argmax_gain": ledger.recipients()["likeliest"],
    }


def _concentration(ledger: Ledger) -> float:
    bigrams = pd.Series(list(zip(ledger.tokens.previous_ids, ledger.tokens.token_ids, strict=True)))
    lost = pd.Series(ledger.tokens.lost).groupby(bigrams).sum()
    return float(lost.nlargest(CONCENTRATED_BIGRAMS).sum() / lost.sum())


def _unfallen_gains(run: Run, log_ratios: SeriesLogRatios, index: int) -> dict[str, float]:
    """Return the mean change by region of the chosen responses that did not fall, nats per pair; NaN where all fell."""
    unfallen = log_ratios.chosen[index] >= -max(FALLEN_PAIR_NATS, log_ratios.noise)
    if not unfallen.any():
        return dict.fromkeys(REGIONS, NAN)
    indices = pair_index(run).indices(log_ratios.rows)[unfallen]
    policy, reference = (
        region_logps(run, model)["place"][indices, SIDES.index(CHOSEN)]
        for model in (log_ratios.models[index], run.reference)
    )
    return dict(zip(REGIONS, (policy - reference).mean(axis=0).tolist(), strict=True))


def _highest_mean(run: Run, log_ratios: SeriesLogRatios) -> float:
    """Return the highest mean change of the chosen responses, from the checkpoints and from the trainer's own log.

    NaN where the first value comes too late: a mean that rose and fell again before it would be missed.
    """
    last = log_ratios.models[-1]
    if not last.step:
        return NAN
    values = dict(zip((model.step for model in log_ratios.models), log_ratios.means.tolist(), strict=True))
    points = [(step, value) for step, value in values.items() if step is not None]
    log = logged_curves(run)
    if len(log):
        log = log[(log["series"] == last.series) & (log["metric"] == "chosen_reward")]
        log_ratio = log["value"] / run.series[last.series].beta
        logged = zip(log["step"].tolist(), log_ratio.tolist(), strict=True)
        points += [(step, value) for step, value in logged if 0 < step <= last.step]
    points = [(step, value) for step, value in points if np.isfinite(value)]
    if min((step for step, _ in points), default=last.step) > EARLY_TRAINING_SHARE * last.step:
        return NAN
    return max(value for _, value in points)


def _text_statistics(run: Run, log_ratios: SeriesLogRatios, index: int) -> dict[str, float]:
    """Return the statistics of token ids and of the reference's log-probs; nothing without fallen pairs or tokens."""
    fallen = log_ratios.fallen(index)
    if not fallen.any() or not run.has_tokens:
        return {}
    pairs = pair_index(run)
    indices = pairs.indices(log_ratios.rows)
    n_tokens, logps = pairs.n_tokens[indices], response_sums(run, run.reference).logps[indices]
    nats_per_token = -logps / np.maximum(n_tokens, 1)
    change = np.nan_to_num(log_ratios.chosen[index])
    lost = np.where(fallen, -change, 0.0)
    responses = _token_ids(run, log_ratios.rows)
    contradicted = _contradicted(pairs.pairs["group_id"].to_numpy(dtype=object)[indices], responses)
    compared = np.flatnonzero(fallen)[np.argsort(change[fallen], kind="stable")][:COMPARED_PAIRS].tolist()
    chosen, rejected = ([side[pair] for pair in compared] for side in responses)
    return _reversal_statistics(responses, lost) | {
        "gap": float((nats_per_token[fallen, 1] - nats_per_token[fallen, 0]).mean()),
        "edit": float(normalized_edit_distances(chosen, rejected).mean()),
        "longer": float((n_tokens[fallen, 0] > n_tokens[fallen, 1]).mean()),
        "contradicted": float(lost[contradicted].sum() / lost.sum()),
        "contradicted_pairs": float(contradicted.mean()),
    }


def _reversal_statistics(responses: tuple[Responses, Responses], lost: Array) -> dict[str, float]:
    """Return the share of the lost nats, and of a sample of all pairs, in pairs whose label other pairs oppose."""
    worst = np.argsort(-lost, kind="stable")[: min(COMPARED_PAIRS, int((lost > 0).sum()))]
    sample = np.random.default_rng(0).permutation(len(lost))[:COMPARED_PAIRS]
    opponents = np.arange(min(len(lost), POSSIBLE_OPPONENTS))
    kept = np.unique(np.concatenate([worst, sample, opponents]))
    chosen, rejected = ([side[pair] for pair in kept.tolist()] for side in responses)
    shares = []
    for pairs, weight in ((worst, lost[worst]), (sample, np.ones(len(sample)))):
        agreement = count_agreement((chosen, rejected), np.searchsorted(kept, pairs).tolist())
        opposed = agreement.opposing > agreement.supporting + PSEUDO_COUNT_SHARE * len(kept)
        shares.append(float(weight[opposed].sum() / max(weight.sum(), 1e-12)))
    return {"turned": shares[0], "turned_pairs": shares[1]}


def _token_ids(run: Run, rows: NDArray[np.int64]) -> tuple[Responses, Responses]:
    """Return the token ids of the chosen and of the rejected responses of these rows; empty where not scored."""
    index_of = {row: index for index, row in enumerate(rows.tolist())}
    responses = [[np.zeros(0, np.int64)] * len(rows) for _ in SIDES]
    for part in sorted({row // run.part_size for row in index_of}):
        table = run.responses(part, columns=["row", "side", "token_ids"])
        lengths, ids = flatten_lists(table["token_ids"])
        pieces = np.split(ids.astype(np.int64), np.cumsum(lengths))[: len(lengths)]
        for row, side, piece in zip(table["row"].to_pylist(), side_indices(table), pieces, strict=True):
            if row in index_of and side >= 0:
                responses[side][index_of[row]] = piece
    return responses[0], responses[1]


def _contradicted(groups: NDArray, responses: tuple[Responses, Responses]) -> NDArray[np.bool_]:
    """Return which pairs have a response that another pair of the same prompt labels the other way, shape (pairs,)."""
    chosen, rejected = ([(group, ids.tobytes()) for group, ids in zip(groups, side, strict=True)] for side in responses)
    chosen_anywhere, rejected_anywhere = set(chosen), set(rejected)
    both = zip(chosen, rejected, strict=True)
    return np.array([(c in rejected_anywhere or r in chosen_anywhere) and c != r for c, r in both], dtype=bool)


def _kl_statistics(run: Run, log_ratios: SeriesLogRatios, index: int) -> dict[str, float]:
    """Return the change beside what the policy's movement explains, from evidence ``kl``; nothing without it."""
    credits = credit_table(run, model=log_ratios.models[index].key, beta=1.0)
    credits = credits[credits["pair_id"].isin(log_ratios.pair_ids)] if len(credits) else credits
    # Evidence is null where a response did not fit into memory while it was collected.
    credits = credits.dropna(subset=["expected_reward"])
    if credits.empty:
        return {}
    fallen = credits[credits["pair_id"].isin(log_ratios.pair_ids[log_ratios.fallen(index)])]
    sizes = credits["credit_z"].abs().replace([np.inf], np.nan)
    return {
        "expected": _expected_ratio(fallen[fallen["side"] == CHOSEN]),
        "rejected_expected": _expected_ratio(fallen[fallen["side"] == REJECTED]),
        "credit_size": float(sizes.mean()),
        "both_expected": _expected_ratio(credits),
    }


def _expected_ratio(credits: pd.DataFrame) -> float:
    """Return the summed reward over the summed expected reward; NaN where nothing is expected."""
    expected = float(credits["expected_reward"].sum())
    return float(credits["reward"].sum()) / expected if expected else NAN
