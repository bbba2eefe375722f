"""The callback in two processes, killed while it writes and resumed: one coherent run folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dpo_analysis as dpo
from dpo_analysis.runs import verify_run

pytestmark = pytest.mark.parity
pytest.importorskip("trl")
SCRIPT = Path(__file__).with_name("small_training.py")


def train(out, *arguments, fault=""):
    """Train in two processes on the CPU; ``fault`` names the moment of writing the folder at which one is killed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DPO_FAULT": fault}
    environment["PYTHONPATH"] = str(SCRIPT.parents[2])
    return subprocess.run(
        [*command, str(SCRIPT), str(out), *arguments], env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A training that ran through, and one that was killed at step 9 and resumed from checkpoint 8."""
    root = tmp_path_factory.mktemp("processes")
    whole = train(root / "whole/out")
    assert whole.returncode == 0, whole.stderr[-2000:]
    # scores are written for the reference and for steps 0, 3 and 6; the fifth time, at step 9, half of it
    killed = train(root / "killed/out", fault="scores.half_written:5")
    assert killed.returncode != 0
    assert not (root / "killed/out/dpo_analysis/scores/killed/checkpoint-9/part-00000.parquet").exists()
    before = [model.step for model in dpo.open_run(root / "killed/out/dpo_analysis").models]
    resumed = train(root / "killed/out", "resume")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    return root / "whole/out", root / "killed/out", before, resumed.stderr


def test_a_killed_and_resumed_training_gives_one_coherent_folder(folders):
    whole, killed, before, said = folders
    assert before == [0, 3, 6, 9]
    run = dpo.open_run(killed / "dpo_analysis")
    assert verify_run(run.path) == []
    assert run.is_complete
    assert [model.step for model in run.models] == [0, 3, 6, 8, 9, 12]
    assert list(run.series) == ["killed"]
    assert "killed was resumed at step 8: the scores of its steps 9 are removed and made again" in said
    steps, expected = (dpo.step_table(dpo.open_run(out / "dpo_analysis")).set_index("step") for out in (killed, whole))
    for name in ("chosen_reward", "rejected_reward", "accuracy"):
        assert steps.loc[expected.index, name].tolist() == pytest.approx(expected[name].tolist(), abs=1e-6, nan_ok=True)


def test_two_processes_log_what_the_callback_stores(folders):
    for out in folders[:2]:
        state = json.loads((out / "checkpoint-12/trainer_state.json").read_text())
        steps = dpo.step_table(dpo.open_run(out / "dpo_analysis")).set_index("step")
        logged = {one["step"]: one for one in state["log_history"] if "eval_rewards/chosen" in one}
        assert set(logged) == {3, 6, 9, 12}
        for step, one in logged.items():
            for side in ("chosen", "rejected"):
                assert steps.loc[step, f"{side}_reward"] == pytest.approx(one[f"eval_rewards/{side}"], abs=1e-6)
        assert (dpo.token_table(dpo.open_run(out / "dpo_analysis"), model="checkpoint-0")["advantage"] == 0).all()
