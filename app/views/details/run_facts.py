"""What a run folder says about itself, as tables of text: inputs, series, models, log, columns."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dpo_analysis import schema, words
from dpo_analysis.figures.theme import unit_text
from dpo_analysis.numerics import metrics
from dpo_analysis.runs import Run

LOG_LINES, HASH_LETTERS = 200, 16
"""How many lines of the log, and letters of a hash, are shown."""
LEFT_OUT = ("time", "event", "host", "pid")
"""Fields that every event of the log has: time and event have columns, host and process say nothing about a number."""
SERIES_COLUMNS = ["series", "beta", "loss_type", "parameters", "logged_logps", "start"]
MODEL_COLUMNS = ["series", "name", "step", "kind", "source", "weights", "parts"]


def command(run: Run) -> str:
    """Return the command that made the run; empty where its log has none."""
    for event in run.log():
        arguments = event.get("command") or event.get("argv")
        if arguments:
            return " ".join(map(str, arguments)) if isinstance(arguments, list) else str(arguments)
    return ""


def inputs(run: Run) -> list[tuple[str, str]]:
    """Return the identity of the run as (name, value), nested names joined by dots."""
    counts = {"schema_version": run.manifest["schema_version"], "n_pairs": run.n_pairs, "n_parts": run.n_parts}
    return _flattened(run.identity | counts)


def series(run: Run, order: Sequence[str], lang: str) -> pd.DataFrame:
    """Return the settings of every series: those of ``order``, then those without a checkpoint."""
    names = dict.fromkeys([*order, *run.series])
    rows = [{"series": name, **run.series[name].to_json()} for name in names]
    frame = pd.DataFrame([{name: _text(value) for name, value in row.items()} for row in rows])
    return _with_headings(frame[SERIES_COLUMNS], lang)


def models(run: Run, order: Sequence[str], lang: str) -> pd.DataFrame:
    """Return every model, series in this order, with its source, its hash and how many of its parts are scored."""
    rows = []
    for model in (run.reference, *sorted(run.models, key=lambda model: order.index(model.series))):
        step, parts = "" if model.step is None else str(model.step), f"{len(run.parts_done(model))}/{run.n_parts}"
        weights = model.weights[:HASH_LETTERS]
        rows.append((model.series, model.name, step, model.kind, model.source, weights, parts))
    return _with_headings(pd.DataFrame(rows, columns=MODEL_COLUMNS), lang)


def log(run: Run, lang: str) -> pd.DataFrame:
    """Return what happened while scoring, the newest event first."""
    rows = [
        (
            str(event.get("time", ""))[:19].replace("T", " "),
            str(event.get("event", "")),
            _text({name: value for name, value in event.items() if name not in LEFT_OUT}),
        )
        for event in reversed(run.log()[-LOG_LINES:])
    ]
    return _with_headings(pd.DataFrame(rows, columns=["time", "event", "facts"]), lang)


def columns(lang: str) -> pd.DataFrame:
    """Return every column and metric: its name, what it belongs to, its unit and its meaning."""
    rows = _definitions("column", "meaning", schema.COLUMNS, lang)
    rows += _definitions("metric", "meaning.metric", metrics.METRICS, lang)
    return _with_headings(pd.DataFrame(rows, columns=["name", "of", "unit", "meaning"]), lang)


def _definitions(kind: str, key: str, definitions: Mapping[str, Any], lang: str) -> list[tuple[str, str, str, str]]:
    of = words.text(f"details.of.{kind}", lang)
    return [
        (name, of, unit_text(definition.unit, lang), _meaning(f"{key}.{name}", definition.meaning, lang))
        for name, definition in definitions.items()
    ]


def _meaning(key: str, english: str, lang: str) -> str:
    return words.text(key, lang) if key in words.catalogue(lang) else english


def _flattened(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += _flattened(value, f"{prefix}{name}.")
        else:
            lines.append((f"{prefix}{name}", _text(value)))
    return lines


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _with_headings(frame: pd.DataFrame, lang: str) -> pd.DataFrame:
    return frame.rename(columns={name: words.text(f"details.column.{name}", lang) for name in frame})
