"""Blocks that several pages show: the line of facts, headings, figures, tables, and what stands in place of data.

Text of models, runs and people is shown as it is, by markup, st.text, st.code or st.dataframe, never as Markdown.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import streamlit as st

from dpo_analysis import schema, words
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.diagnosis.probe_findings import read_probe_findings
from dpo_analysis.errors import DPOAnalysisError, InputError
from dpo_analysis.runs import Run, open_run
from dpo_analysis.runs.live.activity import activity
from dpo_analysis.runs.live.live_lock import TRAINING, live_holder
from dpo_analysis.tables.steps import in_series_order, status_table
from dpo_analysis.text.numbers import UNDEFINED, decimal, distinct, significant
from shared import cache, cached_tables, markup, state
from shared.refresh import refresh_every

REFRESH_SECONDS = 5
RUN_PARAMETERS = ("pair", "split", "at", "model", "group", "status", "a", "b", "since", "marked")
"""URL parameters whose values come from the run or the split; the others are options of a page."""
OWN_SENTENCE = ("run", "token")
"""URL parameters that have a sentence of their own for a value that does not exist."""
FACTS = "color:var(--st-text-color);opacity:.75;font-size:14px;overflow-wrap:anywhere"
VERDICT = "font-size:17px;line-height:1.45"
EVIDENCE = "line-height:1.5;margin-top:2px"
TERM = "font-weight:600;margin-top:6px"
FORMULA = "font-family:ui-monospace,Menlo,Consolas,monospace;font-size:14px;overflow-wrap:anywhere"
NOTE = "color:var(--st-text-color);opacity:.75;font-size:14px;overflow-wrap:anywhere"
WARNING = "border:1px solid #C9A227;border-left-width:4px;border-radius:6px;padding:8px 12px;overflow-wrap:anywhere"


def safe_html(*lines: tuple[str, str]) -> None:
    """Show lines of (style, text) as one block; the styles are written by the app, the texts are escaped."""
    markup.show(*(markup.text(text, style, tag="div") for style, text in lines))


def facts(run: Run, lang: str) -> None:
    """Show the line under every title (run, beta, pairs, models, reference), then URL values that do not exist."""
    if not run.has_pairs:
        named = words.text("app.facts.log", lang, run=run.name, series=", ".join(run.series))
        safe_html((FACTS, named))
        state.take_unknown()
        return
    beta = state.beta()
    values = {
        "run": words.text("app.sample", lang) if run.path == sample_run() else run.name,
        "beta": distinct(series.beta for series in run.series.values()) if beta is None else f"{beta:g}",
        "pairs": _pair_count(run, lang),
        "models": len(run.models),
        "reference": Path(run.reference.source).name or run.reference.source,
    }
    safe_html((FACTS, words.text("app.facts", lang, **values) + _precision(run, lang)))
    for name, value in state.take_unknown().items():
        of_run = "app.unknown" if name in RUN_PARAMETERS else "app.unknown.option"
        key = f"app.unknown.{name}" if name in OWN_SENTENCE else of_run
        safe_html((WARNING, words.text(key, lang, name=words.text(f"app.name.{name}", lang), value=value)))


def _pair_count(run: Run, lang: str) -> str:
    """Return the number of pairs; where a run has several splits, that of the chosen split and of all."""
    if len(run.splits) < 2:
        return str(run.n_pairs)
    split = state.split(run)
    steps = cached_tables.steps(run)
    n_pairs = int(steps["n_pairs"].iloc[0]) if len(steps) else 0
    return words.text("app.facts.split", lang, n=n_pairs, total=run.n_pairs, split=split)


def _precision(run: Run, lang: str) -> str:
    """Return how far the numbers of a run scored in 16 bits can be trusted; empty for float32."""
    dtype, floor = run.identity.get("dtype", "float32"), run.noise_floor
    like_trainer = run.identity.get("numerics") == "trainer"
    if floor is None or (dtype == "float32" and not like_trainer):
        return ""
    how = words.text("app.autocast", lang) if like_trainer else dtype
    return words.text("app.precision", lang, how=how, response=f"{floor.response:.2g}", token=f"{floor.token:.2g}")


def section(name: str, lang: str) -> None:
    """Show a heading and the sentence that explains what follows."""
    st.header(words.text(f"{name}.title", lang), anchor=False)
    st.caption(words.text(f"{name}.caption", lang))


def subsection(name: str, lang: str) -> None:
    """Show a smaller heading within a section and the sentence that explains what follows."""
    st.subheader(words.text(f"{name}.title", lang), anchor=False)
    st.caption(words.text(f"{name}.caption", lang))


def figure(chart: Any, *, key: str, alt: str) -> None:
    """Show a Plotly figure in its own colours; ``alt`` is its text for screen readers."""
    st.plotly_chart(chart, theme=None, config=_config(state.language()), key=f"figure_{key}", alt=alt)


def selectable_figure(chart: Any, *, key: str, alt: str, on_box: Callable[[], None]) -> None:
    """Show a Plotly figure in which the reader can draw a box; ``on_box`` is called when one was drawn."""
    config = _config(state.language())
    st.plotly_chart(chart, theme=None, config=config, key=key, alt=alt, on_select=on_box, selection_mode="box")


def _config(lang: str) -> dict[str, object]:
    """Return Plotly's options: one button, which saves the chart as SVG without asking any other machine."""
    translated = {"dictionary": {"Download plot": words.text("figure.save", lang)}}
    buttons = {"modeBarButtons": [["toImage"]], "displaylogo": False, "locale": lang, "locales": {lang: translated}}
    image = {"format": "svg", "filename": "dpo-analysis"}
    return {**buttons, "toImageButtonOptions": image, "scrollZoom": False, "doubleClick": False}


def table(rows: pd.DataFrame, form: str = "%.3f") -> None:
    """Show a table whose fractions are written in ``form``."""
    st.dataframe(**written(rows, decimals(rows, form)), hide_index=True)


def selectable_table(
    rows: pd.DataFrame,
    *,
    key: str,
    columns: dict[str, Any] | None = None,
    on_select: Callable[[], None] | None = None,
    height: int | Literal["auto"] = "auto",
) -> int | None:
    """Show a table of which one row can be selected, and return its number, from 0; None where none is.

    Args:
        rows: the table.
        key: its session key.
        columns: the column configuration; None writes fractions with three decimals.
        on_select: called before the page is drawn again.
        height: pixels, within which longer tables scroll.
    """
    st.dataframe(
        **written(rows, decimals(rows) if columns is None else columns),
        hide_index=True,
        height=height,
        on_select=on_select or "rerun",
        selection_mode="single-row",
        key=key,
    )
    return state.selected_row(key)


def markable_table(
    rows: pd.DataFrame,
    marked: list[int],
    *,
    key: str,
    columns: dict[str, Any],
    on_select: Callable[[], None],
    height: int,
) -> None:
    """Show a table with a box beside every row; ``marked`` are the rows that are ticked at first.

    Args:
        rows: the table.
        marked: numbers of rows, from 0.
        key: its session key.
        columns: the column configuration.
        on_select: called when a box was ticked or cleared.
        height: pixels, within which longer tables scroll.
    """
    st.dataframe(
        **written(rows, columns),
        hide_index=True,
        height=height,
        on_select=on_select,
        selection_mode="multi-row",
        selection_default={"selection": {"rows": marked}},
        key=key,
    )


def decimals(frame: pd.DataFrame, form: str = "%.3f") -> dict[str, Any]:
    """Return the column configuration that writes every column of fractions in ``form``."""
    fractions = [str(name) for name, dtype in frame.dtypes.items() if pd.api.types.is_float_dtype(dtype)]
    return {name: st.column_config.NumberColumn(format=form) for name in fractions}


def written(rows: pd.DataFrame, columns: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments ``data`` and ``column_config`` of a table whose fractions are written by our rules.

    Each has the digits of its column's format, as in ``decimals``. The browser would write -0.000 for what rounds to 0,
    and nine decimals for %.4g of a tiny number. Sorting and selection go by the numbers themselves.
    """
    types = {name: (config or {}).get("type_config") or {} for name, config in columns.items()}
    forms = {name: str(types.get(name, {}).get("format")) for name in decimals(rows)}
    writers: Any = {
        name: partial(_number, form=form) for name, form in forms.items() if re.fullmatch(r"%\.\d[fg]", form)
    }
    if not writers:
        return {"data": rows, "column_config": columns}
    plain = {name: {**columns[name], "type_config": {**types[name], "format": None}} for name in writers}
    return {"data": rows.reset_index(drop=True).style.format(writers), "column_config": {**columns, **plain}}


def _number(value: float, form: str) -> str:
    write = decimal if form.endswith("f") else significant
    return UNDEFINED if pd.isna(value) else write(float(value), int(form[2:-1]))


def status_counts(run: Run, lang: str) -> None:
    """Show how many pairs have each status, one row per checkpoint, or one row where all checkpoints agree."""
    counts = cache.cached(status_table, run, split=state.split(run))
    counts = in_series_order(counts, cached_tables.series_order(run)).set_index(["series", "model"])
    statuses = (*schema.STATUSES, schema.PENDING)
    counts = counts[["used", *(name for name in statuses if counts[name].any())]]
    counts = counts.rename(columns={name: words.text(f"status.{name}", lang) for name in statuses})
    counts = counts.rename(columns={"used": words.text("overview.status.used", lang)})
    labels = [" · ".join(key) for key in counts.index]
    if len(counts.drop_duplicates()) == 1:
        counts, labels = counts.head(1), [words.text("overview.status.all", lang)]
    rows = counts.reset_index(drop=True)
    rows.insert(0, words.text("overview.status.model", lang), labels)
    st.dataframe(rows, hide_index=True, width="content")


def only_log(lang: str) -> None:
    """Say that the run holds training logs alone, and which command would add the rest."""
    st.info(words.text("app.only_log", lang))


def has_tokens(run: Run, lang: str) -> bool:
    """Return whether the run has anything by token, and say on the page if it has not."""
    if not run.has_tokens:
        st.info(words.text("app.no_tokens", lang))
    return run.has_tokens


@contextmanager
def errors_on_page(lang: str) -> Iterator[None]:
    """Show an error as what is wrong, where and what to do, in place of a traceback."""
    try:
        yield
    except DPOAnalysisError as error:
        kind = "input" if isinstance(error, InputError) else "storage"
        state.take_unknown()
        st.error(words.text(f"app.error.{kind}", lang), icon=":material/error:")
        st.code(str(error), language=None, wrap_lines=True)


def no_run(lang: str) -> None:
    """Show the page of an app without a run: which commands make one, and a button for the sample run."""
    st.title(words.text("app.none.title", lang), anchor=False)
    st.markdown(words.text("app.none.body", lang))
    commands = "dpo-analysis score PAIRS --reference MODEL --policy MODEL --out RUN\ndpo-analysis app RUN"
    st.code(commands, language="bash", wrap_lines=True)
    if sample_run() is not None:
        show_sample = {"on_click": state.set_parameter, "args": ("run", state.SAMPLE)}
        st.button(words.text("app.none.sample", lang), type="primary", **show_sample)


def progress(run: Run, lang: str) -> None:
    """Show how far a run is scored, and whether checkpoints will follow; meanwhile the page refreshes by itself."""
    holder = live_holder(run.path)
    if holder or not run.is_complete:
        _watch(run.path, cache.run_signature(run.path), holder, lang)


def just_begun(run: Run) -> bool:
    """Return whether a training adds checkpoints to the run, and none has come after its first step."""
    return live_holder(run.path) == TRAINING and not any(model.step for model in run.models)


def _kept_mass_sentences(run: Run, lang: str) -> list[str]:
    """Return how much of the reference's replies the newest checkpoint of a training keeps, where it was measured."""
    newest = max(run.models, key=lambda model: model.step or 0)
    return [finding.sentence(lang) for finding in read_probe_findings(run, newest)[:1]]


@st.fragment
def _watch(path: Path, signature: str, holder: str, lang: str) -> None:
    refresh_every(REFRESH_SECONDS)
    with errors_on_page(lang):
        if cache.run_signature(path) != signature or live_holder(path) != holder:
            st.rerun(scope="app")
        _progress(path, holder, lang)


def _progress(path: Path, holder: str, lang: str) -> None:
    run = open_run(path)
    if holder and run.is_complete:
        last = max((model.step or 0 for model in run.models), default=0)
        kind = "app.live.begun" if just_begun(run) else f"app.live.{holder}"
        st.info(words.text(kind, lang, n=len(run.models), step=last), icon=":material/autorenew:")
        if not just_begun(run):
            safe_html(*((EVIDENCE, sentence) for sentence in _kept_mass_sentences(run, lang)))
        return
    done, whole = (sum(parts) for parts in zip(*run.progress().values(), strict=True))
    now = activity(path)
    when = "" if now.last_part is None else f"{pd.Timestamp(now.last_part, unit='s', tz='UTC'):%Y-%m-%d %H:%M} UTC"
    kind = "app.partial" if now.workers else "app.partial.idle" if when else "app.partial.never"
    icon = ":material/hourglass_top:" if now.workers else ":material/pause_circle:"
    st.info(words.text(kind, lang, done=done, whole=whole, workers=now.workers, when=when), icon=icon)
