"""Tables of the probes (``score --probes``): samples and greedy responses of the models, scored under each model.

They say how much of the reference's samples a policy still gives, and whether the core of the chosen responses is as
likely after another opening. They inform, and name no cause.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.selection import Names, choose_models
from dpo_analysis.numerics.bootstrap import ratio_intervals
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.evidence.probes import GREEDY, SAMPLES, SWAP, read_responses, read_scores
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import CHOSEN, SCORED, SIDES
from dpo_analysis.text.regions import REGIONS, sentence_ends, token_regions
from dpo_analysis.text.token_types import special_tokens_mask

KEYS = ["series", "model", "step"]
KEPT_MASS_COLUMNS = [*KEYS, "n_prompts", "n_samples", "kept_mass", "low", "high", "share_cut"]
GREEDY_COLUMNS = [*KEYS, "n_prompts", "same_greedy", "low", "high", "reference_greedy_change", "own_greedy_change"]
SWAP_COLUMNS = [
    *KEYS,
    "n_prompts",
    "same_opening",
    "core_own",
    "core_own_low",
    "core_own_high",
    "core_chosen",
    "core_chosen_low",
    "core_chosen_high",
    "join_own",
    "join_chosen",
]
Array = NDArray[np.float64]
Key = tuple[int, str]
"""Row and side of a response."""


def kept_mass_table(run: Run, *, series: Names = None, model: Names = None) -> pd.DataFrame:
    """Return the probability mass of the reference that each policy keeps: one row per policy with scored probes.

    Args:
        run: an open run.
        series: only these series.
        model: only these policies, NAME or SERIES/NAME.

    Returns:
        Columns: series, model, step, n_prompts, n_samples; kept_mass: mean over samples of the reference of
        min(1, pi(y|x) / pi_ref(y|x)), a share, with its 95 % interval over prompts (low, high). It is 1 minus the total
        variation distance between the distributions of both models over responses: 1 for the reference itself, near 0
        where nothing of it is left. share_cut: share of the samples that were cut before their end; of these the
        beginning counts.

    Raises:
        InputError: nothing in the run has such a name.
        StorageError: a file is damaged.
    """
    base = _logps(run, SAMPLES, run.reference, run.reference)
    truncated = _column(run, SAMPLES, run.reference, "truncated")
    rows = []
    for policy in choose_models(run, series, model):
        logps = _logps(run, SAMPLES, run.reference, policy)
        keys = [key for key in logps if key in base]
        if not keys:
            continue
        kept = np.exp(np.minimum([logps[key].sum() - base[key].sum() for key in keys], 0.0))
        mean, low, high = _mean_with_interval(kept, [row for row, _ in keys])
        share_cut = float(np.mean([truncated.get(key, False) for key in keys]))
        rows.append([*_policy(policy), len({row for row, _ in keys}), len(keys), mean, low, high, share_cut])
    return _table(rows, KEPT_MASS_COLUMNS)


def greedy_table(run: Run, *, series: Names = None, model: Names = None) -> pd.DataFrame:
    """Return how the greedy responses changed: one row per policy with scored probes.

    Arguments and errors as in ``kept_mass_table``.

    Returns:
        Columns: series, model, step, n_prompts; same_greedy: share of prompts with exactly the greedy response of the
        reference, with its 95 % interval over prompts (low, high); reference_greedy_change and own_greedy_change: log
        pi - log pi_ref of the greedy response of the reference and of the policy, nats, means over prompts.
    """
    base = _logps(run, GREEDY, run.reference, run.reference)
    reference_ids = _column(run, GREEDY, run.reference, "token_ids")
    rows = []
    for policy in choose_models(run, series, model):
        # Logps of the reference's response under the policy, and of the policy's response under both models.
        of_reference = _logps(run, GREEDY, run.reference, policy)
        of_policy, base_of_policy = (_logps(run, GREEDY, policy, scorer) for scorer in (policy, run.reference))
        policy_ids = _column(run, GREEDY, policy, "token_ids")
        keys = [key for key in of_reference if key in base and key in of_policy and key in base_of_policy]
        if not keys:
            continue
        same = np.array([np.array_equal(policy_ids[key], reference_ids[key]) for key in keys], dtype=float)
        mean, low, high = _mean_with_interval(same, [row for row, _ in keys])
        changes = (
            float(np.mean([after[key].sum() - before[key].sum() for key in keys]))
            for after, before in ((of_reference, base), (of_policy, base_of_policy))
        )
        rows.append([*_policy(policy), len(keys), mean, low, high, *changes])
    return _table(rows, GREEDY_COLUMNS)


def swap_table(run: Run, *, series: Names = None, model: Names = None) -> pd.DataFrame:
    """Return how the core of the chosen responses changed after the policy's own opening: one row per policy.

    Pairs whose chosen response has no core do not count. Where core_own stays near 0 while the opening fell, the policy
    keeps the answer and only begins it differently. Arguments and errors as in ``kept_mass_table``.

    Returns:
        Columns: series, model, step, n_prompts; same_opening: share of prompts at which both openings are the same;
        core_own and core_chosen: log pi - log pi_ref of the core after the policy's greedy opening and after that of
        the chosen response, without the first token of the core, nats per pair, with 95 % intervals over prompts
        (``_low``, ``_high``); join_own and join_chosen: the same of that first token, where two texts are joined.
    """
    rows = []
    chosen = _cores(run, run.reference)
    for policy in choose_models(run, series, model):
        swapped, base = (_logps(run, SWAP, policy, scorer) for scorer in (policy, run.reference))
        cores = _cores(run, policy)
        # Prompt and own opening before each swapped core.
        contexts = {row: ids for (row, _), ids in _column(run, SWAP, policy, "prompt_token_ids").items()}
        pairs = [row for row, side in swapped if (row, side) in base and row in cores and row in chosen]
        if not pairs:
            continue
        after_own = [swapped[row, SWAP] - base[row, SWAP] for row in pairs]
        after_chosen = [cores[row][1] - chosen[row][1] for row in pairs]
        means = [
            _mean_with_interval(np.array([change[1:].sum() for change in changes]), pairs)
            for changes in (after_own, after_chosen)
        ]
        joins = [float(np.mean([change[0] for change in changes])) for changes in (after_own, after_chosen)]
        same = float(np.mean([np.array_equal(contexts[row], cores[row][0]) for row in pairs]))
        rows.append([*_policy(policy), len(pairs), same, *means[0], *means[1], *joins])
    return _table(rows, SWAP_COLUMNS)


def _policy(policy: Model) -> list[object]:
    return [policy.series, policy.name, policy.step]


def _table(rows: list[list[object]], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns).astype({"step": "Int64"})


def _mean_with_interval(values: Array, rows: list[int]) -> tuple[float, float, float]:
    """Return the mean and both ends of its 95 % interval over prompts, given by ``rows``."""
    groups = np.unique(rows, return_inverse=True)[1].astype(np.int64)
    low, high = ratio_intervals(values[:, None], np.ones((len(values), 1)), groups, int(groups.max()) + 1)
    return float(values.mean()), float(low[0]), float(high[0])


def _logps(run: Run, name: str, maker: Model, scorer: Model) -> dict[Key, Array]:
    """Return the log-probs, nats, shape (tokens,), of each of the maker's responses that count; empty if unscored."""
    table = read_scores(run, name, maker, scorer)
    return {} if table is None else {key: logp for key, logp, status in _responses(table) if status in SCORED}


def _responses(table: pa.Table) -> Iterator[tuple[Key, Array, str]]:
    """Return key, log-probs and status of every response of a table of scores."""
    lengths, values = flatten_lists(table["logp"])
    pieces = np.split(values.astype(np.float64), np.cumsum(lengths)[:-1])
    keys = zip(table["row"].to_pylist(), table["side"].to_pylist(), strict=True)
    yield from zip(keys, pieces, table["status"].to_pylist(), strict=True)


def _column(run: Run, name: str, maker: Model, column: str) -> dict[Key, Any]:
    """Return a column of the responses of a set that were made by or for ``maker``; empty if there are none."""
    table = read_responses(run, name, maker)
    return {} if table is None else {(line["row"], line["side"]): line[column] for line in table.to_pylist()}


def _cores(run: Run, scorer: Model) -> dict[int, tuple[list[int], Array]]:
    """Return the tokens before the core of the chosen response and the core's log-probs, nats, by row of the pair.

    Of the pairs that were probed and whose chosen response has a core.
    """
    table = read_responses(run, GREEDY, run.reference)
    rows = sorted(set(table["row"].to_pylist())) if table is not None else []
    vocab, cores = run.vocab(), {}
    for part in sorted({row // run.part_size for row in rows}):
        responses = run.responses(part)
        wanted = np.isin(responses["row"].to_numpy(), rows) & (side_indices(responses) == SIDES.index(CHOSEN))
        logps = {key: logp for key, logp, status in _responses(run.scores(scorer, part)) if status in SCORED}
        for response in responses.filter(pa.array(wanted)).to_pylist():
            row, ids = response["row"], np.array(response["token_ids"], dtype=np.int64)
            logp, lengths = logps.get((row, response["side"])), np.array([len(ids)])
            regions = token_regions(lengths, special_tokens_mask(vocab, ids), sentence_ends(vocab, lengths, ids))
            core = regions == REGIONS.index("core")
            if logp is not None and core.any():
                before = [*response["prompt_token_ids"], *ids[: int(np.argmax(core))].tolist()]
                cores[row] = (before, logp[core])
    return cores
