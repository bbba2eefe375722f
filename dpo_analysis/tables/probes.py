"""What the probes say: how much of the reference's answers a policy keeps, and its core behind another opening.

They inform, and name no cause.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.selection import Names, choose_models
from dpo_analysis.numerics.bootstrap import ratio_intervals
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.evidence.probes import GREEDY, SAMPLES, SWAP, read_responses, read_scores
from dpo_analysis.runs.list_columns import lists, side_places
from dpo_analysis.schema import SCORED, SIDES
from dpo_analysis.text.regions import PLACES, places, sentence_ends
from dpo_analysis.text.token_types import specials

KEYS = ["series", "model", "step"]
KEPT = [*KEYS, "n_prompts", "n_samples", "kept_mass", "low", "high", "share_cut"]
TOLD = [*KEYS, "n_prompts", "same_greedy", "low", "high", "reference_greedy_change", "own_greedy_change"]
SWAPPED = [
    *KEYS, "n_prompts", "same_opening", "core_own", "core_own_low", "core_own_high", "core_chosen", "core_chosen_low",
    "core_chosen_high", "join_own", "join_chosen",
]  # fmt: skip
Array = NDArray[np.float64]
Spoken = dict[tuple[int, str], Array]
"""Log-probs of the tokens of each response, nats, by row and side."""


def kept_mass_table(run: Run, *, series: Names = None, model: Names = None) -> pd.DataFrame:
    """How much of what the reference says each policy keeps: one row per policy whose probes were scored.

    ``kept_mass``: mean over samples of the reference of min(1, pi(y|x) / pi_ref(y|x)), a share with its 95 % interval
    over prompts. It is 1 minus the total variation distance between what the two models say: 1 for the reference
    itself, near 0 where nothing of it is left. ``share_cut``: samples that were cut before their end, of which the
    beginning counts.

    Raises:
        InputError: nothing in the run is called so.
        StorageError: a file is damaged.
    """
    base = _spoken(run, SAMPLES, run.reference, run.reference)
    cut = _cut(run)
    rows = []
    for policy in choose_models(run, series, model):
        own = _spoken(run, SAMPLES, run.reference, policy)
        both = [key for key in own if key in base]
        if not both:
            continue
        kept = np.exp(np.minimum([own[key].sum() - base[key].sum() for key in both], 0.0))
        mean, low, high = _mean(kept, [row for row, _ in both])
        share = float(np.mean([cut.get(key, False) for key in both]))
        rows.append([*_named(policy), len({row for row, _ in both}), len(both), mean, low, high, share])
    return _table(rows, KEPT)


def greedy_table(run: Run, *, series: Names = None, model: Names = None) -> pd.DataFrame:
    """What the models find likeliest: one row per policy whose probes were scored.

    ``same_greedy``: share of prompts with the very continuation of the reference, with its 95 % interval over prompts;
    ``reference_greedy_change`` and ``own_greedy_change``: log pi - log pi_ref of the reference's and of the policy's
    own continuation, nats, means over prompts. Errors as ``kept_mass_table``.
    """
    base, theirs = _spoken(run, GREEDY, run.reference, run.reference), _ids(run, GREEDY, run.reference)
    rows = []
    for policy in choose_models(run, series, model):
        told, own, back = (
            _spoken(run, GREEDY, *by) for by in ((run.reference, policy), (policy, policy), (policy, run.reference))
        )
        said = _ids(run, GREEDY, policy)
        both = [key for key in told if key in base and key in own and key in back]
        if not both:
            continue
        same = np.array([np.array_equal(said[key], theirs[key]) for key in both], dtype=float)
        mean, low, high = _mean(same, [row for row, _ in both])
        changes = (
            float(np.mean([one[key].sum() - other[key].sum() for key in both]))
            for one, other in ((told, base), (own, back))
        )
        rows.append([*_named(policy), len(both), mean, low, high, *changes])
    return _table(rows, TOLD)


def swap_table(run: Run, *, series: Names = None, model: Names = None) -> pd.DataFrame:
    """Is the core of the chosen responses kept behind the policy's own opening? One row per policy.

    ``core_own``: log pi - log pi_ref of the core behind the policy's own greedy opening, and ``core_chosen`` behind the
    chosen response's own, without the first token of the core, nats per pair with their 95 % intervals over prompts;
    ``join_own`` and ``join_chosen``: of that first token, which stands where two texts are joined; ``same_opening``:
    share of prompts at which the two openings are the same. Pairs whose chosen response has no core do not count. Where
    core_own stays near 0 while the opening fell, the answer is kept and only begins differently. Errors as
    ``kept_mass_table``.
    """
    rows = []
    chosen = _cores(run, run.reference)
    for policy in choose_models(run, series, model):
        own, back = (_spoken(run, SWAP, policy, scorer) for scorer in (policy, run.reference))
        spoken, fronts = _cores(run, policy), _fronts(run, policy)
        both = [row for row, side in own if (row, side) in back and row in spoken and row in chosen]
        if not both:
            continue
        changes = {
            "own": [own[row, SWAP] - back[row, SWAP] for row in both],
            "chosen": [spoken[row][1] - chosen[row][1] for row in both],
        }
        cores = {name: _mean(np.array([one[1:].sum() for one in some]), both) for name, some in changes.items()}
        joins = [float(np.mean([one[0] for one in some])) for some in changes.values()]
        same = float(np.mean([np.array_equal(fronts[row], spoken[row][0]) for row in both]))
        rows.append([*_named(policy), len(both), same, *cores["own"], *cores["chosen"], *joins])
    return _table(rows, SWAPPED)


def _named(policy: Model) -> list[object]:
    return [policy.series, policy.name, policy.step]


def _table(rows: list, columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns).astype({"step": "Int64"})


def _mean(values: Array, rows: list[int]) -> tuple[float, float, float]:
    """The mean with its interval over prompts."""
    codes = np.unique(rows, return_inverse=True)[1].astype(np.int64)
    ends = ratio_intervals(values[:, None], np.ones((len(values), 1)), codes, int(codes.max()) + 1)
    return float(values.mean()), float(ends[0][0]), float(ends[1][0])


def _spoken(run: Run, name: str, maker: Model, scorer: Model) -> Spoken:
    """What one model says of another's responses, of those that count; empty where it was not asked."""
    table = read_scores(run, name, maker, scorer)
    return {} if table is None else {key: logp for key, logp, status in _each(table) if status in SCORED}


def _each(table: pa.Table) -> Iterator[tuple[tuple[int, str], Array, str]]:
    lengths, values = lists(table["logp"])
    pieces = np.split(values.astype(np.float64), np.cumsum(lengths)[:-1])
    keys = zip(table["row"].to_pylist(), table["side"].to_pylist(), strict=True)
    yield from zip(keys, pieces, table["status"].to_pylist(), strict=True)


def _ids(run: Run, name: str, maker: Model, column: str = "token_ids") -> dict[tuple[int, str], list[int]]:
    """Token ids of every response of one maker."""
    table = read_responses(run, name, maker)
    if table is None:
        return {}
    return {(one["row"], one["side"]): one[column] for one in table.to_pylist()}


def _cut(run: Run) -> dict[tuple[int, str], bool]:
    table = read_responses(run, SAMPLES, run.reference)
    return {} if table is None else {(one["row"], one["side"]): one["truncated"] for one in table.to_pylist()}


def _fronts(run: Run, policy: Model) -> dict[int, list[int]]:
    """Prompt and own opening in front of each swapped core."""
    return {row: ids for (row, _), ids in _ids(run, SWAP, policy, "prompt_token_ids").items()}


def _cores(run: Run, scorer: Model) -> dict[int, tuple[list[int], Array]]:
    """By row of the pairs that were probed: what stands in front of the chosen core, and the core's log-probs."""
    table = read_responses(run, GREEDY, run.reference)
    rows = sorted(set(table["row"].to_pylist())) if table is not None else []
    vocab, found = run.vocab(), {}
    for part in sorted({row // run.part_size for row in rows}):
        responses = run.responses(part)
        wanted = np.isin(responses["row"].to_numpy(), rows) & (side_places(responses) == SIDES.index("chosen"))
        logps = {key: logp for key, logp, status in _each(run.scores(scorer, part)) if status in SCORED}
        for one in responses.filter(pa.array(wanted)).to_pylist():
            ids, logp = np.array(one["token_ids"], dtype=np.int64), logps.get((one["row"], one["side"]))
            lengths = np.array([len(ids)])
            core = places(lengths, specials(vocab, ids), sentence_ends(vocab, lengths, ids)) == PLACES.index("core")
            if logp is not None and core.any():
                front = [*one["prompt_token_ids"], *ids[: int(np.argmax(core))].tolist()]
                found[one["row"]] = (front, logp[core])
    return found
