"""A run as one HTML file to send to somebody: verdict, curves, checks, pairs token by token, and what the words mean.

The page loads nothing and runs one script, the token view's, under a policy by hash. Text of models and people reaches
it through Jinja2's escaping alone; what is marked safe is made here: style, script, SVG and JSON.
"""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd

import dpo_analysis
from dpo_analysis import figures, words
from dpo_analysis.arrays.region_sums import questions
from dpo_analysis.arrays.response_sums import inputs
from dpo_analysis.arrays.texts import pair_texts
from dpo_analysis.diagnosis import VERDICTS, Check, known_or_made, run_checks
from dpo_analysis.diagnosis.diagnosis_text import lines
from dpo_analysis.errors import InputError
from dpo_analysis.figures.check_texts import answer, mark, question
from dpo_analysis.figures.labels import one_line
from dpo_analysis.figures.static_svg import svg
from dpo_analysis.figures.theme import signed
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.figures.token_view.page import PAGE_COLOURS, policy_hash, script, style
from dpo_analysis.figures.token_view.view import payload
from dpo_analysis.report.glossary import glossary
from dpo_analysis.runs import Run, atomic_file
from dpo_analysis.runs.summaries.pair_rows import find_pair
from dpo_analysis.schema import SCORED
from dpo_analysis.tables import trainer_log
from dpo_analysis.tables.decompositions import split_table
from dpo_analysis.tables.pairs import PAIR_COLUMNS, pair_table, step_table, token_table

GENERATOR = "dpo-analysis report"
"""How a report is known: no other file is written over."""
PAIRS = 6
LOOKED_AT = 2048
THEMES = ("light", "dark")
CURVES = {"reward": figures.reward_curves, "logp": figures.logp_curves, "accuracy": figures.accuracy_curves}
START = """
for (const view of document.querySelectorAll(".pair")) {
  mountTokenView(view, JSON.parse(document.getElementById(view.id.replace("pair", "data")).textContent));
}"""
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is to show.

    Attributes:
        series: only this training run; None for all.
        pair_ids: these pairs; none means those whose chosen response fell most.
        pairs: how many of those.
        beta: instead of each series' own.
        lang: "en" or "zh".
        split: which pairs the numbers are of; None for held-out ones where there are any.
    """

    series: str | None = None
    pair_ids: Sequence[str] = ()
    pairs: int = PAIRS
    beta: float | None = None
    lang: str = "en"
    split: str | None = None


class Raw(str):
    """Text that is made here and goes into the page as it is: style, script, SVG, and JSON without ``<``."""

    __slots__ = ()

    def __html__(self) -> str:
        """What Jinja2 asks for before it escapes."""
        return str(self)


class _Shown(NamedTuple):
    """A run as the report shows it: the pairs of one split, the step table of it, and what was asked."""

    run: Run
    asked: Asked
    split: str
    steps: pd.DataFrame

    def say(self, key: str, **values: object) -> str:
        """The words behind ``key`` in the report's language."""
        return words.text(key, self.asked.lang, **values)


def write_report(run: Run, to: str | Path, asked: Asked | None = None) -> int:
    """Write the report of ``run`` to FILE.html, whole or not at all, and return its bytes.

    Raises:
        InputError: nothing in the run is called so, another ending, no such folder, or a file that is no report.
        StorageError: the run is damaged, or the disk is full or refuses.
    """
    path = Path(to)
    check_target(path)
    data = report_html(run, asked).encode("utf-8", "replace")
    with atomic_file(path, point="report") as handle:
        return handle.write(data)


def check_target(path: Path) -> None:
    """Pass when a report can be written there.

    Raises:
        InputError: another ending, no such folder, or something else is there.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"no way to write {path}: a report is one page; give --to a name that ends in .html")
    if not path.parent.is_dir() or path.is_dir():
        what = "that is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise InputError(f"no way to write {path}: {what}; name a file in a folder that exists")
    if path.exists() and not _is_report(path):
        raise InputError(f"no report written to {path}: a file is there that is no report; give --to another name")


def _is_report(path: Path) -> bool:
    with path.open("rb") as handle:
        return f'content="{GENERATOR}"'.encode() in handle.read(LOOKED_AT)


def report_html(run: Run, asked: Asked | None = None) -> str:
    """The report of ``run`` as one page that needs nothing else; errors as ``write_report``."""
    shown = _shown(run, asked or Asked())
    css, js = f"{PAGE_COLOURS}\n{style()}\n{_file('report.css')}", f"{script()}\n{START}"
    checks = run_checks(run)
    counts = {name: sum(check.verdict == name for check in checks) for name in VERDICTS}
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_file("report.html"))
    return page.render(
        lang=shown.asked.lang, generator=GENERATOR, say=shown.say, css=Raw(css), js=Raw(js),
        css_hash=policy_hash(css), js_hash=policy_hash(js), title=shown.say("report.title", run=run.name),
        facts=_facts(shown), notes=list(_notes(shown)), verdicts=_verdicts(shown), curves=list(_curves(shown)),
        causes=list(_causes(shown)),
        counted=shown.say("checks.count", good=counts.pop("pass"), **counts),
        checks=[_check(check, shown.asked.lang) for check in checks],
        pairs=list(_pairs(shown)), terms=list(glossary(shown.asked.lang)),
        made=shown.say("report.made", version=dpo_analysis.__version__),
    )  # fmt: skip


def causes_section(run: Run, series: str, lang: str, *, split: str | None = None, beta: float | None = None) -> Raw:
    """What is known of why a series' last checkpoint changed, as a section of the page; empty where nothing is."""
    scored = [model for model in run.models if model.series == series and run.parts_done(model)]
    if not scored:
        return Raw("")
    said = lines(known_or_made(run, series=series, split=split, beta=beta), lang)[2:]
    title = words.text("report.causes.title", lang, model=scored[-1].key)
    parts = [f"<h2>{html.escape(title)}</h2>"]
    parts += [f"<p class='{'caption' if line[0] == ' ' else 'said'}'>{html.escape(line)}</p>" for line in said if line]
    splits = split_table(run, model=scored[-1].key, split=split)
    places = splits[splits["by"] == "place"]
    if len(places):
        parts.append(f"<p class='caption'>{html.escape(words.text('report.causes.caption', lang))}</p>")
        drawn = {theme: figures.split_bars(places, lang=lang, theme=theme) for theme in THEMES}
        parts += [f"<div class='{theme}'>{svg(drawn[theme], title=title)}</div>" for theme in THEMES]
    return Raw(f"<section>{''.join(parts)}</section>")


def _causes(shown: _Shown):
    for name in shown.steps["series"].unique():
        yield causes_section(shown.run, name, shown.asked.lang, split=shown.split, beta=shown.asked.beta)


def _shown(run: Run, asked: Asked) -> _Shown:
    split = asked.split or ("eval" if "eval" in run.splits else run.splits[0])
    if asked.pairs < 0:
        raise InputError(f"no report of {asked.pairs} pairs: --pairs is 0 or more; give another number")
    for pair_id in asked.pair_ids:
        find_pair(run, pair_id)
    return _Shown(run, asked, split, step_table(run, beta=asked.beta, series=asked.series, split=split))


def _facts(shown: _Shown) -> str:
    run, beta = shown.run, shown.asked.beta
    kept = [one for name, one in run.series.items() if shown.asked.series in (None, name)]
    own = ", ".join(dict.fromkeys(f"{series.beta:g}" for series in kept))
    reference = Path(run.reference.source).name or run.reference.source
    values = {"run": run.name, "beta": own if beta is None else f"{beta:g}", "pairs": run.n_pairs}
    return shown.say("app.facts", **values, models=len(shown.steps), reference=reference)


def _notes(shown: _Shown):
    run = shown.run
    others = [name for name in run.splits if name != shown.split]
    if others:
        yield shown.say("report.split", split=shown.split, others=", ".join(others))
    if shown.asked.series is not None:
        yield shown.say("report.series", series=shown.asked.series)
    if not run.is_complete:
        done, whole = (sum(parts) for parts in zip(*run.progress().values(), strict=True))
        yield shown.say("report.partial", done=done, whole=whole)


def _verdicts(shown: _Shown) -> list[tuple[str, str, str]]:
    found = figures.headline(shown.steps, lang=shown.asked.lang)
    return [(series, sentence, evidence) for series, _, sentence, evidence in found]


def _curves(shown: _Shown):
    """Every chart of the overview, light and dark."""
    run, logged = shown.run, trainer_log.logged_curves(shown.run)
    look: dict[str, Any] = {"lang": shown.asked.lang, "logged": logged[logged["split"] == shown.split]}
    look["from_reference"] = [name for name, series in run.series.items() if series.start == "reference"]
    for name, draw in CURVES.items():
        title = shown.say(f"overview.{name}.title")
        drawn = {theme: Raw(svg(draw(shown.steps, **look, theme=theme), title=title)) for theme in THEMES}
        yield {"title": title, "caption": shown.say(f"overview.{name}.caption"), **drawn}


def _pairs(shown: _Shown):
    """The pairs that were named, or those that fell most, each with what the token view draws."""
    lasts = shown.steps[shown.steps["n_used"] > 0].drop_duplicates("series", keep="last")
    rows = [
        pair_table(shown.run, beta=shown.asked.beta, model=key, source=False)
        for key in lasts["series"] + "/" + lasts["model"]
    ]
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=PAIR_COLUMNS)
    worst = table[(table["split"] == shown.split) & table["chosen_reward"].notna()]
    worst = worst.sort_values("chosen_reward", kind="stable").drop_duplicates("pair_id").head(shown.asked.pairs)
    named = list(shown.asked.pair_ids) or worst["pair_id"].tolist()
    ids, asked = inputs(shown.run).pairs["pair_id"], questions(shown.run)
    where = {pair_id: place for place, pair_id in enumerate(ids) if pair_id in set(named)}
    prompts = pair_texts(shown.run, named)["prompt"]
    for number, pair_id in enumerate(named, start=1):
        own = table[table["pair_id"] == pair_id].sort_values("chosen_reward", kind="stable")
        title = shown.say("report.pair", number=number, question=one_line(asked[where[pair_id]]))
        yield {"title": title, "prompt": visible(prompts[pair_id]), **_pair(shown, pair_id, own)}


def _pair(shown: _Shown, pair_id: str, rows: pd.DataFrame) -> dict[str, object]:
    """The numbers of one pair, and its tokens under the first, a middle and the last checkpoint of one series."""
    lang, row = shown.asked.lang, rows.iloc[0] if len(rows) else None
    status = "pending" if row is None else str(row["status"])
    if row is None or status not in SCORED or pd.isna(row["margin"]):
        said = shown.say("report.pair.uncounted", pair_id=pair_id, status=words.text(f"status.{status}", lang))
        return {"facts": said, "data": Raw("null")}
    numbers = {side: signed(row[name]) for side, name in REWARDS.items()}
    said = shown.say("report.pair.facts", pair_id=pair_id, series=row["series"], model=row["model"], **numbers)
    keys = [model.key for model in shown.run.models if model.series == row["series"] and shown.run.parts_done(model)]
    keys = list(dict.fromkeys([keys[0], keys[len(keys) // 2], keys[-1]]))
    tokens = token_table(shown.run, pair_id=pair_id, model=keys, beta=shown.asked.beta)
    if tokens.empty:
        return {"facts": said, "data": Raw("null")}
    data = payload(tokens, noise=shown.run.noise_floor, lang=lang)
    return {"facts": said, "data": Raw(json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"))}


def _check(check: Check, lang: str) -> dict[str, str]:
    said = {"mark": mark(check, lang), "question": question(check, lang), "answer": answer(check, lang)}
    return {"verdict": check.verdict, **said}


def _file(name: str) -> str:
    return (HERE / name).read_text("utf-8")


REWARDS = {"chosen": "chosen_reward", "rejected": "rejected_reward", "margin": "margin"}
