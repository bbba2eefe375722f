"""The table that looks inside a response: one row per token."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.pair_quantities import Setting
from dpo_analysis.arrays.selection import Names, choose_models, names
from dpo_analysis.numerics import rewards
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import lists, side_places
from dpo_analysis.runs.run import VOCAB
from dpo_analysis.runs.summaries.pair_rows import find_pair
from dpo_analysis.schema import SIDES
from dpo_analysis.text.token_text import token_text

KEY = ["row", "side", "position"]
LISTS = ["logp", "entropy", "rank", "argmax_id", "argmax_logp"]
DIVERGENCES = ["kl_reference_policy", "kl_policy_reference", "null_variance"]
CREDITS = ["kl_reference_policy", "kl_policy_reference", "credit", "credit_variance", "credit_z"]
"""NaN where no evidence ``kl`` was collected of the pair."""
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
    """One row per policy, side and scored token; columns as in ``schema.TOKEN``.

    Tokens come in the order of the text. Where the policy's part is missing there are no rows; where only the
    reference's is, what is measured against it is NaN. Runs that store sums only have no rows.

    Args:
        run: an open run.
        pair_id: one pair or several; None for all (large: ``token_parts`` gives them part by part).
        series: only these series.
        model: only these policies, NAME or SERIES/NAME.
        beta: None for each series' own.

    Raises:
        InputError: nothing in the run is called so.
        StorageError: a part is damaged.
    """
    found = list(_columns(run, pair_id, series, model, beta))
    if not found:
        return _tokens_of_nothing()
    return _frame({name: np.concatenate([one[name] for one in found]) for name in found[0]})


def token_parts(
    run: Run,
    *,
    pair_id: Names = None,
    series: Names = None,
    model: Names = None,
    beta: float | None = None,
) -> Iterator[pd.DataFrame]:
    """The token table in pieces, one per part and policy, so that it need not fit into memory."""
    for columns in _columns(run, pair_id, series, model, beta):
        yield _frame(columns)


def _columns(run: Run, pair_id: Names, series: Names, model: Names, beta: float | None) -> Iterator["Flat"]:
    """The columns of the token table, of one part and policy after the other."""
    setting = Setting(beta)
    setting.check(run)
    chosen = choose_models(run, series, model)
    asked = names(pair_id)
    rows = [find_pair(run, one)[1] for one in asked]
    parts = sorted({row // run.part_size for row in rows}) if asked else range(run.n_parts)
    for part in parts:
        known = _known(run, part, np.array(rows) if asked else None)
        for policy in chosen:
            own = _flat(run.scores(policy, part, ["row", "side", *LISTS], known.asked), LISTS, known.rows)
            if len(own["row"]):
                own |= _divergences(run, policy, part, known, own)
                yield _finished(own, known, policy, setting.beta_of(run.series[policy.series]))


Flat = dict[str, NDArray]
"""Columns of equal length, one value per token."""


class _Known(NamedTuple):
    """What all policies share in one part.

    Attributes:
        rows: the rows wanted; None for all.
        tokens: KEY, pair_id, token_id, token_bytes, text and reference_logp of every token wanted.
    """

    rows: NDArray | None
    tokens: Flat

    @property
    def asked(self) -> list[int] | None:
        """The rows wanted, as a list."""
        return None if self.rows is None else self.rows.tolist()


def _known(run: Run, part: int, rows: NDArray | None) -> _Known:
    asked = None if rows is None else rows.tolist()
    pairs = run.pairs(part, ["row", "pair_id"], asked)
    tokens = _flat(run.responses(part, ["row", "side", "token_ids"], asked), ["token_ids"], rows)
    tokens["token_id"] = tokens.pop("token_ids")
    names = pairs["pair_id"].to_pandas().to_numpy(dtype=object)
    tokens["pair_id"] = names[np.searchsorted(pairs["row"].to_numpy(), tokens["row"])]
    tokens["token_bytes"], tokens["text"] = _vocabulary(run).of(tokens["token_id"])
    reference = _flat(run.scores(run.reference, part, ["row", "side", "logp"], asked), ["logp"], rows)
    tokens["reference_logp"] = _beside(tokens, reference, ["logp"])["logp"].astype(np.float64)
    return _Known(rows, tokens)


def _divergences(run: Run, policy: Model, part: int, known: _Known, own: Flat) -> Flat:
    """``DIVERGENCES`` of every token, float64; NaN where they were not collected."""
    table = run.evidence("kl", policy, part, ["row", "side", *DIVERGENCES], known.asked)
    if not table.num_rows:
        return {name: np.full(len(own["row"]), np.nan) for name in DIVERGENCES}
    found = _beside(own, _flat(table, DIVERGENCES, known.rows), DIVERGENCES)
    return {name: values.astype(np.float64) for name, values in found.items()}


def _flat(table: pa.Table, columns: list[str], rows: NDArray | None) -> Flat:
    """Lists as one line per element: row, side, position and ``columns``; a column of nulls is NaN."""
    if rows is not None:
        table = table.filter(pa.array(np.isin(table["row"].to_numpy(), rows)))
    sides = side_places(table)
    if (sides < 0).any():
        table, sides = table.filter(pa.array(sides >= 0)), sides[sides >= 0]
    lengths, first = lists(table[columns[0]])
    flat = {
        "row": np.repeat(table["row"].to_numpy(), lengths),
        "side": np.repeat(np.array(SIDES, dtype=object)[sides], lengths),
        "position": np.arange(len(first)) - np.repeat(np.cumsum(lengths) - lengths, lengths),
        columns[0]: first,
    }
    for name in columns[1:]:
        own, values = lists(table[name])
        flat[name] = values if np.array_equal(own, lengths) else np.full(len(first), np.nan)
    return flat


def _beside(tokens: Flat, others: Flat, columns: list[str]) -> Flat:
    """``columns`` of ``others`` for each of ``tokens``, NaN where those have no such token."""
    if all(np.array_equal(tokens[name], others[name]) for name in KEY):
        return {name: others[name] for name in columns}
    left = pd.DataFrame({name: tokens[name] for name in KEY})
    right = pd.DataFrame({name: others[name] for name in [*KEY, *columns]})
    joined = left.merge(right, on=KEY, how="left")
    return {name: joined[name].to_numpy() for name in columns}


def _finished(own: Flat, known: _Known, policy: Model, beta: float) -> Flat:
    shared = _beside(own, known.tokens, ["pair_id", "token_id", "token_bytes", "text", "reference_logp"])
    logp, reference_logp = own["logp"].astype(np.float64), shared["reference_logp"].astype(np.float64)
    advantage = rewards.advantage(logp, reference_logp, beta)
    n_tokens = len(logp)
    credit = rewards.centred_credit(advantage, own["kl_reference_policy"], beta)
    variance = rewards.credit_variance(own["null_variance"], beta)
    columns = own | shared
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
        "value": np.concatenate([rewards.value_trace(one) for one in _responses(advantage, own["position"])]),
    }
    return {name: columns[name] for name in TOKEN_COLUMNS}


def _frame(columns: Flat) -> pd.DataFrame:
    return pd.DataFrame(columns | {"step": pd.array(columns["step"], dtype="Int64")})


def _responses(values: NDArray, position: NDArray) -> list[NDArray]:
    """``values`` cut where a response begins."""
    return np.split(values, np.flatnonzero(position == 0)[1:])


def texts_of(run: Run, token_ids: NDArray) -> NDArray:
    """The text of every token id, decoded alone, an object array of its shape."""
    return token_words(run, token_ids)[1]


def token_words(run: Run, token_ids: NDArray) -> tuple[NDArray, NDArray]:
    """Bytes (None where the run has no vocabulary) and text of token ids, two object arrays of their shape."""
    return _vocabulary(run).of(token_ids)


class _Vocabulary:
    """Bytes and text by token id, looked up once per id."""

    def __init__(self, vocab: pa.Table | None) -> None:
        self._ids = np.zeros(0, np.int64) if vocab is None else vocab["token_id"].to_numpy()
        self._bytes = pa.chunked_array([], pa.binary()) if vocab is None else vocab["bytes"]
        self._order = np.argsort(self._ids, kind="stable")

    def of(self, token_ids: NDArray) -> tuple[NDArray, NDArray]:
        """Bytes (None where the run has no vocabulary) and text of every id, two object arrays of its shape."""
        known, place = np.unique(token_ids, return_inverse=True)
        found = np.empty((2, len(known)), dtype=object)
        for index, (token_id, content) in enumerate(zip(known.tolist(), self._contents(known), strict=True)):
            found[:, index] = (content, f"[{token_id}]" if content is None else token_text(content))
        return found[0][place], found[1][place]

    def _contents(self, token_ids: NDArray) -> list[bytes | None]:
        """The bytes of each id; None where it has none."""
        if not len(self._ids):
            return [None] * len(token_ids)
        near = np.minimum(np.searchsorted(self._ids, token_ids, sorter=self._order), len(self._ids) - 1)
        line = self._order[near]
        return self._bytes.take(pa.array(line, mask=self._ids[line] != token_ids)).to_pylist()


@dataclass(frozen=True, slots=True)
class _Of:
    """Which bytes something was read from; the run is only how to read them."""

    path: str
    stamp: tuple[int, int]
    run: Run = field(compare=False)


def _of(run: Run, name: str) -> _Of:
    try:
        facts = (run.path / name).stat()
    except FileNotFoundError:
        return _Of(str(run.path.resolve()), (-1, -1), run)
    return _Of(str(run.path.resolve()), (facts.st_size, facts.st_mtime_ns), run)


def _vocabulary(run: Run) -> _Vocabulary:
    return _kept_vocabulary(_of(run, VOCAB))


@lru_cache(maxsize=4)
def _kept_vocabulary(files: _Of) -> _Vocabulary:
    return _Vocabulary(files.run.vocab())


def _tokens_of_nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=TOKEN_COLUMNS)
