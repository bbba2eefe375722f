"""The statistics by which the causes are judged, each with its unit; what a run does not hold is NaN, never a guess."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import pair_index, response_sums
from dpo_analysis.diagnosis.ledger.chance import ChanceShare
from dpo_analysis.diagnosis.ledger.flipped_labels import Responses
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.diagnosis.ledger.nulls import chance_shares
from dpo_analysis.diagnosis.ledger.response_ids import read_response_ids
from dpo_analysis.diagnosis.ledger.reversed_labels import find_reversed_labels
from dpo_analysis.diagnosis.ledger.unfallen_gains import Gain, read_unfallen_gains
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.diagnosis.thresholds import EARLY_TRAINING_SHARE, READABLE_NATS
from dpo_analysis.numerics.edit_distance import normalized_edit_distances
from dpo_analysis.runs import Run
from dpo_analysis.schema import CHOSEN, REJECTED
from dpo_analysis.tables.evidence import credit_table
from dpo_analysis.tables.trainer_log import logged_curves

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
COMPARED_PAIRS = 256
"""Fallen pairs whose responses are compared, those that fell most."""
CONCENTRATED_BIGRAMS = 5
"""Bigrams whose share of the lost nats is ``concentration``."""
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class FallStatistics:
    """Statistics of the pairs that fell, at one checkpoint of a series.

    The field names are those in the JSON of a diagnosis. "Lost log-prob" is that of the chosen responses that fell, at
    this checkpoint, every such pair counting the same, unless nats are named.

    Attributes:
        lost: mean over all pairs of max(0, -change), nats per pair.
        clear: nats lost per pair from which on a loss is clear enough to be read, for responses of this length.
        lost_at_end: the same at the last checkpoint.
        pushed: C, share of the lost log-prob on tokens that other pairs reject in this context more than they choose.
        pulled: P, share of it that went to tokens that other pairs choose in this context.
        no_data: share of it that went to improbable tokens that no text of the run has in this context.
        x: X, mean over the lost log-prob of (r - c) / (r + c + K), from -1 to 1; above 0 other pairs push it down.
        n_fallen: number of pairs that fell.
        n_groups: number of their prompts.
        lost_per_token: nats that a token of a chosen response that fell lost.
        end_per_token: mean over all pairs of max(0, -change) at the last checkpoint, over the mean number of tokens of
            a chosen response, nats per token.
        fallen_at_end: share of the pairs that are fallen at the last checkpoint.
        rejected_times: mean change of the rejected responses at this checkpoint over that of the chosen ones; above 1
            the rejected fell faster, NaN where the chosen did not fall.
        by_region: for each region of the response its ``weight``, ``pushed``, ``pulled`` and ``x`` (see
            ``Ledger.by_region``); ``pushed_by_chance`` and ``pulled_by_chance``, the upper ends of what random labels
            of the other pairs give (``ledger.nulls``); ``gain``, the mean change of a token of this region in chosen
            responses that did not fall, nats per token and measured as in ``ledger.unfallen_gains``, with the lower end
            of its interval, ``gain_low``; and ``gain_times``, the gain over ``lost_per_token``.
        concentration: share of the lost nats on the five bigrams that lost most.
        edit: mean edit distance between the two responses of pairs that fell, in tokens, share of the longer response.
        edit_median: its median.
        gap: how much less likely a rejected token is than a chosen one under the reference, nats per token.
        rise: highest mean change of the chosen responses on the whole curve, nats; NaN where its start was not seen.
        expected: fall over what the movement of the policy explains, -sum KL(pi_ref || pi); 1 is exactly as expected.
        rejected_expected: the same of the rejected responses of the same pairs.
        credit_size: mean |credit_z| over both responses of all pairs with evidence, standard deviations.
        end: share of the lost log-prob on end-of-text tokens.
        ended: share of it that went to an end of text: responses end earlier.
        contradicted: share of the lost nats in pairs whose chosen response another pair of the same prompt rejects, or
            whose rejected response another one chooses.
        contradicted_pairs: share of all pairs that are so.
        turned: share of the lost nats in pairs whose label other pairs oppose (``ledger.flipped_labels``).
        turned_by_chance: upper end of that share where losses and labels are unrelated (``ledger.reversed_labels``).
        turned_pairs: share of all pairs that are so, from a sample.
        both_expected: change of both responses of all pairs over -2 sum KL(pi_ref || pi); 1 is what answers of the
            reference show, whichever of them is labelled chosen.
        longer: share of the pairs that fell whose chosen response is the longer one, in tokens.
        argmax_gain: share of the gained probability that went to the token that the reference found likeliest.
        no_data_at_end: ``no_data`` at the last checkpoint: how much of the loss is damage by then.
    """

    lost: float
    lost_at_end: float
    clear: float = NAN
    n_fallen: int = 0
    n_groups: int = 0
    lost_per_token: float = NAN
    end_per_token: float = NAN
    fallen_at_end: float = NAN
    rejected_times: float = NAN
    pushed: float = NAN
    pulled: float = NAN
    no_data: float = NAN
    x: float = NAN
    by_region: Mapping[str, Mapping[str, float]] | None = None
    concentration: float = NAN
    edit: float = NAN
    edit_median: float = NAN
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
    turned_by_chance: float = NAN
    turned_pairs: float = NAN
    both_expected: float = NAN
    longer: float = NAN
    argmax_gain: float = NAN
    no_data_at_end: float = NAN

    @property
    def data_driven(self) -> float:
        """C + P, share of the lost log-prob that the texts of other pairs account for, as far as it is known.

        C alone without evidence, NaN without a ledger.
        """
        return self.pushed + (0.0 if math.isnan(self.pulled) else self.pulled)

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
    fallen = log_ratios.fallen(index)
    statistics["clear"] = READABLE_NATS * log_ratios.mean_scale
    statistics |= {"n_fallen": int(fallen.sum()), "n_groups": len(np.unique(log_ratios.groups[fallen]))}
    statistics |= _text_statistics(run, log_ratios, index)
    statistics |= _kl_statistics(run, log_ratios, index)
    statistics["rise"] = _highest_mean(run, log_ratios)
    statistics["rejected_times"] = _rejected_times(run, log_ratios, index)
    if ledger is not None:
        statistics |= _ledger_statistics(log_ratios, ledger, read_unfallen_gains(run, log_ratios, index))
    if last_ledger is not None and last_ledger.has_evidence:
        shares = last_ledger.shares(log_ratios.groups[last_ledger.pair_indices])
        statistics["no_data_at_end"] = shares["no_data"].share
    return FallStatistics(**statistics)


def _ledger_statistics(log_ratios: SeriesLogRatios, ledger: Ledger, gains: Mapping[str, Gain]) -> dict[str, Any]:
    shares = ledger.shares(log_ratios.groups[ledger.pair_indices])
    loss_share = ledger.tokens.loss_share
    by_chance = chance_shares(ledger)
    by_region = {
        name: region | _region_chance(by_chance[name], gains[name]) for name, region in ledger.by_region().items()
    }
    return {name: share.share for name, share in shares.items() if name != "unexplained"} | {
        "x": float((loss_share * ledger.tokens.x).sum() / loss_share.sum()),
        "by_region": by_region,
        "end": by_region["end"]["weight"],
        "ended": ledger.end_of_text_share() if ledger.has_evidence else NAN,
        "concentration": _concentration(ledger),
        "argmax_gain": ledger.recipients()["likeliest"] if ledger.has_evidence else NAN,
    }


def _region_chance(by_chance: Mapping[str, ChanceShare], gain: Gain) -> dict[str, float]:
    """Return what chance gives in one region, and what responses that did not fall gained there."""
    limits = {f"{name}_by_chance": by_chance[name].high for name in ("pushed", "pulled")}
    return limits | {"gain": gain.nats_per_token, "gain_low": gain.low, "gain_times": gain.times}


def _concentration(ledger: Ledger) -> float:
    bigrams = pd.Series(list(zip(ledger.tokens.previous_ids, ledger.tokens.token_ids, strict=True)))
    lost = pd.Series(ledger.tokens.lost).groupby(bigrams).sum()
    return float(lost.nlargest(CONCENTRATED_BIGRAMS).sum() / lost.sum())


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


def _rejected_times(run: Run, log_ratios: SeriesLogRatios, index: int) -> float:
    """Return the mean change of the rejected responses over that of the chosen ones; NaN where these did not fall."""
    model = log_ratios.models[index]
    rejected = response_sums(run, model).logps[:, 1] - response_sums(run, run.reference).logps[:, 1]
    change = rejected[pair_index(run).indices(log_ratios.rows)]
    used = np.isfinite(change) & np.isfinite(log_ratios.chosen[index])
    chosen = float(log_ratios.chosen[index][used].mean()) if used.any() else NAN
    return float(change[used].mean()) / chosen if chosen < 0 else NAN


def _text_statistics(run: Run, log_ratios: SeriesLogRatios, index: int) -> dict[str, float]:
    """Return statistics of token ids and of the reference's log-probs; nothing without tokens or pairs that fell."""
    fallen = log_ratios.fallen(index)
    if not fallen.any() or not run.has_tokens:
        return {}
    pairs = pair_index(run)
    indices = pairs.indices(log_ratios.rows)
    n_tokens, logps = pairs.n_tokens[indices], response_sums(run, run.reference).logps[indices]
    nats_per_token = -logps / np.maximum(n_tokens, 1)
    change = np.nan_to_num(log_ratios.chosen[index])
    lost = np.where(fallen, -change, 0.0)
    responses = read_response_ids(run, log_ratios.rows)
    groups = pairs.pairs["group_id"].to_numpy(dtype=object)[indices]
    contradicted = np.logical_or(*contradicted_sides(groups, responses))
    compared = np.flatnonzero(fallen)[np.argsort(change[fallen], kind="stable")][:COMPARED_PAIRS].tolist()
    chosen, rejected = ([side[pair] for pair in compared] for side in responses)
    reversed_labels = find_reversed_labels(responses, lost, log_ratios.groups)
    distances = normalized_edit_distances(chosen, rejected)
    return {
        "end_per_token": float(log_ratios.lost[-1] / n_tokens[:, 0].mean()),
        "fallen_at_end": float(log_ratios.fallen(len(log_ratios.models) - 1).mean()),
        "turned": reversed_labels.turned.observed,
        "turned_by_chance": reversed_labels.turned.high,
        "turned_pairs": reversed_labels.turned_pairs,
        "lost_per_token": float(lost.sum() / n_tokens[fallen, 0].sum()),
        "gap": float((nats_per_token[fallen, 1] - nats_per_token[fallen, 0]).mean()),
        "edit": float(distances.mean()),
        "edit_median": float(np.median(distances)),
        "longer": float((n_tokens[fallen, 0] > n_tokens[fallen, 1]).mean()),
        "contradicted": float(lost[contradicted].sum() / lost.sum()),
        "contradicted_pairs": float(contradicted.mean()),
    }


def contradicted_sides(groups: NDArray, responses: tuple[Responses, Responses]) -> tuple[Mask, Mask]:
    """Return which pairs have a chosen response that another pair of the same prompt rejects, and the other way round.

    Both of shape (pairs,): for the chosen and for the rejected response. Pairs with two equal responses do not count.

    Args:
        groups: group of each pair, shape (pairs,).
        responses: token ids of the chosen and of the rejected response of each pair.
    """
    chosen, rejected = ([(group, ids.tobytes()) for group, ids in zip(groups, side, strict=True)] for side in responses)
    chosen_anywhere, rejected_anywhere = set(chosen), set(rejected)
    both = list(zip(chosen, rejected, strict=True))
    sides = [[c in rejected_anywhere and c != r for c, r in both], [r in chosen_anywhere and c != r for c, r in both]]
    return np.array(sides[0], dtype=bool), np.array(sides[1], dtype=bool)


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
