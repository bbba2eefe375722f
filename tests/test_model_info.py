"""``info``: what a folder is, what was found in it, and whether it can be scored."""

import json
import shutil
from pathlib import Path

import pytest

from dpo_analysis.cli.main import main
from dpo_analysis.cli.model_info import info_lines
from dpo_analysis.errors import InputError

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample_data"
FOLDERS = Path(__file__).parent / "trainers/folders"
SCORABLE = ["at most 256 tokens", "vocabulary of 960", "tokenizer with a chat template", "can be scored"]


def test_a_full_model():
    model = str(SAMPLE / "sft")
    assert [line.strip() for line in info_lines(model)] == [
        f"{model}: a full model of type llama",
        "326,960 parameters in float16",
        *SCORABLE,
    ]


def test_an_adapter_of_no_training(tmp_path):
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(SAMPLE / "lora/checkpoint-150" / name, tmp_path)
    lines = [line.strip() for line in info_lines(str(tmp_path), base=str(SAMPLE / "sft"))]
    assert lines == [
        f"{tmp_path}: an adapter (LORA) of type llama",
        f"on {SAMPLE / 'sft'}",
        "326,960 parameters in float16",
        *SCORABLE,
    ]


def test_an_adapter_whose_base_is_not_here_cannot_be_scored(tmp_path):
    shutil.copy(SAMPLE / "lora/checkpoint-150/adapter_model.safetensors", tmp_path)
    config = json.loads((SAMPLE / "lora/checkpoint-150/adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "/home/me/gone"}))
    (line,) = info_lines(str(tmp_path))
    assert line.startswith(f"{tmp_path}: cannot be scored: adapter {tmp_path} needs base /home/me/gone")
    assert line.endswith("--reference beside --trainer-output")


def test_a_trainers_folder(tmp_path):
    for step in (120, 150):
        shutil.copytree(SAMPLE / f"lora/checkpoint-{step}", tmp_path / f"run/checkpoint-{step}")
    lines = info_lines(str(tmp_path / "run"), base=str(SAMPLE / "sft"))
    assert lines[0] == f"found in {tmp_path}/run, whose trainer is not known"
    assert "  beta                  0.1 " in "\n".join(lines)
    models = lines[lines.index("models:") + 1 :][:2]
    facts = (
        f"an adapter (LORA) of type llama, on {SAMPLE / 'sft'}, 326,960 parameters in float16, {', '.join(SCORABLE)}"
    )
    assert models == [f"  checkpoint-{step}: {facts}" for step in (120, 150)]


def test_a_folder_of_openrlhf_is_a_training():
    lines = info_lines(str(FOLDERS / "openrlhf-0.11.2"))
    assert lines[0] == f"found in {FOLDERS}/openrlhf-0.11.2: OpenRLHF, from the names of the checkpoints"
    assert lines[-1].startswith("note: ")
    assert lines[-1].endswith("--reference MODEL")


def test_a_model_without_a_tokenizer_says_how_to_give_it(tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(SAMPLE / "sft" / name, tmp_path)
    assert "  no tokenizer beside it: give --tokenizer FOLDER" in info_lines(str(tmp_path))


def test_damaged_weights_are_told(tmp_path):
    shutil.copytree(SAMPLE / "sft", tmp_path / "sft")
    weights = tmp_path / "sft/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert info_lines(str(tmp_path / "sft"))[-1].strip().startswith("cannot be scored: ")


def test_a_run_in_a_subfolder_is_found(tmp_path):
    shutil.copytree(SAMPLE / "gentle/checkpoint-300", tmp_path / "output/v0-20251130-101112/checkpoint-300")
    lines = info_lines(str(tmp_path / "output"))
    assert lines[0].startswith(f"found in {tmp_path}/output/v0-20251130-101112")
    assert any(line.startswith("  checkpoint-300: a full model of type llama") for line in lines)


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(InputError, match="no checkpoint in"):
        info_lines(str(tmp_path))


@pytest.mark.parametrize("name", ["no/such/model", "./none", "x" * 300, "~no-such-user/x", "/dev/null"])
def test_nothing_is_an_error_in_one_line_with_exit_code_2(capsys, name):
    with pytest.raises(SystemExit) as ended:
        main(["info", name])
    printed, errors = capsys.readouterr()
    assert (ended.value.code, printed) == (2, "")
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


def test_the_command_prints_the_lines(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["info", str(SAMPLE / "sft")])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines() == info_lines(str(SAMPLE / "sft"))


def test_no_torch_is_needed():
    import subprocess
    import sys

    code = (
        "import sys; from dpo_analysis.cli.model_info import info_lines; "
        f"info_lines({str(SAMPLE / 'sft')!r}); print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["False", "False"]
