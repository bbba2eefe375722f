"""The equations: numbers by hand, the laws they obey, and TRL's own loss code as the judge of every loss."""

import itertools
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.errors import InputError
from dpo_analysis.numerics import rewards
from dpo_analysis.numerics.losses import LOSSES
from dpo_analysis.numerics.pair_loss import PairLogps, check_loss, loss

LOG2 = np.log(2.0)
nats = st.floats(-300, 0)
ratios = st.floats(-60, 60)


def pairs(chosen=0.0, rejected=0.0, n_chosen=4.0, n_rejected=2.0, reference=-10.0) -> PairLogps:
    """Pairs whose log-ratios are ``chosen`` and ``rejected``."""
    chosen, rejected = np.atleast_1d(np.asarray(chosen, float)), np.atleast_1d(np.asarray(rejected, float))
    ref, one = np.full_like(chosen, reference), np.ones_like(chosen)
    return PairLogps(ref + chosen, ref + rejected, ref, ref, one * n_chosen, one * n_rejected)


def test_a_policy_equal_to_its_reference_has_no_reward():
    assert rewards.implicit_reward([-3.0, -7.5], [-3.0, -7.5], 0.1).tolist() == [0.0, 0.0]


def test_reward_by_hand():
    assert rewards.implicit_reward(-12.0, -10.0, 0.1) == pytest.approx(-0.2)


def test_value_is_the_running_sum_of_advantages():
    advantages = rewards.advantage([-1.0, -2.0, -0.5], [-2.0, -1.0, -0.5], 0.5)
    assert advantages.tolist() == [0.5, -0.5, 0.0]
    assert rewards.value_trace(advantages).tolist() == [0.5, 0.0, 0.0]


def test_float32_log_probs_are_subtracted_in_float64():
    policy, reference = np.float32(-1234.567), np.float32(-1234.566)
    assert rewards.log_ratio(policy, reference) == float(policy) - float(reference)


def test_value_is_the_soft_value_under_the_reference_by_enumeration():
    rng = np.random.default_rng(0)
    beta, length, vocabulary = 0.3, 3, 3
    policy, reference = (
        {
            state: _normalised(rng.normal(size=vocabulary))
            for k in range(length)
            for state in itertools.product(range(vocabulary), repeat=k)
        }
        for _ in range(2)
    )
    answer = (2, 0, 1)
    trace = rewards.value_trace([beta * (policy[answer[:t]] - reference[answer[:t]])[answer[t]] for t in range(length)])
    for t in range(length):
        ends = [answer[: t + 1] + rest for rest in itertools.product(range(vocabulary), repeat=length - t - 1)]
        go_on = np.array([sum(reference[e[:k]][e[k]] for k in range(t + 1, length)) for e in ends])
        reward = np.array([sum((policy[e[:k]] - reference[e[:k]])[e[k]] for k in range(length)) for e in ends])
        assert trace[t] == pytest.approx(beta * np.log(np.sum(np.exp(go_on + reward))), abs=1e-12)


def _normalised(logits):
    return logits - np.log(np.sum(np.exp(logits)))


@given(nats, nats, nats, nats, st.floats(0.01, 5))
def test_margin_is_the_difference_of_rewards_and_weight_falls_with_it(a, b, c, d, beta):
    margin = rewards.margin(rewards.implicit_reward(a, b, beta), rewards.implicit_reward(c, d, beta))
    assert margin == pytest.approx(beta * ((a - b) - (c - d)), abs=1e-9)
    assert rewards.gradient_weight(margin) + rewards.gradient_weight(-margin) == pytest.approx(1.0)


@pytest.mark.parametrize("value", [-800.0, -40.0, 0.0, 40.0, 800.0])
def test_logistic_functions_do_not_overflow(value):
    with np.errstate(over="raise"):
        assert 0.0 <= rewards.sigmoid(value) <= 1.0
    assert rewards.log_sigmoid(-40.0) == pytest.approx(-40.0, abs=1e-12)
    assert rewards.sigmoid(-40.0) == pytest.approx(np.exp(-40.0), rel=1e-12)


def test_dpop_penalty_counts_falls_only():
    assert rewards.dpop_penalty([-3.0, 0.0, 2.0]).tolist() == [3.0, 0.0, 0.0]


def test_sigmoid_loss_before_training_is_log_two():
    assert loss(pairs(), beta=0.1) == pytest.approx(LOG2)


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("sigmoid", {}, np.log1p(np.exp(-0.3))),
        ("sigmoid_norm", {}, np.log1p(np.exp(-0.1 * (2 / 4 + 1 / 2)))),
        ("hinge", {}, 0.7),
        ("ipo", {}, (2 / 4 + 1 / 2 - 5) ** 2),
        ("sppo_hard", {}, (2 - 5) ** 2 + (-1 + 5) ** 2),
        ("apo_zero", {}, 1 - 1 / (1 + np.exp(-0.2)) + 1 / (1 + np.exp(0.1))),
        ("sft", {}, 8 / 4),
        ("robust", {"label_smoothing": 0.1}, (0.9 * np.log1p(np.exp(-0.3)) - 0.1 * np.log1p(np.exp(0.3))) / 0.8),
    ],
)
def test_losses_by_hand(name, parameters, expected):
    assert loss(pairs(2.0, -1.0), beta=0.1, loss_type=name, parameters=parameters) == pytest.approx(expected)


@given(ratios, ratios, st.floats(-20, 20))
def test_losses_of_the_difference_see_only_the_margin(chosen, rejected, shift):
    for name in ("sigmoid", "hinge", "discopop"):
        there = loss(pairs(chosen, rejected), beta=0.1, loss_type=name)
        assert loss(pairs(chosen + shift, rejected + shift), beta=0.1, loss_type=name) == pytest.approx(there, abs=1e-8)


@given(st.lists(ratios, min_size=1, max_size=5))
def test_a_loss_of_a_pair_does_not_depend_on_its_neighbours(values):
    parameters = {"label_smoothing": 0.01}
    for name in LOSSES:
        together = loss(pairs(values, -np.array(values)), beta=0.1, loss_type=name, parameters=parameters)
        alone = [loss(pairs(v, -v), beta=0.1, loss_type=name, parameters=parameters)[0] for v in values]
        assert together == pytest.approx(alone)
        assert np.isfinite(together).all()


def test_several_losses_are_added_with_their_weights():
    parts = [loss(pairs(2.0, -1.0), beta=0.1, loss_type=name)[0] for name in ("sigmoid", "sft")]
    both = loss(pairs(2.0, -1.0), beta=0.1, loss_type=["sigmoid", "sft"], parameters={"loss_weights": [0.8, 0.2]})
    assert both == pytest.approx(0.8 * parts[0] + 0.2 * parts[1])


def test_ld_alpha_weights_the_longer_tail_and_refuses_sums():
    whole = pairs(2.0, -1.0)
    shared = PairLogps(
        whole.chosen,
        whole.rejected,
        whole.reference_chosen,
        whole.reference_rejected,
        whole.chosen_n_tokens,
        whole.rejected_n_tokens,
        (np.array([-5.0]), whole.rejected, np.array([-6.0]), whole.reference_rejected),
    )
    got = loss(shared, beta=0.1, parameters={"ld_alpha": 0.5})
    assert got == pytest.approx(np.log1p(np.exp(-0.1 * ((1.0 + 0.5 * (2.0 - 1.0)) + 1.0))))
    with pytest.raises(InputError, match="ld_alpha"):
        loss(whole, beta=0.1, parameters={"ld_alpha": 0.5})


@pytest.mark.parametrize(
    ("loss_type", "parameters", "why"),
    [
        ("aot", {}, "sorts a whole batch"),
        ("aot_unpaired", {}, "sorts a whole batch"),
        ("simpo", {}, "without a reference"),
        ("sigmoyd", {}, "no such loss"),
        ("exo_pair", {}, "label_smoothing"),
        ("robust", {"label_smoothing": 0.5}, "label_smoothing"),
        ("nca_pair", {"f_divergence_type": "js_divergence"}, "reverse_kl"),
        ("sigmoid", {"f_divergence_type": "tv"}, "unknown f_divergence_type"),
        ("sigmoid", {"use_weighting": True}, "use_weighting"),
        ("sigmoid", {"reference_free": True}, "reference_free"),
        (["sigmoid", "sft"], {"loss_weights": [1.0]}, "1 loss_weights for 2 losses"),
        ([], {}, "0 losses"),
        (["sigmoid"], {"loss_weights": 1.0}, "bad loss_weights 1.0: a list of numbers"),
        (["sigmoid"], {"loss_weights": ["much"]}, "bad loss_weights"),
        ("sigmoid", {"label_smoothing": [0.1]}, "bad label_smoothing"),
        ("sigmoid", {"ld_alpha": float("nan")}, "bad ld_alpha nan"),
        ("sigmoid", {"discopop_tau": True}, "bad discopop_tau"),
        ("sigmoid", {"f_divergence_type": ["js"]}, "bad f_divergence_type"),
    ],
)
def test_what_is_no_loss_of_a_pair_is_refused_in_one_line(loss_type, parameters, why):
    with pytest.raises(InputError, match=why) as refused:
        check_loss(loss_type, 0.1, parameters)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("beta", [-0.1, float("nan"), float("inf")])
def test_beta_must_be_a_number_that_is_not_negative(beta):
    with pytest.raises(InputError, match="bad beta"):
        loss(pairs(), beta=beta)


def test_with_beta_0_every_pair_has_the_same_loss_and_a_loss_with_1_over_beta_is_refused():
    assert loss(pairs(2.0, -1.0), beta=0.0) == pytest.approx(LOG2)
    for name in ("ipo", "sppo_hard"):
        with pytest.raises(InputError, match="with beta 0"):
            loss(pairs(), beta=0.0, loss_type=name)


LENGTHS = ((5, 3), (2, 6), (4, 4), (1, 1))
DIVERGENCES = (
    {},
    {"f_divergence_type": "forward_kl"},
    {"f_divergence_type": "js_divergence"},
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.3},
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 1.0},
)
NO_DIVERGENCE = ("nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down")
CONFIGURATIONS = [
    *((name, {"label_smoothing": 0.1}) for name in LOSSES),
    *(
        (name, divergence | {"label_smoothing": 0.1})
        for name in LOSSES
        if name not in NO_DIVERGENCE
        for divergence in DIVERGENCES[1:]
    ),
    *((name, {"label_smoothing": 0.1, "ld_alpha": 0.4}) for name in LOSSES),
    (["sigmoid", "bco_pair", "sft"], {"loss_weights": [0.8, 0.2, 1.0]}),
    (["sigmoid", "ipo"], {"ld_alpha": 0.0}),
]


@pytest.fixture(scope="module")
def trl_trainer():
    """TRL's trainer class without a model: its loss code is handed the log-probs that a test wants."""
    import torch
    from trl.trainer.dpo_trainer import DPOTrainer

    trainer = object.__new__(DPOTrainer)
    same = lambda value: value  # noqa: E731
    trainer.accelerator = SimpleNamespace(device=torch.device("cpu"), gather=same, gather_for_metrics=same)
    trainer.aux_loss_enabled, trainer.precompute_ref_logps, trainer.use_weighting = False, False, False
    trainer._total_train_tokens, trainer._tp_size = 0, 1
    return trainer


@pytest.mark.parity
@pytest.mark.parametrize("beta", [0.1, 2.0])
@pytest.mark.parametrize(("loss_type", "parameters"), CONFIGURATIONS, ids=str)
def test_each_loss_equals_trl(trl_trainer, loss_type, parameters, beta):
    rng = np.random.default_rng(7)
    for lengths in LENGTHS:
        # Multiples of 1/1024 add up without rounding, in float32 too.
        policy, reference = ([rng.integers(-3000, 0, n) / 1024 for n in lengths] for _ in range(2))
        theirs = _trl_loss(trl_trainer, policy, reference, beta, loss_type, parameters)
        ours = loss(_sums(policy, reference), beta=beta, loss_type=loss_type, parameters=parameters)
        assert ours[0] == pytest.approx(theirs, rel=1e-6, abs=1e-6)


def _sums(policy, reference) -> PairLogps:
    sums = [np.array([values.sum()]) for values in (*policy, *reference)]
    short = min(map(len, policy))
    shared = tuple(np.array([values[:short].sum()]) for values in (*policy, *reference))
    return PairLogps(*sums, *(np.array([float(len(values))]) for values in policy), shared)


def _trl_loss(trainer, policy, reference, beta, loss_type, parameters) -> float:
    import torch
    from trl import DPOConfig

    names = [loss_type] if isinstance(loss_type, str) else loss_type
    facts = {
        "label_smoothing": 0.0,
        "f_divergence_type": "reverse_kl",
        "f_alpha_divergence_coef": 0.5,
        "ld_alpha": None,
        "loss_weights": None,
    } | parameters
    trainer.beta, trainer.loss_types, trainer.label_smoothing = beta, names, facts["label_smoothing"]
    trainer.loss_weights = facts["loss_weights"] or [1.0] * len(names)
    trainer.f_divergence_type = facts["f_divergence_type"]
    trainer.f_alpha_divergence_coef, trainer.ld_alpha = facts["f_alpha_divergence_coef"], facts["ld_alpha"]
    trainer.args = SimpleNamespace(discopop_tau=DPOConfig.discopop_tau, gradient_checkpointing_kwargs=None)
    trainer._metrics = {"eval": defaultdict(list)}
    # TRL clamps the alpha-divergence by a table that knows no float64.
    dtype = torch.float32 if "alpha" in facts["f_divergence_type"] else torch.float64
    trainer.model, trainer.ref_model = _model(policy, dtype), _model(reference, dtype)
    mask = torch.zeros(2, 1 + max(map(len, policy)), dtype=torch.long)
    for row, values in enumerate(policy):
        mask[row, 1 : 1 + len(values)] = 1
    batch = {"input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask}
    return float(trainer._compute_loss(trainer.model, batch, False))


def _model(sides, dtype):
    import torch

    log_probs = torch.zeros(2, max(map(len, sides)), dtype=dtype)
    for row, values in enumerate(sides):
        log_probs[row, : len(values)] = torch.as_tensor(values, dtype=dtype)
    blank = torch.zeros_like(log_probs)
    outputs = SimpleNamespace(log_probs=log_probs, entropy=blank, mean_logits=blank, is_top1=blank.bool())

    model = torch.nn.Module()
    model.is_gradient_checkpointing = False
    model.forward = lambda **inputs: outputs
    return model.eval()
