"""Makes the runs of a plan: train, score, judge, forget the weights. What is there is not made again.

`python -m tests.planted.runs FIT FOLDER --cache FOLDER` makes FOLDER/<entry>/{run/, pairs.jsonl, truth.json}.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from dpo_analysis.scoring import score
from tests.planted import measure, sft
from tests.planted.families import FAMILIES
from tests.planted.pairs import Row
from tests.planted.plan import Entry, plan
from tests.planted.plants import N_PAIRS, PLANTS, from_reference, mixture
from tests.planted.samples import draw_samples
from tests.planted.train import BETA, Off, Pairs, Setting, train

SAVED = (9, 18, 27, 36, 54, 72)
"""Steps at which a checkpoint is kept; the first at an eighth of the run."""
EVALUATED = (9, 36, 72)
"""Steps at which the loop evaluates the measured pairs, as a trainer does its evaluation set."""
N_MEASURED = 108
LABELS = ("group", "segments", "plant")
"""What a diagnosis may not see."""
NO_END = "{{ '<|im_start|>' + message['content'] + ('' if message['role'] == 'assistant' else '<|im_end|>') }}"
WORDS = "{{ message['role'] + ': ' + message['content'] + '<|im_end|>' }}"


def make_rows(entry: Entry, cache: Path) -> list[Row]:
    """The 288 pairs of an entry, in an order drawn by lot."""
    rng, family = random.Random(entry.seed), FAMILIES[entry.family]
    if entry.second:
        rows = mixture(rng, family, (entry.plant, entry.where), entry.second)
    elif entry.plant == "reference_samples":
        rows = from_reference(rng, draw_samples(_reference(entry, cache), family))
    else:
        rows = PLANTS[entry.plant](rng, family, entry.where, entry.dose)
    assert len(rows) == N_PAIRS
    return rng.sample(rows, len(rows))


def _reference(entry: Entry, cache: Path) -> Path:
    return sft.reference(cache, entry.families, width=entry.width, seed=entry.sft_seed, steps=entry.sft_steps)


def policy_for(reference: Any, entry: Entry, seed: int) -> Any:
    """What is trained: a copy of the reference, or an adapter on one."""
    model = copy.deepcopy(reference)
    if not entry.lora:
        return model
    torch.manual_seed(seed)
    return get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))


def make_run(entry: Entry, out: Path, cache: Path) -> dict[str, Any]:
    """Train and score one entry into ``out``; what truth.json holds."""
    started = time.process_time()
    folder = _reference(entry, cache)
    reference, tokenizer = sft.load(folder)
    rows = make_rows(entry, cache)
    pairs = Pairs.of_rows(rows, tokenizer, reference)
    measured = sorted(random.Random(entry.seed + 1).sample(range(N_PAIRS), N_MEASURED))
    work = out / "work"
    shutil.rmtree(out, ignore_errors=True)
    truth = _trained(entry, (reference, tokenizer), pairs, measured, work / "policy")
    truth["cpu_train"] = time.process_time() - started
    _write_rows(out, rows, measured)
    _score(entry, out, work / "policy", folder)
    shutil.rmtree(work)
    truth["cpu"] = time.process_time() - started
    (out / "truth.json").write_text(json.dumps({"entry": entry.as_json()} | truth, indent=1) + "\n")
    return truth


def _trained(entry: Entry, start: tuple[Any, Any], pairs: Pairs, measured: Sequence[int], out: Path) -> dict[str, Any]:
    """Train, leaving checkpoints with TRL's log under ``out``; the facts that the truth is decided by."""
    reference, tokenizer = start
    policy = policy_for(reference, entry, entry.seed)
    log: list[dict[str, float]] = []
    chosen = {"at": measure.chosen_by_place(reference, tokenizer, pairs, measured)}

    def keep(step: int, model: Any, records: list[dict[str, float]]) -> None:
        log.append(records[-1])
        if step in EVALUATED:
            log.append(
                {"step": step, "epoch": records[-1]["epoch"]} | measure.evaluation(trunk(model), pairs, measured)
            )
        if step in SAVED:
            folder = out / f"checkpoint-{step}"
            model.save_pretrained(folder)
            state = {"global_step": step, "epoch": records[-1]["epoch"], "logging_steps": 1, "log_history": log}
            (folder / "trainer_state.json").write_text(json.dumps(state))

    train(policy, pairs, Setting(entry.lr, entry.seed, sft_weight=entry.sft_weight, lora=entry.lora), keep)
    changes = measure.chosen_by_place(trunk(policy), tokenizer, pairs, measured) - chosen["at"]
    truth: dict[str, Any] = {
        "changes": measure.by_group(changes, [_label(pairs.rows[n]) for n in measured]),
        "whole": changes.sum(1).mean().item(),
        "lost": (-changes.sum(1)).clamp(min=0).mean().item(),
        "curve": [record["eval_train_rewards/chosen"] / BETA for record in log if "eval_train_loss" in record],
    }
    if entry.plant == "reference_samples":
        held_out = draw_samples(Path(reference.name_or_path), FAMILIES[entry.family])[-96:]
        truth["held_out_samples"] = measure.samples_change(trunk(policy), reference, tokenizer, held_out)
    return truth


def trunk(model: Any) -> Any:
    """The causal model itself, also inside an adapter's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _label(row: Row) -> str:
    return f"{row['plant']} {row['group']}" if "plant" in row else row["group"]


def ablate(entry: Entry, off: Off, cache: Path) -> dict[str, Any]:
    """The same run with some gradients switched off, not scored: the changes of every group by place, nats."""
    reference, tokenizer = sft.load(_reference(entry, cache))
    pairs = Pairs.of_rows(make_rows(entry, cache), tokenizer, reference)
    measured = sorted(random.Random(entry.seed + 1).sample(range(N_PAIRS), N_MEASURED))
    before = measure.chosen_by_place(reference, tokenizer, pairs, measured)
    policy = policy_for(reference, entry, entry.seed)
    train(policy, pairs, Setting(entry.lr, entry.seed, sft_weight=entry.sft_weight, lora=entry.lora, off=off))
    changes = measure.chosen_by_place(trunk(policy), tokenizer, pairs, measured) - before
    return measure.by_group(changes, [_label(pairs.rows[n]) for n in measured])


def _write_rows(out: Path, rows: Sequence[Row], measured: Sequence[int]) -> None:
    """All pairs with their labels, and those that are scored without any."""
    out.mkdir(parents=True, exist_ok=True)
    every = [json.dumps(row | {"measured": n in set(measured)}) + "\n" for n, row in enumerate(rows)]
    (out / "pairs.jsonl").write_text("".join(every))
    bare = [{key: value for key, value in rows[n].items() if key not in LABELS} for n in measured]
    (out / "work" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bare))


def _score(entry: Entry, out: Path, policy: Path, reference: Path) -> None:
    template = None
    if entry.artefact in ("eos", "template"):
        message = NO_END if entry.artefact == "eos" else WORDS
        prompt = "<|im_start|>" if entry.artefact == "eos" else "assistant: "
        template = out / "work" / "template.jinja"
        template.write_text(
            f"{{% for message in messages %}}{message}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{{{{ '{prompt}' }}}}{{% endif %}}"
        )
    scored_against = sft.later_stage(reference, entry.families) if entry.artefact == "reference" else reference
    score(
        f"train={out / 'work' / 'train.jsonl'}",
        out=out / "run",
        reference=str(scored_against),
        trainer_outputs=[policy],
        beta=BETA,
        loss_type=["sigmoid", "sft"] if entry.sft_weight else "sigmoid",
        parameters={"loss_weights": [1.0, entry.sft_weight]} if entry.sft_weight else None,
        tokenizer=str(reference),
        chat_template=template,
        base=str(reference) if entry.lora else None,
        device="cpu",
        evidence=("topk", "kl", "hidden"),
        evidence_pairs="all",
    )


def make_plan(entries: Sequence[Entry], out: Path, cache: Path, seconds: float) -> int:
    """Make what is missing, in order, until ``seconds`` have passed; how many runs were made."""
    end, made = time.monotonic() + seconds, 0
    for entry in entries:
        if time.monotonic() > end:
            break
        if (out / entry.name / "truth.json").exists():
            continue
        truth = make_run(entry, out / entry.name, cache)
        made += 1
        print(f"{entry.name}: {truth['whole']:+.2f} nats, {truth['cpu_train']:.1f} + "
              f"{truth['cpu'] - truth['cpu_train']:.1f} CPU s", flush=True)  # fmt: skip
    return made


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", help="FIT, TEST or HELD_OUT")
    parser.add_argument("out", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="where reference models are kept")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after this long")
    given = parser.parse_args()
    torch.set_num_threads(1)
    make_plan(plan(given.plan), given.out / given.plan, given.cache, given.seconds)


if __name__ == "__main__":
    main()
