"""The Compare page's choices and tables: A and B, the criterion, the reference or not, and what is listed."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st
from shared import blocks as show
from shared import cached_tables as stored
from shared import choosers as choices
from shared import state

from dpo_analysis import words
from dpo_analysis.figures.theme import signed
from dpo_analysis.runs import Run
from dpo_analysis.tables import policy_pairs as comparison

LISTED = 200
TABLE = ["chosen_change", "rejected_change", "margin_change", "margin_a", "margin_b"]


@dataclass(frozen=True, slots=True)
class End:
    """One end of a comparison: a run, a policy of it (SERIES/NAME) and what it is called."""

    run: Run
    key: str
    label: str


@dataclass(frozen=True, slots=True)
class Both:
    """A and B, the pairs that count under both with their outcome, and how they are looked at."""

    a: End
    b: End
    pairs: pd.DataFrame
    measure: str
    bare: bool

    @property
    def same_reference(self) -> bool:
        """Whether the reference cancels in differences: the same weights and the same beta."""
        betas = {stored.beta_of(end.run, end.key) for end in (self.a, self.b)}
        return len(betas) == 1 and self.a.run.reference.weights == self.b.run.reference.weights


def choose_ends(run: Run, lang: str) -> tuple[End, End] | None:
    """A and B; at first the first and the last checkpoint of the series that fell most. None where there is one only.

    Raises:
        StorageError: the other run is damaged.
    """
    runs = state.runs()
    other = state.other_run(run)
    if not choices.scored_models(run) or not choices.scored_models(other):
        return None
    if other.path == run.path and len(choices.scored_models(run)) < 2 and len(runs) < 2:
        return None
    last = choices.lowest(run)
    own = [key for key in choices.scored_models(run) if key.startswith(f"{last.partition('/')[0]}/")]
    left, *middle, right = st.columns(3 if len(runs) > 1 else 2)
    a = _choose(left, "a", run, own[0], lang)
    for column in middle:
        value = state.run_name(other)
        column.selectbox(words.text("compare.other", lang), list(runs), **state.bound("other", value))
    b = _choose(right, "b", other, last if other.path == run.path else choices.lowest(other), lang)
    several = other.path != run.path
    return tuple(End(at, key, _label(at, key, several, lang)) for at, key in ((run, a), (other, b)))


def _choose(column, name: str, run: Run, default: str, lang: str) -> str:
    scored = choices.scored_models(run)
    value, several = state.wanted(name, list(scored), default), len(run.series) > 1
    column.selectbox(
        words.text(f"compare.{name}", lang), list(scored), **state.bound(name, value),
        format_func=lambda key: choices.model_label(scored[key], several, lang),
    )  # fmt: skip
    return value


def _label(run: Run, key: str, several: bool, lang: str) -> str:
    name = choices.model_label(run.model(key), len(run.series) > 1 or several, lang)
    return f"{run.name} · {name}" if several else name


def have_tokens(both: Both, lang: str) -> bool:
    """Whether both runs have anything by token to show; the page says so where one has not."""
    return all(show.has_tokens(end.run, lang) for end in (both.a, both.b))


def choose_view(lang: str) -> tuple[str, str, bool]:
    """The criterion, the number that is compared, and whether the reference is left out."""
    criterion = state.wanted("judge", list(comparison.CRITERIA), "margin")
    measure, bare = state.wanted("measure", list(comparison.NUMBERS), "margin"), state.is_on("bare")
    judge, of = st.columns(2, vertical_alignment="bottom")
    judge.selectbox(
        words.text("compare.criterion", lang), list(comparison.CRITERIA), **state.bound("judge", criterion),
        format_func=lambda name: words.text(f"compare.criterion.{name}", lang),
    )  # fmt: skip
    of.segmented_control(
        words.text("compare.measure", lang), list(comparison.NUMBERS), required=True, **state.bound("measure", measure),
        format_func=lambda name: words.text(f"compare.measure.{name}", lang),
    )  # fmt: skip
    st.toggle(words.text("compare.bare", lang), help=words.text("compare.bare.help", lang), **state.bound("bare", bare))
    return criterion, measure, bare


def compared(ends: tuple[End, End], view: tuple[str, str, bool]) -> Both:
    """The pairs of A's split that count under both, with ``outcome``."""
    a, b = ends
    criterion, measure, bare = view
    pairs = comparison.compare_pairs(stored.pairs_at(a.run, a.key), stored.pairs_anywhere(b.run, b.key), bare=bare)
    return Both(a, b, pairs.assign(outcome=comparison.outcomes(pairs, criterion)), measure, bare)


def summary(both: Both, lang: str) -> str:
    """How far the means moved, and how many pairs were fixed and broken."""
    means = {name: signed(both.pairs[f"{name}_change"].mean()) for name in comparison.NUMBERS}
    unit = words.text("unit.nats" if both.bare else "unit.beta_x_nats", lang)
    return words.text("compare.summary", lang, n=len(both.pairs), unit=unit, **means, **_counts(both.pairs["outcome"]))


def shared(both: Both, lang: str) -> list[tuple[str, str]]:
    """How many of A's pairs are compared, where it is not all of them; a line for ``show.safe_html``."""
    total = int(stored.pairs_at(both.a.run, both.a.key)["margin"].notna().sum())
    line = words.text("compare.some", lang, shared=len(both.pairs), total=total)
    return [] if len(both.pairs) == total else [(show.FACTS, line)]


def effect(both: Both, lang: str) -> str:
    """What it changes to leave the reference out."""
    judged = {name: comparison.outcomes(both.pairs, name) for name in ("margin", "ranking")}
    bare = {f"bare_{name}": n for name, n in _counts(judged["ranking"]).items()}
    right = {name: found.isin(["fixed", "both"]) for name, found in judged.items()}
    values = {**_counts(judged["margin"]), **bare, "disagree": int((right["margin"] != right["ranking"]).sum())}
    if both.same_reference:
        return words.text("compare.effect.same", lang, **values)
    logps = comparison.compare_pairs(
        stored.pairs_at(both.a.run, both.a.key), stored.pairs_anywhere(both.b.run, both.b.key), bare=True
    )
    rewards = both.pairs["reward_b"] - both.pairs["reward_a"]
    values |= {"with_reference": signed(rewards.mean()), "without": signed(logps["chosen_change"].mean())}
    return words.text("compare.effect.other", lang, **values)


def _counts(outcome: pd.Series) -> dict[str, int]:
    return {name: int((outcome == name).sum()) for name in ("fixed", "broken")}


def axis(both: Both, lang: str) -> tuple[str, str, str, str]:
    """The number that the scatter shows, its name in words, and the names of A and B."""
    kind, tail = "bare" if both.bare else "with", ".margin" if both.measure == "margin" else ""
    name = words.text(f"compare.measure.{both.measure}", lang)
    what = words.text(f"compare.axis.{kind}{tail}", lang, **({} if tail else {"name": name}))
    return both.measure, what, both.a.label, both.b.label


def listed(both: Both) -> pd.DataFrame:
    """The pairs that the box and the outcomes of the URL leave, the largest change first."""
    kept, box = state.several("outcome", list(comparison.OUTCOMES)), state.box("range")
    rows = both.pairs[both.pairs["outcome"].isin(kept or comparison.OUTCOMES)]
    if box is not None:
        across = rows[f"{both.measure}_a"].between(box.left, box.right)
        rows = rows[across & rows[f"{both.measure}_b"].between(box.bottom, box.top)]
    return rows.sort_values(f"{both.measure}_change", key=lambda change: -change.abs(), kind="stable").head(LISTED)


def table(run: Run, rows: pd.DataFrame, lang: str) -> pd.DataFrame:
    """The listed pairs as they are shown."""
    asked = state.prompts(run)["question"]
    shown = rows[TABLE].reset_index(drop=True)
    shown.insert(0, "prompt", [choices.short(asked[one]) for one in rows["pair_id"]])
    shown.insert(1, "outcome", [words.text(f"compare.outcome.{one}", lang) for one in rows["outcome"]])
    return shown.rename(columns={name: words.text(f"compare.column.{name}", lang) for name in shown})


def curves(both: Both) -> pd.DataFrame:
    """The step tables of both series, one behind the other; series of two runs are named by run."""
    frames = []
    for end in (both.a, both.b):
        steps, name = stored.steps_anywhere(end.run), end.key.partition("/")[0]
        own = steps[(steps["series"] == name) & steps["split"].isin([state.split(both.a.run)])]
        frames.append(own.assign(series=name if both.a.run.path == both.b.run.path else f"{end.run.name} · {name}"))
    return pd.concat(frames, ignore_index=True).drop_duplicates(["series", "model", "split"])


def profile(both: Both) -> pd.DataFrame:
    """The difference by position, B minus A."""
    tables = [stored.positions_of(end.run, end.key, state.split(both.a.run)) for end in (both.a, both.b)]
    return comparison.profile_change(*tables)
