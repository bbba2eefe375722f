"""``score_text``: the token table of a prompt and two responses, without a run folder."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.tokenization import TokenizedPair, tokenize_pairs
from dpo_analysis.data.vocab import vocabulary
from dpo_analysis.errors import InputError
from dpo_analysis.numerics import rewards
from dpo_analysis.runs import Model, Part
from dpo_analysis.schema import SIDES
from dpo_analysis.scoring.engine.engine import BATCH_TOKENS, Engine
from dpo_analysis.scoring.engine.lm_heads import Head
from dpo_analysis.scoring.evidence.part_collector import (
    PartCollector,
    ReferenceOutputs,
    requests_of_rows,
    retained_head,
)
from dpo_analysis.scoring.evidence.reference_states import RequestKey, request_key
from dpo_analysis.scoring.models.devices import pick_device, pick_dtype
from dpo_analysis.scoring.models.model_loader import ModelLoader
from dpo_analysis.scoring.models.model_set import ModelSet, resolve_models
from dpo_analysis.scoring.models.requirements import requirements_of
from dpo_analysis.scoring.models.tokenizer_check import check_tokenizers, pick_tokenizer
from dpo_analysis.scoring.requests import Request, TokenScores
from dpo_analysis.text.token_text import token_text

DIVERGENCES = ("kl_reference_policy", "kl_policy_reference", "null_variance")
ONLY_ROW = frozenset({0})
Text = str | list[dict[str, Any]]
PYTHON_ADVICE = {
    r"(pass|give|use)[^;]*--max-length( \d+)?": "give shorter texts",
    r"(pass|give|use)[^;]*--chat-template( FILE)?": "set tokenizer.chat_template and pass that as tokenizer=",
    r"(pass|give|use)[^;]*--base( MODEL)?": "load the adapter on its base and pass that as policy=",
    r"--policy[^;]*": "policy=",
    r"--tokenizer FOLDER, or tokenizer= for loaded models": "tokenizer=",
    r"--(tokenizer|reference|beta)( MODEL| FOLDER)?": r"\1=",
}
"""Advice that names options of the command line, and the same advice with arguments of ``score_text``."""


def score_text(
    prompt: Text,
    chosen: Text,
    rejected: Text,
    *,
    policy: object,
    reference: object = None,
    tokenizer: object = None,
    beta: float = 0.1,
) -> pd.DataFrame:
    """Score every token of two responses under a policy and its reference.

    Args:
        prompt: text, or messages; then both responses are messages too.
        chosen: the first response.
        rejected: the second response.
        policy: path, hub id or loaded model.
        reference: path, hub id or loaded model; None for a policy with adapters: the policy with its adapters off.
        tokenizer: path, hub id or tokenizer; None: that of the policy, where the policy has a path.
        beta: DPO's beta.

    Returns:
        One row per token, chosen before rejected, with the columns of ``token_table``; logps in nats, advantage and
        value in beta x nats.

    Raises:
        InputError: a model, the tokenizer or the texts cannot be used.
    """
    try:
        return _token_table(
            prompt, chosen, rejected, policy=policy, reference=reference, tokenizer=tokenizer, beta=beta
        )
    except InputError as error:
        raise type(error)(in_python(str(error))) from error


def _token_table(
    prompt: Text,
    chosen: Text,
    rejected: Text,
    *,
    policy: object,
    reference: object,
    tokenizer: object,
    beta: float,
) -> pd.DataFrame:
    policies = [policy] if isinstance(policy, str | Path) else {"policy/policy": policy}
    model_set = resolve_models(policies, reference, base=None, trainings=(), objective={"beta": beta})
    if len(model_set.policies) > 1:
        raise InputError(
            f"{len(model_set.policies)} checkpoints in {policy}: an answer is scored by one checkpoint; name it"
        )
    encoder = pick_tokenizer(tokenizer, model_set, None)
    pairs = load_pairs([{"prompt": prompt, "chosen": chosen, "rejected": rejected}])
    (tokenized,) = tokenize_pairs(pairs, encoder, max_length=None)
    if not tokenized.responses:
        raise InputError(f"nothing to score: {tokenized.reason or tokenized.status}; give two answers with words")
    check_tokenizers(encoder, model_set, [tokenized], template_given=True)
    scores = _score(model_set, tokenized)
    table = vocabulary(encoder)
    token_bytes: dict[int, bytes] = {row["token_id"]: row["bytes"] for row in table.to_pylist()}
    model = model_set.policies[0].model
    return pd.concat(
        [_side_rows(tokenized, index, model, token_bytes, scores, beta) for index in range(len(SIDES))],
        ignore_index=True,
    )


def in_python(line: str) -> str:
    """Return an error message with options of the command line replaced by arguments of ``score_text``."""
    for pattern, advice in PYTHON_ADVICE.items():
        line = re.sub(pattern, advice, line)
    return line


class _PairScores(NamedTuple):
    """Scores of both models, chosen before rejected.

    Attributes:
        policy: scores of the policy.
        reference: scores of the reference.
        divergences: ``DIVERGENCES`` per token, by side; empty where the models' distributions cannot be compared.
    """

    policy: TokenScores
    reference: TokenScores
    divergences: dict[str, dict[str, list[float]]]


class _ReferenceScores(NamedTuple):
    """Scores of the reference, its output head (None where it cannot be kept) and its hidden states by request."""

    scores: TokenScores
    head: Head | None
    states: dict[RequestKey, Tensor]


def _score(model_set: ModelSet, tokenized: TokenizedPair) -> _PairScores:
    device = pick_device("auto")
    requirements = requirements_of([tokenized])
    dtype = pick_dtype(None, model_set.max_n_parameters(), device)
    for resolved in model_set.models:
        requirements.check(resolved.config, resolved.model.source)
    loader = ModelLoader(device=str(device), dtype=dtype, requirements=requirements)
    part, batch_tokens = Part(0, [0], [tokenized]), BATCH_TOKENS[device.type]
    with loader.open(model_set.reference) as engine:
        reference = _score_reference(engine, part, batch_tokens)
    with loader.open(model_set.policies[0]) as engine:
        policy_scores, divergences = _score_policy(engine, part, batch_tokens, reference)
    return _PairScores(policy_scores, reference.scores, divergences)


def _score_reference(engine: Engine, part: Part, batch_tokens: int) -> _ReferenceScores:
    heads: list[Head | None] = []
    states: dict[RequestKey, Tensor] = {}

    def keep(request_rows: Sequence[tuple[Request, np.ndarray]], hidden: Tensor) -> None:
        heads.append(retained_head(engine, hidden))
        for request, rows in request_rows:
            states[request_key(request)] = hidden[torch.from_numpy(rows).to(hidden.device)]

    scores = engine.score(requests_of_rows(part, ONLY_ROW), batch_tokens=batch_tokens, hook=keep)
    return _ReferenceScores(scores, heads[-1] if heads else None, states)


def _score_policy(
    engine: Engine, part: Part, batch_tokens: int, reference: _ReferenceScores
) -> tuple[TokenScores, dict[str, dict[str, list[float]]]]:
    """Return the policy's scores, and ``DIVERGENCES`` by side where both models have one vocabulary."""
    compared = None
    if reference.head and engine.head and engine.head.vocab_size == reference.head.vocab_size:
        compared = ReferenceOutputs(reference.head, lambda request: reference.states.get(request_key(request)))
    rows: list[dict[str, Any]] = []
    collector = PartCollector(
        engine,
        part,
        ONLY_ROW,
        kinds=("kl",) if compared else (),
        reference=compared,
        store=lambda kind, table: rows.extend(table.to_pylist()),
    )
    scores = collector.score(requests_of_rows(part, ONLY_ROW), batch_tokens=batch_tokens)
    collector.write()
    return scores, {row["side"]: row for row in rows}


def _side_rows(
    tokenized: TokenizedPair,
    index: int,
    model: Model,
    token_bytes: dict[int, bytes],
    scores: _PairScores,
    beta: float,
) -> pd.DataFrame:
    """Return the rows of the response with this index in ``SIDES``."""
    policy, reference = scores.policy, scores.reference
    ids = tokenized.responses[SIDES[index]].token_ids
    tokens = slice(policy.offsets[index], policy.offsets[index + 1])
    logp, reference_logp = policy.logp[tokens].astype(np.float64), reference.logp[tokens].astype(np.float64)
    raw = [token_bytes.get(int(token_id), b"") for token_id in ids]
    divergences = scores.divergences.get(SIDES[index], {})
    kl, backward, spread = (np.array(divergences.get(name) or [np.nan] * len(ids), np.float64) for name in DIVERGENCES)
    advantage = rewards.advantage(logp, reference_logp, beta)
    credit, variance = rewards.centred_credit(advantage, kl, beta), rewards.credit_variance(spread, beta)
    return pd.DataFrame(
        {
            "pair_id": tokenized.pair.pair_id,
            "side": SIDES[index],
            "series": model.series,
            "model": model.name,
            "step": pd.array([model.step] * len(ids), dtype="Int64"),
            "position": np.arange(len(ids)),
            "token_id": ids,
            "token_bytes": raw,
            "text": [token_text(token) for token in raw],
            "logp": logp,
            "reference_logp": reference_logp,
            "log_ratio": rewards.log_ratio(logp, reference_logp),
            "advantage": advantage,
            "value": rewards.value_trace(advantage),
            "entropy": policy.entropy[tokens],
            "rank": policy.rank[tokens],
            "argmax_id": policy.argmax_id[tokens],
            "argmax_logp": policy.argmax_logp[tokens],
            "kl_reference_policy": kl,
            "kl_policy_reference": backward,
            "credit": credit,
            "credit_variance": variance,
            "credit_z": rewards.credit_z(credit, variance),
        }
    )
