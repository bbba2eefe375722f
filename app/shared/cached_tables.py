"""Tables of the pages Causes, Pairs and Compare, kept between reruns; ``state`` has those of the first pages."""

from collections.abc import Sequence

import pandas as pd

from dpo_analysis.diagnosis import Check, Diagnosis, known_or_made, run_checks
from dpo_analysis.runs import Run
from dpo_analysis.tables import pairs as tables
from dpo_analysis.tables.decompositions import split_table
from dpo_analysis.tables.filters import found, with_flips
from dpo_analysis.tables.pairs import pair_paths
from dpo_analysis.tables.step_changes import pair_movers, token_movers
from shared import state


def pairs_at(run: Run, key: str) -> pd.DataFrame:
    """The pairs of the chosen split under one policy (SERIES/NAME), at the chosen beta, with their ``flip_margin``."""
    return state.table(_with_flips, run, key=key, split=state.split(run), own_beta=state.beta(), beta=beta_of(run, key))


def pairs_anywhere(run: Run, key: str) -> pd.DataFrame:
    """The pairs of every split under one policy (SERIES/NAME), at the chosen beta."""
    return state.pairs_of(run, key)


def steps_anywhere(run: Run) -> pd.DataFrame:
    """The step table of every split, at the chosen beta."""
    return state.table(tables.step_table, run, beta=state.beta())


def positions_of(run: Run, key: str, split: str) -> pd.DataFrame:
    """The position table of one policy in one split; of every split where the run has none of this name."""
    frame = state.table(tables.position_table, run, model=key)
    return frame[frame["split"] == split] if split in run.splits else frame


def steps_of(run: Run, key: str, *, tokens: bool = False) -> pd.DataFrame:
    """The pairs, or the vocabulary entries, that moved the mean most in each step of a policy's series."""
    asked = {"series": key.partition("/")[0], "split": state.split(run)}
    return state.table(token_movers if tokens else pair_movers, run, **asked)


def checks(run: Run) -> list[Check]:
    """Every check of the run, the gravest first."""
    return state.table(run_checks, run)


def beta_of(run: Run, key: str) -> float:
    """The beta of one policy (SERIES/NAME): the chosen one, else its series' own."""
    chosen = state.beta()
    return run.series[key.partition("/")[0]].beta if chosen is None else chosen


def paths(run: Run, key: str, pair_ids: Sequence[str]) -> pd.DataFrame:
    """The chosen reward of some pairs at every checkpoint of a policy's series, at the chosen beta."""
    return state.table(pair_paths, run, pair_ids=tuple(pair_ids), series=key.partition("/")[0], beta=state.beta())


def matches(run: Run, text: str) -> list[str] | None:
    """The ids of the pairs with this text in them; None for no text."""
    return state.table(_matches, run, text=text)["pair_id"].tolist() if text.strip() else None


def splits(run: Run, key: str, before: str | None) -> pd.DataFrame:
    """The exact splits of a policy's change since another one, or since the reference, in the chosen split."""
    return state.table(split_table, run, model=key, before=before, split=state.split(run))


def diagnosis(run: Run, key: str) -> Diagnosis:
    """The diagnosis of a policy's series on the chosen split, at the chosen beta."""
    asked = {"series": key.partition("/")[0], "split": state.split(run), "beta": state.beta()}
    return state.table(known_or_made, run, **asked)


def _with_flips(run: Run, *, key: str, split: str, own_beta: float | None, beta: float) -> pd.DataFrame:
    return with_flips(tables.pair_table(run, model=key, split=split, beta=own_beta, source=False), beta)


def _matches(run: Run, text: str) -> pd.DataFrame:
    return pd.DataFrame({"pair_id": sorted(found(run, text) or ())}, dtype=object)
