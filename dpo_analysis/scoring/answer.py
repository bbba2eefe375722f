"""``score_text``: one prompt and two answers as a token table, without a run folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dpo_analysis import rewards
from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.tokens import TokenizedPair, tokenize_pairs
from dpo_analysis.data.vocab import vocabulary
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model
from dpo_analysis.schema import SIDES
from dpo_analysis.scoring.agreement import check_tokenizers, needs_of, pick_tokenizer
from dpo_analysis.scoring.engine import BATCH_TOKENS
from dpo_analysis.scoring.lineup import Lineup, line_up
from dpo_analysis.scoring.models import pick_device, pick_dtype
from dpo_analysis.scoring.requests import Request, TokenScores
from dpo_analysis.scoring.sources import Shelf, Watch

Text = str | list[dict[str, Any]]


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
    reference_scores, policy_scores = _score(lineup, tokenized)
    table = vocabulary(encoder)
    names = dict(zip(table["token_id"].to_pylist(), table["bytes"].to_pylist(), strict=True))
    model = lineup.policies[0].model
    return pd.concat(
        [_side(tokenized, index, model, names, (policy_scores, reference_scores), beta) for index in range(len(SIDES))],
        ignore_index=True,
    )


def _score(lineup: Lineup, tokenized: TokenizedPair) -> list[TokenScores]:
    """The reference's scores and the policy's, chosen before rejected."""
    device = pick_device("auto")
    needs = needs_of([tokenized])
    shelf = Shelf(device=device, dtype=pick_dtype(None, lineup.n_parameters(), device), needs=needs)
    watch = Watch(shelf.note)
    requests = [Request(one.prompt_token_ids, one.token_ids) for one in map(tokenized.responses.get, SIDES) if one]
    done = []
    for entry in lineup.entries:
        needs.check(entry.config, entry.model.source)
        with entry.source(shelf, needs, watch).open() as scorer:
            done.append(scorer.score(requests, batch_tokens=BATCH_TOKENS[device.type]))
    return done


def _side(
    tokenized: TokenizedPair,
    index: int,
    model: Model,
    names: dict[int, bytes],
    scores: tuple[TokenScores, TokenScores],
    beta: float,
) -> pd.DataFrame:
    """One response's rows; ``scores`` are the policy's and the reference's."""
    policy, reference = scores
    ids = tokenized.responses[SIDES[index]].token_ids
    part = slice(policy.offsets[index], policy.offsets[index + 1])
    logp, reference_logp = (one.logp[part].astype(np.float64) for one in (policy, reference))
    raw = [names.get(int(token_id), b"") for token_id in ids]
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
            "advantage": rewards.advantage(logp, reference_logp, beta),
            "value": rewards.value_trace(rewards.advantage(logp, reference_logp, beta)),
            "entropy": policy.entropy[part],
            "rank": policy.rank[part],
            "argmax_id": policy.argmax_id[part],
            "argmax_logp": policy.argmax_logp[part],
        }
    )


def _text(token: bytes) -> str:
    """A token's bytes decoded alone; bytes that are no whole character show as hex, as in ``token_table``."""
    decoded = token.decode("utf-8", "surrogateescape")
    return "".join(f"\\x{ord(one) - 0xDC00:02X}" if "\udc80" <= one <= "\udcff" else one for one in decoded)
