"""The chapter about the pairs of a report: those that fell most, or those that were asked for, token by token."""

import json
from collections.abc import Iterator

import pandas as pd

from dpo_analysis import words
from dpo_analysis.arrays.region_sums import short_prompts
from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.arrays.texts import pair_texts
from dpo_analysis.figures.labels import one_line
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.figures.token_view.payload import payload
from dpo_analysis.report.report_run import ReportRun, TrustedHtml
from dpo_analysis.schema import SCORED, SIDES
from dpo_analysis.tables.pairs import PAIR_COLUMNS, pair_table
from dpo_analysis.tables.tokens import token_table
from dpo_analysis.text.numbers import signed

REWARDS = {"chosen": "chosen_reward", "rejected": "rejected_reward", "margin": "margin"}


def pairs(report: ReportRun) -> Iterator[dict[str, object]]:
    """Yield the named pairs, or those that fell most, each with its facts and its payload for the token view."""
    run, options = report.run, report.options
    last = report.steps[report.steps["n_used"] > 0].drop_duplicates("series", keep="last")
    keys = last["series"] + "/" + last["model"]
    tables = [pair_table(run, beta=options.beta, model=key, source=False) for key in keys]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=PAIR_COLUMNS)
    lowest = table[(table["split"] == report.split) & table["chosen_reward"].notna()]
    lowest = lowest.sort_values("chosen_reward", kind="stable").drop_duplicates("pair_id").head(options.pairs)
    shown = list(options.pair_ids) or lowest["pair_id"].tolist()
    questions = dict(zip(pair_index(run).pairs["pair_id"], short_prompts(run), strict=True))
    texts = pair_texts(run, shown)
    for number, pair_id in enumerate(shown, start=1):
        rows = table[table["pair_id"] == pair_id].sort_values("chosen_reward", kind="stable")
        title = report.say("report.pair", number=number, question=one_line(questions[pair_id]))
        own_texts = {str(name): str(texts[name][pair_id]) for name in texts}
        responses = [] if run.has_tokens else _responses(report, own_texts)
        prompt = visible(own_texts["prompt"])
        yield {"title": title, "prompt": prompt, "texts": responses, **_pair(report, pair_id, rows)}


def _responses(report: ReportRun, texts: dict[str, str]) -> list[tuple[str, str]]:
    """Return name and text of both responses, in place of their tokens; one without a text is left out."""
    return [(report.say(f"side.{side}"), visible(texts[side])) for side in SIDES if texts[side]]


def _pair(report: ReportRun, pair_id: str, rows: pd.DataFrame) -> dict[str, object]:
    """Return the numbers of a pair, and its tokens under the first, a middle and the last checkpoint of one series.

    Its ``data`` is empty where there is no token to show.

    ``rows`` are its rows in the pair tables of the last checkpoints, the lowest chosen reward first: its first row
    names the series.
    """
    run, lang, row = report.run, report.options.lang, rows.iloc[0] if len(rows) else None
    status = "pending" if row is None else str(row["status"])
    if row is None or status not in SCORED or pd.isna(row["margin"]):
        facts = report.say("report.pair.uncounted", pair_id=pair_id, status=words.text(f"status.{status}", lang))
        return {"facts": facts, "data": TrustedHtml("")}
    numbers = {side: signed(row[name]) for side, name in REWARDS.items()}
    facts = report.say("report.pair.facts", pair_id=pair_id, series=row["series"], model=row["model"], **numbers)
    keys = [model.key for model in run.models if model.series == row["series"] and run.parts_done(model)]
    keys = list(dict.fromkeys([keys[0], keys[len(keys) // 2], keys[-1]]))
    tokens = token_table(run, pair_id=pair_id, model=keys, beta=report.options.beta)
    if tokens.empty:
        return {"facts": facts, "data": TrustedHtml("")}
    data = json.dumps(payload(tokens, noise=run.noise_floor, lang=lang), ensure_ascii=False)
    return {"facts": facts, "data": TrustedHtml(data.replace("<", "\\u003c"))}
