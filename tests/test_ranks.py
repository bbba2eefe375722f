"""Which process takes which parts: ranks, shards and Ray, and what of them cannot stand together."""

import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import pytest

from dpo_analysis.cli import main
from dpo_analysis.cli.run_notes import scored_lines
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Part, open_run
from dpo_analysis.scoring.workers.ranks import Rank, current_rank, worker_share
from dpo_analysis.scoring.workers.ray_cluster import Cluster, check_ray_options
from dpo_analysis.scoring.workers.ray_driver import _TaskQueue, check_models_on_disk
from tests.faults import fakes

LAUNCHED = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


def launched(monkeypatch, **changes):
    for name, value in (LAUNCHED | changes).items():
        monkeypatch.setenv(name, value)


def test_a_launcher_tells_a_process_its_rank():
    assert current_rank(LAUNCHED) == Rank(3, 8, 1, 2)
    assert current_rank({}) == Rank()
    assert current_rank({"RANK": "1"}) == Rank(), "half of it is nothing"


def test_slurms_own_variables_mean_nothing():
    assert current_rank({"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}) == Rank()


@pytest.mark.parametrize("wrong", [{"RANK": "8"}, {"RANK": "-1"}, {"WORLD_SIZE": "two"}, {"LOCAL_RANK": "²"}])
def test_ranks_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match="bad ranks in the environment"):
        current_rank(LAUNCHED | wrong)


def test_parts_are_dealt_by_rank_or_by_shard(monkeypatch):
    assert worker_share(None) == (0, 1)
    assert worker_share("1/3") == (1, 3)
    launched(monkeypatch)
    assert worker_share(None) == (3, 8)


@pytest.mark.parametrize("shard", ["3/3", "1", "a/2", "-1/2", "1/²"])
def test_a_shard_that_is_none_is_refused(shard):
    with pytest.raises(InputError, match="bad --shard"):
        worker_share(shard)


def test_a_shard_in_one_of_several_ranks_is_refused(monkeypatch):
    launched(monkeypatch)
    with pytest.raises(InputError, match="--shard 0/2 in one of 8 ranks"):
        worker_share("0/2")
    launched(monkeypatch, RANK="0", WORLD_SIZE="1")
    assert worker_share("0/2") == (0, 2), "one rank alone is no rank"


def test_every_rank_tells_its_errors_and_only_the_first_that_it_was_stopped(monkeypatch, capsys):
    launched(monkeypatch)
    for code in (2, 130):
        with pytest.raises(SystemExit):
            main._fail("what in where: why", code)
    assert capsys.readouterr().err == "error: rank 3 of 8: what in where: why\n"
    launched(monkeypatch, RANK="0")
    with pytest.raises(SystemExit):
        main._fail("stopped", 130)
    assert capsys.readouterr().err == "error: stopped\n"


def test_the_first_rank_says_what_the_others_are_still_at(tmp_path):
    fakes.score_run(tmp_path / "run", shard=(0, 2))
    state = scored_lines(open_run(tmp_path / "run"), ranks=2)[0]
    assert "3 parts remain" in state
    assert state.endswith("other ranks are scoring them")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["score", "p", "--ray"], ["score", "p", "--ray=auto"]),
        (["score", "--ray", "p.jsonl", "--out", "o"], ["score", "--ray=auto", "p.jsonl", "--out", "o"]),
        (["score", "--ray", "head:6379", "p"], ["score", "--ray=head:6379", "p"]),
        (["score", "--ray", "local", "--out", "o"], ["score", "--ray=local", "--out", "o"]),
        (["score", "--ray=local", "p"], ["score", "--ray=local", "p"]),
        (["score", "--", "--ray"], ["score", "--", "--ray"]),
    ],
)
def test_ray_takes_an_address_or_nothing(given, taken):
    assert main._with_ray_address(given) == taken


def test_ray_beside_another_way_of_sharing_is_refused(monkeypatch):
    check_ray_options(None, (1, 2))
    with pytest.raises(InputError, match="beside --shard or several ranks"):
        check_ray_options("local", (0, 2))
    with pytest.raises(InputError, match="bad --ray 'somewhere'"):
        check_ray_options("somewhere", (0, 1))
    launched(monkeypatch)
    with pytest.raises(InputError, match="beside --shard or several ranks"):
        check_ray_options("local", (0, 1))


def test_a_model_that_only_this_process_has_is_refused_on_ray():
    with pytest.raises(InputError, match="gentle/checkpoint-10 is in the memory of this process"):
        check_models_on_disk([SimpleNamespace(model=fakes.POLICIES[0], files=None)])


def test_a_missing_ray_is_one_line_with_what_to_install(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    with pytest.raises(InputError, match=r"no ray .*pip install 'dpo-analysis\[ray\]'"):
        check_ray_options("local", (0, 1))


def test_ray_is_not_imported_until_it_is_asked_for():
    names = "sys, dpo_analysis.cli.main, dpo_analysis.scoring.workers.ray_driver"
    code = f"import {names}; print({{'ray', 'torch'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def cluster(resources, device="auto", workers=None):
    return Cluster(SimpleNamespace(cluster_resources=lambda: resources), device, workers)


def test_workers_take_a_gpu_each_where_there_are_gpus_else_a_core():
    assert (cluster({"GPU": 4.0, "CPU": 64.0}).device, cluster({"GPU": 4.0, "CPU": 64.0}).max_workers()) == ("cuda", 4)
    assert (cluster({"CPU": 3.0}).device, cluster({"CPU": 3.0}).max_workers()) == ("cpu", 3)
    assert cluster({"GPU": 4.0, "CPU": 8.0}, device="cpu").max_workers() == 8
    assert cluster({"CPU": 8.0}, device="cuda", workers=2).max_workers() == 2, "the cluster may bring GPUs when asked"
    with pytest.raises(InputError, match="no GPU in the Ray cluster now"):
        cluster({"CPU": 8.0}, device="cuda")
    with pytest.raises(InputError, match="--device mps beside --ray"):
        cluster({"CPU": 8.0}, device="mps")


def tasks():
    """Six parts of the reference, of which the noise floor is wanted too, and two parts of one policy."""
    reference, policy = fakes.MODELS[:2]
    left = {reference: [Part(n, [], []) for n in range(6)], policy: [Part(n, [], []) for n in range(2)]}
    writer = SimpleNamespace(
        missing_parts=left.get, parts=[Part(0, [0], [fakes.pair(0)])], shard=(0, 1), has_noise_floor=False
    )
    return _TaskQueue(SimpleNamespace(writer=writer, missing_parts=left.get), [reference, policy])


def test_a_worker_keeps_to_its_model_and_the_noise_is_measured_once():
    dealt = tasks()
    first, second = dealt.take(""), dealt.take("gentle/checkpoint-10")
    assert (first.model.key, first.part.index, len(first.noise_pairs)) == ("reference", 0, 1)
    assert (second.model.key, second.part.index, second.noise_pairs) == ("gentle/checkpoint-10", 0, None)
    assert [dealt.take("gentle/checkpoint-10").model.key for _ in range(2)] == ["gentle/checkpoint-10", "reference"]
    assert len(dealt) == 4
    dealt.drop("reference")
    assert (len(dealt), dealt.take("reference")) == (0, None)
