"""What several pages show in the same way: the line of facts, figures, small tables, and every state without data.

Text of models, runs and people is shown as it is: by html.escape, st.text, st.code or st.dataframe, not as Markdown.
"""

import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import streamlit as st

from dpo_analysis import schema, words
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.errors import DPOAnalysisError, InputError
from dpo_analysis.report.report import Asked, report_html
from dpo_analysis.runs import Run, open_run
from dpo_analysis.runs.activity import activity
from dpo_analysis.tables.pairs import status_table
from dpo_analysis.tables.trainer_log import explain_difference
from shared import choosers as choices
from shared import state
from shared.refresh import beat

REFRESH_SECONDS = 5
OF_RUN = ("pair", "split", "at", "model", "group", "status", "a", "b", "since")
"""URL parameters whose values a run or a split has; the others are options of the page."""
ALONE = ("run", "token")
"""URL parameters of which a sentence of their own says that they name nothing."""
DRAWN = ("chosen_reward", "rejected_reward", "margin")
"""Metrics of the trainer's log that stand behind the reward curves."""
FACTS = "color:var(--st-text-color);opacity:.75;font-size:14px;overflow-wrap:anywhere"
VERDICT = "font-size:17px;line-height:1.45"
EVIDENCE = "line-height:1.5;margin-top:2px"
TERM = "font-weight:600;margin-top:6px"
FORMULA = "font-family:ui-monospace,Menlo,Consolas,monospace;font-size:14px;overflow-wrap:anywhere"
NOTE = "color:var(--st-text-color);opacity:.6;font-size:14px;overflow-wrap:anywhere"


def safe_html(*lines: tuple[str, str]) -> None:
    """Lines of (style, text), one block; the styles are the app's own, the texts may be anybody's."""
    if lines:
        st.html("".join(f'<div style="{style}">{html.escape(text, quote=True)}</div>' for style, text in lines))


def verdict(series: str, sentence: str, evidence: str) -> None:
    """A series' sentence on top of the overview, with the numbers behind it."""
    safe_html((f"{VERDICT};font-weight:600", f"{series}: {sentence}"), (EVIDENCE, evidence))


def facts(run: Run, lang: str) -> None:
    """The line under every title: run, beta, pairs, checkpoints, reference; then what the URL asked for in vain."""
    beta = state.beta()
    own = ", ".join(dict.fromkeys(f"{series.beta:g}" for series in run.series.values()))
    values = {
        "run": words.text("app.sample", lang) if run.path == sample_run() else run.name,
        "beta": own if beta is None else f"{beta:g}", "pairs": run.n_pairs, "models": len(run.models),
        "reference": Path(run.reference.source).name or run.reference.source,
    }  # fmt: skip
    safe_html((FACTS, words.text("app.facts", lang, **values) + _precision(run, lang)))
    for name, value in state.unknown().items():
        key = f"app.unknown.{name}" if name in ALONE else "app.unknown" if name in OF_RUN else "app.unknown.option"
        safe_html((WARNING, words.text(key, lang, name=words.text(f"app.name.{name}", lang), value=value)))


def _precision(run: Run, lang: str) -> str:
    """Whether a run was scored in 16 bits, and how far those go; empty for float32."""
    dtype, floor = run.identity.get("dtype", "float32"), run.noise_floor
    like_trainer = run.identity.get("numerics") == "trainer"
    if floor is None or (dtype == "float32" and not like_trainer):
        return ""
    how = words.text("app.autocast", lang) if like_trainer else dtype
    return words.text("app.precision", lang, how=how, response=f"{floor.response:.2g}", token=f"{floor.token:.2g}")


WARNING = "border:1px solid #C9A227;border-left-width:4px;border-radius:6px;padding:8px 12px;overflow-wrap:anywhere"


def has_tokens(run: Run, lang: str) -> bool:
    """Whether there is anything by token to show; the page says so where there is not."""
    if not run.has_tokens:
        st.info(words.text("app.no_tokens", lang))
    return run.has_tokens


def _config(lang: str) -> dict[str, object]:
    """What a chart lets the reader do: one button, which saves it as SVG without asking any other machine."""
    said = {"dictionary": {"Download plot": words.text("figure.save", lang)}}
    only = {"modeBarButtons": [["toImage"]], "displaylogo": False, "locale": lang, "locales": {lang: said}}
    image = {"format": "svg", "filename": "dpo-analysis"}
    return {**only, "toImageButtonOptions": image, "scrollZoom": False, "doubleClick": False}


def figure(drawn, *, key: str, alt: str) -> None:
    """A Plotly figure that keeps its own colours."""
    st.plotly_chart(drawn, theme=None, config=_config(state.language()), key=f"figure_{key}", alt=alt)


def selectable(drawn, *, key: str, alt: str, on_box: Callable[[], None]) -> None:
    """A Plotly figure in which a box can be drawn; ``on_box`` is called when one was."""
    st.plotly_chart(
        drawn, theme=None, config=_config(state.language()), key=key, alt=alt, on_select=on_box, selection_mode="box"
    )


def pickable(rows: pd.DataFrame, *, key: str, on_pick: Callable[[], None] | None = None) -> int | None:
    """A table of which one row can be selected: its place, None where none is; ``on_pick`` is called at once."""
    st.dataframe(
        rows, hide_index=True, on_select=on_pick or "rerun", selection_mode="single-row", key=key,
        column_config=decimals(rows),
    )  # fmt: skip
    return state.picked(key)


def section(name: str, lang: str) -> None:
    """A heading and the sentence that says how to read what follows."""
    st.header(words.text(f"{name}.title", lang), anchor=False)
    st.caption(words.text(f"{name}.caption", lang))


def subsection(name: str, lang: str) -> None:
    """A smaller heading within a section, and the sentence that says how to read what follows."""
    st.subheader(words.text(f"{name}.title", lang), anchor=False)
    st.caption(words.text(f"{name}.caption", lang))


def overlay_note(run: Run, lang: str) -> None:
    """Why the trainer's log and the recomputed curves differ, and by how much at most; nothing without a log."""
    log = state.logged(run)
    drawn = log[log["metric"].isin(DRAWN)].drop_duplicates(["series", "logged_split"])
    why = [
        explain_difference(run, series, name)
        for series, name in zip(drawn["series"], drawn["logged_split"], strict=True)
    ]
    reasons = list(dict.fromkeys(key for keys in why for key in keys))
    if not reasons:
        return
    st.caption(words.text("overview.overlay", lang, why=words.text(reasons[0], lang)))
    with st.expander(words.text("overview.overlay.more", lang)):
        lines = [words.text(key, lang) for key in reasons] + _largest(run, lang)
        safe_html(*((EVIDENCE, line) for line in lines))


def hidden_logs(run: Run, lang: str) -> None:
    """Which of the trainers' logs lie beside no curve of the chosen split, and why; nothing where all are shown."""
    found = state.hidden_logs(run)
    safe_html(*((NOTE, words.text(why, lang, log=name, series=series)) for name, series, why in found))


def _largest(run: Run, lang: str) -> list[str]:
    """For each series the curve that is farthest from its log."""
    rows = state.differences(run)
    rows = rows[rows["metric"].isin(DRAWN)].sort_values("largest_difference", ascending=False).drop_duplicates("series")
    return [
        words.text(
            "overview.overlay.largest", lang, series=row["series"], step=row["step"], n=row["n_points"],
            metric=words.text(f"figure.log.{row['metric']}", lang), difference=f"{row['largest_difference']:.4f}",
        ) for row in rows.to_dict("records")
    ]  # fmt: skip


@contextmanager
def told(lang: str) -> Iterator[None]:
    """Say on the page what went wrong, where and what to do, instead of a traceback."""
    try:
        yield
    except DPOAnalysisError as error:
        kind = "input" if isinstance(error, InputError) else "storage"
        state.unknown()
        st.error(words.text(f"app.error.{kind}", lang), icon=":material/error:")
        st.code(str(error), language=None, wrap_lines=True)


def no_run(lang: str) -> None:
    """The page while there is nothing to show: what to type, and the example."""
    st.title(words.text("app.none.title", lang), anchor=False)
    st.markdown(words.text("app.none.body", lang))
    st.code(
        "dpo-analysis score PAIRS --reference MODEL --policy MODEL --out RUN\ndpo-analysis app RUN", language="bash"
    )
    if sample_run() is not None:
        st.button(words.text("app.none.sample", lang), type="primary", on_click=state.put, args=("run", state.SAMPLE))


def report_button(run: Run, lang: str) -> None:
    """What is shown here as one HTML file, made when it is asked for."""
    asked = Asked(beta=state.beta(), lang=lang, split=state.split(run))
    st.download_button(
        words.text("report.download", lang), lambda: report_html(run, asked).encode("utf-8", "replace"),
        f"{run.name}.html", "text/html", on_click="ignore", icon=":material/download:",
        help=words.text("report.download.help", lang),
    )  # fmt: skip


def progress(run: Run, lang: str) -> None:
    """How much of an unfinished run is there, and whether anybody is scoring it; the page follows by itself."""
    if not run.is_complete:
        _watch(run.path, state.signature(run.path), lang)


@st.fragment
def _watch(path: Path, seen: str, lang: str) -> None:
    beat(REFRESH_SECONDS)
    with told(lang):
        if state.signature(path) != seen:
            st.rerun(scope="app")
        _progress(path, lang)


def _progress(path: Path, lang: str) -> None:
    done, whole = (sum(parts) for parts in zip(*open_run(path).progress().values(), strict=True))
    now = activity(path)
    when = "" if now.last_part is None else f"{pd.Timestamp(now.last_part, unit='s', tz='UTC'):%Y-%m-%d %H:%M} UTC"
    kind = "app.partial" if now.workers else "app.partial.idle" if when else "app.partial.never"
    icon = ":material/hourglass_top:" if now.workers else ":material/pause_circle:"
    st.info(words.text(kind, lang, done=done, whole=whole, workers=now.workers, when=when), icon=icon)


def status_counts(run: Run, lang: str) -> pd.DataFrame:
    """Pairs by status, one row per checkpoint; one row for all of them where they agree."""
    counts = state.table(status_table, run, split=state.split(run)).set_index(["series", "model"])
    counts = counts[["used", *(name for name in (*schema.STATUSES, schema.PENDING) if counts[name].any())]]
    counts = counts.rename(columns={"used": words.text("overview.status.used", lang)})
    counts = counts.rename(
        columns={name: words.text(f"status.{name}", lang) for name in (*schema.STATUSES, schema.PENDING)}
    )
    if len(counts.drop_duplicates()) == 1:
        return (
            counts.head(1)
            .assign(**{_models(lang): words.text("overview.status.all", lang)})
            .set_index(_models(lang))
            .reset_index()
        )
    named = [" · ".join(key) for key in counts.index]
    return counts.reset_index(drop=True).assign(**{_models(lang): named}).set_index(_models(lang)).reset_index()


def _models(lang: str) -> str:
    return words.text("overview.status.model", lang)


def pair_rows(rows: pd.DataFrame, run: Run, lang: str) -> pd.DataFrame:
    """The pairs that fell most, as a small table."""
    asked, several = state.prompts(run)["question"], len(run.series) > 1
    keys = rows["series"] + "/" + rows["model"]
    shown = rows[["chosen_reward", "rejected_reward", "margin", "chosen_n_tokens"]].reset_index(drop=True)
    shown.insert(0, "prompt", [choices.short(asked[key]) for key in rows["pair_id"]])
    shown.insert(1, "model", [choices.model_label(run.model(key), several, lang) for key in keys])
    return shown.rename(columns={name: words.text(f"overview.column.{name}", lang) for name in shown})


def split_rows(splits: pd.DataFrame, lang: str) -> pd.DataFrame:
    """The parts of every split, as a table."""
    parts = [words.text(f"causes.{by}.{part}", lang) for by, part in zip(splits["by"], splits["part"], strict=True)]
    shown = splits.assign(
        part=parts, by=[words.text(f"causes.by.{by}", lang) for by in splits["by"]],
        side=[words.text(f"side.{side}", lang) for side in splits["side"]],
    )  # fmt: skip
    return shown.rename(columns={name: words.text(f"causes.column.{name}", lang) for name in shown})


def path_rows(tokens: pd.DataFrame, token: dict[str, object], lang: str) -> pd.DataFrame:
    """One token under every checkpoint, as a small table."""
    rows = tokens[(tokens["side"] == token["side"]) & (tokens["position"] == token["position"])]
    names = ["series", "model", "advantage", "logp", "reference_logp", "rank", "entropy"]
    return rows[names].rename(columns={name: words.text(f"tokens.column.{name}", lang) for name in names})


def decimals(frame: pd.DataFrame, form: str = "%.3f") -> dict[str, object]:
    """Column formats: ``form`` for every column of fractions."""
    return {name: st.column_config.NumberColumn(format=form) for name in frame.select_dtypes("floating")}
