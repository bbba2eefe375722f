"""Warnings about preference rows before scoring, and the tables of pairs and statuses behind them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.row_texts import TEXT_WARNINGS, text_flags
from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.schema import NOT_SCORED, SCORED, SIDES
from dpo_analysis.text.duplicates import both_ways, contradicted, frequent_text, near_duplicate, text_keys

RowCondition = Callable[[pd.DataFrame], Any]
"""Maps the table ``rows`` of ``check_frames`` to a boolean column, shape (pairs,)."""
MAX_EXAMPLES = 3
"""Places that a warning names; further pairs are only counted."""
EOS_TAIL_TOKENS = 2
"""A response ends with end-of-text when it is among its last two tokens: ChatML puts a newline behind it."""


def check_frames(tokenized: Sequence[TokenizedPair]) -> dict[str, pd.DataFrame]:
    """Return the tables that the command ``check`` prints.

    Returns:
        ``status``: a row per split: split, n_pairs, then the number of pairs of each status.
        ``rows``: a row per pair: pair_id, group_id, split, where, status, reason, prompt_n_tokens, border_shift,
        double_bos, duplicate, splits_of_prompt, raw_text, ``row_texts.TEXT_WARNINGS``, and for each side n_tokens,
        ends_with_eos, double_eos, truncated (null where the pair is not scored) and key (``text.duplicates``).
        ``warnings``: warning (a key of ``ROW_WARNINGS``), n_pairs, first (place of the first pair), its reason, and
        examples (places of the first ``MAX_EXAMPLES`` pairs).
    """
    rows = pd.DataFrame([_row_facts(pair) for pair in tokenized], columns=_token_columns())
    rows["splits_of_prompt"] = rows.groupby("group_id")["split"].transform("nunique")
    for side in SIDES:
        rows[f"{side}_key"] = text_keys(getattr(pair, side) for pair in tokenized)
    # Pairs that are not scored have no counts; Int64 holds missing integers where plain integers would turn to floats.
    token_counts = {name: rows[name].astype("Int64") for name in rows.columns if name.endswith("n_tokens")}
    rows = rows.assign(**token_counts)
    return {"status": status_counts(rows), "rows": rows, "warnings": warning_counts(rows)}


def status_counts(rows: pd.DataFrame) -> pd.DataFrame:
    """Count the pairs of each split by status; columns split, n_pairs and the statuses in schema order."""
    table = pd.crosstab(rows["split"], rows["status"]).reindex(columns=[*SCORED, *NOT_SCORED], fill_value=0)
    table.insert(0, "n_pairs", table.sum(axis=1))
    table.columns.name = None
    return table.reset_index()


def warning_counts(rows: pd.DataFrame) -> pd.DataFrame:
    """Count the pairs of each warning that applies to any, worst warning first, with the places of the first pairs."""
    counts = []
    for warning, condition in ROW_WARNINGS.items():
        matching = rows[matching_rows(rows, condition)]
        if len(matching):
            first = matching.iloc[0]
            examples = matching["where"].head(MAX_EXAMPLES).tolist()
            counts.append((warning, len(matching), first["where"], first["reason"], examples))
    return pd.DataFrame(counts, columns=["warning", "n_pairs", "first", "reason", "examples"])


def text_warning_counts(pairs: Sequence[Pair]) -> pd.DataFrame:
    """Count the pairs of each warning that needs no token, as ``warning_counts`` does."""
    places: dict[str, list[str]] = {name: [] for name in ROW_WARNINGS if name in TEXT_WARNINGS}
    for pair in pairs:
        for name in (name for name, holds in text_flags(pair).items() if holds):
            places[name].append(pair.where)
    counts = [(name, len(where), where[0], "", where[:MAX_EXAMPLES]) for name, where in places.items() if where]
    return pd.DataFrame(counts, columns=["warning", "n_pairs", "first", "reason", "examples"])


def matching_rows(rows: pd.DataFrame, condition: RowCondition) -> np.ndarray:
    """Return which rows meet ``condition``, bool, shape (pairs,); a row without the needed facts does not."""
    return pd.Series(condition(rows), index=rows.index).fillna(False).to_numpy(dtype=bool)


def _token_columns() -> list[str]:
    sides = [f"{side}_{fact}" for side in SIDES for fact in ("n_tokens", "ends_with_eos", "double_eos", "truncated")]
    facts = ["prompt_n_tokens", "border_shift", "double_bos", "duplicate", "raw_text", *TEXT_WARNINGS]
    return ["pair_id", "group_id", "split", "where", "status", "reason", *facts, *sides]


def _row_facts(tokenized: TokenizedPair) -> dict[str, Any]:
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
        "raw_text": tokenized.raw_text,
    } | text_flags(pair)
    for side, response in tokenized.responses.items():
        bos, eos = tokenized.special_ids
        row["prompt_n_tokens"] = len(response.prompt_token_ids)
        row["double_bos"] |= _has_double_bos(response.prompt_token_ids, bos)
        row[f"{side}_n_tokens"] = len(response.token_ids)
        row[f"{side}_ends_with_eos"] = eos is not None and eos in response.token_ids[-EOS_TAIL_TOKENS:]
        row[f"{side}_double_eos"] = _has_double_eos(response.token_ids, eos)
        row[f"{side}_truncated"] = response.truncated
    return row


def _has_double_bos(ids: np.ndarray, bos: int | None) -> bool:
    return bos is not None and len(ids) > 1 and bool((ids[:2] == bos).all())


def _has_double_eos(ids: np.ndarray, eos: int | None) -> bool:
    """Return whether ``ids`` end with two end-of-text tokens, or with a token between them.

    TRL 0.12 to 0.27 left both forms; the token between them is ChatML's newline.
    """
    tail = list(ids[-3:] == eos) if eos is not None else []
    return tail[-2:] == [True, True] or tail == [True, False, True]


def _has_status(status: str) -> RowCondition:
    return lambda rows: rows["status"] == status


def _is_true(fact: str) -> RowCondition:
    return lambda rows: rows[fact].eq(True)


def _on_either_side(fact: str) -> RowCondition:
    return lambda rows: rows[[f"{side}_{fact}" for side in SIDES]].eq(True).any(axis=1)


def _lacks_eos(rows: pd.DataFrame) -> Any:
    missing = [rows[f"{side}_ends_with_eos"].eq(False) & rows[f"{side}_truncated"].eq(False) for side in SIDES]
    return missing[0] | missing[1]


ROW_WARNINGS: dict[str, RowCondition] = {
    "bad_text": _has_status("bad_text"),
    "template_error": _has_status("template_error"),
    "empty": _has_status("empty"),
    "too_long": _has_status("too_long"),
    "unused_text": _is_true("unused_text"),
    "markers": _is_true("markers"),
    "serialised": _is_true("serialised"),
    "prompt_inside": _is_true("prompt_inside"),
    "raw_text": _is_true("raw_text"),
    "user_turns": _is_true("user_turns"),
    "double_bos": _is_true("double_bos"),
    "double_eos": _on_either_side("double_eos"),
    "no_eos": _lacks_eos,
    "truncated": _on_either_side("truncated"),
    "border_shift": lambda rows: rows["border_shift"] > 0,
    "identical": _has_status("identical"),
    "duplicate": lambda rows: rows["duplicate"],
    "near_duplicate": near_duplicate,
    "contradicted": contradicted,
    "both_ways": both_ways,
    "frequent_text": frequent_text,
    "prompt_in_splits": lambda rows: rows["splits_of_prompt"] > 1,
    "unused_logps": _is_true("unused_logps"),
}
"""The warnings by name, worst first; ``check.complaint.<name>`` in ``words`` is the sentence of each."""
