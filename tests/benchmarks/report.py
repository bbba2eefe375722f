"""From seconds to the numbers that are told: costs, ratios, shares of the matrix-multiply rate, and a table of them."""

import statistics
from typing import Any

from clock import Spent

MODELS = {"ours": 2, "ours_logp_only": 2, "trl_evaluate": 2, "trl_reference_pass": 1, "plain_script": 1}
"""Models that one run of a contender scores: policy and reference, or one of them."""
NAMES = {
    "ours": "dpo-analysis, default columns",
    "ours_logp_only": "dpo-analysis, log-probs alone",
    "trl_evaluate": "TRL DPOTrainer.evaluate",
    "trl_reference_pass": "TRL compute_ref_log_probs",
    "plain_script": "transformers script, full logits",
}
Rounds = list[dict[str, Spent]]


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def costs(rounds: Rounds, pairs: dict[str, list[int]], ideal: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Every contender's seconds, pairs per CPU second (policy and reference) and share of the matrix-multiply rate.

    Args:
        rounds: seconds by ``CONTENDER KIND``, a round after the other.
        pairs: of each round's sample, by kind.
        ideal: CPU seconds of one model's necessary matrix products over each round's sample, by kind.
    """
    table = {}
    for run in rounds[0]:
        contender, kind = run.split()
        models = MODELS[contender]
        spent = [seconds[run] for seconds in rounds]
        cpu = [one.cpu for one in spent]
        table[run] = {
            "models": models,
            "pairs": pairs[kind],
            "cpu_seconds": cpu,
            "wall_seconds": [one.wall for one in spent],
            "pairs_per_cpu_second": sum(pairs[kind]) * models / 2 / sum(cpu),
            "share_of_matmul": spread([models * best / one for best, one in zip(ideal[kind], cpu, strict=True)]),
        }
    return table


def ratios(rounds: Rounds) -> dict[str, dict[str, Any]]:
    """By how much each run costs more than ours on the same pairs, per model: in each round, and over all of them."""
    found = {}
    for run in rounds[0]:
        contender, kind = run.split()
        if contender == "ours":
            continue
        scale = MODELS["ours"] / MODELS[contender]
        each = [scale * seconds[run].cpu / seconds[f"ours {kind}"].cpu for seconds in rounds]
        wall = [scale * seconds[run].wall / seconds[f"ours {kind}"].wall for seconds in rounds]
        total = scale * sum(one[run].cpu for one in rounds) / sum(one[f"ours {kind}"].cpu for one in rounds)
        found[run] = {**spread(each), "of_totals": total, "each": each, "wall": spread(wall)}
    return found


def checkpoints(rounds: Rounds, count: int, measured_cpu: float) -> dict[str, Any]:
    """Ours for ``count`` policies and one reference, beside as many evaluations by TRL."""
    passes = (count + 1) / 2
    from_rounds = [count * one["trl_evaluate default"].cpu / (passes * one["ours default"].cpu) for one in rounds]
    return {
        "count": count,
        "ours_cpu_seconds": measured_cpu,
        "trl_cpu_seconds": count * rounds[0]["trl_evaluate default"].cpu,
        "ratio": count * rounds[0]["trl_evaluate default"].cpu / measured_cpu,
        "ratio_from_passes": spread(from_rounds),
        "how": f"ours: {count + 1} passes over the first round's pairs; TRL: its evaluation of them times {count}",
    }


def table(result: dict[str, Any]) -> str:
    """The result as Markdown: one line a contender and batch size, then what does not fit a line."""
    lines = [
        "| contender | pairs in a batch | pairs / CPU s | of matmul rate | peak above weights | cost, ours = 1 |",
        "|---|---|---|---|---|---|",
    ]
    for run, cost in result["contenders"].items():
        contender, kind = run.split()
        lines.append(
            f"| {NAMES[contender]} | {_batch(contender, kind, result['batch_pairs'])} "
            f"| {cost['pairs_per_cpu_second']:.3g} | {cost['share_of_matmul']['median']:.0%} "
            f"| {_memory(result['peak_mb_above_weights'].get(run))} | {_ratio(result['ratios'].get(run))} |"
        )
    return "\n".join([result["title"], "", *lines, "", *_notes(result)])


def _batch(contender: str, kind: str, sizes: dict[str, int]) -> str:
    if contender.startswith("ours"):
        return "packs" if kind == "default" else "packs, same pairs as the best below"
    size = sizes[f"{'plain' if contender == 'plain_script' else 'trl'} {kind}"]
    return f"{size}, data order" if kind == "default" else f"{size}, sorted (best)"


def _memory(peak: float | None) -> str:
    return "" if peak is None else f"{peak:.0f} MB"


def _ratio(ratio: dict[str, Any] | None) -> str:
    if ratio is None:
        return "1"
    return f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"


def _notes(result: dict[str, Any]) -> list[str]:
    errors, matmul = result["errors"], result["matmul"]
    notes = [
        f"- matrix-multiply rate: {matmul['trunk']['median']:.0f} GFLOP/s ({matmul['trunk_shapes']}), "
        f"{matmul['head']['median']:.0f} GFLOP/s ({matmul['head_shapes']})",
        f"- worst token against float64: ours {errors['token_ours_vs_float64']:.1e} nats, "
        f"plain script {errors['token_plain_vs_float64']:.1e} ({errors['tokens']} tokens)",
        f"- summed log-probs: ours against TRL at most {errors['sum_ours_vs_trl']:.1e} nats apart, against float64 "
        f"{errors['sum_ours_vs_float64']:.1e}, TRL's {errors['sum_trl_vs_float64']:.1e}; "
        f"sums are about {errors['mean_absolute_sum']:.0f}",
    ]
    if many := result.get("checkpoints"):
        singly = many["ratio_from_passes"]
        notes.append(
            f"- {many['count']} checkpoints and the reference: {many['ratio']:.2f} times cheaper than {many['count']} "
            f"TRL evaluations (from single passes {singly['median']:.2f}, {singly['min']:.2f} to {singly['max']:.2f})"
        )
    return notes
