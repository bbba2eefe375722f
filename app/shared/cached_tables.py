"""Tables of a run that pages show, kept between reruns until a file of the run folder changes.

Each function returns a table at the reader's selection (``state``): the chosen split and beta. A policy is named
SERIES/NAME.
"""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from dpo_analysis.arrays.region_sums import short_prompts
from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.arrays.texts import pair_texts
from dpo_analysis.diagnosis import Check, Diagnosis, load_or_diagnose, run_checks
from dpo_analysis.diagnosis.saved_diagnosis import is_saved
from dpo_analysis.diagnosis.series_diagnosis import metrics_at_end
from dpo_analysis.runs import Run
from dpo_analysis.tables import trainer_log
from dpo_analysis.tables.decompositions import decomposition_table
from dpo_analysis.tables.filters import pairs_with_text, with_flip_margins
from dpo_analysis.tables.pairs import PAIR_COLUMNS, pair_paths, pair_table
from dpo_analysis.tables.positions import position_table
from dpo_analysis.tables.step_changes import largest_pair_changes, largest_token_changes
from dpo_analysis.tables.steps import in_series_order, series_by_severity, step_table, worst_series_first
from dpo_analysis.tables.tokens import token_table
from shared import state
from shared.cache import cached


def steps(run: Run) -> pd.DataFrame:
    """Return the step table of the chosen split at the chosen beta, the series that ends lowest first."""
    return cached(_steps, run, beta=state.beta(), split=state.split(run))


def series_order(run: Run) -> tuple[str, ...]:
    """Return the series in the order in which readers are shown them, that which ends lowest first."""
    return cached(_series_order, run, beta=state.beta(), split=state.split(run))


def steps_of_all_splits(run: Run) -> pd.DataFrame:
    """Return the step table of every split at the chosen beta."""
    return cached(step_table, run, beta=state.beta())


def pairs(run: Run, key: str) -> pd.DataFrame:
    """Return the pair table of one policy in the chosen split at the chosen beta, with ``flip_margin``."""
    own_beta = state.beta()
    return cached(_pairs_with_flips, run, key=key, split=state.split(run), own_beta=own_beta, beta=beta_of(run, key))


def pairs_of_all_splits(run: Run, key: str) -> pd.DataFrame:
    """Return the pair table of one policy in every split at the chosen beta."""
    return cached(pair_table, run, beta=state.beta(), model=key, source=False)


def lowest_pairs(run: Run) -> pd.DataFrame:
    """Return the pairs that count at the last checkpoint of each series, the lowest chosen reward first."""
    return cached(_lowest_pairs, run, beta=state.beta(), split=state.split(run))


def positions(run: Run) -> pd.DataFrame:
    """Return the position table of the chosen split, the series that ends lowest first."""
    return _of_chosen_split(cached(_positions, run, order=series_order(run)), run)


def positions_of(run: Run, key: str, split: str) -> pd.DataFrame:
    """Return the position table of one policy in one split; of every split where the run has no such split."""
    frame = cached(position_table, run, model=key)
    return frame[frame["split"] == split] if split in run.splits else frame


def tokens(run: Run, pair_id: str) -> pd.DataFrame:
    """Return the tokens of one pair under every model at the chosen beta, the series that ends lowest first."""
    return cached(_tokens, run, pair_id=pair_id, beta=state.beta(), order=series_order(run))


def step_changes(run: Run, key: str, *, by_token: bool = False) -> pd.DataFrame:
    """Return the pairs, or the vocabulary entries, that moved the mean most in each step of a policy's series."""
    selection = {"series": key.partition("/")[0], "split": state.split(run)}
    return cached(largest_token_changes if by_token else largest_pair_changes, run, **selection)


def reward_paths(run: Run, key: str, pair_ids: Sequence[str]) -> pd.DataFrame:
    """Return the chosen reward of some pairs at every checkpoint of a policy's series, at the chosen beta."""
    series = key.partition("/")[0]
    return cached(pair_paths, run, pair_ids=tuple(pair_ids), series=series, beta=state.beta())


def decompositions(run: Run, key: str, before: str | None) -> pd.DataFrame:
    """Return the exact decompositions of a policy's change since ``before`` (None: the reference)."""
    return cached(decomposition_table, run, model=key, before=before, split=state.split(run))


def diagnosis(run: Run, key: str) -> Diagnosis:
    """Return the diagnosis of a policy's series up to this policy, on the chosen split at the chosen beta."""
    selection = {"series": key.partition("/")[0], "model": key, "split": state.split(run)}
    found, beta = cached(_diagnosis, run, **selection), state.beta()
    if beta is None:
        return found
    # Beta changes the numbers at the end alone.
    return replace(found, at_end=cached(_metrics_at_end, run, model=key, split=state.split(run), beta=beta))


def checks(run: Run) -> list[Check]:
    """Return every check of the run, the gravest first."""
    return cached(run_checks, run)


def logged(run: Run) -> pd.DataFrame:
    """Return the trainer's own log beside the chosen split; empty where none was imported."""
    return _of_chosen_split(cached(trainer_log.logged_curves, run), run)


def all_logged(run: Run) -> pd.DataFrame:
    """Return the trainers' logs of every split, as ``trainer_log.logged_curves``."""
    return cached(trainer_log.logged_curves, run)


def logs_of_other_splits(run: Run) -> list[tuple[str, str, str]]:
    """Return the trainers' logs that belong to no curve of the chosen split: name, series, and why (a key of words)."""
    return trainer_log.logs_of_other_splits(run, cached(trainer_log.logged_curves, run), state.split(run))


def log_differences(run: Run) -> pd.DataFrame:
    """Return how far the log and the recomputed curves of the chosen split are apart, by series and metric."""
    overlay = cached(trainer_log.trainer_log_table, run)
    return _of_chosen_split(trainer_log.trainer_log_differences(overlay), run)


def splits_of_pairs(run: Run) -> pd.Series:
    """Return the split of every pair of the run, by pair_id."""
    return cached(_splits_of_pairs, run)


def questions(run: Run) -> pd.Series:
    """Return the last question of every prompt in short form, by pair_id."""
    return cached(_questions, run)


def prompt(run: Run, pair_id: str) -> str:
    """Return the prompt of a pair as it was tokenised; it is read at each call."""
    return pair_texts(run, [pair_id])["prompt"].iloc[0]


def texts(run: Run, pair_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Return prompt, chosen and rejected as they were tokenised, by pair_id; of all pairs where none is named."""
    return pair_texts(run, pair_ids)


def matching_pairs(run: Run, text: str) -> list[str] | None:
    """Return the ids of the pairs that contain ``text``; None for an empty text."""
    return cached(_matching_pairs, run, text=text)["pair_id"].tolist() if text.strip() else None


def beta_of(run: Run, key: str) -> float:
    """Return the beta of one policy: the chosen one, else that of its series."""
    chosen = state.beta()
    return run.series[key.partition("/")[0]].beta if chosen is None else chosen


def _of_chosen_split(frame: pd.DataFrame, run: Run) -> pd.DataFrame:
    if len(run.splits) == 1 and state.split(run) in run.splits:
        return frame
    return frame[frame["split"] == state.split(run)].reset_index(drop=True)


def _steps(run: Run, *, beta: float | None, split: str) -> pd.DataFrame:
    return worst_series_first(_of_chosen_split(steps_of_all_splits(run), run))


def _series_order(run: Run, *, beta: float | None, split: str) -> tuple[str, ...]:
    return tuple(series_by_severity(steps(run)))


def _pairs_with_flips(run: Run, *, key: str, split: str, own_beta: float | None, beta: float) -> pd.DataFrame:
    return with_flip_margins(pair_table(run, model=key, split=split, beta=own_beta, source=False), beta)


def _lowest_pairs(run: Run, *, beta: float | None, split: str) -> pd.DataFrame:
    counted = steps(run)
    last = counted[counted["n_used"] > 0].drop_duplicates("series", keep="last")
    keys = last["series"] + "/" + last["model"]
    frames = [pair_table(run, beta=beta, model=key, split=split, source=False) for key in keys]
    if not frames:
        return pd.DataFrame(columns=PAIR_COLUMNS)
    counted = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    return counted.dropna(subset=["chosen_reward"]).sort_values("chosen_reward", kind="stable", ignore_index=True)


def _diagnosis(run: Run, *, series: str, model: str, split: str) -> Diagnosis:
    """Return the saved diagnosis, or one that is made now with the checks of the run, which take longer than it."""
    last = [one.key for one in run.models if one.series == series and run.parts_done(one)][-1:]
    made_before = is_saved(run) and model in last
    return load_or_diagnose(run, series=series, model=model, split=split, checks=None if made_before else checks(run))


def _metrics_at_end(run: Run, *, model: str, split: str, beta: float) -> dict[str, float]:
    return metrics_at_end(run, run.model(model), split, beta=beta)


def _positions(run: Run, *, order: Sequence[str]) -> pd.DataFrame:
    return in_series_order(position_table(run), order)


def _tokens(run: Run, *, pair_id: str, beta: float | None, order: Sequence[str]) -> pd.DataFrame:
    return in_series_order(token_table(run, pair_id=pair_id, beta=beta), order)


def _splits_of_pairs(run: Run) -> pd.Series:
    pairs = pair_index(run).pairs
    return pd.Series(pairs["split"].to_numpy(dtype=object), index=pairs["pair_id"])


def _questions(run: Run) -> pd.Series:
    return pd.Series(short_prompts(run), index=pair_index(run).pairs["pair_id"])


def _matching_pairs(run: Run, *, text: str) -> pd.DataFrame:
    return pd.DataFrame({"pair_id": sorted(pairs_with_text(run, text) or ())}, dtype=object)
