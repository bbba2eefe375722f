"""The demo: scores the shipped sample where torch is installed, else opens the run that was scored before."""

import importlib.util
from pathlib import Path

from dpo_analysis import words
from dpo_analysis.cli.announce import announce
from dpo_analysis.cli.console import Reporter, console
from dpo_analysis.cli.ending import ending
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.diagnosis import save_diagnoses
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Run, open_run

SERIES = ("gentle", "strong", "lora")
BETA = 0.1
PAIRS_PER_SPLIT = 150


def run_demo(out: Path) -> Path:
    """Score the sample into ``out`` and print what it shows; returns the run folder to look at.

    Without torch, or without the checkpoints (in an installed wheel), that is the shipped run, scored before.

    Raises:
        InputError: this installation has neither the checkpoints nor the shipped run.
    """
    folder = _sample_data()
    missing = [name for name in ("torch", "transformers", "peft") if importlib.util.find_spec(name) is None]
    if folder is not None and not missing:
        run = _score(folder, out)
        announce("looking for the causes")
        save_diagnoses(run)
    else:
        run = _shipped_run(missing)
    print("\n".join(ending(run)))
    return run.path


def _sample_data() -> Path | None:
    """Return the folder of the sample's checkpoints; None in an installed wheel, which does not hold them."""
    folder = Path(__file__).resolve().parents[2] / "sample_data"
    return folder if (folder / "sft" / "config.json").is_file() else None


def _score(folder: Path, out: Path) -> Run:
    console().print(words.text("demo.scoring", out=out))
    from dpo_analysis.scoring import score

    sample = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    return score(
        [f"eval={sample / 'pairs' / 'eval.jsonl'}", f"train={sample / 'pairs' / 'train.jsonl'}"],
        reference=str(sample / "sft"),
        trainer_outputs=[sample / series for series in SERIES],
        out=out,
        beta=BETA,
        limit=PAIRS_PER_SPLIT,
        report=Reporter(),
    )


def _shipped_run(missing: list[str]) -> Run:
    path = sample_run()
    if path is None:
        raise InputError("no sample run in this installation: sample_data/run is missing; install from a full checkout")
    reason = words.text("demo.no_torch", names=", ".join(missing)) if missing else words.text("demo.no_checkpoints")
    console().print(reason)
    return open_run(path)
