"""Every command of docs/trainers.md runs, in a folder that holds what the page names."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from dpo_analysis.cli.main import main
from dpo_analysis.runs import open_run

ROOT = Path(__file__).parents[1]
SAMPLE, FOLDERS = ROOT / "sample_data", Path(__file__).parent / "trainers/folders"
PAGE = (ROOT / "docs/trainers.md").read_text("utf-8")
SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
COMMANDS = {
    title: re.findall(r"^dpo-analysis .+$", block, re.MULTILINE)
    for title, text in SECTION.findall(PAGE)
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
}
"""Title of a section -> its commands."""
PLACES = {
    "out/dpo": "trl-0.29.1-full",
    "saves/dpo": "lf-0.9.5-full",
    "output/v0-20251130-101112": "swift-4.6.0-full",
    "outputs/dpo": "axolotl-0.19.0-full",
    "checkpoint/dpo": "openrlhf-0.11.2",
}
"""Folder of the page -> the reduced folder of that trainer."""
EXPECTED = {
    "runs/trl": (0.2, "trl-0.29"),
    "runs/factory": (0.2, "llamafactory"),
    "runs/folder": (0.2, "llamafactory"),
    "runs/swift": (0.2, "ms-swift"),
    "runs/axolotl": (0.2, "axolotl"),
}
"""Run folder of the page -> its beta and its preset."""
N_PAIRS = 6


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """What the page names: folders of trainers with the weights of the sample, a reference, pairs and configs."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(SAMPLE / "sft", root / "models/sft")
    for place, name in PLACES.items():
        shutil.copytree(FOLDERS / name, root / place)
        found = [*(root / place).glob("checkpoint-*"), *(root / place).glob("ckpt/global_step*")]
        for folder in found:
            for file in (SAMPLE / "gentle/checkpoint-300").iterdir():
                if file.name != "trainer_state.json":
                    shutil.copyfile(file, folder / file.name)
    lines = (SAMPLE / "pairs/eval.jsonl").read_text("utf-8").splitlines()[:N_PAIRS]
    (root / "pairs.jsonl").write_text("\n".join(lines), "utf-8")
    (root / "dataset_info.json").write_text('{"desk": {"file_name": "alpaca.json", "ranking": true}}')
    rows = '[{"instruction": "花瓶多少钱？", "input": "", "chosen": "20元。", "rejected": "不知道。"}]'
    (root / "alpaca.json").write_text(rows, "utf-8")
    factory = {"stage": "dpo", "model_name_or_path": "models/sft", "pref_beta": 0.2, "dataset_dir": "."}
    factory |= {"eval_dataset": "desk", "template": "qwen", "cutoff_len": 256, "output_dir": "saves/dpo"}
    (root / "train_dpo.yaml").write_text(yaml.safe_dump(factory))
    entry = {"path": "pairs.jsonl", "type": "chat_template.default", "field_messages": "prompt"}
    axolotl = {"base_model": "models/sft", "rl": "dpo", "rl_beta": 0.2, "datasets": [entry], "sequence_len": 256}
    (root / "dpo.yaml").write_text(yaml.safe_dump(axolotl | {"output_dir": "outputs/dpo"}))
    sums = np.random.default_rng(0).normal(-50, 5, (3, 40))
    np.savez(root / "sums.npz", chosen=sums, rejected=sums - 1)
    return root


def test_every_section_has_three_commands():
    assert {title: len(commands) for title, commands in COMMANDS.items()} == {
        "I have a TRL folder": 3,
        "I have a LLaMA-Factory folder": 3,
        "I have an ms-swift folder": 3,
        "I have an Axolotl folder": 3,
        "I have an OpenRLHF folder": 3,
        "I have only log-probs": 3,
    }


@pytest.mark.parametrize("title", COMMANDS)
def test_the_commands_of_a_section_run(project, monkeypatch, capsys, title):
    monkeypatch.chdir(project)
    for command in COMMANDS[title]:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command)[1:])
        printed, errors = capsys.readouterr()
        assert ended.value.code == 0, f"{command}\n{errors}"
        assert printed
    runs = [re.search(r"--out (\S+)", command) for command in COMMANDS[title]]
    for out in [match[1] for match in runs if match and match[1] in EXPECTED]:
        run = open_run(project / out)
        beta, preset = EXPECTED[out]
        assert {series.beta for series in run.series.values()} == {beta}
        assert run.identity["tokenization"] == preset
        assert run.is_complete


def test_the_presets_of_the_table_are_all_there_are():
    from dpo_analysis.data.presets import PRESETS

    table = re.findall(r"^\| `(\w[\w.-]+)` \|", PAGE, re.MULTILINE)
    assert set(table) == set(PRESETS)


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_both_readmes_link_to_the_page(readme):
    assert (ROOT / readme).read_text("utf-8").count("docs/trainers.md") == 1
