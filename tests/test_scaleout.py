"""Show: ranks of torchrun and workers of Ray, one of them killed half-way, leave the run folder of one process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dpo_analysis.runs import verify_run
from dpo_analysis.scoring import score
from dpo_analysis.scoring.models.loading import quiet
from tests.faults.fakes import bytes_of
from tests.test_score import byte_tokenizer, lora, tiny

pytestmark = [
    pytest.mark.scaleout,
    pytest.mark.skipif(os.name != "posix", reason="scoring needs flock"),
]
ROOT = Path(__file__).resolve().parents[1]
SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4}
PARTS, PART_SIZE, MODELS = 12, 4, 3


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A reference, a full policy and an adapter on the reference; pairs for a dozen parts."""
    root = tmp_path_factory.mktemp("inputs")
    with quiet():
        tiny(0, **SIZES).save_pretrained(root / "sft")
        tiny(1, **SIZES).save_pretrained(root / "full" / "10")
        lora(tiny(0, **SIZES), 5).save_pretrained(root / "lora" / "5")
        for folder in (root / "sft", root / "full" / "10"):
            byte_tokenizer().save_pretrained(folder)
    config = root / "lora" / "5" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": str(root / "sft")}))
    rows = [
        {"prompt": f"Say {n}.", "chosen": f" Number {n} it is, as you wish.", "rejected": f" No {n}."}
        for n in range(PARTS * PART_SIZE)
    ]
    (root / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def arguments(root):
    """What all of them score, as ``score`` takes it."""
    return {
        "pairs": str(root / "pairs.jsonl"), "reference": str(root / "sft"), "beta": 0.1, "part_size": PART_SIZE,
        "policies": [f"full/10={root / 'full' / '10'}", f"lora/5={root / 'lora' / '5'}"], "device": "cpu",
        "evidence_pairs": 20,
    }  # fmt: skip


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """The run folder that one process leaves."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    score(**arguments(inputs), out=folder)
    return bytes_of(folder)


def events(run, kind):
    lines = (run / "log.jsonl").read_text().splitlines() if (run / "log.jsonl").exists() else []
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def launch(root, out, log):
    """Two ranks of the real command under the real torchrun."""
    given = arguments(root)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "dpo_analysis", "score", given["pairs"], "--reference", given["reference"], "--beta", "0.1"]
    command += [word for policy in given["policies"] for word in ("--policy", policy)]
    command += ["--part-size", str(PART_SIZE), "--device", "cpu", "--evidence-pairs", "20", "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)


def test_two_ranks_one_killed_half_way_leave_the_folder_of_one_process(inputs, whole, tmp_path):
    run = tmp_path / "run"
    with open(tmp_path / "first.log", "w+") as log:
        first = launch(inputs, run, log)
        while first.poll() is None and not [event for event in events(run, "part") if event["shard"] == "1/2"]:
            time.sleep(0.01)
        (victim,) = {event["pid"] for event in events(run, "start") if event["shard"] == "1/2"}
        os.kill(victim, signal.SIGKILL)
        assert first.wait(120) != 0
    assert 0 < len(list(run.glob("scores/**/part-*.parquet"))) < PARTS * MODELS, "it was not killed half-way"
    assert not list(run.rglob("*.tmp")), "the sibling that torchrun stops leaves no half of a file"
    with open(tmp_path / "second.log", "w+") as log:
        assert launch(inputs, run, log).wait(240) == 0
        log.seek(0)
        told = log.read()
    found = bytes_of(run)
    assert found.pop("summary/diagnosis.json"), "the command keeps the diagnosis, which the function does not"
    assert found == whole
    assert verify_run(run) == []
    by_rank = {event["shard"]: event["pid"] for event in events(run, "part")}
    assert by_rank.keys() == {"0/2", "1/2"}
    assert len(set(by_rank.values())) == 2
    assert told.count(f"dpo-analysis app {run}") == 1, "only rank 0 prints, whether it ends first or last"


def test_two_workers_of_ray_one_killed_half_way_leave_the_folder_of_one_process(inputs, whole, tmp_path):
    run, killed = tmp_path / "run", []

    def kill_one(progress):
        done = [event["worker"] for event in events(run, "part")]
        if not killed and len(set(done)) == 2:
            killed.append(done[-1])
            os.kill(int(done[-1].split()[-1]), signal.SIGKILL)

    score(**arguments(inputs), out=run, ray="local", ray_workers=2, report=kill_one)
    assert bytes_of(run) == whole
    assert verify_run(run) == []
    workers = [event["worker"] for event in events(run, "part")]
    assert len(workers) == PARTS * MODELS, "every part was scored once"
    assert len(set(workers)) >= 2
    assert set(workers[workers.index(killed[0]) :]) - {killed[0]}, "others went on"
