"""What becomes of the rows, as tables: counts of statuses, one line a pair, and every complaint."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.schema import NOT_SCORED, SCORED, SIDES
from dpo_analysis.text.duplicates import both_ways, contradicted, near_duplicate, text_keys

Condition = Callable[[pd.DataFrame], Any]
"""From the table ``rows`` to a column of yes and no, one a pair."""
EOS_TAIL = 2
"""A response ends with end-of-text when one of its last two tokens is it: ChatML puts a newline behind it."""


def check_frames(tokenized: Sequence[TokenizedPair]) -> dict[str, pd.DataFrame]:
    """The facts that ``check`` prints and the Checks page shows.

    Returns:
        ``status``: a row a split: split, n_pairs, then the number of pairs of each status.
        ``rows``: a row a pair: pair_id, group_id, split, where, status, reason, prompt_n_tokens, border_shift,
        double_bos, duplicate, splits_of_prompt, and for each side n_tokens, ends_with_eos, double_eos, truncated (null
        where the pair is not scored) and key (``likeness``).
        ``complaints``: complaint (a key of ``COMPLAINTS``), n_pairs, first (where it is met first), reason.
    """
    rows = pd.DataFrame([_row(pair) for pair in tokenized], columns=_columns())
    rows["splits_of_prompt"] = rows.groupby("group_id")["split"].transform("nunique")
    for side in SIDES:
        rows[f"{side}_key"] = text_keys(getattr(pair, side) for pair in tokenized)
    counted = {name: rows[name].astype("Int64") for name in rows.columns if name.endswith("n_tokens")}
    rows = rows.assign(**counted)
    return {"status": status_counts(rows), "rows": rows, "complaints": complaints(rows)}


def status_counts(rows: pd.DataFrame) -> pd.DataFrame:
    """How many pairs of each split have each status; columns split, n_pairs and the statuses in schema order."""
    table = pd.crosstab(rows["split"], rows["status"]).reindex(columns=[*SCORED, *NOT_SCORED], fill_value=0)
    table.insert(0, "n_pairs", table.sum(axis=1))
    table.columns.name = None
    return table.reset_index()


def complaints(rows: pd.DataFrame) -> pd.DataFrame:
    """Every complaint that some pair gives cause for, worst first: how many pairs, and the first of them."""
    found = []
    for complaint, holds in COMPLAINTS.items():
        met = rows[met_by(rows, holds)]
        if len(met):
            first = met.iloc[0]
            found.append((complaint, len(met), first["where"], first["reason"]))
    return pd.DataFrame(found, columns=["complaint", "n_pairs", "first", "reason"])


def met_by(rows: pd.DataFrame, holds: Condition) -> np.ndarray:
    """Which rows give cause for a complaint, shape (pairs,); what is not known gives none."""
    return pd.Series(holds(rows), index=rows.index).fillna(False).to_numpy(dtype=bool)


def _columns() -> list[str]:
    sides = [f"{side}_{fact}" for side in SIDES for fact in ("n_tokens", "ends_with_eos", "double_eos", "truncated")]
    facts = ["prompt_n_tokens", "border_shift", "double_bos", "duplicate"]
    return ["pair_id", "group_id", "split", "where", "status", "reason", *facts, *sides]


def _row(tokenized: TokenizedPair) -> dict[str, Any]:
    pair = tokenized.pair
    row: dict[str, Any] = {
        "pair_id": pair.pair_id,
        "group_id": tokenized.group_id,
        "split": pair.split,
        "where": pair.where,
        "status": tokenized.status,
        "reason": tokenized.reason,
        "border_shift": tokenized.border_shift,
        "duplicate": "-" in pair.pair_id,
        "double_bos": False,
    }
    for side, response in tokenized.responses.items():
        bos, eos = tokenized.special
        row["prompt_n_tokens"] = len(response.prompt_token_ids)
        row["double_bos"] |= _starts_twice(response.prompt_token_ids, bos)
        row[f"{side}_n_tokens"] = len(response.token_ids)
        row[f"{side}_ends_with_eos"] = eos is not None and eos in response.token_ids[-EOS_TAIL:]
        row[f"{side}_double_eos"] = _ends_twice(response.token_ids, eos)
        row[f"{side}_truncated"] = response.truncated
    return row


def _starts_twice(ids: np.ndarray, bos: int | None) -> bool:
    return bos is not None and len(ids) > 1 and bool((ids[:2] == bos).all())


def _ends_twice(ids: np.ndarray, eos: int | None) -> bool:
    """Two ends of text in a row, or with one token (ChatML's newline) between them, as TRL 0.12 to 0.27 left them."""
    tail = list(ids[-3:] == eos) if eos is not None else []
    return tail[-2:] == [True, True] or tail == [True, False, True]


def _status(status: str) -> Condition:
    return lambda rows: rows["status"] == status


def _either_side(fact: str) -> Condition:
    return lambda rows: rows[[f"{side}_{fact}" for side in SIDES]].eq(True).any(axis=1)


def _no_eos(rows: pd.DataFrame) -> Any:
    missing = [rows[f"{side}_ends_with_eos"].eq(False) & rows[f"{side}_truncated"].eq(False) for side in SIDES]
    return missing[0] | missing[1]


COMPLAINTS: dict[str, Condition] = {
    "bad_text": _status("bad_text"),
    "template_error": _status("template_error"),
    "empty": _status("empty"),
    "too_long": _status("too_long"),
    "double_bos": lambda rows: rows["double_bos"].eq(True),
    "double_eos": _either_side("double_eos"),
    "no_eos": _no_eos,
    "truncated": _either_side("truncated"),
    "border_shift": lambda rows: rows["border_shift"] > 0,
    "identical": _status("identical"),
    "duplicate": lambda rows: rows["duplicate"],
    "near_duplicate": near_duplicate,
    "contradicted": contradicted,
    "both_ways": both_ways,
    "prompt_in_splits": lambda rows: rows["splits_of_prompt"] > 1,
}
