"""The equations of the token-level view, on arrays: from log-probs to implicit rewards, values and margins.

Log-probs are natural logarithms (nats). ``logp`` is one token's, ``logps`` a response's sum. Everything is computed
in float64, whatever comes in; nothing here knows of files, tables or models.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Nats = NDArray[np.float64]


def log_ratio(policy_logps: ArrayLike, reference_logps: ArrayLike) -> Nats:
    """Log-likelihood gained over the reference, nats, any shape; 0 means no drift, below 0 less likely than before.

    log pi(y|x) - log pi_ref(y|x), of one token or of a whole response.
    """
    return np.asarray(policy_logps, dtype=np.float64) - np.asarray(reference_logps, dtype=np.float64)


def implicit_reward(policy_logps: ArrayLike, reference_logps: ArrayLike, beta: float) -> Nats:
    """The reward that DPO fits, up to a constant of the prompt; beta x nats, any shape; 0 means no drift.

    r(x, y) = beta * log(pi(y|x) / pi_ref(y|x)). Rewards of two prompts do not compare: the constant is unknown.
    Rafailov et al. 2023, arXiv:2305.18290.
    """
    return beta * log_ratio(policy_logps, reference_logps)


def advantage(policy_logp: ArrayLike, reference_logp: ArrayLike, beta: float) -> Nats:
    """The implicit reward of each token, beta x nats, shape (tokens,); 0 means the token drifted not at all.

    a_t = beta * log(pi(y_t|s_t) / pi_ref(y_t|s_t)); the sum over a response is its implicit reward.
    Rafailov et al. 2024, "From r to Q*", arXiv:2404.12358.
    """
    return implicit_reward(policy_logp, reference_logp, beta)


def value_trace(advantages: ArrayLike) -> Nats:
    """Running sum of one response's advantages, beta x nats, shape (tokens,): Q of the token so far, V after it.

    V_t = sum over i <= t of a_i = beta * log E[exp(R / beta)], the mean over how the reference would go on from
    y_1..y_t and R the implicit reward of the whole; exact for every policy and reference. The last entry is the
    response's own reward. arXiv:2404.12358.
    """
    return np.cumsum(np.asarray(advantages, dtype=np.float64), axis=-1)


def margin(chosen_reward: ArrayLike, rejected_reward: ArrayLike) -> Nats:
    """How much more reward the chosen response has, beta x nats, shape (pairs,); above 0 the pair is ordered right."""
    return np.asarray(chosen_reward, dtype=np.float64) - np.asarray(rejected_reward, dtype=np.float64)


def gradient_weight(margins: ArrayLike) -> Nats:
    """How much a pair still trains under the sigmoid loss, a share, shape (pairs,); 0.5 at the start, near 0 when won.

    sigmoid(-margin), the factor in front of the gradient of DPO's loss. arXiv:2305.18290.
    """
    return sigmoid(-np.asarray(margins, dtype=np.float64))


def dpop_penalty(chosen_log_ratio: ArrayLike) -> Nats:
    """How far the chosen response fell below the reference, nats, shape (pairs,); 0 where it did not fall.

    max(0, log(pi_ref(chosen|x) / pi(chosen|x))), what DPO-Positive multiplies by lambda and beta and takes off the
    margin. Pal et al. 2024, "Smaug", arXiv:2402.13228.
    """
    return np.maximum(0.0, -np.asarray(chosen_log_ratio, dtype=np.float64))


def log_sigmoid(values: ArrayLike) -> NDArray[np.float64]:
    """log(1 / (1 + exp(-x))), exact for large x of either sign, any shape; below 0, NaN stays NaN."""
    with np.errstate(invalid="ignore"):
        return -np.logaddexp(0.0, -np.asarray(values, dtype=np.float64))


def sigmoid(values: ArrayLike) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow, any shape, between 0 and 1."""
    return np.exp(log_sigmoid(values))
