"""The numbers that the causes are judged by, each with its unit; what a run does not hold is NaN, never guessed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.arrays.region_sums import cell_sums
from dpo_analysis.arrays.response_sums import inputs, sums
from dpo_analysis.diagnosis.fall_detection import Path
from dpo_analysis.diagnosis.ledger.flipped_labels import turned
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.diagnosis.thresholds import EARLY, FALLEN, PSEUDO
from dpo_analysis.numerics.edit_distance import edit_shares
from dpo_analysis.runs import Run
from dpo_analysis.runs.list_columns import lists, side_places
from dpo_analysis.schema import SIDES
from dpo_analysis.tables.evidence import credit_table
from dpo_analysis.tables.trainer_log import logged_curves
from dpo_analysis.text.regions import PLACES

Array = NDArray[np.float64]
COMPARED = 256
"""Fallen pairs whose edit distance is taken: those that fell most."""
OTHERS = 4096
"""Pairs among which those that turn a pair round are looked for."""
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Signals:
    """What one checkpoint of a series says about its fallen pairs.

    Attributes:
        lost: nats lost per pair at this checkpoint, mean over all pairs of max(0, -change).
        lost_at_end: the same at the last checkpoint.
        pushed: share C of the lost log-prob on tokens that other pairs reject here more than they choose.
        pulled: share P of it that went to tokens that other pairs choose here.
        no_data: share of it that went to improbable tokens that no text of the run has here.
        x: X, mean over the lost log-prob of (r - c) / (r + c + K), from -1 to 1.
        by_place: for each place in the response its ``weight``, ``pushed``, ``pulled`` (shares), ``x``, and ``others``:
            the mean change there of the chosen responses that did not fall, nats per pair.
        concentration: share of the lost nats on the five (previous token, token) that lost most.
        edit: mean edit distance between the two responses of fallen pairs, share of the longer one, in tokens.
        gap: how much less likely a rejected token is than a chosen one under the reference, nats per token.
        rise: highest mean chosen change of the whole curve, nats; NaN where its beginning was not seen.
        expected: fall over sum KL(pi_ref || pi) of fallen pairs; 1 is what the policy's movement explains.
        rejected_expected: the same of the rejected responses of the same pairs.
        credit_size: mean |credit_z| over both responses of the pairs, standard deviations.
        end: share of the lost log-prob on end-of-text tokens.
        ended: share of it that went to an end of text: responses end earlier.
        contradicted: share of the fallen pairs' loss in pairs whose chosen response another pair rejects, or whose
            rejected response another one chooses, for the same prompt.
        contradicted_pairs: share of all pairs that are so.
        turned: share of the fallen pairs' loss in pairs that others turn round: what these choose they reject, and
            what these reject they choose.
        turned_pairs: share of all pairs that are so.
        both_expected: change of both responses of all pairs over -2 sum KL(pi_ref || pi); 1 is what answers of the
            reference do, whichever of them is labelled chosen.
        longer: share of the fallen pairs whose chosen response is the longer one, in tokens.
        argmax_gain: share of the gained probability on the token that the reference found likeliest.
        no_data_at_end: ``no_data`` at the last checkpoint: how much of the loss is damage by then.
    """

    lost: float
    lost_at_end: float
    pushed: float = NAN
    pulled: float = NAN
    no_data: float = NAN
    x: float = NAN
    by_place: Mapping[str, Mapping[str, float]] | None = None
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
        """C + P, share of the lost log-prob; NaN without a ledger."""
        return self.pushed + self.pulled

    def to_json(self) -> dict[str, float]:
        """Every number by name; those of a place as ``<place>.<name>``."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "by_place"}
        nested = {
            f"{place}.{name}": value for place, own in (self.by_place or {}).items() for name, value in own.items()
        }
        return plain | nested


def signals(run: Run, path: Path, place: int, ledger: Ledger | None, last: Ledger | None = None) -> Signals:
    """The signals of the checkpoint at ``place`` in ``path``, with its ledger and that of the last checkpoint.

    Raises:
        StorageError: a part is damaged.
    """
    found = _texts(run, path, place) | _expected(run, path, place) | {"rise": _rise(run, path)}
    found |= {"lost": float(path.lost[place]), "lost_at_end": float(path.lost[-1])}
    if ledger is None:
        return Signals(**found)
    shares = ledger.shares(path.groups[ledger.place])
    found |= {name: shares[name].share for name in ("pushed", "pulled", "no_data")}
    weight = ledger.tokens.weight
    others = _others(run, path, place)
    by_place = {name: own | {"others": others[name]} for name, own in ledger.by_place().items()}
    found |= {
        "x": float((weight * ledger.tokens.x).sum() / weight.sum()),
        "by_place": by_place,
        "end": by_place["end"]["weight"],
        "ended": ledger.ended(),
        "concentration": _concentration(ledger),
        "argmax_gain": ledger.gainers()["likeliest"],
    }
    if last is not None:
        found["no_data_at_end"] = last.shares(path.groups[last.place])["no_data"].share
    return Signals(**found)


def _concentration(ledger: Ledger) -> float:
    keys = pd.Series(list(zip(ledger.tokens.before, ledger.tokens.token_ids, strict=True)))
    lost = pd.Series(np.maximum(-ledger.tokens.change, 0)).groupby(keys).sum()
    return float(lost.nlargest(5).sum() / lost.sum())


def _others(run: Run, path: Path, place: int) -> dict[str, float]:
    """The mean change by place of the chosen responses that did not fall, nats per pair; NaN where all fell."""
    where = np.searchsorted(inputs(run).pairs["row"].to_numpy(), path.rows)
    kept = path.change[place] >= -max(FALLEN, path.noise)
    both = (
        cell_sums(run, model)["place"][where[kept], SIDES.index("chosen")]
        for model in (path.models[place], run.reference)
    )
    after, before = both
    means = (after - before).mean(axis=0) if kept.any() else np.full(len(PLACES), NAN)
    return dict(zip(PLACES, means.tolist(), strict=True))


def _rise(run: Run, path: Path) -> float:
    """The highest mean change of the curve, from the checkpoints and from the trainer's own log."""
    last = path.models[-1].step
    if not last:
        return NAN
    points = {model.step: value for model, value in zip(path.models, path.means, strict=True) if model.step is not None}
    series = path.models[-1].series
    log = logged_curves(run)
    log = log[(log["series"] == series) & (log["metric"] == "chosen_reward")] if len(log) else log
    beta = run.series[series].beta
    logged = [(step, value / beta) for step, value in zip(log["step"], log["value"], strict=True)] if len(log) else []
    seen = [*points.items(), *((step, value) for step, value in logged if 0 < step <= last and np.isfinite(value))]
    seen = [(step, value) for step, value in seen if np.isfinite(value)]
    if min((step for step, _ in seen), default=last) > EARLY * last:
        return NAN
    return max(value for _, value in seen)


def _texts(run: Run, path: Path, place: int) -> dict[str, float]:
    """What the token ids and the reference's log-probs of the fallen pairs say."""
    known = inputs(run)
    where = np.searchsorted(known.pairs["row"].to_numpy(), path.rows)
    lengths, reference = known.n_tokens[where], sums(run, run.reference).logps[where]
    change = np.nan_to_num(path.change[place])
    fallen = change < -max(FALLEN, path.noise)
    if not fallen.any() or not run.has_tokens:
        return {}
    per_token = -reference / np.maximum(lengths, 1)
    order = np.flatnonzero(fallen)[np.argsort(change[fallen], kind="stable")][:COMPARED]
    texts = _ids(run, path.rows)
    against = _contradicted(known.pairs["group_id"].to_numpy(dtype=object)[where], texts)
    loss = np.where(fallen, -change, 0.0)
    return _turned(texts, loss) | {
        "gap": float((per_token[fallen, 1] - per_token[fallen, 0]).mean()),
        "edit": float(edit_shares(*([side[one] for one in order] for side in texts)).mean()),
        "longer": float((lengths[fallen, 0] > lengths[fallen, 1]).mean()),
        "contradicted": float(loss[against].sum() / loss.sum()),
        "contradicted_pairs": float(against.mean()),
    }


def _turned(texts: tuple[list, list], loss: Array) -> dict[str, float]:
    """The share of the loss, and of a sample of all pairs, that other pairs turn round."""
    order = np.argsort(-loss, kind="stable")
    sample = np.random.default_rng(0).permutation(len(loss))[:COMPARED]
    fallen = order[: min(COMPARED, int((loss > 0).sum()))]
    kept = np.unique(np.concatenate([fallen, sample, np.arange(min(len(loss), OTHERS))]))
    own = tuple([side[one] for one in kept] for side in texts)
    shares = []
    for asked, weight in ((fallen, loss[fallen]), (sample, np.ones(len(sample)))):
        found = turned(own, np.searchsorted(kept, asked).tolist())  # type: ignore[arg-type]
        much = found.reversed > found.alike + PSEUDO * len(kept)
        shares.append(float(weight[much].sum() / max(weight.sum(), 1e-12)))
    return {"turned": shares[0], "turned_pairs": shares[1]}


def _ids(run: Run, rows: NDArray[np.int64]) -> tuple[list, list]:
    """The token ids of chosen and rejected of these rows, in their order; empty where not scored."""
    place = {row: number for number, row in enumerate(rows.tolist())}
    found: tuple[list, list] = tuple([np.zeros(0, np.int64)] * len(rows) for _ in SIDES)  # type: ignore[assignment]
    for part in sorted({row // run.part_size for row in place}):
        table = run.responses(part, columns=["row", "side", "token_ids"])
        lengths, ids = lists(table["token_ids"])
        pieces = np.split(ids.astype(np.int64), np.cumsum(lengths))[: len(lengths)]
        for row, side, piece in zip(table["row"].to_pylist(), side_places(table), pieces, strict=True):
            if row in place and side >= 0:
                found[side][place[row]] = piece
    return found


def _contradicted(groups: NDArray, texts: tuple[list, list]) -> NDArray[np.bool_]:
    """Pairs with a response that another pair of the same prompt judges the other way round."""
    chosen, rejected = ([(group, ids.tobytes()) for group, ids in zip(groups, side, strict=True)] for side in texts)
    chooses, rejects = set(chosen), set(rejected)
    return np.array([
        (one in rejects or two in chooses) and one != two for one, two in zip(chosen, rejected, strict=True)
    ], dtype=bool)  # fmt: skip


def _expected(run: Run, path: Path, place: int) -> dict[str, float]:
    """The fall beside what the policy's movement explains, from evidence ``kl``."""
    credits = credit_table(run, model=path.models[place].key, beta=1.0)
    credits = credits[credits["pair_id"].isin(path.pair_ids)] if len(credits) else credits
    if credits.empty:
        return {}
    fallen = set(path.pair_ids[np.nan_to_num(path.change[place]) < -max(FALLEN, path.noise)])
    own = credits[credits["pair_id"].isin(fallen)]
    ratio = {
        side: float(rows["reward"].sum() / rows["expected_reward"].sum()) if rows["expected_reward"].sum() else NAN
        for side, rows in own.groupby("side")
    }
    both = credits["reward"].sum() / credits["expected_reward"].sum() if credits["expected_reward"].sum() else NAN
    size = credits["credit_z"].abs().replace([np.inf], np.nan).mean()
    ratios = {"expected": ratio.get("chosen", NAN), "rejected_expected": ratio.get("rejected", NAN)}
    return ratios | {"credit_size": float(size), "both_expected": float(both)}
