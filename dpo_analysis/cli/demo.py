"""The main job on the shipped sample: score it where torch is, else open the run that was scored before."""

import importlib.util
from pathlib import Path

from dpo_analysis import words
from dpo_analysis.cli.console import Reporter, console, findings, step_table
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.diagnosis import keep, known_or_made, scored_series
from dpo_analysis.diagnosis.diagnosis_text import verdict_sentence
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Run, open_run
from dpo_analysis.tables.pairs import step_table as steps_of

SERIES = ("gentle", "strong", "lora")
BETA = 0.1
PAIRS_PER_SPLIT = 150


def run_demo(out: Path) -> Path:
    """Score the sample into ``out`` and print its step table; returns the run folder to look at.

    Without torch or without the checkpoints (an installed wheel) it is the shipped, already scored run.

    Raises:
        InputError: neither the checkpoints nor the shipped run are there.
    """
    folder = _sample_data()
    missing = [name for name in ("torch", "transformers", "peft") if importlib.util.find_spec(name) is None]
    if folder is not None and not missing:
        run = _score(folder, out)
        keep(run)
    else:
        run = _shipped(missing)
    _print(run)
    return run.path


def _sample_data() -> Path | None:
    """The sample's checkpoints: they lie in a checkout of the repository, not in the wheel."""
    folder = Path(__file__).resolve().parents[2] / "sample_data"
    return folder if (folder / "sft" / "config.json").is_file() else None


def _score(folder: Path, out: Path) -> Run:
    from dpo_analysis.scoring import score

    console().print(words.text("demo.scoring", out=out))
    here = Path.cwd()
    near = folder.relative_to(here) if folder.is_relative_to(here) else folder
    return score(
        [f"eval={near / 'pairs' / 'eval.jsonl'}", f"train={near / 'pairs' / 'train.jsonl'}"],
        reference=str(near / "sft"),
        trainer_outputs=[near / series for series in SERIES],
        out=out,
        beta=BETA,
        limit=PAIRS_PER_SPLIT,
        report=Reporter(),
    )


def _shipped(missing: list[str]) -> Run:
    path = sample_run()
    if path is None:
        raise InputError("no sample run in this installation: sample_data/run is missing; install from a full checkout")
    why = words.text("demo.no_torch", names=", ".join(missing)) if missing else words.text("demo.no_checkpoints")
    console().print(why)
    return open_run(path)


def verdicts(run: Run) -> list[str]:
    """What the diagnosis says of every series, one line each, and the command that tells all of it."""
    found = [known_or_made(run, series=name) for name in scored_series(run)]
    found = sorted(found, key=lambda one: one.at_end["chosen_drift"])
    lines = [f"{one.series}, {one.split}: {verdict_sentence(one)}" for one in found]
    return [*lines, words.text("console.diagnose", run=run.path)]


def _print(run: Run) -> None:
    steps = steps_of(run)
    screen = console()
    screen.print(step_table(steps))
    for line in [*findings(steps), *verdicts(run)]:
        screen.print(line)
