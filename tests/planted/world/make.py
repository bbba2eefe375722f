"""Makes the runs of a ground: train, measure the truth, score through the command, forget the weights. Resumable.

`python -m tests.planted.world.make FIT FOLDER --cache FOLDER --runs 300` makes FOLDER/<entry>/{run/, truth.json}.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import random
import shutil
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from dpo_analysis.cli.main import main as command
from tests.planted.world import measure
from tests.planted.world.entries import SEGMENT_PLANTS, STARTS, Entry, plan
from tests.planted.world.plants import Plant, Row, swap_all
from tests.planted.world.starts import later_stage, load, reference
from tests.planted.world.training import Loop, run_trl, save_checkpoint
from tests.planted.world.truth import status

RATES = {"adamw": 3e-4, "rmsprop": 1.5e-4, "sgd": 2e-2, "lion": 5e-5}
"""Learning rates that are tried first; an adapter's is ``LORA_RATE`` times as high."""
LORA_RATE, TRIES, FASTEST = 5.0, 3, 60.0
LABELS = ("group", "segments")
"""What a diagnosis may not see."""
NO_END = (
    "{{ '<|im_start|>' + message['role'][0] + '\\n' + message['content']"
    " + ('' if message['role'] == 'assistant' else '<|im_end|>') }}"
)
WORDS = "{{ message['role'] + ': ' + message['content'] + '<|im_end|>' }}"
CUT = 44
"""Tokens of prompt and response where truncation is planted."""


class RateBook:
    """Learning rates that met their target before, by kind of run, kept beside the references."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rates: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}

    def first(self, entry: Entry) -> float:
        """Return the rate to try first."""
        recipe = entry.recipe
        default = RATES[recipe.optimizer] * (LORA_RATE if recipe.lora else 1)
        default *= {"generic_drift": 5.0, "near_identical": 2.0, "none": 0.5, "artefact": 0.5}.get(entry.cause, 1.0)
        return self._rates.get(self._key(entry), default)

    def note(self, entry: Entry, rate: float) -> None:
        """Remember a rate that met its target, or that would have come nearer."""
        self._rates[self._key(entry)] = rate
        self._path.write_text(json.dumps(self._rates, indent=1))

    @staticmethod
    def _key(entry: Entry) -> str:
        recipe = entry.recipe
        return (
            f"{entry.start.architecture} {recipe.optimizer} {recipe.lora} {entry.cause} {entry.where} {entry.target[0]}"
        )


def make_run(entry: Entry, out: Path, cache: Path, rates: RateBook) -> dict[str, Any]:
    """Train and score one entry into ``out``; return what truth.json holds."""
    began = time.process_time()
    folder = reference(cache, entry.start)
    start = load(folder)
    rng = random.Random(entry.seed)
    plant = Plant.draw(rng, entry.start.texts, entry.plant, entry.where, entry.share)
    rows, held_out = plant.rows(rng, entry.n_pairs), plant.rows(rng, entry.n_held_out)
    shutil.rmtree(out, ignore_errors=True)
    work = out / "work"
    truth = _train_until(entry, (rows, held_out), start, folder, work / "policy", rates)
    truth["cpu_train"] = time.process_time() - began
    if not status({"entry": entry.as_json()} | truth).startswith("excluded"):
        _score(entry, (rows, held_out), out, folder)
    shutil.rmtree(work)
    truth["cpu"] = time.process_time() - began
    (out / "truth.json").write_text(json.dumps({"entry": entry.as_json()} | truth, indent=1) + "\n")
    return truth


def _train_until(entry: Entry, pairs: tuple[list[Row], list[Row]], start: tuple[Any, Any], folder: Path, out: Path,
                 rates: RateBook) -> dict[str, Any]:  # fmt: skip
    """Train at changing rates until the planted fall lies in the entry's target; return the last policy's truth."""
    rows, held_out = pairs
    model, tokenizer = start
    loop = Loop(entry.recipe, rows, held_out, start)
    measured = rows[: entry.n_held_out] if entry.scored == "train" else held_out
    before = measure.logps_by_place(model, tokenizer, measured)
    rate, low, high = rates.first(entry), *entry.target
    aim = math.exp(random.Random(entry.seed + 1).uniform(math.log(max(low, 0.02) * 1.15), math.log(high / 1.15)))

    def keep(step: int, policy: Any, log: list[dict[str, float]]) -> None:
        save_checkpoint(out, step, policy, tokenizer, log, entry.recipe.window)

    for tries in range(1, TRIES + 1):
        shutil.rmtree(out, ignore_errors=True)
        policy = loop.run(rate, keep)
        changes = measure.logps_by_place(policy, tokenizer, measured) - before
        fell = planted_fall(entry, changes, measured)
        if low <= fell <= high or tries == TRIES:
            break
        faster = min(6.0, max(0.15, (aim / max(fell, 0.01)) ** 0.7))
        rate = min(rate * faster, RATES[entry.recipe.optimizer] * FASTEST)
    rates.note(entry, rate if low <= fell <= high else rate * min(3.0, max(0.3, (aim / max(fell, 0.01)) ** 0.7)))
    facts = _facts(entry, start, policy, changes, measured)
    if entry.recipe.loop == "trl" and not status({"entry": entry.as_json()} | facts).startswith("excluded"):
        shutil.rmtree(out, ignore_errors=True)
        length = CUT if entry.artefact == "truncation" else 1024
        run_trl(entry.recipe, rate, rows, held_out, folder, out, length)
        last = max(out.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
        policy = _load_policy(last, folder)
        changes = measure.logps_by_place(policy, tokenizer, measured) - before
        facts = _facts(entry, start, policy, changes, measured)
    greedy = [measure.greedy_accuracy(one, tokenizer, entry.start) for one in (model, policy)] if entry.greedy else None
    return {"rate": rate, "tries": tries, "greedy": greedy} | facts


def _load_policy(checkpoint: Path, folder: Path) -> Any:
    """Return a policy that TRL saved: a full model, or an adapter on its reference."""
    if not (checkpoint / "adapter_config.json").exists():
        return load(checkpoint)[0]
    from peft import PeftModel

    return PeftModel.from_pretrained(load(folder)[0], checkpoint)


def planted_fall(entry: Entry, changes: Any, rows: Sequence[Row]) -> float:
    """Return how far the planted segment of the victims fell, or the mean loss of all pairs; nats, positive."""
    if entry.plant in SEGMENT_PLANTS and entry.cause != "none":
        groups = measure.by_group(changes, rows)
        return -groups["victim"][entry.where] if "victim" in groups else 0.0
    whole = changes.sum(1)
    if entry.cause in ("none", "generic_drift", "artefact"):
        return (-whole).clamp(min=0).mean().item()
    victims = [n for n, row in enumerate(rows) if row["group"] == "victim"]
    place = measure.PLACES.index("core") if entry.cause == "near_identical" else None
    fell = whole if place is None else changes[:, place]
    return -fell[victims].mean().item() if victims else 0.0


def _facts(entry: Entry, start: tuple[Any, Any], policy: Any, changes: Any, rows: Sequence[Row]) -> dict[str, Any]:
    model, tokenizer = start
    rejected = [measure.mean_logps(one, tokenizer, rows, "rejected") for one in (model, policy)]
    fresh = [measure.sft_logps_per_token(one, tokenizer, entry.start) for one in (model, policy)]
    replies = [len(tokenizer(row["chosen"][0]["content"])["input_ids"]) for row in rows]
    whole = changes.sum(1)
    return {
        "fell": planted_fall(entry, changes, rows),
        "changes": measure.by_group(changes, rows),
        "whole": whole.mean().item(),
        "lost": (-whole).clamp(min=0).mean().item(),
        "change_of_pairs": [round(value, 3) for value in whole.tolist()],
        "tokens_of_pairs": replies,
        "rejected": rejected[1] - rejected[0],
        "sft_change": fresh[1] - fresh[0],
        "tokens": sum(replies) / len(replies),
    }


def _score(entry: Entry, pairs: tuple[list[Row], list[Row]], out: Path, folder: Path) -> None:
    """Score as a user would, through the command."""
    sources = []
    for split, rows in zip(("train", "eval"), pairs, strict=True):
        if entry.scored not in ("both", split):
            continue
        rows = swap_all(rows) if entry.artefact == "swapped" else rows
        path = out / "work" / f"{split}.jsonl"
        bare = [{key: value for key, value in row.items() if key not in LABELS} for row in rows]
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in bare))
        sources.append(f"{split}={path}")
    scored_against = later_stage(folder, entry.start) if entry.artefact == "reference" else folder
    argv = ["score", *sources, "--trainer-output", str(out / "work" / "policy"), "--reference", str(scored_against),
            "--tokenizer", str(folder), "--device", "cpu", "--out", str(out / "run")]  # fmt: skip
    if entry.artefact in ("eos", "template"):
        message = NO_END if entry.artefact == "eos" else WORDS
        begin = "<|im_start|>a\\n" if entry.artefact == "eos" else "assistant: "
        template = out / "work" / "template.jinja"
        template.write_text(
            f"{{% for message in messages %}}{message}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{{{{ '{begin}' }}}}{{% endif %}}"
        )
        argv += ["--chat-template", str(template)]
    if entry.artefact == "truncation":
        argv += ["--max-length", str(CUT)]
    if entry.recipe.loop == "own":
        argv += ["--beta", str(entry.recipe.beta), "--loss-type", entry.recipe.loss]
    if entry.evidence:
        argv += ["--evidence", entry.evidence]
    run_command(argv)


def run_command(argv: Sequence[str]) -> str:
    """Run a command of the tool in this process; return what it printed, and raise where it failed."""
    printed, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            command(argv)
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"{' '.join(argv)}: exit {ended.code}: {errors.getvalue()[-800:]}") from ended
    return printed.getvalue()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ground", choices=sorted(STARTS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="where references are kept")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--share", default="0/1", help="i/n: only every n-th entry")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.cache.mkdir(parents=True, exist_ok=True)
    index, count = (int(part) for part in given.share.split("/"))
    rates = RateBook(given.cache / f"rates-{given.ground}-{index}.json")
    for number, entry in enumerate(islice(plan(given.ground), given.runs)):
        out = given.out / given.ground / entry.name
        if number % count != index or (out / "truth.json").exists():
            continue
        try:
            truth = make_run(entry, out, given.cache, rates)
        except Exception as error:
            # A failed run must not stop hundreds of others; it is printed and tried again later.
            print(f"{entry.name}: FAILED {type(error).__name__}: {error}", flush=True)
            continue
        training, scoring = truth["cpu_train"], truth["cpu"] - truth["cpu_train"]
        print(
            f"{entry.name}: fell {truth['fell']:+.2f} lost {truth['lost']:.2f} sft {truth['sft_change']:+.3f} "
            f"tries {truth['tries']} {training:.1f} + {scoring:.1f} CPU s",
            flush=True,
        )


if __name__ == "__main__":
    main()
