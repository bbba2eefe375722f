"""Show: pointed at a real trainer's folder, with the pairs and the reference alone, score gives the trainer's numbers.

The numbers are those of the trainer's log, which it computed itself at every evaluation.
"""

import shlex
from pathlib import Path

import pytest

from dpo_analysis.cli.found import full_command
from dpo_analysis.cli.main import main
from dpo_analysis.runs import open_run
from dpo_analysis.scoring.run_score import score
from dpo_analysis.tables.trainer_log import trainer_log_table
from dpo_analysis.trainer import find_training

pytestmark = pytest.mark.parity
TRAINERS = Path(__file__).parents[3] / "shared/trainers"
FOLDERS = sorted(
    path.name.removesuffix(".tar.xz") for path in TRAINERS.glob("*.tar.xz") if "references" not in path.name
)
if not FOLDERS:
    # not a skip of each test, which CI forbids for tests of parity: these folders are no part of the repository
    pytest.skip("no folders of trainers beside the repository", allow_module_level=True)
REFERENCES = {"trl-0.24-chatml": "sft-nl", "trl-0.12.2-text": "sft-bos"}
"""The references that are not ``sft``."""
PAIRS = {"trl-0.12.2-text": "eval-text.jsonl"}
"""The pairs that are not ``eval.jsonl``."""
EXACT = {"chosen_reward", "rejected_reward", "margin", "chosen_logps", "rejected_logps"}
OPENRLHF = "openrlhf-0.11.2"


def scored(name, unpacked, out):
    """The run of a folder, scored as ``score eval=PAIRS --trainer-output FOLDER --reference MODEL`` does."""
    references = unpacked("references")
    return score(
        f"eval={references / 'data' / PAIRS.get(name, 'eval.jsonl')}",
        out=out,
        reference=references / REFERENCES.get(name, "sft"),
        trainer_outputs=[unpacked(name)],
        evidence="none",
    )


def logged(run):
    """The logged values of evaluations beside the recomputed ones, by step and metric."""
    table = trainer_log_table(run)
    return table[table["logged_split"] != "train"].set_index(["step", "metric"])


@pytest.mark.parametrize("name", [name for name in FOLDERS if name != OPENRLHF])
def test_rewards_margins_and_logps_are_those_that_the_trainer_logged(name, unpacked, tmp_path):
    run = scored(name, unpacked, tmp_path / "run")
    assert [series.beta for series in run.series.values()] == [0.2]
    table = logged(run)
    assert set(table.index) >= {(step, metric) for step in (20, 40) for metric in EXACT}
    differences = table["difference"].abs()
    assert differences[differences.index.isin(EXACT, level="metric")].max() < 1e-4
    losses = differences[differences.index.isin(["loss"], level="metric")]
    assert len(losses) == 2
    assert losses.max() < 1e-4


@pytest.mark.skipif(OPENRLHF not in FOLDERS, reason="no folder of OpenRLHF beside the repository")
def test_beta_of_openrlhf_is_solved_from_its_log(unpacked, tmp_path):
    run = scored(OPENRLHF, unpacked, tmp_path / "run")
    assert [series.beta for series in run.series.values()] == [0.2]
    losses = logged(run)["difference"].abs().xs("loss", level="metric")
    assert sorted(losses.index) == [20, 40]
    assert losses.max() < 1e-3


@pytest.mark.parametrize("name", FOLDERS)
def test_the_full_command_goes_on_with_the_same_run(name, unpacked, tmp_path, capsys):
    run = scored(name, unpacked, tmp_path / "run")
    references = unpacked("references")
    given = {"reference": str(references / REFERENCES.get(name, "sft"))}
    pairs = [f"eval={references / 'data' / PAIRS.get(name, 'eval.jsonl')}"]
    command = full_command(pairs, find_training(unpacked(name)), given, str(run.path))
    before = {key: (series.beta, series.loss_type, series.logged_logps) for key, series in run.series.items()}
    written = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.parquet")}
    with pytest.raises(SystemExit) as ended:
        main([*shlex.split(command)[1:], "--evidence", "none"])
    assert ended.value.code == 0, capsys.readouterr().err
    after = open_run(run.path)
    assert {key: (one.beta, one.loss_type, one.logged_logps) for key, one in after.series.items()} == before
    assert {path: path.stat().st_mtime_ns for path in written} == written
