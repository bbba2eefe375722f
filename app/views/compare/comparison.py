"""The Compare page's choices and numbers: the checkpoints A and B, the pairs of both, and sentences about them."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from shared import blocks, cache, cached_tables, choosers, layout, markup, prompt_tables, state
from shared.markup import Markup
from shared.terms import terms_help

from dpo_analysis import words
from dpo_analysis.runs import Run
from dpo_analysis.tables import policy_pairs
from dpo_analysis.text.numbers import signed

MAX_ROWS = 200
CHANGES = ["chosen_change", "rejected_change", "margin_change", "margin_a", "margin_b"]
CELL = "border:1px solid var(--st-border-color, #8884);border-radius:6px;padding:6px 12px;min-width:118px"
CELLS = "display:flex;flex-wrap:wrap;gap:8px;font-variant-numeric:tabular-nums"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One of the two checkpoints that are compared: its run, its key (SERIES/NAME) and its label."""

    run: Run
    key: str
    label: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two checkpoints and the pairs that count under both.

    Attributes:
        a: the checkpoint that changes are measured from.
        b: the checkpoint that they are measured to.
        pairs: ``policy_pairs.compare_pairs`` with ``outcome``, one of ``policy_pairs.OUTCOMES``.
        measure: the number that is compared, one of ``policy_pairs.COMPARED``.
        bare: whether log-probs are compared, nats, in place of rewards, beta x nats.
    """

    a: Checkpoint
    b: Checkpoint
    pairs: pd.DataFrame
    measure: str
    bare: bool

    @property
    def same_reference(self) -> bool:
        """Whether the reference cancels in differences: the same reference weights and the same beta."""
        betas = {cached_tables.beta_of(end.run, end.key) for end in (self.a, self.b)}
        return len(betas) == 1 and self.a.run.reference.weights == self.b.run.reference.weights


def choose_checkpoints(run: Run, lang: str) -> tuple[Checkpoint, Checkpoint] | None:
    """Draw the selectors of A and B and, where there are several runs, of B's run; None where there is only one.

    At first A and B are the first and the last checkpoint of the series that fell most.

    Raises:
        StorageError: the other run is damaged.
    """
    runs = state.runs()
    other = state.other_run(run)
    if not choosers.scored_models(run) or not choosers.scored_models(other):
        return None
    if other.path == run.path and len(choosers.scored_models(run)) < 2 and len(runs) < 2:
        return None
    last = choosers.lowest_checkpoint(run)
    of_series = [key for key in choosers.scored_models(run) if key.startswith(f"{last.partition('/')[0]}/")]
    # before the first step the policy is the reference, which has no accuracy to compare with
    first = next((key for key in of_series if run.model(key).step != 0), of_series[0])
    left, *middle, right = layout.columns(3 if len(runs) > 1 else 2, "checkpoints", 12)
    a = _choose(left, "a", run, first, lang)
    for column in middle:
        value = state.run_name(other)
        column.selectbox(words.text("compare.other", lang), list(runs), **state.bind("other", value))
    b = _choose(right, "b", other, last if other.path == run.path else choosers.lowest_checkpoint(other), lang)
    several = other.path != run.path
    return Checkpoint(run, a, _checkpoint_label(run, a, several, lang)), Checkpoint(
        other, b, _checkpoint_label(other, b, several, lang)
    )


def _choose(column: Any, name: str, run: Run, default: str, lang: str) -> str:
    scored = choosers.scored_models(run)
    value = state.choice(name, list(scored), default)
    widget = state.bind(name, value)
    choosers.select_model(column, words.text(f"compare.{name}", lang), scored, several=len(run.series) > 1, **widget)
    return value


def _checkpoint_label(run: Run, key: str, several_runs: bool, lang: str) -> str:
    name = choosers.model_label(run.model(key), len(run.series) > 1 or several_runs, lang)
    return f"{run.name} · {name}" if several_runs else name


def choose_view(lang: str) -> tuple[str, str, bool]:
    """Draw the selectors of the criterion, of the compared number, and the switch that leaves the reference out.

    Returns:
        One of ``policy_pairs.CRITERIA``, one of ``policy_pairs.COMPARED``, and whether the switch is on.
    """
    criterion = state.choice("judge", list(policy_pairs.CRITERIA), "margin")
    measure, bare = state.choice("measure", list(policy_pairs.COMPARED), "margin"), state.is_on("bare")
    left, middle, right = layout.columns(3, "view", 12, vertical_alignment="bottom")
    left.selectbox(
        words.text("compare.criterion", lang),
        list(policy_pairs.CRITERIA),
        help=terms_help(("accuracy",), lang),
        format_func=lambda name: words.text(f"compare.criterion.{name}", lang),
        **state.bind("judge", criterion),
    )
    middle.segmented_control(
        words.text("compare.measure", lang),
        list(policy_pairs.COMPARED),
        required=True,
        help=terms_help(("reward", "margin"), lang),
        format_func=lambda name: words.text(f"compare.measure.{name}", lang),
        **state.bind("measure", measure),
    )
    widget = state.bind("bare", bare)
    right.toggle(words.text("compare.bare", lang), help=words.text("compare.bare.help", lang), **widget)
    return criterion, measure, bare


def compare(ends: tuple[Checkpoint, Checkpoint], view: tuple[str, str, bool]) -> Comparison:
    """Return the pairs of A's split that count under both checkpoints, with their outcome."""
    criterion, measure, bare = view
    pairs = _compared_pairs(*ends, bare=bare)
    return Comparison(*ends, pairs.assign(outcome=policy_pairs.pair_outcomes(pairs, criterion)), measure, bare)


def _compared_pairs(a: Checkpoint, b: Checkpoint, *, bare: bool) -> pd.DataFrame:
    """Return the pairs of both; kept with the run of A where B is of the same run."""
    if a.run.path != b.run.path:
        return _pairs_of_both(a.run, b=b.run, key_a=a.key, key_b=b.key, bare=bare)
    selection = {"split": state.split(a.run), "beta": state.beta()}
    return cache.cached(_pairs_of_one_run, a.run, key_a=a.key, key_b=b.key, bare=bare, **selection)


def _pairs_of_one_run(run: Run, *, key_a: str, key_b: str, bare: bool, **_selection: object) -> pd.DataFrame:
    return _pairs_of_both(run, b=run, key_a=key_a, key_b=key_b, bare=bare)


def _pairs_of_both(a: Run, *, b: Run, key_a: str, key_b: str, bare: bool) -> pd.DataFrame:
    first, second = cached_tables.pairs(a, key_a), cached_tables.pairs_of_all_splits(b, key_b)
    return policy_pairs.compare_pairs(first, second, bare=bare)


def have_tokens(comparison: Comparison, lang: str) -> bool:
    """Return whether both runs have anything by token, and say on the page if one has not."""
    return all(blocks.has_tokens(end.run, lang) for end in (comparison.a, comparison.b))


def show_summary(comparison: Comparison, lang: str) -> None:
    """Show how far the means moved and how many pairs became right and wrong, and of which pairs this is."""
    pairs, a = comparison.pairs, comparison.a
    total = int(cached_tables.pairs(a.run, a.key)["margin"].notna().sum())
    unit = words.text("unit.nats" if comparison.bare else "unit.beta_x_nats", lang)
    cells = [
        (words.text(f"compare.cell.{name}", lang), signed(pairs[f"{name}_change"].mean()))
        for name in policy_pairs.COMPARED
    ]
    cells += [(words.text(f"compare.cell.{name}", lang), str(n)) for name, n in _counts(pairs["outcome"]).items()]
    blocks.safe_html((blocks.EVIDENCE, words.text("compare.summary", lang, n=len(pairs), unit=unit)))
    markup.show(markup.box(*(_cell(*cell) for cell in cells), style=CELLS))
    if len(pairs) < total:
        blocks.safe_html((blocks.FACTS, words.text("compare.some", lang, shared=len(pairs), total=total)))


def _cell(label: str, value: str) -> Markup:
    """Return a number under its name."""
    parts = (markup.text(label, blocks.FACTS, tag="div"), markup.text(value, "font-size:20px", tag="div"))
    return markup.box(*parts, style=CELL)


def reference_effect(comparison: Comparison, lang: str) -> list[str]:
    """Return what it changes to leave the reference out, one sentence each."""
    pairs = comparison.pairs
    outcomes = {name: policy_pairs.pair_outcomes(pairs, name) for name in ("margin", "ranking")}
    bare_counts = _counts(outcomes["ranking"])
    right_under_b = {name: outcome.isin(["fixed", "both"]) for name, outcome in outcomes.items()}
    disagree = int((right_under_b["margin"] != right_under_b["ranking"]).sum())
    counted = [
        words.text("compare.effect.margin", lang, **_counts(outcomes["margin"])),
        words.text("compare.effect.ranking", lang, **bare_counts),
        words.text("compare.effect.disagree", lang, disagree=disagree),
    ]
    if comparison.same_reference:
        return [words.text("compare.effect.same", lang), *counted]
    logps = _compared_pairs(comparison.a, comparison.b, bare=True)
    rewards = pairs["reward_b"] - pairs["reward_a"]
    values = {"with_reference": signed(rewards.mean()), "without": signed(logps["chosen_change"].mean())}
    return [words.text("compare.effect.other", lang, **values), *counted]


def _counts(outcomes: pd.Series) -> dict[str, Any]:
    return {name: int((outcomes == name).sum()) for name in ("fixed", "broken")}


def axis(comparison: Comparison, lang: str) -> tuple[str, str, str, str]:
    """Return the number that the scatter shows, its name in words, and the labels of A and B."""
    kind, ending = "bare" if comparison.bare else "with", ".margin" if comparison.measure == "margin" else ""
    name = words.text(f"compare.measure.{comparison.measure}", lang)
    title = words.text(f"compare.axis.{kind}{ending}", lang, **({} if ending else {"name": name}))
    return comparison.measure, title, comparison.a.label, comparison.b.label


def listed_pairs(comparison: Comparison) -> pd.DataFrame:
    """Return the pairs that the URL's box and outcomes keep, the largest change first."""
    outcomes, box, measure = (
        state.choices("outcome", list(policy_pairs.OUTCOMES)),
        state.box("range"),
        comparison.measure,
    )
    rows = comparison.pairs[comparison.pairs["outcome"].isin(outcomes or policy_pairs.OUTCOMES)]
    if box is not None:
        across = rows[f"{measure}_a"].between(box.left, box.right)
        rows = rows[across & rows[f"{measure}_b"].between(box.bottom, box.top)]
    return rows.sort_values(f"{measure}_change", key=lambda change: -change.abs(), kind="stable").head(MAX_ROWS)


def table(run: Run, rows: pd.DataFrame, lang: str) -> pd.DataFrame:
    """Return the listed pairs as they are shown."""
    shown = rows[CHANGES].reset_index(drop=True)
    shown["outcome"] = [words.text(f"compare.outcome.{outcome}", lang) for outcome in rows["outcome"]]
    shown["prompt"] = prompt_tables.prompts(cached_tables.questions(run), rows["pair_id"].tolist())
    return shown.rename(columns={name: words.text(f"compare.column.{name}", lang) for name in shown})


def curves(comparison: Comparison) -> pd.DataFrame:
    """Return the concatenated step tables of both series; a series of two runs is named by its run."""
    frames, a = [], comparison.a
    for end in (a, comparison.b):
        steps, series = cached_tables.steps_of_all_splits(end.run), end.key.partition("/")[0]
        rows = steps[(steps["series"] == series) & steps["split"].isin([state.split(a.run)])]
        same_run = a.run.path == comparison.b.run.path
        frames.append(rows.assign(series=series if same_run else f"{end.run.name} · {series}"))
    return pd.concat(frames, ignore_index=True).drop_duplicates(["series", "model", "split"])


def position_changes(comparison: Comparison) -> pd.DataFrame:
    """Return the difference of the mean log-ratio by position, B minus A, nats."""
    split = state.split(comparison.a.run)
    a, b = (cached_tables.positions_of(end.run, end.key, split) for end in (comparison.a, comparison.b))
    return policy_pairs.position_changes(a, b)
