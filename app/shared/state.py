"""What the pages share: the chosen run, tables kept between reruns, and the selection, which lives in the URL.

The URL is the only truth about the selection: a widget is set from it before it is drawn and writes back when it is
changed, so a copied link, Back and Forward restore the view. Every session key is named in this file.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from dpo_analysis import words
from dpo_analysis.arrays.region_sums import questions
from dpo_analysis.arrays.response_sums import inputs
from dpo_analysis.arrays.texts import pair_texts
from dpo_analysis.cli.launcher import RUN_VARIABLE, find_runs, sample_run
from dpo_analysis.runs import Run, open_run
from dpo_analysis.runs.safe_files import reading
from dpo_analysis.tables import trainer_log as overlay
from dpo_analysis.tables.filters import Box
from dpo_analysis.tables.pairs import PAIR_COLUMNS, pair_table, position_table, step_table, token_table

SAMPLE = "sample"
THEME, WORST, TOKENS, PAIRS, SCATTER = "theme", "worst", "tokens_view", "pairs_table", "pairs_scatter"
MOVERS, CHANGES, STEPS, STEP_TOKENS = "movers_table", "changes_scatter", "steps_table", "step_tokens"
EXAMPLES = "examples_table"
RUN, PAGES, UNKNOWN, SEEN = "_run", "_pages", "_unknown", "_seen"
KEPT = 48
"""How many tables stay in memory."""
BETAS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
OWN, YES = "own", "1"
NARROWER = {
    "pair": ("token",),
    "model": ("box", "since"),
    "a": ("range",),
    "b": ("range",),
    "measure": ("range",),
    "bare": ("range",),
    "other": ("b", "range"),
    "split": ("pair", "token", "box", "range", "group"),
    "run": ("split", "pair", "token", "at", "model", "since", "box", "group", "status", "a", "b", "other", "range"),
}
"""URL parameters that lose their meaning when another one changes."""


def language() -> str:
    """The reader's language: the URL's, else the browser's where the words are there, else English."""
    asked = st.query_params.get("lang", "")
    browser = "zh" if str(st.context.locale or "").lower().startswith("zh") else "en"
    return asked if asked in words.LANGUAGES else browser


def theme() -> str:
    """Light or dark, as the browser shows the page: what the page's own watcher reported, else what Streamlit knows."""
    seen = st.session_state.get(THEME) or {}
    return "dark" if (seen.get("type") or st.context.theme.type) == "dark" else "light"


def carried() -> dict[str, list[str]]:
    """The selection that goes along from page to page: all of it, so that every page is found as it was left."""
    return {key: st.query_params.get_all(key) for key in st.query_params}


def remember(run: Run | None, pages: dict[str, Any]) -> None:
    """Keep this pass's run and pages for the views."""
    st.session_state[RUN], st.session_state[PAGES] = run, pages
    st.session_state[SEEN] = {}


def the_run() -> Run:
    """This pass's run."""
    return st.session_state[RUN]


def go(page: str, **query: str | list[str]) -> None:
    """Turn to a page with this selection, whatever the page that is left has in its URL kept."""
    kept = carried()
    for narrower in (one for name in query for one in NARROWER.get(name, ())):
        kept.pop(narrower, None)
    st.switch_page(st.session_state[PAGES][page], query_params={**kept, **query})


def wanted(name: str, options: Sequence[str], default: str) -> str:
    """The URL's value of ``name``; the default where it has none, or one that is not on offer (see ``unknown``)."""
    value = st.query_params.get(name, default)
    if value in options:
        return value
    in_vain(name, value)
    return default


def several(name: str, options: Sequence[str], default: Sequence[str] = ()) -> list[str]:
    """The URL's values of ``name`` that are on offer, else the default; others are kept for ``unknown``."""
    asked = st.query_params.get_all(name)
    for value in asked:
        if value not in options:
            in_vain(name, value)
    return [value for value in asked if value in options] or list(default)


def is_on(name: str) -> bool:
    """Whether the URL turns the switch ``name`` on."""
    return st.query_params.get(name) == YES


def words_sought() -> str:
    """The text that the URL looks for; empty for none."""
    return st.query_params.get("find", "")


def box(name: str = "box") -> Box | None:
    """The rectangle that the URL keeps (``box=left,right,bottom,top``); None for none, or one that is none."""
    try:
        left, right, bottom, top = (float(end) for end in st.query_params.get(name, "").split(","))
    except ValueError:
        return None
    return Box(left, right, bottom, top) if left <= right and bottom <= top else None


def in_vain(name: str, value: str) -> None:
    """Keep for ``unknown`` that the URL asks for something that is not there."""
    st.session_state.setdefault(UNKNOWN, {})[name] = value


def unknown() -> dict[str, str]:
    """What the URL asked for in vain during this pass, by parameter; asking empties it."""
    return st.session_state.pop(UNKNOWN, {})


def bound(name: str, value: object) -> dict[str, Any]:
    """Arguments that tie a widget to the URL parameter ``name``: draw it at ``value``, write back what is chosen."""
    st.session_state[f"w_{name}"] = value
    return {"key": f"w_{name}", "on_change": _write, "args": (name,)}


def _write(name: str) -> None:
    value = st.session_state[f"w_{name}"]
    if isinstance(value, bool):
        value = YES if value else ""
    put(name, [str(one) for one in value] if isinstance(value, list) else str(value))


def put(name: str, value: str | list[str]) -> None:
    """Set a URL parameter (in callbacks); another pair, run or split has other tokens, and another run other pairs."""
    for narrower in NARROWER.get(name, ()):
        st.query_params.pop(narrower, None)
    if value:
        st.query_params[name] = value
    else:
        drop(name)


def drop(*names: str) -> None:
    """Take URL parameters away (in callbacks)."""
    for name in names:
        st.query_params.pop(name, None)


def picked(key: str) -> int | None:
    """The place of the row that is selected in the table ``key``; None for none."""
    return next(iter((st.session_state.get(key) or {}).get("selection", {}).get("rows", [])), None)


def put_picked(key: str, name: str, values: Sequence[str]) -> None:
    """Put the value of the row that was selected in the table ``key`` into the URL (in callbacks)."""
    place = picked(key)
    if place is not None:
        put(name, values[place])


def put_box(key: str, name: str = "box") -> None:
    """Put the rectangle that was drawn in the chart ``key`` into the URL (in callbacks)."""
    drawn = st.session_state[key]["selection"]["box"]
    if drawn:
        ends = [f"{end:.4g}" for axis in ("x", "y") for end in sorted(drawn[0][axis])]
        st.query_params[name] = ",".join(ends)


def given() -> Path | None:
    """The run or folder of runs that the app was started with."""
    named = os.environ.get(RUN_VARIABLE) or next(iter(sys.argv[1:]), "")
    return Path(named) if named else None


def runs() -> dict[str, Path]:
    """The runs on offer, by name; the shipped sample alone where the reader asked for it.

    Raises:
        InputError: what was given does not exist or holds no run.
    """
    sample = sample_run()
    if st.query_params.get("run") == SAMPLE and sample is not None:
        return {SAMPLE: sample}
    folder = given()
    return find_runs(folder) if folder is not None else {}


def chosen_run() -> Run | None:
    """The run that the URL names, else the first on offer; None where there is none.

    Raises:
        InputError: as ``runs``.
        StorageError: its manifest is damaged.
    """
    found = runs()
    return open_run(found[wanted("run", list(found), next(iter(found)))]) if found else None


def other_run(run: Run) -> Run:
    """The run that the URL lays beside ``run``; the same one unless asked.

    Raises:
        StorageError: its manifest is damaged.
    """
    found = runs()
    name = wanted("other", list(found), run_name(run))
    return run if name == run_name(run) else open_run(found[name])


def run_name(run: Run) -> str:
    """What ``run`` is called among the runs on offer."""
    return next((name for name, path in runs().items() if path == run.path), run.name)


def beta() -> float | None:
    """The chosen beta; None means each series' own."""
    name = st.query_params.get("beta", OWN)
    return next((value for value in BETAS if f"{value:g}" == name), None)


def split(run: Run) -> str:
    """The chosen split; held-out pairs unless asked."""
    return wanted("split", run.splits, "eval" if "eval" in run.splits else run.splits[0])


def of_split(frame: pd.DataFrame, run: Run) -> pd.DataFrame:
    """The rows of the chosen split."""
    if len(run.splits) == 1 and split(run) in run.splits:
        return frame
    return frame[frame["split"] == split(run)].reset_index(drop=True)


def steps(run: Run) -> pd.DataFrame:
    """The step table at the chosen beta, of the chosen split."""
    return of_split(table(step_table, run, beta=beta()), run)


def pairs_of(run: Run, key: str) -> pd.DataFrame:
    """The pairs of every split under one policy (SERIES/NAME), at the chosen beta."""
    return table(pair_table, run, beta=beta(), model=key, source=False)


def fallen(run: Run) -> pd.DataFrame:
    """The pairs at the last checkpoint of each series, the chosen response that fell most first; those that count."""
    steps_used = steps(run)
    steps_used = steps_used[steps_used["n_used"] > 0].drop_duplicates("series", keep="last")
    keys = tuple(steps_used["series"] + "/" + steps_used["model"])
    return table(_fallen, run, models=keys, beta=beta(), split=split(run))


def positions(run: Run) -> pd.DataFrame:
    """The position table of the chosen split."""
    return of_split(table(position_table, run), run)


def tokens(run: Run, pair_id: str) -> pd.DataFrame:
    """The tokens of one pair under every model, at the chosen beta."""
    return table(token_table, run, pair_id=pair_id, beta=beta())


def logged(run: Run) -> pd.DataFrame:
    """The trainer's own log beside the chosen split; empty where none was imported."""
    return of_split(table(overlay.logged_curves, run), run)


def hidden_logs(run: Run) -> list[tuple[str, str, str]]:
    """The trainers' logs that belong to no curve of the chosen split: their name, their series, why (a key)."""
    return overlay.hidden_logs(run, table(overlay.logged_curves, run), split(run))


def differences(run: Run) -> pd.DataFrame:
    """How far the log and the recomputed curves of the chosen split are apart, by series and metric."""
    return of_split(overlay.overlay_summary(table(overlay.overlay_table, run)), run)


def prompts(run: Run) -> dict[str, Any]:
    """By pair_id: ``prompt`` as it was tokenised, read when asked for, and ``question``: what was asked, in short."""
    return {"question": table(_questions, run), "prompt": _Prompts(run)}


def texts(run: Run, pair_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """By pair_id: prompt, chosen and rejected as they were tokenised; of all pairs where none is named."""
    return pair_texts(run, pair_ids)


class _Prompts(NamedTuple):
    """The prompts of a run; one is read when it is asked for."""

    run: Run

    def __getitem__(self, pair_id: str) -> str:
        return pair_texts(self.run, [pair_id])["prompt"].iloc[0]


def _questions(run: Run) -> pd.Series:
    return pd.Series(questions(run), index=inputs(run).pairs["pair_id"])


def _fallen(run: Run, *, models: Sequence[str], beta: float | None, split: str) -> pd.DataFrame:
    frames = [pair_table(run, beta=beta, model=key, split=split, source=False) for key in models]
    if not frames:
        return pd.DataFrame(columns=PAIR_COLUMNS)
    found = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    return found.dropna(subset=["chosen_reward"]).sort_values("chosen_reward", kind="stable", ignore_index=True)


def from_reference(run: Run) -> list[str]:
    """The series whose training began at the reference: their curves start at 0."""
    return [name for name, series in run.series.items() if series.start == "reference"]


def signature(path: Path) -> str:
    """Changes whenever a file of the run folder is added or replaced (all are written by renaming).

    Raises:
        StorageError: a folder of it is gone or cannot be read.
    """
    stamps, folders = [], [str(path)]
    for folder in folders:
        with reading(path), os.scandir(folder) as entries:
            stamps.append(os.stat(folder).st_mtime_ns)
            folders += sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    return ",".join(map(str, stamps))


def seen(run: Run) -> str:
    """The signature of ``run`` as this pass met it first."""
    known = st.session_state.setdefault(SEEN, {})
    key = str(run.path)
    if key not in known:
        known[key] = signature(run.path)
    return known[key]


def table(make: Callable[..., Any], run: Run, **arguments: object) -> Any:
    """What ``make(run, **arguments)`` gives, kept until a file of the run folder changes; all sessions share it."""
    return _cached(make.__name__, make, str(run.path), seen(run), run, arguments)


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def _cached(name: str, _make: Callable[..., Any], path: str, seen: str, _run: Run, arguments: dict[str, Any]) -> Any:
    return _make(_run, **arguments)
