"""What share of a training's time ``LogTokenRewardsCallback`` takes, and what makes it up.

``python tests/benchmarks/live.py [--steps 8] [--rounds 3]`` trains a model of 2 million parameters by TRL's DPOTrainer
on pairs of HH's lengths, with and without the callback in turn, and writes ``tests/benchmarks/results/live.json``. The
share depends on how often it scores: it states one scoring of 64 pairs in training steps, and the share at one
scoring every 50 and every 200 steps that follows from it.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import torch
import transformers
import trl
from datasets import Dataset, disable_progress_bars
from trl import DPOConfig, DPOTrainer

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
from dpo_analysis.scoring import LogTokenRewardsCallback  # noqa: E402
from dpo_analysis.scoring.live import clock  # noqa: E402
from tests.benchmarks.corpus import hh_corpus  # noqa: E402
from tests.benchmarks.shapes import Shape, build  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "live.json"
SHAPE = Shape(hidden=128, inner=512, layers=4, heads=4, key_value_heads=4, vocabulary=8_000)
PAIRS, BATCH = 64, 8
INTERVALS = (50, 200)


def train(rows: list[dict[str, str]], tokenizer: object, steps: int, *, watched: bool) -> dict[str, float]:
    """Train once; return seconds of CPU time of the training, and those of the callback by kind of work."""
    with tempfile.TemporaryDirectory() as out:
        config = DPOConfig(
            output_dir=out, max_steps=steps, per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH,
            learning_rate=1e-5, bf16=False, use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no",
            gradient_checkpointing=False, max_length=512, logging_steps=steps,
        )  # fmt: skip
        torch.manual_seed(0)
        trainer = DPOTrainer(
            build(SHAPE, 0), ref_model=build(SHAPE, 0), args=config, train_dataset=Dataset.from_list(rows[:400]),
            eval_dataset=Dataset.from_list(rows[400 : 400 + PAIRS]), processing_class=tokenizer,
        )  # fmt: skip
        callback = None
        if watched:
            callback = LogTokenRewardsCallback(trainer=trainer, num_pairs=PAIRS, freq=max(1, steps // 4))
            trainer.add_callback(callback)
        begin = time.process_time()
        trainer.train()
        seconds = {"training": time.process_time() - begin}
        return seconds | ({} if callback is None else callback.clock.seconds | {"scorings": callback.clock.steps})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    # CPU time, which the load of the machine changes little
    clock.time = SimpleNamespace(monotonic=time.process_time)  # type: ignore[attr-defined]
    disable_progress_bars()
    corpus = hh_corpus(SHAPE.vocabulary)
    # no row is dropped as too long, so that PAIRS are scored
    rows = [row for row in corpus.rows if max(len(row[side]) for side in row) < 1200]
    rounds = []
    for _ in range(options.rounds):
        bare = train(rows, corpus.tokenizer, options.steps, watched=False)
        watched = train(rows, corpus.tokenizer, options.steps, watched=True)
        step = bare["training"] / options.steps
        parts = {name: watched[name] / watched["scorings"] for name in ("pairs", "samples", "writing")}
        rounds.append({"step_s": step, "start_s": watched["start"], **{f"{name}_s": parts[name] for name in parts}})
        print(rounds[-1], flush=True)
    middle = {name: median(one[name] for one in rounds) for name in rounds[0]}
    scoring = sum(middle[f"{name}_s"] for name in ("pairs", "samples", "writing"))
    found = {
        "rounds": rounds,
        "median": middle,
        "one_scoring_in_steps": scoring / middle["step_s"],
        "start_in_steps": middle["start_s"] / middle["step_s"],
        "share": {str(every): scoring / (scoring + every * middle["step_s"]) for every in INTERVALS},
        "corpus": corpus.name,
        "pairs": PAIRS,
        "batch": BATCH,
        "shape": SHAPE.facts(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__},
        "machine": f"{platform.machine()}, one thread",
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(
        json.dumps(
            {name: found[name] for name in ("median", "one_scoring_in_steps", "start_in_steps", "share")}, indent=1
        )
    )


if __name__ == "__main__":
    main()
