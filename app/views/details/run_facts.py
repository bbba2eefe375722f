"""What a run folder says about itself, as tables of text: inputs, series, models, log, columns."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dpo_analysis import schema, words
from dpo_analysis.numerics import metrics
from dpo_analysis.runs import Run

LOG_LINES, SHORT = 200, 16
"""How many lines of the log, and letters of a hash, are shown."""
ASIDE = ("time", "event", "host", "pid")
"""What every event of the log has; host and process say nothing about a number."""


def command(run: Run) -> str:
    """The command that made the run, as far as its log has one; else empty."""
    for event in run.log():
        typed = event.get("command") or event.get("argv")
        if typed:
            return " ".join(map(str, typed)) if isinstance(typed, list) else str(typed)
    return ""


def inputs(run: Run) -> list[tuple[str, str]]:
    """The identity of the run, one fact a line: its name and its value."""
    facts = {"schema_version": run.manifest["schema_version"], "n_pairs": run.n_pairs, "n_parts": run.n_parts}
    return _flat(run.identity | facts)


def series(run: Run, lang: str) -> pd.DataFrame:
    """The settings of every series."""
    rows = [{"series": name, **one.to_json()} for name, one in run.series.items()]
    shown = pd.DataFrame([{name: _text(value) for name, value in row.items()} for row in rows])
    return _headed(shown[["series", "beta", "loss_type", "parameters", "logged_logps", "start"]], lang)


def models(run: Run, lang: str) -> pd.DataFrame:
    """Every model with its source, its hash and how much of it is scored."""
    rows = [
        (one.series, one.name, "" if one.step is None else str(one.step), one.kind, one.source, one.weights[:SHORT],
         f"{len(run.parts_done(one))}/{run.n_parts}")
        for one in (run.reference, *run.models)
    ]  # fmt: skip
    names = ["series", "name", "step", "kind", "source", "weights", "parts"]
    return _headed(pd.DataFrame(rows, columns=names), lang)


def log(run: Run, lang: str) -> pd.DataFrame:
    """What happened while scoring, newest first."""
    rows = [
        (
            str(event.get("time", ""))[:19].replace("T", " "),
            str(event.get("event", "")),
            _text({name: value for name, value in event.items() if name not in ASIDE}),
        )
        for event in reversed(run.log()[-LOG_LINES:])
    ]
    return _headed(pd.DataFrame(rows, columns=["time", "event", "facts"]), lang)


def columns(lang: str) -> pd.DataFrame:
    """Every column and metric: name, what it is of, unit, meaning."""
    rows = _described("column", "meaning", schema.COLUMNS, lang)
    rows += _described("metric", "meaning.metric", metrics.METRICS, lang)
    return _headed(pd.DataFrame(rows, columns=["name", "of", "unit", "meaning"]), lang)


def _described(kind: str, key: str, known: Mapping[str, Any], lang: str) -> list[tuple[str, str, str, str]]:
    of = words.text(f"details.of.{kind}", lang)
    return [
        (name, of, _unit(one.unit, lang), _meaning(f"{key}.{name}", one.meaning, lang)) for name, one in known.items()
    ]


def _unit(plain: str, lang: str) -> str:
    return words.text(f"unit.{plain.replace(' ', '_')}", lang)


def _meaning(key: str, plain: str, lang: str) -> str:
    return words.text(key, lang) if key in words.WORDS else plain


def _flat(facts: dict[str, Any], before: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{before}{name}.")
        else:
            lines.append((f"{before}{name}", _text(value)))
    return lines


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _headed(frame: pd.DataFrame, lang: str) -> pd.DataFrame:
    return frame.rename(columns={name: words.text(f"details.column.{name}", lang) for name in frame})
