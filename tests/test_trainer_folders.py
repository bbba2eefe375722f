"""What is found in folders that real trainers left: tests/trainers/folders/README.md says what they are."""

import shutil
from pathlib import Path

import pytest

from dpo_analysis.cli import found
from dpo_analysis.cli.found import found_lines, full_command
from dpo_analysis.trainer import find_training, reference
from dpo_analysis.trainer.logs import find_logs
from dpo_analysis.trainer.training_args import NO_LIMIT

FOLDERS = Path(__file__).parent / "trainers/folders"
BIN = "from training_args.bin"
SFT = "/home/me/dpo/sft"
TRL_24 = {
    "trainer": "TRL 0.24.0",
    "tokenization": "trl-0.24",
    "beta": BIN,
    "max_length": 1024,
    "truncation": "keep_end",
    "max_prompt_length": 512,
    "candidates": [],
}
EXPECTED = {
    "trl-0.9.6-full": {
        "trainer": "TRL",
        "tokenization": "trl-0.9",
        "beta": BIN,
        "max_length": 512,
        "truncation": "keep_end",
        "max_prompt_length": 128,
        "candidates": [f"{SFT} (checkpoint-40/config.json, not found on this machine)"],
    },
    "trl-0.12.2-text": {
        "trainer": "TRL",
        "tokenization": "trl-0.12",
        "beta": BIN,
        "max_length": NO_LIMIT,
        "truncation": "keep_end",
        "max_prompt_length": NO_LIMIT,
        "candidates": [f"{SFT}-bos (checkpoint-40/config.json, not found on this machine)"],
        "loses_longest_end": True,
    },
    "trl-0.24-chatml": TRL_24,
    "trl-0.24-ipo": TRL_24 | {"loss_type": "ipo", "logged_logps": "mean"},
    "trl-0.24-lora": TRL_24
    | {
        "reference": SFT,
        "candidates": [
            f"{SFT} (checkpoint-40/adapter_config.json, the base with the adapter off, not found on this machine)"
        ],
    },
    "trl-0.29.1-full": {
        "trainer": "TRL 0.29.1",
        "tokenization": "trl-0.29",
        "beta": BIN,
        "max_length": 1024,
        "truncation": "keep_start",
        "max_prompt_length": None,
        "candidates": [f"{SFT} (W&B (run-z36o8o7e.wandb), not found on this machine)"],
    },
    "lf-0.9.5-full": {
        "trainer": "LLaMA-Factory",
        "tokenization": "llamafactory",
        "template": "",
        "beta": "from the log: eval rewards over eval log-probs",
        "max_length": 2048,
        "truncation": None,
        "max_prompt_length": None,
        "candidates": [f"{SFT} (README.md base_model, not found on this machine)"],
        "log": "trainer_state.json",
    },
    "swift-4.6.0-full": {
        "trainer": "ms-swift 4.6.0",
        "tokenization": "ms-swift",
        "template": "dummy",
        "beta": "from args.json",
        "max_length": 256,
        "truncation": "delete",
        "max_prompt_length": None,
        "candidates": [f"{SFT} (args.json, not found on this machine)"],
    },
    "axolotl-0.19.0-full": {
        "trainer": "Axolotl",
        "tokenization": "axolotl",
        "beta": BIN,
        "max_length": 256,
        "truncation": "keep_start",
        "max_prompt_length": None,
        "candidates": [f"{SFT} (debug.log, not found on this machine)"],
    },
}
"""Folder -> what its files say of the training; the rest is the same for all."""
SAME = {
    "loss_type": "sigmoid",
    "logged_logps": None,
    "reference": None,
    "template": None,
    "log": "checkpoint-40/trainer_state.json",
    "loses_longest_end": None,
}


@pytest.fixture(autouse=True)
def _moved(monkeypatch):
    """The folder of the trainings is not here, whatever this machine holds."""
    for module in (reference, found):
        monkeypatch.setattr(module, "is_folder", lambda name: "/home/me" not in str(name) and Path(name).is_dir())


@pytest.mark.parametrize("name", EXPECTED)
def test_settings_are_found_with_the_file_that_says_them(name):
    expected = SAME | EXPECTED[name]
    training = find_training(FOLDERS / name)
    values = {
        **{key: getattr(training, key) for key in (*EXPECTED["swift-4.6.0-full"], *SAME) if hasattr(training, key)},
        "beta": training.sources["beta"],
        "log": str(Path(training.log_path).relative_to(FOLDERS / name)),
        "loses_longest_end": training.parameters.get("loses_longest_end"),
    }
    assert values == expected
    assert training.beta == 0.2
    assert training.series == name
    assert [step for step, _ in training.checkpoints] == [20, 40]
    assert training.parameters["saved_dtype"] == "float32"
    assert training.parameters["per_device_eval_batch_size"] == 50


def test_a_missing_reference_is_asked_for_by_name():
    (note,) = find_training(FOLDERS / "swift-4.6.0-full").notes
    assert f"{SFT} (args.json)" in note
    assert note.endswith("give what training started from as --reference MODEL")


def test_openrlhf_records_neither_beta_nor_reference():
    training = find_training(FOLDERS / "openrlhf-0.11.2")
    assert (training.trainer, training.tokenization) == ("OpenRLHF", "openrlhf")
    assert (training.beta, training.reference, training.candidates) == (None, None, [])
    assert (training.max_length, training.sources["max_length"][:9]) == (512, "assumed: ")
    assert [Path(path).name for _, path in training.checkpoints] == ["global_step20_hf", "global_step40_hf"]
    assert [step for step, _ in training.checkpoints] == [20, 40]
    assert training.sources["loss_type"].startswith("assumed: ")
    assert training.parameters == {"saved_dtype": "bfloat16"}
    assert [log.kind for log in find_logs(FOLDERS / "openrlhf-0.11.2")] == ["TensorBoard"]


@pytest.mark.parametrize("name", [*EXPECTED, "openrlhf-0.11.2"])
def test_a_checkpoint_says_what_its_folder_says(name):
    whole = find_training(FOLDERS / name)
    alone = find_training(whole.checkpoints[-1][1])
    assert alone.checkpoints == [(40, whole.checkpoints[-1][1])]
    assert (alone.trainer, alone.beta, alone.tokenization) == (whole.trainer, whole.beta, whole.tokenization)


def test_a_folder_that_was_moved_beside_its_start_names_it_and_takes_nothing(tmp_path):
    shutil.copytree(FOLDERS / "swift-4.6.0-full", tmp_path / "trained/run")
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft/config.json").write_text("{}")
    training = find_training(tmp_path / "trained/run")
    assert training.reference is None
    assert training.candidates == [
        f"{SFT} (args.json, not found on this machine)",
        f"{tmp_path / 'sft'} (a model of that name above the folder)",
    ]


LLAMAFACTORY_LINES = """\
found in FOLDER: LLaMA-Factory, from README.md
  checkpoints           checkpoint-20, checkpoint-40
  reference             sft                           from --reference
  beta                  0.2                           from the log: eval rewards over eval log-probs
  loss_type             sigmoid                       assumed: LLaMA-Factory's default of pref_loss; no file says
  tokenization          llamafactory                  from README.md
  template              the tokenizer's               assumed: the tokenizer's chat template; LLaMA-Factory does not \
record --template
  max_length            2048                          assumed: LLaMA-Factory's default of cutoff_len
  log                   trainer_state.json"""
IPO_LINES = """\
found in FOLDER: TRL 0.24.0, from README.md
  checkpoints           checkpoint-20, checkpoint-40
  reference             not found                         no file names it
  beta                  0.3                               from --beta; 0.2 from training_args.bin
  loss_type             ipo                               from training_args.bin
  tokenization          trl-0.24                          from training_args.bin, whose fields are those of TRL \
0.14 to 0.25
  max_length            1024                              from training_args.bin
  truncation            keep_end                          from training_args.bin
  max_prompt_length     512                               from training_args.bin
  max_completion_length none                              from training_args.bin
  logged_logps          mean                              from TRL up to 0.28 with loss_type ipo
  log                   checkpoint-40/trainer_state.json"""


@pytest.mark.parametrize(
    ("name", "options", "lines"),
    [("lf-0.9.5-full", {"reference": "sft"}, LLAMAFACTORY_LINES), ("trl-0.24-ipo", {"beta": 0.3}, IPO_LINES)],
)
def test_the_lines_say_every_setting_and_its_source(name, options, lines):
    text = "\n".join(found_lines(find_training(FOLDERS / name), options))
    assert text.replace(str(FOLDERS / name), "FOLDER") == lines


def test_the_full_command_repeats_what_no_folder_says_and_what_a_default_would_change():
    given = {"eos": "add", "tokenizer": "sft", "chat_template": Path("my.jinja"), "reference": "sft"}
    ipo = full_command(["p"], find_training(FOLDERS / "trl-0.24-ipo"), given, "o").split()
    for words in (
        ["--logged-logps", "mean"],
        ["--eos", "add"],
        ["--tokenizer", "sft"],
        ["--chat-template", "my.jinja"],
    ):
        assert words in [ipo[n : n + 2] for n in range(len(ipo))]
    text = full_command(["p"], find_training(FOLDERS / "trl-0.12.2-text"), {}, "o")
    assert "--max-length" not in text  # TRL 0.12 has no limit by default, nor has its preset
    other = full_command(["p"], find_training(FOLDERS / "trl-0.12.2-text"), {"tokenization": "trl"}, "o").split()
    assert other[other.index("--max-length") + 1] == str(NO_LIMIT)
    assert "--tokenization none" in full_command(
        ["p"], find_training(FOLDERS / "trl-0.12.2-text"), {"tokenization": "none"}, "o"
    )


def test_the_full_command_names_the_base_that_a_moved_adapter_needs(tmp_path):
    training = find_training(FOLDERS / "trl-0.24-lora")
    assert "--reference sft --beta" in full_command(["p"], training, {"reference": "sft"}, "o")
    assert "--base sft" in full_command(["p"], training, {"reference": "sft"}, "o")
    assert "--base mine" in full_command(["p"], training, {"reference": "sft", "base": "mine"}, "o")
    assert "--base" not in full_command(["p"], find_training(FOLDERS / "trl-0.24-ipo"), {"reference": "sft"}, "o")


def test_the_full_command_says_what_was_found():
    folder = FOLDERS / "swift-4.6.0-full"
    command = full_command(["eval=my pairs.jsonl"], find_training(folder), {"reference": "sft", "beta": None}, "runs/x")
    assert command.replace(str(folder), "FOLDER") == (
        "dpo-analysis score 'eval=my pairs.jsonl' --policy swift-4.6.0-full/checkpoint-20=FOLDER/checkpoint-20 "
        "--policy swift-4.6.0-full/checkpoint-40=FOLDER/checkpoint-40 --reference sft --beta 0.2 --loss-type sigmoid "
        "--tokenization ms-swift --template dummy --max-length 256 --truncation delete "
        "--log FOLDER/checkpoint-40/trainer_state.json --out runs/x"
    )
