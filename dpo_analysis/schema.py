"""All columns that are stored or shown, with unit and meaning, and the Arrow schemas of the run folder.

Axis titles, table headers, the glossary and exported files take their units from ``COLUMNS``; the files of the run
folder take their columns from the ``*_SCHEMA`` constants.
"""

from dataclasses import dataclass

import pyarrow as pa

from dpo_analysis.text.regions import REGIONS, SPANS
from dpo_analysis.text.token_types import KINDS

SCHEMA_VERSION = 1

CHOSEN, REJECTED = "chosen", "rejected"
SIDES = (CHOSEN, REJECTED)
REFERENCE = "reference"
"""The name of the reference among the models: it is scored once, into ``scores/reference``."""

SCORED = ("ok", "identical", "truncated")
"""Statuses of pairs that are scored and counted, as TRL counts them."""
NOT_SCORED = ("empty", "too_long", "template_error", "bad_text")
"""Statuses of pairs that are stored and shown, but never scored."""
FLAGGED = ("nonfinite", "oom")
"""Statuses of scores that failed under a model: they are stored and shown, but do not count."""
STATUSES = SCORED + NOT_SCORED + FLAGGED
DIVISIONS = {"place": REGIONS, "kind": KINDS, "span": SPANS}
"""The three ways to divide the tokens of a response, and the parts of each."""
PENDING = "pending"
"""Status in tables, never stored: the part of the pair is not scored yet under the policy or the reference."""


@dataclass(frozen=True, slots=True)
class Column:
    """Unit of a column (nats, nats per token, beta x nats, share, or another word) and its meaning."""

    unit: str
    meaning: str


PAIRS_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("chosen", pa.string()),
        pa.field("rejected", pa.string()),
        pa.field("source", pa.string()),
        pa.field("status", pa.string(), nullable=False),
    ]
)
RESPONSES_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("prompt_token_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("token_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("truncated", pa.bool_(), nullable=False),
    ]
)
VOCAB_SCHEMA = pa.schema(
    [
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("bytes", pa.binary(), nullable=False),
        pa.field("special", pa.bool_(), nullable=False),
    ]
)
SCORES_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("logp", pa.list_(pa.float32())),
        pa.field("logps", pa.float64()),
        pa.field("entropy", pa.list_(pa.float32())),
        pa.field("rank", pa.list_(pa.int32())),
        pa.field("argmax_id", pa.list_(pa.int32())),
        pa.field("argmax_logp", pa.list_(pa.float32())),
    ]
)
PAIR_INDEX_SCHEMA = pa.schema(
    [PAIRS_SCHEMA.field(name) for name in ("row", "pair_id", "group_id", "split", "status")]
    + [pa.field(f"{side}_n_tokens", pa.int64()) for side in SIDES]
)
"""Pairs and the lengths of their responses: a row per pair; a pair that is not scored has no lengths."""
PAIR_SUMS_SCHEMA = pa.schema(
    [pa.field("row", pa.int64(), nullable=False), pa.field("status", pa.string(), nullable=False)]
    + [pa.field(f"{side}_logps", pa.float64()) for side in SIDES]
    + [pa.field(f"{side}_entropy", pa.float64()) for side in SIDES]
)
"""Sums of a model's scores: a row per pair; logps and entropy are sums over the response, nats."""
POSITION_SUMS_SCHEMA = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("logp", pa.float64(), nullable=False),
    ]
)
"""Sums of a model's scores by position: n pairs have a token there, logp is the sum of its log-probs, nats."""
TOPK_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("gained", pa.list_(pa.float32())),
        pa.field("n_top", pa.list_(pa.int32())),
        pa.field("top_id", pa.list_(pa.int32())),
        pa.field("top_logp", pa.list_(pa.float32())),
        pa.field("top_reference_logp", pa.list_(pa.float32())),
    ]
)
"""A value per response token; but in ``top_*`` n_top[0] values of the first token, then n_top[1] of the next."""
KL_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("kl_reference_policy", pa.list_(pa.float32())),
        pa.field("kl_policy_reference", pa.list_(pa.float32())),
        pa.field("null_variance", pa.list_(pa.float32())),
    ]
)
HIDDEN_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("chosen_n_states", pa.int32()),
        pa.field("rejected_n_states", pa.int32()),
        pa.field("chosen_rejected", pa.float64()),
        pa.field("chosen_chosen", pa.float64()),
        pa.field("rejected_rejected", pa.float64()),
    ]
)
EVIDENCE_SCHEMAS = {"topk": TOPK_SCHEMA, "kl": KL_SCHEMA, "hidden": HIDDEN_SCHEMA}
"""The evidence of a sample of pairs, by kind; null where a response did not fit into memory."""
EFFECTS_SCHEMA = pa.schema(
    [
        pa.field("group", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("n_target_tokens", pa.int32(), nullable=False),
        pa.field("effect", pa.float64(), nullable=False),
        pa.field("effect_error", pa.float64(), nullable=False),
        pa.field("n_group_pairs", pa.int32(), nullable=False),
        pa.field("step_length", pa.float64(), nullable=False),
    ]
)
"""A row per group, side whose gradient was followed, and target pair: row and pair_id are those of the target."""
GROUPS_SCHEMA = pa.schema(
    [
        pa.field("group", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("gradient_weight", pa.float64(), nullable=False),
    ]
)
INFLUENCE_SCHEMAS = {"effects": EFFECTS_SCHEMA, "groups": GROUPS_SCHEMA}
"""The influence measurements of a model in a split: the effects, and the pairs of the groups."""
REGION_COLUMNS = tuple(f"{side}_{by}_{part}" for side in SIDES for by, parts in DIVISIONS.items() for part in parts)
"""The columns by which the tokens of a pair are counted or summed: a side, and a part of one of ``DIVISIONS``."""
REGION_SUMS_SCHEMA = pa.schema(
    [pa.field("row", pa.int64(), nullable=False), *(pa.field(n, pa.float64()) for n in REGION_COLUMNS)]
)
"""Sums of a model's scores by region: a row per pair; log-probs, nats, null where the model has no token scores."""
VOCABULARY_SUMS_SCHEMA = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("logp", pa.float64(), nullable=False),
    ]
)
"""Sums of a model's scores by token id, over the pairs that POSITION_SUMS_SCHEMA counts; logp is a sum, nats."""
PAIR_FACTS_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("double_bos", pa.bool_()),
        *(
            pa.field(f"{side}_{name}", pa.bool_())
            for side in SIDES
            for name in ("ends_with_eos", "double_eos", "truncated")
        ),
        *(pa.field(f"{side}_key", pa.int64()) for side in SIDES),
        *(pa.field(name, pa.int32()) for name in REGION_COLUMNS),
    ]
)
"""Facts of the pairs that depend on no model: the prompt in short (``question``), how the responses end, a hash of each
text (``text.duplicates``), and the number of tokens by region; null where a pair is not scored, or where no vocabulary
tells the end of text."""
CURVES_SCHEMA = pa.schema(
    [
        pa.field("series", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),
        pa.field("epoch", pa.float64()),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
    ]
)

STORED: dict[str, Column] = {
    "row": Column("number", "place in the run: part number x part size + place in the part; gaps are normal"),
    "pair_id": Column("id", "first 16 hex digits of the sha256 of prompt, chosen and rejected; -2, -3 for equal rows"),
    "group_id": Column("id", "hash of the prompt's token ids; intervals resample groups"),
    "split": Column("word", "which set of pairs the row came from: eval unless said otherwise"),
    "series": Column("word", "one training run"),
    "model": Column("word", "one checkpoint of a series"),
    "step": Column("optimiser steps", "read from checkpoint-N or a numeric name; empty where unknown"),
    "side": Column("word", "chosen or rejected"),
    "status": Column(
        "word", "ok, identical (same scored tokens on both sides) and truncated count; every other status does not"
    ),
    "prompt": Column("text", "the rendered text that was tokenised in front of both responses"),
    "chosen": Column("text", "the rendered chosen response"),
    "rejected": Column("text", "the rendered rejected response"),
    "source": Column("JSON", "the row as it was read"),
    "truncated": Column("yes/no", "prompt + response was longer than max_length and was cut"),
    "entropy": Column("nats", "entropy of the next-token distribution at this position"),
    "rank": Column("rank", "1 + number of vocabulary entries with a higher log-prob than the token"),
    "argmax_id": Column("token id", "the most likely token at this position"),
    "argmax_logp": Column("nats", "log-prob of the most likely token at this position"),
}
EVIDENCE: dict[str, Column] = {
    "gained": Column("share", "probability that moved: sum over the vocabulary of max(0, pi - pi_ref)"),
    "n_top": Column("tokens", "ids kept at this position: the likeliest of policy and reference, and the token itself"),
    "top_id": Column("token id", "the ids kept, ascending within a position"),
    "top_logp": Column("nats", "log-prob of a kept id under the policy"),
    "top_reference_logp": Column("nats", "log-prob of a kept id under the reference"),
    "kl_reference_policy": Column("nats", "KL(pi_ref || pi) of the next-token distributions, exact"),
    "kl_policy_reference": Column("nats", "KL(pi || pi_ref) of the next-token distributions, exact"),
    "null_variance": Column("nats^2", "variance of log pi - log pi_ref under pi_ref at this position"),
    "chosen_n_states": Column(
        "tokens", "number of hidden states summed for the chosen response: those that predict its tokens"
    ),
    "rejected_n_states": Column("tokens", "number of hidden states summed for the rejected response"),
    "chosen_rejected": Column("inner product", "inner product of the two responses' sums of final hidden states"),
    "chosen_chosen": Column(
        "inner product", "inner product of the chosen response's sum of final hidden states with itself"
    ),
    "rejected_rejected": Column(
        "inner product", "inner product of the rejected response's sum of final hidden states with itself"
    ),
}
INFLUENCE: dict[str, Column] = {
    "group": Column("word", "a group of training pairs whose gradient was followed"),
    "n_target_tokens": Column(
        "tokens", "tokens of this pair's chosen response that are tested: their log-probs are summed"
    ),
    "effect": Column(
        "nats per unit step",
        "change of the summed log-prob of the tested tokens, by a unit SGD step down the group's mean DPO loss (the "
        "part of one side)",
    ),
    "effect_error": Column("nats per unit step", "by how much the effect differs at a longer step length"),
    "n_group_pairs": Column("pairs", "number of pairs in the group; the gradient is their mean"),
    "step_length": Column("length of parameters", "how far the parameters were moved to either side"),
}
TOKEN: dict[str, Column] = {
    "position": Column("tokens", "place in the response, from 0"),
    "token_id": Column("token id", "the response's token"),
    "token_bytes": Column("bytes", "the token's bytes, exactly"),
    "text": Column("text", "the bytes decoded alone; parts of a split character show as \\xE4"),
    "logp": Column("nats", "log pi(y_t | x, y_<t) under the policy"),
    "reference_logp": Column("nats", "log pi_ref(y_t | x, y_<t)"),
    "log_ratio": Column("nats", "logp - reference_logp; 0 means no drift"),
    "advantage": Column("beta x nats", "beta * log_ratio of one token: its implicit reward"),
    "value": Column("beta x nats", "running sum of advantage: Q of the token so far, V after it"),
    "credit": Column("beta x nats", "advantage + beta * KL(pi_ref || pi): 0 on average over what pi_ref would say"),
    "credit_variance": Column("(beta x nats)^2", "variance of credit over what pi_ref would say"),
    "credit_z": Column(
        "standard deviations",
        "credit / sqrt(credit_variance): below -2 the token fell more than pi's overall drift explains",
    ),
}
RESPONSE: dict[str, Column] = {
    "n_tokens": Column("tokens", "scored tokens of the response, with its end-of-text token where there is one"),
    "logps": Column("nats", "log pi(y | x): sum of logp over the response"),
    "reference_logps": Column("nats", "log pi_ref(y | x)"),
    "log_ratio_per_token": Column("nats per token", "log_ratio / n_tokens"),
    "reward": Column("beta x nats", "implicit reward of the response: beta * log_ratio"),
}
PAIR: dict[str, Column] = {
    "chosen_logps": Column("nats", "log pi(chosen | x)"),
    "rejected_logps": Column("nats", "log pi(rejected | x)"),
    "reference_chosen_logps": Column("nats", "log pi_ref(chosen | x)"),
    "reference_rejected_logps": Column("nats", "log pi_ref(rejected | x)"),
    "reference_margin": Column("nats", "reference_chosen_logps - reference_rejected_logps"),
    "chosen_log_ratio": Column("nats", "chosen_logps - reference_chosen_logps"),
    "rejected_log_ratio": Column("nats", "rejected_logps - reference_rejected_logps"),
    "chosen_reward": Column("beta x nats", "beta * chosen_log_ratio"),
    "rejected_reward": Column("beta x nats", "beta * rejected_log_ratio"),
    "margin": Column("beta x nats", "chosen_reward - rejected_reward"),
    "loss": Column("loss", "the loss of this pair, as its series defines it"),
    "gradient_weight": Column("share", "sigmoid(-margin): how much the pair still trains; 0.5 at the start"),
    "chosen_n_tokens": Column("tokens", "scored tokens of the chosen response"),
    "rejected_n_tokens": Column("tokens", "scored tokens of the rejected response"),
}
STEP: dict[str, Column] = {
    "n_pairs": Column("pairs", "pairs of the split"),
    "n_used": Column("pairs", "pairs that count: scored under policy and reference with finite values"),
}
COLUMNS: dict[str, Column] = STORED | EVIDENCE | INFLUENCE | TOKEN | RESPONSE | PAIR | STEP


def unit(name: str) -> str:
    """Return the unit of a column or metric; empty for a name that is not in ``COLUMNS``."""
    column = COLUMNS.get(name)
    return column.unit if column else ""
