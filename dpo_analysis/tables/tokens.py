"""The table with one row per token: log-probs under policy and reference, rewards, and what evidence says."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.pair_quantities import LossSettings
from dpo_analysis.arrays.selection import Names, choose_models, name_list
from dpo_analysis.arrays.vocabulary import read_vocabulary
from dpo_analysis.numerics import rewards
from dpo_analysis.numerics.segments import segment_positions
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.runs.summaries.pair_rows import find_pair
from dpo_analysis.schema import SIDES

Columns = dict[str, NDArray]
"""Columns by name, one value per token, each of shape (tokens,)."""
KEY = ["row", "side", "position"]
SCORES = ["logp", "entropy", "rank", "argmax_id", "argmax_logp"]
DIVERGENCES = ["kl_reference_policy", "kl_policy_reference", "null_variance"]
CREDITS = ["kl_reference_policy", "kl_policy_reference", "credit", "credit_variance", "credit_z"]
"""NaN for pairs without evidence ``kl``."""
TOKEN_COLUMNS = [
    "pair_id",
    "side",
    "series",
    "model",
    "step",
    "position",
    "token_id",
    "token_bytes",
    "text",
    "logp",
    "reference_logp",
    "log_ratio",
    "advantage",
    "value",
    "entropy",
    "rank",
    "argmax_id",
    "argmax_logp",
    *CREDITS,
]


def token_table(
    run: Run,
    *,
    pair_id: Names = None,
    series: Names = None,
    model: Names = None,
    beta: float | None = None,
) -> pd.DataFrame:
    """Return one row per policy, side and scored token, in the order of the text.

    A part that the policy has not scored has no rows; where only the reference is missing, its numbers and those that
    are measured against it are NaN. A run that stores sums only has no rows.

    Args:
        run: an open run.
        pair_id: a pair or several; None for all (large: ``token_parts`` returns them part by part).
        series: only these series.
        model: only these policies, NAME or SERIES/NAME.
        beta: None for the beta of each series.

    Returns:
        Columns and units as in ``schema.TOKEN``: log-probs, log_ratio, entropy and divergences in nats, advantage,
        value and credit in beta x nats.

    Raises:
        InputError: nothing in the run has such a name.
        StorageError: a part is damaged.
    """
    parts = list(_columns(run, pair_id, series, model, beta))
    if not parts:
        return pd.DataFrame(columns=TOKEN_COLUMNS)
    return _frame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def token_parts(
    run: Run,
    *,
    pair_id: Names = None,
    series: Names = None,
    model: Names = None,
    beta: float | None = None,
) -> Iterator[pd.DataFrame]:
    """Return the token table in pieces, one per part and policy, so that it need not fit into memory.

    Arguments, columns and errors as in ``token_table``.
    """
    for columns in _columns(run, pair_id, series, model, beta):
        yield _frame(columns)


def _columns(run: Run, pair_id: Names, series: Names, model: Names, beta: float | None) -> Iterator[Columns]:
    """Return the columns of the token table for each part and policy."""
    settings = LossSettings(beta)
    settings.check(run)
    policies = choose_models(run, series, model)
    ids = name_list(pair_id)
    rows = [find_pair(run, name)[1] for name in ids]
    parts = sorted({row // run.part_size for row in rows}) if ids else run.present_parts
    for part in parts:
        shared = _part_tokens(run, part, np.array(rows) if ids else None)
        for policy in policies:
            table = run.scores(policy, part, ["row", "side", *SCORES], shared.row_list)
            scores = _per_token(table, SCORES, shared.rows)
            if len(scores["row"]):
                scores |= _divergences(run, policy, part, shared, scores)
                yield _token_columns(scores, shared, policy, settings.beta_of(run.series[policy.series]))


class _PartTokens(NamedTuple):
    """The tokens of a part, which all policies share.

    Attributes:
        rows: the rows of the pairs that are wanted; None for all.
        tokens: KEY, pair_id, token_id, token_bytes, text and reference_logp of their tokens.
    """

    rows: NDArray | None
    tokens: Columns

    @property
    def row_list(self) -> list[int] | None:
        """The rows as a list; None for all."""
        return None if self.rows is None else self.rows.tolist()


def _part_tokens(run: Run, part: int, rows: NDArray | None) -> _PartTokens:
    row_list = None if rows is None else rows.tolist()
    pairs = run.pairs(part, ["row", "pair_id"], row_list)
    tokens = _per_token(run.responses(part, ["row", "side", "token_ids"], row_list), ["token_ids"], rows)
    tokens["token_id"] = tokens.pop("token_ids")
    pair_ids = pairs["pair_id"].to_pandas().to_numpy(dtype=object)
    tokens["pair_id"] = pair_ids[np.searchsorted(pairs["row"].to_numpy(), tokens["row"])]
    tokens["token_bytes"], tokens["text"] = read_vocabulary(run).bytes_and_texts(tokens["token_id"])
    reference = _per_token(run.scores(run.reference, part, ["row", "side", "logp"], row_list), ["logp"], rows)
    tokens["reference_logp"] = _matched(tokens, reference, ["logp"])["logp"].astype(np.float64)
    return _PartTokens(rows, tokens)


def _divergences(run: Run, policy: Model, part: int, shared: _PartTokens, scores: Columns) -> Columns:
    """Return ``DIVERGENCES`` of every token, nats (null_variance: nats^2), float64; NaN without evidence."""
    table = run.evidence("kl", policy, part, ["row", "side", *DIVERGENCES], shared.row_list)
    if not table.num_rows:
        return {name: np.full(len(scores["row"]), np.nan) for name in DIVERGENCES}
    evidence = _matched(scores, _per_token(table, DIVERGENCES, shared.rows), DIVERGENCES)
    return {name: values.astype(np.float64) for name, values in evidence.items()}


def _per_token(table: pa.Table, columns: list[str], rows: NDArray | None) -> Columns:
    """Return list columns with one value per element, with row, side and position; a column of nulls is NaN."""
    if rows is not None:
        table = table.filter(pa.array(np.isin(table["row"].to_numpy(), rows)))
    sides = side_indices(table)
    if (sides < 0).any():
        table, sides = table.filter(pa.array(sides >= 0)), sides[sides >= 0]
    lengths, first = flatten_lists(table[columns[0]])
    result = {
        "row": np.repeat(table["row"].to_numpy(), lengths),
        "side": np.repeat(np.array(SIDES, dtype=object)[sides], lengths),
        "position": segment_positions(lengths),
        columns[0]: first,
    }
    for name in columns[1:]:
        column_lengths, values = flatten_lists(table[name])
        result[name] = values if np.array_equal(column_lengths, lengths) else np.full(len(first), np.nan)
    return result


def _matched(tokens: Columns, others: Columns, columns: list[str]) -> Columns:
    """Return ``columns`` of ``others`` at the row, side and position of each of ``tokens``; NaN where they lack it."""
    if all(np.array_equal(tokens[name], others[name]) for name in KEY):
        return {name: others[name] for name in columns}
    left = pd.DataFrame({name: tokens[name] for name in KEY})
    right = pd.DataFrame({name: others[name] for name in [*KEY, *columns]})
    joined = left.merge(right, on=KEY, how="left")
    return {name: joined[name].to_numpy() for name in columns}


def _token_columns(scores: Columns, shared: _PartTokens, policy: Model, beta: float) -> Columns:
    """Return ``TOKEN_COLUMNS`` of the tokens that a policy has scored."""
    columns = scores | _matched(scores, shared.tokens, ["pair_id", "token_id", "token_bytes", "text", "reference_logp"])
    logp, reference_logp = columns["logp"].astype(np.float64), columns["reference_logp"].astype(np.float64)
    advantage = rewards.advantage(logp, reference_logp, beta)
    n_tokens = len(logp)
    credit = rewards.centred_credit(advantage, scores["kl_reference_policy"], beta)
    variance = rewards.credit_variance(scores["null_variance"], beta)
    columns |= {
        "credit": credit,
        "credit_variance": variance,
        "credit_z": rewards.credit_z(credit, variance),
        "series": np.full(n_tokens, policy.series, dtype=object),
        "model": np.full(n_tokens, policy.name, dtype=object),
        "step": np.full(n_tokens, np.nan if policy.step is None else policy.step),
        "logp": logp,
        "reference_logp": reference_logp,
        "log_ratio": rewards.log_ratio(logp, reference_logp),
        "advantage": advantage,
        "value": np.concatenate([rewards.value_trace(part) for part in _by_response(advantage, scores["position"])]),
    }
    return {name: columns[name] for name in TOKEN_COLUMNS}


def _by_response(values: NDArray, position: NDArray) -> list[NDArray]:
    """Return ``values`` split where a response begins."""
    return np.split(values, np.flatnonzero(position == 0)[1:])


def _frame(columns: Columns) -> pd.DataFrame:
    return pd.DataFrame(columns | {"step": pd.array(columns["step"], dtype="Int64")})
