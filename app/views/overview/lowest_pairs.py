"""The pairs with the lowest chosen reward, as a small table whose rows open the Tokens page."""

import pandas as pd
from shared import blocks, cached_tables, choosers, state

from dpo_analysis import words
from dpo_analysis.runs import Run

MAX_PAIRS = 8
NUMBERS = ["chosen_reward", "rejected_reward", "margin", "chosen_n_tokens"]


def draw(run: Run, lang: str) -> None:
    """Show the table; a selected row opens its pair."""
    blocks.section("overview.worst", lang)
    pairs = cached_tables.lowest_pairs(run).head(MAX_PAIRS)
    row = blocks.selectable_table(_rows(pairs, run, lang), key=state.WORST)
    if row is not None:
        state.open_page("tokens", pair=pairs["pair_id"].iloc[row])


def _rows(pairs: pd.DataFrame, run: Run, lang: str) -> pd.DataFrame:
    questions, several = cached_tables.questions(run), len(run.series) > 1
    keys = pairs["series"] + "/" + pairs["model"]
    rows = pairs[NUMBERS].reset_index(drop=True)
    rows.insert(0, "prompt", [choosers.short_prompt(questions[pair_id]) for pair_id in pairs["pair_id"]])
    rows.insert(1, "model", [choosers.model_label(run.model(key), several, lang) for key in keys])
    return rows.rename(columns={name: words.text(f"overview.column.{name}", lang) for name in rows})
