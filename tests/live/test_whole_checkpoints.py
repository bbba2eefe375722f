"""Whether a checkpoint is whole, while a training writes it: judged by its files and by how long they are at rest."""

import json
import os
import shutil
import struct
import time

import pytest

from dpo_analysis.scoring.live.whole_checkpoints import QUIET_SECONDS, STATE, training_ended, unfinished


def write_weights(path, *, cut=0):
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    data = struct.pack("<Q", len(header)) + header + bytes(16)
    path.write_bytes(data[: len(data) - cut])


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint-10"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    write_weights(folder / "model.safetensors")
    (folder / STATE).write_text(json.dumps({"global_step": 10, "max_steps": 20, "log_history": []}))
    return folder


def let_rest(folder):
    past = time.time() - QUIET_SECONDS - 5
    for path in [*folder.iterdir(), folder]:
        os.utime(path, (past, past))


def test_a_whole_checkpoint_lacks_nothing(checkpoint):
    assert unfinished(checkpoint) == ""


def test_the_state_is_written_last(checkpoint):
    (checkpoint / STATE).unlink()
    assert unfinished(checkpoint) == "it has no trainer_state.json yet"
    (checkpoint / STATE).write_text('{"global_step": 10, "log_his')
    assert unfinished(checkpoint) == "its trainer_state.json is not whole yet"


@pytest.mark.parametrize("cut", [1, 16, 30, 200])
def test_weights_that_are_cut_are_waited_for(checkpoint, cut):
    write_weights(checkpoint / "model.safetensors", cut=cut)
    os.utime(checkpoint / "model.safetensors", (1, 1))  # older than the state, as after a copy
    assert unfinished(checkpoint) == "model.safetensors is not whole yet"


def test_a_shard_that_the_index_names_is_waited_for(checkpoint):
    index = checkpoint / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "model.safetensors", "v": "model-2.safetensors"}}))
    os.utime(checkpoint / STATE)
    assert unfinished(checkpoint) == "model-2.safetensors is not whole yet"
    index.write_text('{"weight_map": {')
    assert unfinished(checkpoint) == "the index of its weights is not whole yet"


def test_a_checkpoint_that_a_resumed_training_writes_again_is_waited_for(checkpoint):
    old = time.time() - 10
    os.utime(checkpoint / STATE, (old, old))
    assert unfinished(checkpoint).startswith("it is written again")


def test_what_stays_as_it_is_is_left_to_the_scoring(checkpoint):
    (checkpoint / STATE).unlink()
    let_rest(checkpoint)
    assert unfinished(checkpoint) == ""
    write_weights(checkpoint / "model.safetensors", cut=5)
    let_rest(checkpoint)
    assert unfinished(checkpoint) == ""


def test_a_checkpoint_that_is_deleted_meanwhile_is_no_error(checkpoint):
    shutil.rmtree(checkpoint)
    assert unfinished(checkpoint) != ""
    assert not training_ended(checkpoint)


def test_the_end_of_a_training_is_in_its_last_state(checkpoint):
    assert not training_ended(checkpoint)
    (checkpoint / STATE).write_text(json.dumps({"global_step": 20, "max_steps": 20}))
    assert training_ended(checkpoint)
    for state in ({"global_step": 0, "max_steps": 0}, {"global_step": "20", "max_steps": 20}, []):
        (checkpoint / STATE).write_text(json.dumps(state))
        assert not training_ended(checkpoint)
