"""``score_text``: one prompt and two answers as a token table, without a run folder."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.tokenization import TokenizedPair, tokenize_pairs
from dpo_analysis.data.vocab import vocabulary
from dpo_analysis.errors import InputError
from dpo_analysis.numerics import rewards
from dpo_analysis.runs import Model, Part
from dpo_analysis.schema import SIDES
from dpo_analysis.scoring.engine.engine import BATCH_TOKENS
from dpo_analysis.scoring.engine.lm_heads import Head
from dpo_analysis.scoring.evidence.part_collector import Beside, PartGathering, kept_head, wanted_requests
from dpo_analysis.scoring.evidence.reference_states import Key, key_of
from dpo_analysis.scoring.models.loading import pick_device, pick_dtype
from dpo_analysis.scoring.models.model_loader import Shelf, Watch
from dpo_analysis.scoring.models.model_set import Lineup, line_up
from dpo_analysis.scoring.models.tokenizer_check import check_tokenizers, needs_of, pick_tokenizer
from dpo_analysis.scoring.requests import Request, TokenScores

DIVERGENCES = ("kl_reference_policy", "kl_policy_reference", "null_variance")
Text = str | list[dict[str, Any]]
ADVICE = {
    r"(pass|give|use)[^;]*--max-length( \d+)?": "give shorter texts",
    r"(pass|give|use)[^;]*--chat-template( FILE)?": "set tokenizer.chat_template and pass that as tokenizer=",
    r"(pass|give|use)[^;]*--base( MODEL)?": "load the adapter on its base and pass that as policy=",
    r"--policy[^;]*": "policy=",
    r"--tokenizer FOLDER, or tokenizer= for loaded models": "tokenizer=",
    r"--(tokenizer|reference|beta)( MODEL| FOLDER)?": r"\1=",
}
"""What the command line's advice is in the words of ``score_text``'s own arguments."""


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
    """Every token of two answers under a policy and its reference, with the columns of ``token_table``.

    Args:
        prompt: text, or messages; then both answers are messages too.
        chosen: one answer.
        rejected: the other.
        policy: path, hub id or loaded model.
        reference: the same; None for a policy with adapters: the adapters off.
        tokenizer: path, hub id or tokenizer; None: the policy's own, where it has a path.
        beta: DPO's beta.

    Returns:
        One row per token, chosen before rejected; logps in nats, advantage and value in beta x nats.

    Raises:
        InputError: a model, the tokenizer or the texts cannot be taken.
    """
    try:
        return _scored(prompt, chosen, rejected, policy=policy, reference=reference, tokenizer=tokenizer, beta=beta)
    except InputError as error:
        raise type(error)(in_python(str(error))) from error


def _scored(
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
    lineup = line_up(policies, reference, base=None, trainings=(), objective={"beta": beta})
    if len(lineup.policies) > 1:
        raise InputError(f"{len(lineup.policies)} checkpoints in {policy}: one answer is scored by one; name it")
    encoder = pick_tokenizer(tokenizer, lineup, None)
    pairs = load_pairs([{"prompt": prompt, "chosen": chosen, "rejected": rejected}])
    (tokenized,) = tokenize_pairs(pairs, encoder, max_length=None)
    if not tokenized.responses:
        raise InputError(f"nothing to score: {tokenized.reason or tokenized.status}; give two answers with words")
    check_tokenizers(encoder, lineup, [tokenized], template_given=True)
    scored = _score(lineup, tokenized)
    table = vocabulary(encoder)
    names = dict(zip(table["token_id"].to_pylist(), table["bytes"].to_pylist(), strict=True))
    model = lineup.policies[0].model
    return pd.concat(
        [_side(tokenized, index, model, names, scored, beta) for index in range(len(SIDES))],
        ignore_index=True,
    )


def in_python(line: str) -> str:
    """An error line with the options of the command line turned into arguments of ``score_text``."""
    for pattern, advice in ADVICE.items():
        line = re.sub(pattern, advice, line)
    return line


class _Scored(NamedTuple):
    """Both models' scores, chosen before rejected; ``DIVERGENCES`` per token by side, none where they do not meet."""

    policy: TokenScores
    reference: TokenScores
    divergences: dict[str, dict[str, list[float]]]


def _score(lineup: Lineup, tokenized: TokenizedPair) -> _Scored:
    device = pick_device("auto")
    needs = needs_of([tokenized])
    shelf = Shelf(device=device, dtype=pick_dtype(None, lineup.n_parameters(), device), needs=needs)
    watch = Watch(shelf.note)
    for entry in lineup.entries:
        needs.check(entry.config, entry.model.source)
    reference, policy = (entry.source(shelf, needs, watch) for entry in lineup.entries)
    part, budget = Part(0, [0], [tokenized]), BATCH_TOKENS[device.type]
    requests = wanted_requests(part, frozenset({0}))
    states: dict[Key, Tensor] = {}
    heads: list[Head | None] = []

    def keep(takes: Sequence[tuple[Request, np.ndarray]], seen: Tensor) -> None:
        heads.append(kept_head(engine, seen))
        states.update({key_of(request): seen[torch.from_numpy(rows).to(seen.device)] for request, rows in takes})

    with reference.open() as engine:
        reference_scores = engine.score(requests, batch_tokens=budget, look=keep)
    head = heads[-1] if heads else None
    found: dict[str, pa.Table] = {}
    with policy.open() as engine:
        meet = head is not None and engine.head is not None and engine.head.size == head.size
        beside = Beside(head, lambda one: states.get(key_of(one))) if meet else None  # type: ignore[arg-type]
        kinds = ("kl",) if meet else ()
        gathering = PartGathering(
            engine,
            part,
            frozenset({0}),
            kinds=kinds,
            beside=beside,
            store=lambda kind, table: found.update({kind: table}),
        )
        policy_scores = gathering.score(requests, batch_tokens=budget)
        gathering.write()
    lines = found["kl"].to_pylist() if found else []
    return _Scored(policy_scores, reference_scores, {line["side"]: line for line in lines})


def _side(
    tokenized: TokenizedPair,
    index: int,
    model: Model,
    names: dict[int, bytes],
    scored: _Scored,
    beta: float,
) -> pd.DataFrame:
    """One response's rows."""
    policy, reference = scored.policy, scored.reference
    ids = tokenized.responses[SIDES[index]].token_ids
    part = slice(policy.offsets[index], policy.offsets[index + 1])
    logp, reference_logp = (one.logp[part].astype(np.float64) for one in (policy, reference))
    raw = [names.get(int(token_id), b"") for token_id in ids]
    told = scored.divergences.get(SIDES[index], {})
    kl, backward, spread = (np.array(told.get(name) or [np.nan] * len(ids), np.float64) for name in DIVERGENCES)
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
            "text": [_text(token) for token in raw],
            "logp": logp,
            "reference_logp": reference_logp,
            "log_ratio": rewards.log_ratio(logp, reference_logp),
            "advantage": advantage,
            "value": rewards.value_trace(advantage),
            "entropy": policy.entropy[part],
            "rank": policy.rank[part],
            "argmax_id": policy.argmax_id[part],
            "argmax_logp": policy.argmax_logp[part],
            "kl_reference_policy": kl,
            "kl_policy_reference": backward,
            "credit": credit,
            "credit_variance": variance,
            "credit_z": rewards.credit_z(credit, variance),
        }
    )


def _text(token: bytes) -> str:
    """A token's bytes decoded alone; bytes that are no whole character show as hex, as in ``token_table``."""
    decoded = token.decode("utf-8", "surrogateescape")
    return "".join(f"\\x{ord(one) - 0xDC00:02X}" if "\udc80" <= one <= "\udcff" else one for one in decoded)
