"""The metrics of a training log by the names of this project, and the names under which trainers log them."""

from collections.abc import Iterable

TRAIN, EVAL = "train", "eval"
ALIASES: dict[str, tuple[str, ...]] = {
    # TRL and torchtune; OpenRLHF.
    "chosen_reward": ("rewards/chosen", "chosen_reward"),
    "rejected_reward": ("rewards/rejected", "reject_reward"),
    # TRL and torchtune; open-instruct.
    "margin": ("rewards/margins", "rewards/margin"),
    # TRL and torchtune; OpenRLHF: of the last batch of a step, then of all that were accumulated; LLaMA-Factory's
    # trainer_log.jsonl; open-instruct.
    "accuracy_trl": ("rewards/accuracies", "acc", "acc_mean", "accuracy", "rewards/accuracy"),
    # TRL and open-instruct; torchtune.
    "chosen_logps": ("logps/chosen", "log_probs/chosen"),
    "rejected_logps": ("logps/rejected", "log_probs/rejected"),
    "chosen_logits": ("logits/chosen",),
    "rejected_logits": ("logits/rejected",),
    # OpenRLHF logs ``eval/eval_loss``.
    "loss": ("loss", "eval_loss"),
    # LLaMA-Factory's trainer_log.jsonl, OpenRLHF, torchtune.
    "learning_rate": ("learning_rate", "lr"),
}
"""By metric of this project the names in trainers' logs; where a log has several of them, the first counts."""
METRIC_OF = {name: metric for metric, names in ALIASES.items() for name in names}
"""The metric of this project by the name in a trainer's log."""
KNOWN_METRICS = (
    *METRIC_OF,
    "entropy",
    "mean_token_accuracy",
    "num_tokens",
    "aux_loss",
    "nll_loss",
    "runtime",
    "samples_per_second",
    "steps_per_second",
)
"""Metrics that mark where the set's name ends in ``eval_<set>_<metric>``; both parts may hold underscores."""
AMBIGUOUS_ENDINGS = frozenset({"eval_loss", "acc", "acc_mean", "accuracy", "lr", "chosen_reward", "reject_reward"})
"""Names that no trainer with several evaluation sets logs, so they do not end the name of a set."""
STEP_NAMES = (
    "train/global_step",
    "eval/global_step",
    "global_step",
    "current_steps",
    "global_step/max_steps",
    "training_step",
    "step",
    "Step",
    "_step",
)
"""Columns that hold the optimizer step, the surest first."""
LOG_CALLS = ("Step", "_step")
"""The count of W&B or trackio: of steps where the trainer passes them on, else of calls of ``log``."""
NOT_METRICS = frozenset(
    (*STEP_NAMES, "epoch", "total_steps", "percentage", "train_speed(s/it)", "memory(GiB)", "remaining_time")
)
"""Columns that say where training is, and not how it goes."""


def trl_key(name: str) -> str:
    """Return the name of a logged value as in trainer_state.json: ``eval/rewards/chosen`` is ``eval_rewards/chosen``.

    TensorBoard, W&B and trackio receive ``train/`` or ``eval/`` in front of every name.
    """
    if name.startswith("train/"):
        return name[len("train/") :]
    for prefix in ("eval/", "val/"):
        if name.startswith(prefix):
            return f"eval_{name[len(prefix) :]}"
    return f"test_{name[len('test/') :]}" if name.startswith("test/") else name


def split_and_name(key: str) -> tuple[str, str]:
    """Return the split and the trainer's name of a key: ``eval_math_loss`` gives ``("eval_math", "loss")``."""
    if not key.startswith("eval_"):
        return TRAIN, key
    set_and_metric = key.removeprefix("eval_")
    endings = [
        metric for metric in KNOWN_METRICS if metric not in AMBIGUOUS_ENDINGS and set_and_metric.endswith(f"_{metric}")
    ]
    if set_and_metric in KNOWN_METRICS or not endings:
        return EVAL, set_and_metric
    # The longest ending wins: ``nll_loss`` rather than ``loss`` with a set that ends in ``_nll``.
    metric = max(endings, key=len)
    return f"eval_{set_and_metric.removesuffix(f'_{metric}')}", metric


def split_and_metric(key: str) -> tuple[str, str]:
    """Return split and metric of a logged key: ``eval_rewards/chosen`` gives ``("eval", "chosen_reward")``."""
    split, name = split_and_name(key)
    return split, METRIC_OF.get(name, name)


def metrics_of(keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return split and metric of every key of one log.

    Where several names of a metric are logged for a split, the first of ``ALIASES`` has the metric, and the rest keep
    the trainer's name.
    """
    found: dict[str, tuple[str, str]] = {}
    taken: set[tuple[str, str]] = set()
    for key in sorted(keys, key=lambda key: (_rank(split_and_name(key)[1]), key)):
        split, name = split_and_name(key)
        metric = METRIC_OF.get(name, name)
        # ``eval_eval_x``, ``eval_x``: a second key of the same name keeps its whole key.
        for candidate in (metric, name, key):
            if (split, candidate) not in taken:
                found[key] = (split, candidate)
                taken.add((split, candidate))
                break
    return found


def _rank(name: str) -> int:
    """Return the place of a name among the names of its metric."""
    metric = METRIC_OF.get(name)
    return ALIASES[metric].index(name) if metric else 0
