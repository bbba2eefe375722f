"""Layouts of output folders: checkpoints in subfolders, several runs, models that were moved, pipes, hostile files."""

import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from dpo_analysis.cli.found import found_lines
from dpo_analysis.errors import InputError
from dpo_analysis.trainer import find_training
from tests.test_discover import DPOConfig, checkpoint

SIEGE = Path(__file__).parents[2] / "shared/cases/siege"


def openrlhf_checkpoint(folder):
    return checkpoint(folder, state=False)


@pytest.mark.parametrize("below", ["", "ckpt"])
def test_checkpoints_of_openrlhf_are_in_ckpt_or_beside_the_model(tmp_path, below):
    for step in (40, 5, 20):
        openrlhf_checkpoint(tmp_path / "run" / below / f"global_step{step}_hf")
    (tmp_path / "run" / below / "global_step20").mkdir()
    checkpoint(tmp_path / "run", state=False)
    training = find_training(tmp_path / "run")
    assert [step for step, _ in training.checkpoints] == [5, 20, 40]
    assert (training.trainer, training.series) == ("OpenRLHF", "run")
    assert find_training(tmp_path / "run" / below).series == "run"


def test_a_log_beside_ckpt_is_found_where_the_final_model_is_missing(tmp_path):
    openrlhf_checkpoint(tmp_path / "run/ckpt/global_step5_hf")
    events = Path(__file__).parent / "trainers/folders/openrlhf-0.11.2/tb/run"
    shutil.copytree(events, tmp_path / "run/tb/run")
    training = find_training(tmp_path / "run")
    assert training.folder == str(tmp_path / "run")
    assert training.log_path.startswith(str(tmp_path / "run/tb/run/events"))


def test_the_run_of_ms_swift_is_a_subfolder_with_a_date(tmp_path):
    run = tmp_path / "output" / "v0-20251130-101112"
    checkpoint(run / "checkpoint-5")
    (run / "args.json").write_text(json.dumps({"swift_version": "4.6.0", "rlhf_type": "dpo", "beta": 0.3}))
    (tmp_path / "output" / "images").mkdir()
    training = find_training(tmp_path / "output")
    assert training.checkpoints == [(5, str(run / "checkpoint-5"))]
    assert (training.trainer, training.beta, training.series) == ("ms-swift 4.6.0", 0.3, "v0-20251130-101112")
    assert training.sources["beta"] == "from args.json"


def test_several_runs_below_a_folder_are_named_and_none_is_taken(tmp_path):
    for name in ("v0-20251130-101112", "v1-20251130-121314"):
        checkpoint(tmp_path / "output" / name / "checkpoint-5")
    with pytest.raises(InputError) as error:
        find_training(tmp_path / "output")
    assert str(error.value) == (
        f"several training runs in {tmp_path}/output: {tmp_path}/output/v0-20251130-101112, "
        f"{tmp_path}/output/v1-20251130-121314; name one of them"
    )


@pytest.mark.parametrize("values", [{"rlhf_type": "kto"}, {"sync_ref_model": True}, {"rlhf_type": ["dpo"]}])
def test_ms_swift_runs_without_a_fixed_reference_are_refused(tmp_path, values):
    checkpoint(tmp_path / "run/checkpoint-5")
    (tmp_path / "run/args.json").write_text(json.dumps({"swift_version": "4.6.0"} | values))
    with pytest.raises(InputError, match=r"rlhf_type|moving reference"):
        find_training(tmp_path / "run")


def test_axolotl_runs_without_a_reference_are_refused(tmp_path):
    checkpoint(tmp_path / "run/checkpoint-5")
    config = json.dumps({"axolotl_config_path": "a.yaml", "rl": "simpo"}, indent=2)
    (tmp_path / "run/debug.log").write_text(f"[DEBUG] config:\n{config}\n")
    with pytest.raises(InputError, match=r"rl simpo in debug\.log"):
        find_training(tmp_path / "run")


def test_a_config_in_axolotls_log_gives_beta_where_no_arguments_do(tmp_path):
    checkpoint(tmp_path / "run/checkpoint-5")
    config = json.dumps({"axolotl_config_path": "a.yaml", "rl": "ipo", "dpo_beta": 0.4, "load_in_4bit": True})
    (tmp_path / "run/debug.log").write_text(f"[DEBUG] config:\n{config}\nmore {{")
    training = find_training(tmp_path / "run")
    assert (training.beta, training.loss_type, training.sources["beta"]) == (0.4, "ipo", "from debug.log")
    assert training.parameters["quantization"] == "4bit"


def test_the_start_is_found_where_a_file_names_a_folder_that_is_here(tmp_path):
    sft = checkpoint(tmp_path / "sft", state=False)
    checkpoint(tmp_path / "run/checkpoint-5")
    (tmp_path / "run/args.json").write_text(json.dumps({"swift_version": "4.6.0", "model": str(sft)}))
    training = find_training(tmp_path / "run")
    assert (training.reference, training.sources["reference"]) == (str(sft), "from args.json")
    assert not any("--reference" in note for note in training.notes)


def test_a_reference_of_its_own_counts_before_the_start(tmp_path):
    for name in ("sft", "ref"):
        checkpoint(tmp_path / name, state=False)
    checkpoint(tmp_path / "run/checkpoint-5")
    values = {"swift_version": "4.6.0", "model": str(tmp_path / "sft"), "ref_model": str(tmp_path / "ref")}
    (tmp_path / "run/args.json").write_text(json.dumps(values))
    assert find_training(tmp_path / "run").reference == str(tmp_path / "ref")


def test_a_checkpoint_that_names_itself_has_not_said_what_it_started_from(tmp_path):
    folder = checkpoint(tmp_path / "run/checkpoint-5")
    (folder / "config.json").write_text(json.dumps({"_name_or_path": str(folder)}))
    training = find_training(tmp_path / "run")
    assert (training.reference, training.candidates) == (None, [])


def test_a_model_of_the_recorded_name_above_the_folder_is_a_candidate_and_never_taken(tmp_path):
    checkpoint(tmp_path / "work/sft", state=False)
    folder = checkpoint(tmp_path / "work/trained/run/checkpoint-5")
    (folder / "config.json").write_text('{"_name_or_path": "/gone/sft"}')
    training = find_training(tmp_path / "work/trained/run")
    assert training.reference is None
    assert training.candidates == [
        "/gone/sft (checkpoint-5/config.json, not found on this machine)",
        f"{tmp_path}/work/sft (a model of that name above the folder)",
    ]
    (line,) = [line for line in found_lines(training, {}) if line.startswith("  reference")]
    assert f"seen: /gone/sft (checkpoint-5/config.json, not found on this machine); {tmp_path}/work/sft" in line


@pytest.mark.parametrize(
    "name", ["x" * 300, "x" * 10_000, "a\0b", "a\x1b[2Jb\nbeta  0.9  from training_args.bin", "..", "/"]
)
@pytest.mark.parametrize("where", ["config.json", "adapter_config.json", "README.md"])
def test_no_name_in_a_file_breaks_or_forges_the_lines(tmp_path, name, where):
    adapter = name if where == "adapter_config.json" else None
    folder = checkpoint(tmp_path / "run/checkpoint-5", adapter=adapter, arguments=DPOConfig())
    if where == "config.json":
        (folder / where).write_text(json.dumps({"_name_or_path": name}))
    if where == "README.md":
        (tmp_path / "run" / where).write_text(f"---\nbase_model: {name}\n---\n")
    training = find_training(tmp_path / "run")
    lines = [*found_lines(training, {}), *training.notes]
    assert all(line.isprintable() and len(line) < 2500 for line in lines)
    assert [line for line in lines if line.startswith("  beta")] == [next(line for line in lines if "0.25" in line)]


def test_settings_in_a_file_do_not_forge_lines(tmp_path):
    checkpoint(
        tmp_path / "run/checkpoint-5", arguments=DPOConfig(loss_type="sigmoid\n  beta  0.9", truncation_mode="\x1b[2J")
    )
    assert all(line.isprintable() for line in found_lines(find_training(tmp_path / "run"), {}))


def within(seconds, function, *arguments):
    """The result of a call that may hang: the test fails where it takes longer."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments)), daemon=True)
    thread.start()
    thread.join(seconds)
    assert results, f"nothing after {seconds} s"
    return results[0]


FILES = ("README.md", "training_args.bin", "trainer_state.json", "args.json", "debug.log", "trainer_log.jsonl")


@pytest.mark.parametrize("name", [*FILES, "model.safetensors", "training_args.yaml", "logging.jsonl", "config.json"])
def test_a_pipe_in_place_of_a_file_is_passed_over(tmp_path, name):
    folder = checkpoint(tmp_path / "run/checkpoint-5", state=False)
    checkpoint(tmp_path / "run/checkpoint-10", state=False)
    for place in (folder, tmp_path / "run"):
        (place / name).unlink(missing_ok=True)
        os.mkfifo(place / name)
    training = within(5, find_training, tmp_path / "run")
    assert training.checkpoints[-1][0] == 10


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("args.json", "[" * 100_000),
        ("args.json", '{"swift_version": ' + "[" * 100_000 + "]" * 100_000 + "}"),
        ("args.json", '{"swift_version": 3, "beta": "much", "max_length": [], "template": 4, "model": {}}'),
        ("config.json", '{"_name_or_path": ' + "{}" * 3 + "}"),
        ("debug.log", "config:\n" + '{"axolotl_config_path":' * 50_000),
        ("README.md", "---\n" * 100_000),
        ("training_args.yaml", "a: &a [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1 or ''}, *a]\n" for n in range(1, 30))),
        ("trainer_state.json", '{"log_history": ' + "[" * 100_000),
    ],
    ids=["args-deep", "args-nested", "args-types", "config", "debug-log", "card", "yaml-aliases", "state"],
)
def test_hostile_files_end_within_a_second(tmp_path, name, content):
    checkpoint(tmp_path / "run/checkpoint-5", arguments=DPOConfig(), state=False)
    (tmp_path / "run" / name).write_text(content)
    began = time.perf_counter()
    training = within(10, find_training, tmp_path / "run")
    assert time.perf_counter() - began < 1
    assert all(line.isprintable() for line in found_lines(training, {}))


def siege():
    """Folders with arguments that were made to harm, where they are beside the repository."""
    return sorted(
        {
            path.parents[1]
            for path in [*SIEGE.glob("train-*/*/training_args.bin"), *SIEGE.glob("laughs/*/*/training_args.bin")]
        }
    )


@pytest.mark.parametrize("folder", siege(), ids=lambda folder: folder.name)
def test_folders_of_a_siege_end_in_lines_within_a_second(tmp_path, folder):
    for path in folder.rglob("*"):
        if path.is_file():
            target = tmp_path / "run" / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    for path in (tmp_path / "run").glob("checkpoint-*"):
        if not (path / "adapter_config.json").exists():
            checkpoint(path, state=False)
    began = time.perf_counter()
    training = within(10, find_training, tmp_path / "run")
    lines = [*found_lines(training, {}), *training.notes]
    assert time.perf_counter() - began < 1
    assert all(line.isprintable() and len(line) < 3000 for line in lines)
