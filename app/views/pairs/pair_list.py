"""The Pairs page's widgets and table: the URL's filters, the pairs that they keep, and how these are listed."""

from typing import Any, NamedTuple

import pandas as pd
import streamlit as st
from shared import cached_tables, prompt_tables, state

from dpo_analysis import schema, words
from dpo_analysis.runs import Run
from dpo_analysis.tables import filters
from dpo_analysis.tables.export import csv_bytes
from dpo_analysis.tables.pairs import source_numbers
from dpo_analysis.text.numbers import signed

MAX_ROWS = 200
FORMATS = {
    "chosen_log_ratio": "%.2f",
    "rejected_log_ratio": "%.2f",
    "margin": "%.2f",
    "chosen_n_tokens": "%d",
    "flip_margin": "%.2f",
}
"""Columns of numbers and their formats."""
OPTIONAL = {
    "chosen_n_tokens": {"tokens", "chosen_longer", "rejected_longer", "long"},
    "flip_margin": {"flip_margin", "unflipped", "cannot_flip"},
}
"""Columns that are shown only with one of these orders or filters."""
PATH_WIDTH = 110
"""Pixels of the small curve."""
FILTERS = ("filter", "status", "find", "box")
"""URL parameters that filter the pairs."""


class FilteredPairs(NamedTuple):
    """The pairs of one policy and which of them the URL's filters keep.

    Attributes:
        pairs: the pair table, in the run's order.
        kept: whether the filters keep a pair, shape (pairs,).
        rows: the kept pairs in the chosen order.
    """

    pairs: pd.DataFrame
    kept: filters.Mask
    rows: pd.DataFrame


def filtered_pairs(run: Run, key: str) -> FilteredPairs:
    """Return the pairs under a policy (SERIES/NAME), filtered and sorted as the URL says."""
    pairs = cached_tables.pairs(run, key)
    floor = run.noise_floor
    names = state.choices("filter", list(filters.FILTERS))
    kept = filters.filter_mask(pairs, names, floor.response if floor else 0.0)
    kept &= filters.box_mask(pairs, state.box())
    statuses, hits = state.choices("status", _statuses(pairs)), cached_tables.matching_pairs(run, state.search_text())
    kept &= pairs["status"].isin(statuses or _statuses(pairs)).to_numpy()
    if hits is not None:
        kept &= pairs["pair_id"].isin(hits).to_numpy()
    column, ascending = filters.SORT_ORDERS[_order()]
    rows = pairs[kept].sort_values(column, ascending=ascending, kind="stable", na_position="last")
    return FilteredPairs(pairs, kept, rows)


def choose_filters(run: Run, key: str, lang: str) -> None:
    """Draw the chips and, where the pairs differ in it, the selector of statuses; each writes the URL."""
    names, statuses = list(filters.FILTERS), _statuses(cached_tables.pairs(run, key))
    st.pills(
        words.text("pairs.filter", lang),
        names,
        selection_mode="multi",
        format_func=lambda name: words.text(f"pairs.filter.{name}", lang),
        **state.bind("filter", state.choices("filter", names)),
    )
    requested = state.choices("status", statuses)
    if len(statuses) > 1:
        st.pills(
            words.text("pairs.status", lang),
            statuses,
            selection_mode="multi",
            format_func=lambda name: words.text(f"status.{name}", lang),
            **state.bind("status", requested),
        )


def choose_search(lang: str) -> None:
    """Draw the search in the texts of the pairs; it writes the URL."""
    widget = state.bind("find", state.search_text())
    st.text_input(words.text("pairs.search", lang), icon=":material/search:", **widget)


def choose_order(lang: str) -> None:
    """Draw the selector of what comes first in the table."""
    st.selectbox(
        words.text("pairs.sort", lang),
        list(filters.SORT_ORDERS),
        format_func=lambda name: words.text(f"pairs.sort.{name}", lang),
        **state.bind("sort", _order()),
    )


def mentions_flips() -> bool:
    """Return whether the chosen order or filters are about pairs that DPO cannot turn."""
    return "flip_margin" in _shown_columns()


def flip_rule(lang: str) -> str:
    """Return what "DPO cannot flip it" means, with its numbers."""
    weight, needed = filters.FLIP_WEIGHT, filters.FLIP_MARGIN
    return words.text("pairs.flip", lang, weight=f"{weight:g}", needed=f"{needed:.2f}")


def counts(filtered: FilteredPairs, lang: str) -> str:
    """Return how many pairs the filters keep, how many are listed where these are fewer, and their means."""
    rows, space = filtered.rows, "" if lang == "zh" else " "
    line = words.text("pairs.count", lang, kept=len(rows), total=len(filtered.pairs))
    if len(rows) > MAX_ROWS:
        line += space + words.text("pairs.count.shown", lang, shown=MAX_ROWS)
    means = rows[["chosen_log_ratio", "rejected_log_ratio", "margin"]].astype(float).mean()
    if means.isna().all():
        return line
    chosen, rejected, margin = (signed(value) for value in means)
    means_line = words.text("pairs.count.mean", lang, chosen=chosen, rejected=rejected, margin=margin)
    return line + space + means_line


def table(run: Run, key: str, rows: pd.DataFrame, lang: str) -> pd.DataFrame:
    """Return the first rows as they are shown: numbers, the chosen reward over checkpoints, and the prompt."""
    first = rows.head(MAX_ROWS)
    paths = cached_tables.reward_paths(run, key, first["pair_id"].tolist())
    shown = first[_shown_columns()].reset_index(drop=True)
    shown["path"] = [path.dropna().tolist() for _, path in paths.iterrows()]
    if set(first["status"]) != {"ok"}:
        shown["status"] = [words.text(f"status.{name}", lang) for name in first["status"]]
    shown["prompt"] = prompt_tables.prompts(cached_tables.questions(run), first["pair_id"].tolist())
    return shown


def columns(shown: pd.DataFrame, lang: str) -> dict[str, Any]:
    """Return Streamlit's configuration of the columns of ``table``: headings, help, formats and widths."""
    ends = [value for path in shown["path"] for value in path]
    found = prompt_tables.columns(shown, "prompt", widths={"path": PATH_WIDTH})
    found["path"] = st.column_config.LineChartColumn(
        width=PATH_WIDTH, y_min=min(ends, default=0.0), y_max=max(ends, default=1.0)
    )
    for name in set(FORMATS) & set(found):
        found[name] = st.column_config.NumberColumn(width=found[name]["width"], format=FORMATS[name])
    for name, column in found.items():
        column["label"] = words.text(f"pairs.column.{name}", lang)
        if name in (*FORMATS, "path"):
            column["help"] = words.text(f"pairs.help.{name}", lang)
    return found


def _shown_columns() -> list[str]:
    """Return the columns of numbers: those of every pair, and those that the chosen order or filters speak of."""
    spoken_of = {_order(), *state.choices("filter", list(filters.FILTERS))}
    return [name for name in FORMATS if name not in OPTIONAL or OPTIONAL[name] & spoken_of]


def as_csv(run: Run, rows: pd.DataFrame) -> bytes:
    """Return pairs with their texts as CSV that is harmless in a spreadsheet."""
    texts = cached_tables.texts(run)
    return csv_bytes(rows.join(source_numbers(run), on="pair_id").join(texts, on="pair_id"))


def _statuses(pairs: pd.DataFrame) -> list[str]:
    occurring = set(pairs["status"].unique())
    return [name for name in (*schema.STATUSES, schema.PENDING) if name in occurring]


def _order() -> str:
    return state.choice("sort", list(filters.SORT_ORDERS), next(iter(filters.SORT_ORDERS)))
