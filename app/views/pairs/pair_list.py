"""The Pairs page's widgets and table: the URL's filters, the pairs that they keep, and how these are listed."""

from typing import Any, NamedTuple

import pandas as pd
import streamlit as st
from shared import cached_tables, choosers, state

from dpo_analysis import schema, words
from dpo_analysis.runs import Run
from dpo_analysis.tables import filters
from dpo_analysis.tables.export import csv_bytes
from dpo_analysis.tables.pairs import source_numbers
from dpo_analysis.text.numbers import signed

MAX_ROWS = 200
COLUMNS = ["chosen_log_ratio", "rejected_log_ratio", "margin", "chosen_n_tokens", "flip_margin"]
FORMATS = (("%.2f", 75), ("%.2f", 75), ("%.3f", 75), ("%d", 62), ("%.3f", 75))
"""Format and width (px) of each column; with the prompt they fill a page of 1024 px."""
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
    """Draw the chips, the search and the selector of statuses; each writes the URL."""
    names, statuses = list(filters.FILTERS), _statuses(cached_tables.pairs(run, key))
    st.pills(
        words.text("pairs.filter", lang),
        names,
        selection_mode="multi",
        format_func=lambda name: words.text(f"pairs.filter.{name}", lang),
        **state.bind("filter", state.choices("filter", names)),
    )
    search, status = st.columns([3, 2], vertical_alignment="bottom")
    widget = state.bind("find", state.search_text())
    search.text_input(words.text("pairs.search", lang), icon=":material/search:", **widget)
    status.multiselect(
        words.text("pairs.status", lang),
        statuses,
        placeholder=words.text("pairs.status.any", lang),
        format_func=lambda name: words.text(f"status.{name}", lang),
        **state.bind("status", state.choices("status", statuses)),
    )


def choose_order(lang: str) -> None:
    """Draw the selector of what comes first in the table."""
    st.selectbox(
        words.text("pairs.sort", lang),
        list(filters.SORT_ORDERS),
        format_func=lambda name: words.text(f"pairs.sort.{name}", lang),
        **state.bind("sort", _order()),
    )


def flip_rule(lang: str) -> str:
    """Return what "DPO cannot flip it" means, with its numbers."""
    weight, needed = filters.FLIP_WEIGHT, filters.FLIP_MARGIN
    return words.text("pairs.flip", lang, weight=f"{weight:g}", needed=f"{needed:.2f}")


def counts(filtered: FilteredPairs, lang: str) -> str:
    """Return how many pairs the filters keep, and their means."""
    rows, total = filtered.rows, len(filtered.pairs)
    line = words.text("pairs.count", lang, kept=len(rows), total=total, shown=min(MAX_ROWS, len(rows)))
    means = rows[["chosen_log_ratio", "rejected_log_ratio", "margin"]].astype(float).mean()
    if means.isna().all():
        return line
    chosen, rejected, margin = (signed(value) for value in means)
    means_line = words.text("pairs.count.mean", lang, chosen=chosen, rejected=rejected, margin=margin)
    return f"{line}{'' if lang == 'zh' else ' '}{means_line}"


def table(run: Run, key: str, rows: pd.DataFrame, lang: str) -> pd.DataFrame:
    """Return the first rows as they are shown: prompt, numbers, and the chosen reward over checkpoints."""
    first = rows.head(MAX_ROWS)
    paths = cached_tables.reward_paths(run, key, first["pair_id"].tolist())
    questions = cached_tables.questions(run)
    shown = pd.DataFrame({"prompt": [choosers.short_prompt(questions[pair_id]) for pair_id in first["pair_id"]]})
    shown["path"] = [path.dropna().tolist() for _, path in paths.iterrows()]
    shown = pd.concat([shown, first[COLUMNS].reset_index(drop=True)], axis=1)
    if set(first["status"]) != {"ok"}:
        shown.insert(1, "status", [words.text(f"status.{name}", lang) for name in first["status"]])
    return shown


def columns(shown: pd.DataFrame, lang: str) -> dict[str, Any]:
    """Return Streamlit's configuration of the columns of ``table``: headings, help, formats and widths."""
    ends = [value for path in shown["path"] for value in path]
    headings = {name: words.text(f"pairs.column.{name}", lang) for name in shown}
    explained = {name: words.text(f"pairs.help.{name}", lang) for name in (*COLUMNS, "path")}
    numbers = {
        name: st.column_config.NumberColumn(headings[name], help=explained[name], format=form, width=width)
        for name, (form, width) in zip(COLUMNS, FORMATS, strict=True)
    }
    path = st.column_config.LineChartColumn(
        headings["path"],
        help=explained["path"],
        width="small",
        y_min=min(ends, default=0.0),
        y_max=max(ends, default=1.0),
    )
    prompt = st.column_config.TextColumn(headings["prompt"], width=205)
    status = {"status": st.column_config.TextColumn(headings["status"])} if "status" in shown else {}
    return {"prompt": prompt, **status, **numbers, "path": path}


def as_csv(run: Run, rows: pd.DataFrame) -> bytes:
    """Return pairs with their texts as CSV that is harmless in a spreadsheet."""
    texts = cached_tables.texts(run)
    return csv_bytes(rows.join(source_numbers(run), on="pair_id").join(texts, on="pair_id"))


def _statuses(pairs: pd.DataFrame) -> list[str]:
    occurring = set(pairs["status"].unique())
    return [name for name in (*schema.STATUSES, schema.PENDING) if name in occurring]


def _order() -> str:
    return state.choice("sort", list(filters.SORT_ORDERS), next(iter(filters.SORT_ORDERS)))
