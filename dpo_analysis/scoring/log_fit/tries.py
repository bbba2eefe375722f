"""Other settings of a run, tried against the log-probs that the trainer logged: first without a model, then with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.data.special_tokens import with_special_tokens
from dpo_analysis.data.tokenization import TokenizedPair, tokenize_pairs
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Run
from dpo_analysis.runs.summaries.evaluated_sums import EvaluatedSums, lost_ends
from dpo_analysis.schema import SIDES
from dpo_analysis.scoring.arguments import ScoreArguments
from dpo_analysis.scoring.inputs import ScoringInputs
from dpo_analysis.scoring.log_fit.alternatives import Alternative, alternatives
from dpo_analysis.scoring.log_fit.logged_means import LoggedPoint, farthest, means
from dpo_analysis.scoring.loop import ModelSource
from dpo_analysis.scoring.models.resolved_model import ResolvedModel
from dpo_analysis.scoring.requests import request_of
from dpo_analysis.trainer import Training

MAX_FORWARD_PASSES = 48
"""Settings that are scored; each costs one policy on one split."""


class Tried(NamedTuple):
    """A setting under which the log fits, or none of those that were tried.

    Attributes:
        setting, value, option: as in ``fit.LogFit``; empty where none fits.
        n_tried: settings that were scored.
    """

    setting: str = ""
    value: str = ""
    option: str = ""
    n_tried: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """What a run was made with, for trying other settings.

    Attributes:
        tokenized: its pairs.
        tokenizer: its tokenizer.
        settings: keywords of ``tokenize_pairs``.
        marks: keywords of ``with_special_tokens``.
        models: its models.
        sources: the same models, that can be opened.
        batch_tokens: tokens of a forward pass.
    """

    tokenized: Sequence[TokenizedPair]
    tokenizer: Any
    settings: Mapping[str, Any]
    marks: Mapping[str, str | None]
    models: Sequence[ResolvedModel]
    sources: Sequence[ModelSource]
    batch_tokens: int

    @classmethod
    def of(
        cls, arguments: ScoreArguments, inputs: ScoringInputs, sources: Sequence[ModelSource], batch_tokens: int
    ) -> "Setup":
        """Return the setup of a command: its arguments, its inputs, and its models that can be opened."""
        return cls(
            tokenized=inputs.tokenized,
            tokenizer=inputs.tokenizer,
            settings=inputs.tokenization,
            marks={"bos": arguments.bos, "eos": arguments.eos},
            models=inputs.model_set.models,
            sources=sources,
            batch_tokens=batch_tokens,
        )


def fitting_setting(
    run: Run, training: Training | None, setup: Setup, point: LoggedPoint, sums: EvaluatedSums, logged: np.ndarray
) -> Tried:
    """Return the first setting under which the logged log-probs fit.

    Args:
        run: the finished run.
        training: what the trainer's folder says; None without one.
        setup: what the run was made with.
        point: an evaluation whose log-probs do not fit.
        sums: its sums.
        logged: its logged means, nats, shape (sides,).

    Raises:
        StorageError: a part is damaged.
    """
    other = means(sums.policy if point.averaged else sums.policy / sums.n_tokens, point)
    if farthest(other, logged, exact=point.exact) <= 1:
        word = "sum" if point.averaged else "mean"
        return Tried("logged_logps", word, f"--logged-logps {word}")
    # In 16 bits more than one length would fit.
    scans = point.exact and setup.settings["truncation"] == "keep_start"
    max_length = _fitting_length(run, point, logged) if scans else None
    if max_length is not None:
        return Tried("max_length", str(max_length), f"--max-length {max_length}")
    return _try_all(training, setup, point, logged)


def _fitting_length(run: Run, point: LoggedPoint, logged: np.ndarray) -> int | None:
    """Return the max_length at which the log fits, from the scores as they are: cutting the end changes no log-prob.

    Only lengths below the longest sequence of the run change anything.
    """
    sequences = _token_logps(run, point)
    if sequences is None:
        return None
    prompts, logps = sequences
    lengths = prompts[:, None] + np.array([[len(side) for side in pair] for pair in logps])
    cumulative = [[np.concatenate([[0.0], np.cumsum(side)]) for side in pair] for pair in logps]
    for limit in range(int(lengths.max()) - 1, 1, -1):
        kept = [index for index in range(len(prompts)) if prompts[index] < limit]
        if not kept:
            return None
        room = limit - prompts[kept]
        values = np.array(
            [
                [side[min(len(side) - 1, int(left))] for side in cumulative[index]]
                for index, left in zip(kept, room, strict=True)
            ]
        )
        if point.averaged:
            values /= np.minimum(lengths[kept] - prompts[kept, None], room[:, None])
        if farthest(means(values, point), logged, exact=point.exact) <= 1:
            return limit
    return None


def _token_logps(run: Run, point: LoggedPoint) -> tuple[np.ndarray, list[list[np.ndarray]]] | None:
    """Return prompt lengths, shape (pairs,), and log-probs of both responses' tokens, in reading order."""
    pairs = run.pairs(columns=["row", "split"]).to_pandas()
    rows = set(pairs.loc[pairs["split"] == point.split, "row"])
    responses = run.responses(columns=["row", "side", "prompt_token_ids"]).to_pylist()
    prompts = {entry["row"]: len(entry["prompt_token_ids"]) for entry in responses if entry["row"] in rows}
    scores = run.scores(point.model, columns=["row", "side", "logp"]).to_pylist()
    logps: dict[int, dict[str, np.ndarray]] = {}
    for entry in scores:
        if entry["row"] in prompts and entry["logp"]:
            logps.setdefault(entry["row"], {})[entry["side"]] = np.asarray(entry["logp"], dtype=float)
    order = [row for row in sorted(logps) if all(side in logps[row] for side in SIDES)]
    if not order:
        return None
    return np.array([prompts[row] for row in order]), [[logps[row][side] for side in SIDES] for row in order]


def _try_all(training: Training | None, setup: Setup, point: LoggedPoint, logged: np.ndarray) -> Tried:
    found, n_tried = first_fit(training, setup, point, logged)
    if found is None:
        return Tried(n_tried=n_tried)
    return Tried(found.setting, found.value, found.option, n_tried)


def first_fit(
    training: Training | None, setup: Setup, point: LoggedPoint, logged: np.ndarray
) -> tuple[Alternative | None, int]:
    """Return the first alternative that fits, and how many were scored, all with one policy that is opened once.

    Args:
        training: what the trainer's folder says; None without one.
        setup: what the run is made with.
        point: an evaluation that does not fit.
        logged: its logged means, nats, shape (sides,).
    """
    source = next((one for one in setup.sources if one.model.key == point.model.key), None)
    if source is None:
        return None, 0
    pairs = [pair for pair in setup.tokenized if pair.pair.split == point.split]
    seen, n_tried = {_content(pairs)}, 0
    with source.open() as scorer:
        for alternative in alternatives(setup.settings, setup.marks, setup.tokenizer, training, setup.models):
            changed = _tokenized_as(alternative, pairs, setup.tokenizer)
            content = _content(changed)
            if not changed or content in seen:
                continue
            seen.add(content)
            n_tried += 1
            try:
                values = policy_means(scorer, changed, point, setup.batch_tokens)
            except (InputError, MemoryError):  # longer than the model's positions, or than its memory
                continue
            if farthest(values, logged, exact=point.exact) <= 1:
                return alternative, n_tried
            if n_tried >= MAX_FORWARD_PASSES:
                break
    return None, n_tried


def _tokenized_as(alternative: Alternative, pairs: Sequence[TokenizedPair], tokenizer: Any) -> list[TokenizedPair]:
    """Return the pairs under an alternative; empty where it cannot render them."""
    try:
        tokenized = tokenize_pairs(
            [pair.pair for pair in pairs], alternative.tokenizer or tokenizer, **alternative.settings
        )
        tokenized = with_special_tokens(tokenized, bos=alternative.bos, eos=alternative.eos)
    except InputError:
        return []
    return [pair for pair in tokenized if pair.responses]


def _content(pairs: Sequence[TokenizedPair]) -> int:
    return hash(
        tuple(
            (response.prompt_token_ids.tobytes(), response.token_ids.tobytes())
            for pair in pairs
            for response in pair.responses.values()
        )
    )


def policy_means(scorer: Any, pairs: Sequence[TokenizedPair], point: LoggedPoint, batch_tokens: int) -> np.ndarray:
    """Return the mean log-probs of both sides under the policy as the trainer logs them, nats, shape (sides,).

    Args:
        scorer: the opened policy.
        pairs: pairs with responses, in the order of evaluation.
        point: the evaluation.
        batch_tokens: tokens of a forward pass.
    """
    requests = [request_of(pair.responses[side]) for pair in pairs for side in SIDES]
    scores = scorer.score(requests, batch_tokens=batch_tokens)
    sums = np.add.reduceat(scores.logp.astype(float), scores.offsets[:-1]).reshape(-1, len(SIDES))
    n_tokens = np.diff(scores.offsets).reshape(-1, len(SIDES))
    if point.loses_longest_end:
        prompts = np.array([len(pair.responses[SIDES[0]].prompt_token_ids) for pair in pairs])
        lost = lost_ends(prompts, n_tokens, point.batch or len(pairs))
        sums = sums - np.where(lost, scores.logp[scores.offsets[1:] - 1].reshape(-1, len(SIDES)), 0.0)
        n_tokens = n_tokens - lost
    return means(sums / n_tokens if point.averaged else sums, point)
