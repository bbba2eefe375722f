"""The equations of the token-level view, on arrays: from log-probs to implicit rewards, values and margins.

Log-probs are natural logarithms (nats). ``logp`` is the log-prob of a token, ``logps`` the sum over a response.
Everything is computed in float64, whatever the type of the arguments.
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
    """The reward that DPO fits, up to a constant per prompt; beta x nats, any shape; 0 means no drift.

    r(x, y) = beta * log(pi(y|x) / pi_ref(y|x)). Rewards of two prompts cannot be compared, as the constant is unknown.
    Rafailov et al. 2023, arXiv:2305.18290.
    """
    return beta * log_ratio(policy_logps, reference_logps)


def advantage(policy_logp: ArrayLike, reference_logp: ArrayLike, beta: float) -> Nats:
    """The implicit reward of each token, beta x nats, shape (tokens,); 0 means no drift of this token.

    a_t = beta * log(pi(y_t|s_t) / pi_ref(y_t|s_t)); the sum over a response is its implicit reward.
    Rafailov et al. 2024, "From r to Q*", arXiv:2404.12358.
    """
    return implicit_reward(policy_logp, reference_logp, beta)


def value_trace(advantages: ArrayLike) -> Nats:
    """The running sum of a response's advantages, beta x nats, shape (tokens,): Q of each token, V after it.

    V_t = sum over i <= t of a_i = beta * log E[exp(R / beta)], with the mean over the reference's continuations of
    y_1..y_t and R the implicit reward of the whole response; exact for every policy and reference. The last value is
    the reward of the response. arXiv:2404.12358.
    """
    return np.cumsum(np.asarray(advantages, dtype=np.float64), axis=-1)


def margin(chosen_reward: ArrayLike, rejected_reward: ArrayLike) -> Nats:
    """Chosen reward minus rejected reward, beta x nats, shape (pairs,); above 0 the pair is ordered right."""
    return np.asarray(chosen_reward, dtype=np.float64) - np.asarray(rejected_reward, dtype=np.float64)


def gradient_weight(margins: ArrayLike) -> Nats:
    """The weight of each pair in the gradient of the sigmoid loss, a share, shape (pairs,).

    0.5 before training, near 0 once the margin is large.

    sigmoid(-margin), the factor in front of the gradient of DPO's loss. arXiv:2305.18290.
    """
    return sigmoid(-np.asarray(margins, dtype=np.float64))


def dpop_penalty(chosen_log_ratio: ArrayLike) -> Nats:
    """How far each chosen response fell below the reference, nats, shape (pairs,); 0 where it did not fall.

    max(0, log(pi_ref(chosen|x) / pi(chosen|x))); DPO-Positive multiplies it by lambda and beta and subtracts it from
    the margin. Pal et al. 2024, "Smaug", arXiv:2402.13228.
    """
    return np.maximum(0.0, -np.asarray(chosen_log_ratio, dtype=np.float64))


def flip_margin(reference_margin: ArrayLike, beta: float) -> Nats:
    """The margin above which the policy alone orders a pair right, beta x nats, shape (pairs,).

    beta * c with c = log(pi_ref(rejected|x) / pi_ref(chosen|x)): log pi(chosen|x) > log pi(rejected|x) exactly where
    the margin is above it, that is, where DPO's loss is below -log sigmoid(beta * c). Below 0 the reference already
    orders the pair right. Chen et al. 2024, arXiv:2405.19534.
    """
    return -beta * np.asarray(reference_margin, dtype=np.float64)


def centred_credit(advantages: ArrayLike, kl_reference_policy: ArrayLike, beta: float) -> Nats:
    """Each token's advantage minus its expectation under the reference; beta x nats, shape (tokens,).

    c_t = a_t + beta * KL(pi_ref || pi) at the token's position. Over tokens sampled from the reference there,
    E[a_t] = -beta * KL(pi_ref || pi), so that c_t is 0 on average and its running sum a martingale: above 0 the token
    rose by more than the policy's movement explains, below 0 it fell by more. Exact for every policy and reference.
    Rafailov et al. 2024, arXiv:2404.12358, give the decline of the mean; the rest is arithmetic.
    """
    return np.asarray(advantages, dtype=np.float64) + beta * np.asarray(kl_reference_policy, dtype=np.float64)


def credit_variance(null_variance: ArrayLike, beta: float) -> Nats:
    """The variance of ``centred_credit`` over tokens of the reference, (beta x nats)^2, shape (tokens,), at least 0.

    v_t = beta^2 * Var[log pi - log pi_ref] under pi_ref; the variance of a response's summed credit is the mean of
    its summed v_t, over responses of the reference.
    """
    return beta**2 * np.asarray(null_variance, dtype=np.float64)


def credit_z(credits: ArrayLike, variances: ArrayLike) -> Nats:
    """Credits in standard deviations over samples of the reference, any shape; NaN where nothing moved at all.

    c / sqrt(v), of tokens or of sums over a response. Below -2 it fell by more than the movement explains. A yardstick,
    no p-value: responses in a data set are no samples of the reference.
    """
    values, spread = np.asarray(credits, dtype=np.float64), np.sqrt(np.asarray(variances, dtype=np.float64))
    return np.divide(values, spread, out=np.full(np.broadcast(values, spread).shape, np.nan), where=spread > 0)


def log_sigmoid(values: ArrayLike) -> NDArray[np.float64]:
    """log(1 / (1 + exp(-x))), exact for large x of either sign, any shape; below 0, NaN stays NaN."""
    with np.errstate(invalid="ignore"):
        return -np.logaddexp(0.0, -np.asarray(values, dtype=np.float64))


def sigmoid(values: ArrayLike) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow, any shape, between 0 and 1."""
    return np.exp(log_sigmoid(values))
