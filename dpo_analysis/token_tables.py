"""The table that looks inside a response: one row per token."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis import rewards
from dpo_analysis.quantities import Setting
from dpo_analysis.runs import Model, Run
from dpo_analysis.selection import Names, choose_models, names
from dpo_analysis.sums import lists, side_places

KEY = ["row", "side", "position"]
LISTS = ["logp", "entropy", "rank", "argmax_id", "argmax_logp"]
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
]
BROKEN = re.compile("[\udc80-\udcff]")


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
    frames = list(token_parts(run, pair_id=pair_id, series=series, model=model, beta=beta))
    return pd.concat(frames, ignore_index=True) if frames else _tokens_of_nothing()


def token_parts(
    run: Run,
    *,
    pair_id: Names = None,
    series: Names = None,
    model: Names = None,
    beta: float | None = None,
) -> Iterator[pd.DataFrame]:
    """The token table in pieces, one per part and policy, so that it need not fit into memory."""
    setting = Setting(beta)
    setting.check(run)
    chosen = choose_models(run, series, model)
    asked = names(pair_id)
    rows = [run.find_pair(one)[1] for one in asked]
    parts = sorted({row // run.part_size for row in rows}) if asked else range(run.n_parts)
    text = _Vocabulary(run.vocab())
    for part in parts:
        known = _known(run, part, np.array(rows) if asked else None)
        for policy in chosen:
            own = _flat(run.scores(policy, part, columns=["row", "side", *LISTS]), LISTS, known.rows)
            if len(own):
                yield _finished(own, known, policy, setting.beta_of(run.series[policy.series]), text)


class _Known(NamedTuple):
    """What all policies share in one part: the rows wanted (None for all), pair ids by row, and tokens by KEY."""

    rows: NDArray | None
    pair_ids: pd.Series
    tokens: pd.DataFrame


def _known(run: Run, part: int, rows: NDArray | None) -> _Known:
    pairs = run.pairs(part, columns=["row", "pair_id"]).to_pandas().set_index("row")["pair_id"]
    ids = _flat(run.responses(part, columns=["row", "side", "token_ids"]), ["token_ids"], rows)
    reference = _flat(run.scores(run.reference, part, columns=["row", "side", "logp"]), ["logp"], rows)
    tokens = ids.rename(columns={"token_ids": "token_id"}).merge(
        reference.rename(columns={"logp": "reference_logp"}), on=KEY, how="left"
    )
    return _Known(rows, pairs, tokens)


def _flat(table: pa.Table, columns: list[str], rows: NDArray | None) -> pd.DataFrame:
    """Lists as one line per element: row, side, position and ``columns``; a column of nulls is NaN."""
    if rows is not None:
        table = table.filter(pa.array(np.isin(table["row"].to_numpy(), rows)))
    table = table.filter(pa.array(side_places(table) >= 0))
    lengths, first = lists(table[columns[0]])
    start = np.cumsum(lengths) - lengths
    flat = {
        "row": np.repeat(table["row"].to_numpy(), lengths),
        "side": np.repeat(table["side"].to_pandas().to_numpy(dtype=object), lengths),
        "position": np.arange(len(first)) - np.repeat(start, lengths),
        columns[0]: first,
    }
    for name in columns[1:]:
        own, values = lists(table[name])
        flat[name] = values if np.array_equal(own, lengths) else np.full(len(first), np.nan)
    return pd.DataFrame(flat)


def _finished(own: pd.DataFrame, known: _Known, policy: Model, beta: float, text: "_Vocabulary") -> pd.DataFrame:
    frame = own.merge(known.tokens, on=KEY, how="left")
    policy_logp, reference_logp = (frame[name].to_numpy(np.float64) for name in ("logp", "reference_logp"))
    token_bytes, shown = text.of(frame["token_id"].to_numpy())
    frame = frame.assign(
        pair_id=known.pair_ids.reindex(frame["row"]).to_numpy(),
        series=policy.series,
        model=policy.name,
        step=pd.array([policy.step] * len(frame), dtype="Int64"),
        logp=policy_logp,
        reference_logp=reference_logp,
        log_ratio=rewards.log_ratio(policy_logp, reference_logp),
        advantage=rewards.advantage(policy_logp, reference_logp, beta),
        token_bytes=token_bytes,
        text=shown,
    )
    frame["value"] = frame.groupby(["row", "side"], sort=False)["advantage"].cumsum()
    return frame.reindex(columns=TOKEN_COLUMNS)


def token_text(token_bytes: bytes) -> str:
    r"""A token's bytes as text, decoded alone; bytes that are no whole character show as ``\xE4``."""
    decoded = token_bytes.decode("utf-8", "surrogateescape")
    return BROKEN.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02X}", decoded)


class _Vocabulary:
    """Bytes and text by token id, looked up once per id."""

    def __init__(self, vocab: pa.Table | None) -> None:
        ids = [] if vocab is None else vocab["token_id"].to_pylist()
        values = [] if vocab is None else vocab["bytes"].to_pylist()
        self._bytes: dict[int, bytes] = dict(zip(ids, values, strict=True))

    def of(self, token_ids: NDArray) -> tuple[NDArray, NDArray]:
        """Bytes (None where the run has no vocabulary) and text of every id, two object arrays of its shape."""
        known, place = np.unique(token_ids, return_inverse=True)
        found = np.empty((2, len(known)), dtype=object)
        for index, token_id in enumerate(known.tolist()):
            content = self._bytes.get(token_id)
            found[:, index] = (content, f"[{token_id}]" if content is None else token_text(content))
        return found[0][place], found[1][place]


def _tokens_of_nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=TOKEN_COLUMNS)
