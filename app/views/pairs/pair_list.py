"""The Pairs page's widgets and rows: what is asked for in the URL, which pairs that leaves, and how they are listed."""

from typing import NamedTuple

import pandas as pd
import streamlit as st
from shared import cached_tables as stored
from shared import choosers as choices
from shared import state

from dpo_analysis import schema, words
from dpo_analysis.figures.theme import signed
from dpo_analysis.runs import Run
from dpo_analysis.tables import filters as conditions
from dpo_analysis.tables.export import csv_bytes
from dpo_analysis.tables.pairs import source_numbers

LISTED = 200
ANSWERS = 4
"""Answers to one prompt that are shown beside each other."""
COLUMNS = ["chosen_log_ratio", "rejected_log_ratio", "margin", "chosen_n_tokens", "flip_margin"]
SHOWN = (("%.2f", 75), ("%.2f", 75), ("%.3f", 75), ("%d", 62), ("%.3f", 75))
"""Format and width (px) of each; with the prompt they fill a page of 1024 px."""
FILTERS = ("filter", "status", "find", "box")


class Listed(NamedTuple):
    """The pairs of one policy, which of them the filters keep, and those in the asked order."""

    pairs: pd.DataFrame
    kept: conditions.Mask
    rows: pd.DataFrame


def listed(run: Run, key: str) -> Listed:
    """The pairs under a policy (SERIES/NAME), as the URL's filters leave and sort them."""
    pairs = stored.pairs_at(run, key)
    floor = run.noise_floor
    asked = state.several("filter", list(conditions.CONDITIONS))
    kept = conditions.holds(pairs, asked, floor.response if floor else 0.0) & conditions.inside(pairs, state.box())
    statuses, hits = state.several("status", _statuses(pairs)), stored.matches(run, state.words_sought())
    kept &= pairs["status"].isin(statuses or _statuses(pairs)).to_numpy()
    if hits is not None:
        kept &= pairs["pair_id"].isin(hits).to_numpy()
    column, rising = conditions.SORTS[_order()]
    rows = pairs[kept].sort_values(column, ascending=rising, kind="stable", na_position="last")
    return Listed(pairs, kept, rows)


def choose_filters(run: Run, key: str, lang: str) -> None:
    """Chips, search and status; each writes the URL."""
    names, statuses = list(conditions.CONDITIONS), _statuses(stored.pairs_at(run, key))
    st.pills(
        words.text("pairs.filter", lang), names, selection_mode="multi",
        format_func=lambda name: words.text(f"pairs.filter.{name}", lang),
        **state.bound("filter", state.several("filter", names)),
    )  # fmt: skip
    search, status = st.columns([3, 2], vertical_alignment="bottom")
    search.text_input(
        words.text("pairs.search", lang), icon=":material/search:", **state.bound("find", state.words_sought())
    )
    status.multiselect(
        words.text("pairs.status", lang), statuses, placeholder=words.text("pairs.status.any", lang),
        format_func=lambda name: words.text(f"status.{name}", lang),
        **state.bound("status", state.several("status", statuses)),
    )  # fmt: skip


def choose_order(lang: str) -> None:
    """What comes first in the table."""
    st.selectbox(
        words.text("pairs.sort", lang), list(conditions.SORTS), **state.bound("sort", _order()),
        format_func=lambda name: words.text(f"pairs.sort.{name}", lang),
    )  # fmt: skip


def flip_rule(lang: str) -> str:
    """What "DPO cannot flip it" means, with its numbers."""
    weight, needed = conditions.FLIP_WEIGHT, conditions.FLIP_MARGIN
    return words.text("pairs.flip", lang, weight=f"{weight:g}", needed=f"{needed:.2f}")


def counted(found: Listed, lang: str) -> str:
    """How many pairs match, and their means."""
    shown = min(LISTED, len(found.rows))
    line = words.text("pairs.count", lang, kept=len(found.rows), total=len(found.pairs), shown=shown)
    means = found.rows[["chosen_log_ratio", "rejected_log_ratio", "margin"]].astype(float).mean()
    if means.isna().all():
        return line
    chosen, rejected, margin = (signed(value) for value in means)
    said = words.text("pairs.count.mean", lang, chosen=chosen, rejected=rejected, margin=margin)
    return f"{line}{'' if lang == 'zh' else ' '}{said}"


def table(run: Run, key: str, rows: pd.DataFrame, lang: str) -> pd.DataFrame:
    """The first rows as they are shown: prompt, numbers, and the chosen reward over checkpoints."""
    first = rows.head(LISTED)
    paths = stored.paths(run, key, first["pair_id"].tolist())
    asked = state.prompts(run)["question"]
    shown = pd.DataFrame({"prompt": [choices.short(asked[one]) for one in first["pair_id"]]})
    shown["path"] = [path.dropna().tolist() for _, path in paths.iterrows()]
    shown = pd.concat([shown, first[COLUMNS].reset_index(drop=True)], axis=1)
    if set(first["status"]) != {"ok"}:
        shown.insert(1, "status", [words.text(f"status.{name}", lang) for name in first["status"]])
    return shown


def columns(shown: pd.DataFrame, lang: str) -> dict[str, object]:
    """Heads, help and formats of ``table``."""
    ends = [value for path in shown["path"] for value in path]
    heads = {name: words.text(f"pairs.column.{name}", lang) for name in shown}
    told = {name: words.text(f"pairs.help.{name}", lang) for name in (*COLUMNS, "path")}
    numbers = {
        name: st.column_config.NumberColumn(heads[name], help=told[name], format=form, width=width)
        for name, (form, width) in zip(COLUMNS, SHOWN, strict=True)
    }
    path = st.column_config.LineChartColumn(
        heads["path"], help=told["path"], width="small", y_min=min(ends, default=0.0), y_max=max(ends, default=1.0)
    )
    prompt = st.column_config.TextColumn(heads["prompt"], width=205)
    status = {"status": st.column_config.TextColumn(heads["status"])} if "status" in shown else {}
    return {"prompt": prompt, **status, **numbers, "path": path}


def as_csv(run: Run, rows: pd.DataFrame) -> bytes:
    """All matching pairs with their texts, harmless in a spreadsheet."""
    return csv_bytes(rows.join(source_numbers(run), on="pair_id").join(state.texts(run), on="pair_id"))


def _statuses(pairs: pd.DataFrame) -> list[str]:
    there = set(pairs["status"].unique())
    return [name for name in (*schema.STATUSES, schema.PENDING) if name in there]


def _order() -> str:
    return state.wanted("sort", list(conditions.SORTS), next(iter(conditions.SORTS)))
