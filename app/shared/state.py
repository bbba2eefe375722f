"""The reader's selection, which lives in the URL, and what one pass of the script keeps in the session.

The URL is the only truth about the selection: a widget is set from it before it is drawn and writes back when it is
changed, so a copied link, Back and Forward restore the view. Every session key is named in this file.
"""

import os
import sys
from collections.abc import Collection, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dpo_analysis import words
from dpo_analysis.cli.launcher import RUN_VARIABLE, find_runs, sample_run
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Run, open_run
from dpo_analysis.tables.filters import Box

SAMPLE, FORMER_SAMPLE = "shipped/sample", "sample"
"""Name of the shipped run in the URL, which no folder can have, and its name in links of earlier versions."""
THEME, WORST, TOKENS, PAIRS, SCATTER = "theme", "worst", "tokens_view", "pairs_table", "pairs_scatter"
MOVERS, CHANGES, STEPS, STEP_TOKENS = "movers_table", "changes_scatter", "steps_table", "step_tokens"
EXAMPLES, MARKS = "examples_table", "marks_table"
"""Keys of the tables, charts and components whose selection or state a page reads."""
RUN, PAGES, UNKNOWN, SIGNATURES, TURNS = "_run", "_pages", "_unknown", "_seen", "_turns"
MARKS_SHOWN = "_marks_shown"
"""Keys of what one pass of the script keeps."""
BETAS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
OWN_BETA, ON = "own", "1"
MOST_MARKS = 100
"""Pairs that a link can mark: their ids, of 16 letters each, stand in it."""
DEPENDENT = {
    "pair": ("token",),
    "token": ("tokens-tab",),
    "group": ("pairs-tab",),
    "model": ("box", "since"),
    "a": ("range",),
    "b": ("range",),
    "measure": ("range",),
    "bare": ("range",),
    "other": ("b", "range"),
    "split": ("pair", "token", "box", "range", "group"),
    "run": (
        *("series", "split", "pair", "token", "at", "model", "since", "box", "group", "status"),
        *("a", "b", "other", "range", "marked"),
    ),
}
"""URL parameters that lose their meaning, and are removed, when the one before them changes.

A tab is among them where a view of another tab is asked for.
"""


def language() -> str:
    """Return the reader's language: the URL's, else the browser's if it has a catalogue, else English."""
    requested = st.query_params.get("lang", "")
    browser = "zh" if str(st.context.locale or "").lower().startswith("zh") else "en"
    return requested if requested in words.LANGUAGES else browser


def theme() -> str:
    """Return "light" or "dark" as the browser shows the page; before the page has reported it, as Streamlit says."""
    reported = st.session_state.get(THEME) or {}
    return "dark" if (reported.get("type") or st.context.theme.type) == "dark" else "light"


def url_parameters() -> dict[str, list[str]]:
    """Return all URL parameters, which go along from page to page, so that every page is found as it was left."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def remember(run: Run | None, pages: dict[str, Any]) -> None:
    """Keep the run and the pages of this pass for the views."""
    st.session_state[RUN], st.session_state[PAGES] = run, pages
    st.session_state[SIGNATURES] = {}


def current_run() -> Run:
    """Return the run of this pass."""
    return st.session_state[RUN]


def page(name: str) -> Any:
    """Return Streamlit's page of a view, as ``st.page_link`` takes it."""
    return st.session_state[PAGES][name]


def open_page(page: str, **selection: str | list[str]) -> None:
    """Turn to a page with this selection; the other URL parameters go along unless they depend on it."""
    parameters = url_parameters()
    for dependent in (dependent for name in selection for dependent in DEPENDENT.get(name, ())):
        parameters.pop(dependent, None)
    st.switch_page(st.session_state[PAGES][page], query_params={**parameters, **selection})


def choice(name: str, options: Sequence[str], default: str) -> str:
    """Return the URL's value of ``name``, or the default where it has none or one that is not an option.

    A value that is not an option is noted for ``take_unknown``.
    """
    value = st.query_params.get(name, default)
    if value in options:
        return value
    note_unknown(name, value)
    return default


def choices(name: str, options: Sequence[str], default: Sequence[str] = ()) -> list[str]:
    """Return the URL's values of ``name`` that are options, else the default; other values are noted as unknown."""
    requested = st.query_params.get_all(name)
    for value in requested:
        if value not in options:
            note_unknown(name, value)
    return [value for value in requested if value in options] or list(default)


def is_on(name: str) -> bool:
    """Return whether the URL turns the switch ``name`` on."""
    return st.query_params.get(name) == ON


def search_text() -> str:
    """Return the text that the URL searches for; empty for none."""
    return st.query_params.get("find", "")


def marked_pairs(known: Container[str]) -> list[str]:
    """Return the pair_ids that the URL marks (``marked=ID,ID``), at most ``MOST_MARKS``; others are noted as unknown.

    Args:
        known: the pair_ids of the run. One that holds a comma stands in a parameter by itself.
    """
    ids: dict[str, None] = {}
    for value in st.query_params.get_all("marked"):
        for pair_id in [value] if value in known else value.split(","):
            if pair_id in known:
                ids[pair_id] = None
            elif pair_id:
                note_unknown("marked", pair_id)
    return list(ids)[:MOST_MARKS]


def mark_pairs(pair_ids: Iterable[str]) -> None:
    """Put the marked pairs into the URL, the first ``MOST_MARKS`` of them (in callbacks)."""
    ids = list(dict.fromkeys(pair_ids))[:MOST_MARKS]
    plain = ",".join(pair_id for pair_id in ids if "," not in pair_id)
    set_parameter("marked", [*([plain] if plain else []), *(pair_id for pair_id in ids if "," in pair_id)])


def table_of_marks(shown: Sequence[str], marked: Collection[str]) -> tuple[str, list[int]]:
    """Return the session key of the table in which pairs are marked, and the numbers of the rows that are.

    A table keeps its own selection under its key, so it gets another key where that is not what the URL says: after
    Back, after a button, or where other pairs are shown.

    Args:
        shown: ids of the pairs in the table.
        marked: ids of the marked pairs.
    """
    rows = [number for number, pair_id in enumerate(shown) if pair_id in marked]
    number, before = st.session_state.get(MARKS_SHOWN, (0, ()))
    kept = st.session_state.get(f"{MARKS}_{number}")
    if tuple(shown) != before or (kept is not None and sorted(kept["selection"]["rows"]) != rows):
        number += 1
    st.session_state[MARKS_SHOWN] = (number, tuple(shown))
    return f"{MARKS}_{number}", rows


def selected_rows(key: str) -> list[int]:
    """Return the numbers of all rows that are selected in the table ``key``, from 0."""
    return list((st.session_state.get(key) or {}).get("selection", {}).get("rows", []))


def box(name: str = "box") -> Box | None:
    """Return the rectangle in the URL (``box=left,right,bottom,top``); None where it is missing or malformed."""
    try:
        left, right, bottom, top = (float(end) for end in st.query_params.get(name, "").split(","))
    except ValueError:
        return None
    return Box(left, right, bottom, top) if left <= right and bottom <= top else None


def note_unknown(name: str, value: str) -> None:
    """Note for ``take_unknown`` that the URL's value of ``name`` does not exist."""
    st.session_state.setdefault(UNKNOWN, {})[name] = value


def take_unknown() -> dict[str, str]:
    """Return, by parameter, the URL's values of this pass that do not exist, and forget them."""
    return st.session_state.pop(UNKNOWN, {})


def bind(name: str, value: object) -> dict[str, Any]:
    """Return the arguments that tie a widget to the URL parameter ``name``.

    The widget is drawn at ``value`` and writes the parameter when the reader changes it.
    """
    st.session_state[f"w_{name}"] = value
    return {"key": f"w_{name}", "on_change": _write, "args": (name,)}


def _write(name: str) -> None:
    value = st.session_state[f"w_{name}"]
    if isinstance(value, bool):
        value = ON if value else ""
    set_parameter(name, [str(item) for item in value] if isinstance(value, list) else str(value))


def set_parameter(name: str, value: str | list[str]) -> None:
    """Set a URL parameter, or remove it if the value is empty, and remove those that depend on it (in callbacks)."""
    for dependent in DEPENDENT.get(name, ()):
        st.query_params.pop(dependent, None)
    if value:
        st.query_params[name] = value
    else:
        remove_parameters(name)


def remove_parameters(*names: str) -> None:
    """Remove URL parameters (in callbacks)."""
    for name in names:
        st.query_params.pop(name, None)


def turned() -> dict[str, Any] | None:
    """Return what the reader last did to turn to another pair in the token view, and where it led; None for nothing."""
    return st.session_state.get(TURNS)


def note_turn(done: dict[str, Any]) -> None:
    """Note for ``turned`` what the reader did (in callbacks)."""
    st.session_state[TURNS] = done


def selected_row(key: str) -> int | None:
    """Return the number of the row that is selected in the table ``key``, from 0; None for none."""
    return next(iter((st.session_state.get(key) or {}).get("selection", {}).get("rows", [])), None)


def set_from_row(key: str, name: str, values: Sequence[str]) -> None:
    """Set the URL parameter ``name`` to the value of the row selected in the table ``key`` (in callbacks)."""
    row = selected_row(key)
    if row is not None:
        set_parameter(name, values[row])


def set_box(key: str, name: str = "box") -> None:
    """Put the rectangle that was drawn in the chart ``key`` into the URL (in callbacks)."""
    drawn = st.session_state[key]["selection"]["box"]
    if drawn:
        ends = [f"{end:.4g}" for axis in ("x", "y") for end in sorted(drawn[0][axis])]
        st.query_params[name] = ",".join(ends)


def start_path() -> Path | None:
    """Return the run or folder of runs that the app was started with."""
    path = os.environ.get(RUN_VARIABLE) or next(iter(sys.argv[1:]), "")
    return Path(path) if path else None


def runs() -> dict[str, Path]:
    """Return the runs that can be chosen, by name; only the shipped sample where the URL names it.

    Raises:
        InputError: the path that the app was started with does not exist or holds no run.
    """
    requested, sample = st.query_params.get("run", ""), sample_run()
    if sample is not None and (requested == SAMPLE or (requested == FORMER_SAMPLE and not _is_served(requested))):
        return {requested: sample}
    path = start_path()
    return find_runs(path) if path is not None else {}


def _is_served(name: str) -> bool:
    """Return whether the folder that the app was started with has a run of this name."""
    path = start_path()
    try:
        return path is not None and name in find_runs(path)
    except InputError:
        return False


def chosen_run() -> Run | None:
    """Return the run that the URL names, else the first; None where there is none.

    Raises:
        InputError: as ``runs``.
        StorageError: its manifest is damaged.
    """
    paths = runs()
    return open_run(paths[choice("run", list(paths), next(iter(paths)))]) if paths else None


def other_run(run: Run) -> Run:
    """Return the run that the URL compares with ``run``; ``run`` itself where it names none.

    Raises:
        StorageError: its manifest is damaged.
    """
    paths = runs()
    name = choice("other", list(paths), run_name(run))
    return run if name == run_name(run) else open_run(paths[name])


def run_name(run: Run) -> str:
    """Return the name of ``run`` among the runs that can be chosen."""
    return next((name for name, path in runs().items() if path == run.path), run.name)


def beta() -> float | None:
    """Return the chosen beta; None means that of each series."""
    name = st.query_params.get("beta", OWN_BETA)
    return next((value for value in BETAS if f"{value:g}" == name), None)


def split(run: Run) -> str:
    """Return the chosen split; "eval" by default where the run has it, else its first; "" where it has none."""
    return choice("split", run.splits, "eval" if "eval" in run.splits else next(iter(run.splits), ""))
