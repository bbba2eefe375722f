"""The config of a LLaMA-Factory or Axolotl training as the input of ``score``."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from dpo_analysis.cli import trainer_inputs as inputs
from dpo_analysis.cli.main import main
from dpo_analysis.errors import InputError
from dpo_analysis.runs import open_run
from dpo_analysis.trainer import read_config
from dpo_analysis.trainer.training_args import NO_LIMIT
from dpo_analysis.trainer.yaml_file import MAX_CHARACTERS, read_yaml_object
from tests.test_discover import checkpoint

SAMPLE = Path(__file__).parents[1] / "sample_data"
GONE = "/home/me/gone"
LLAMAFACTORY = {
    "model_name_or_path": "sft",
    "stage": "dpo",
    "do_train": True,
    "finetuning_type": "full",
    "pref_beta": 0.2,
    "pref_loss": "sigmoid",
    "dataset_dir": "data",
    "dataset": "desk_train",
    "eval_dataset": "desk_eval",
    "cutoff_len": 256,
    "output_dir": "trained/run",
    "bf16": False,
}
AXOLOTL = {
    "base_model": "sft",
    "rl": "dpo",
    "dpo_beta": 0.3,
    "datasets": [{"path": "data/train.jsonl", "type": "chat_template.default", "field_messages": "prompt"}],
    "test_datasets": [{"path": "data/eval.jsonl", "type": "chat_template.default", "field_messages": "prompt"}],
    "output_dir": "trained/run",
    "sequence_len": 256,
}
RANKED = {"ranking": True, "formatting": "sharegpt", "columns": {"messages": "m", "chosen": "c", "rejected": "r"}}


def sample_rows(split, n=6):
    lines = (SAMPLE / f"pairs/{split}.jsonl").read_text("utf-8").splitlines()[:n]
    return [{name: json.loads(line)[name] for name in ("prompt", "chosen", "rejected")} for line in lines]


def as_sharegpt(row):
    def message(entry):
        return {"from": {"user": "human", "assistant": "gpt"}[entry["role"]], "value": entry["content"]}

    return {
        "m": [message(entry) for entry in row["prompt"]],
        "c": message(row["chosen"][0]),
        "r": message(row["rejected"][0]),
    }


@pytest.fixture
def project(tmp_path):
    """A folder with data in both shapes, an output folder of one checkpoint without weights, and a reference."""
    (tmp_path / "data").mkdir()
    info = {}
    for split in ("train", "eval"):
        rows = sample_rows(split)
        (tmp_path / f"data/{split}.json").write_text(json.dumps([as_sharegpt(row) for row in rows]), "utf-8")
        (tmp_path / f"data/{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
        info[f"desk_{split}"] = RANKED | {"file_name": f"{split}.json"}
    (tmp_path / "data/dataset_info.json").write_text(json.dumps(info))
    checkpoint(tmp_path / "sft", state=False)
    checkpoint(tmp_path / "trained/run/checkpoint-20")
    return tmp_path


def written(project, config, **changes):
    """The config in a subfolder of the project; None takes a setting out."""
    settings = {name: value for name, value in (config | changes).items() if value is not None}
    path = project / "recipes" / "dpo.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(settings))
    return path


def given(config, **options):
    usual = {"pairs": None, "trainer_output": None, "out": Path("runs/x"), "config": config}
    return inputs.trainer_inputs(usual | options)


def test_settings_data_and_folder_of_llamafactory(project):
    read = read_config(written(project, LLAMAFACTORY))
    values = {name: fact.value for name, fact in read.facts.items()}
    assert values == {
        "trainer": "LLaMA-Factory",
        "tokenization": "llamafactory",
        "beta": 0.2,
        "loss_type": "sigmoid",
        "template": "",
        "max_length": 256,
        "bf16": False,
        "start": str(project / "sft"),
    }
    assert {fact.source for fact in read.facts.values()} == {"dpo.yaml"}
    assert [(entry.split, entry.source) for entry in read.datasets] == [
        ("train", str(project / "data/train.json")),
        ("eval", str(project / "data/eval.json")),
    ]
    assert (read.output, read.notes) == (str(project / "trained/run"), [])


def test_settings_and_data_of_axolotl(project):
    read = read_config(written(project, AXOLOTL))
    assert {name: read.facts[name].value for name in ("tokenization", "beta", "loss_type", "max_length", "start")} == {
        "tokenization": "axolotl",
        "beta": 0.3,
        "loss_type": "sigmoid",
        "max_length": 256,
        "start": str(project / "sft"),
    }
    assert [(entry.split, entry.source) for entry in read.datasets] == [
        ("train", str(project / "data/train.jsonl")),
        ("eval", str(project / "data/eval.jsonl")),
    ]


@pytest.mark.parametrize("config", [LLAMAFACTORY, AXOLOTL], ids=["llamafactory", "axolotl"])
def test_the_pairs_of_a_config_are_those_of_its_files(project, config):
    found = given(written(project, config))
    assert found.pairs == {"train": sample_rows("train"), "eval": sample_rows("eval")}
    (training,) = found.trainings
    assert training.reference == str(project / "sft")
    assert training.sources["beta"] == "from dpo.yaml"
    assert training.max_length == 256
    assert found.lines[0] == f"found in {project}/trained/run: {training.trainer}, from dpo.yaml"


def test_what_a_config_leaves_out_is_the_trainers_default_and_said_so(project):
    read = read_config(
        written(project, LLAMAFACTORY, pref_beta=None, cutoff_len=None, pref_loss="ipo", template="qwen")
    )
    assert (read.facts["beta"].value, read.facts["max_length"].value) == (0.1, 2048)
    assert read.facts["beta"].source == "LLaMA-Factory's default; dpo.yaml has no pref_beta"
    assert (read.facts["logged_logps"].value, read.facts["template"].value) == ("mean", "qwen")


def test_parameters_of_the_loss(project):
    config = written(project, LLAMAFACTORY, pref_ftx=0.5, dpo_label_smoothing=0.1, ld_alpha=0.3, quantization_bit=4)
    assert read_config(config).facts["parameters"].value == {
        "sft_weight": 0.5,
        "label_smoothing": 0.1,
        "ld_alpha": 0.3,
        "quantization": "4bit",
    }
    assert read_config(written(project, AXOLOTL, load_in_8bit=True)).facts["parameters"].value == {
        "quantization": "8bit"
    }


def test_a_beta_in_scientific_notation_is_a_number(project):
    path = written(project, LLAMAFACTORY)
    path.write_text(path.read_text().replace("pref_beta: 0.2", "pref_beta: 2e-1"))
    assert read_config(path).facts["beta"].value == 0.2


def test_no_cutoff_is_no_limit(project):
    assert read_config(written(project, LLAMAFACTORY, cutoff_len=0)).facts["max_length"].value == NO_LIMIT


def test_a_share_of_the_training_data_for_evaluation_is_noted(project):
    found = given(written(project, LLAMAFACTORY, eval_dataset=None, val_size=0.1))
    assert list(found.pairs) == ["train"]
    assert any(line.startswith("note: dpo.yaml takes val_size 0.1") for line in found.lines)


def test_a_folder_that_was_moved_is_given_beside_the_config(project):
    config = written(project, LLAMAFACTORY, output_dir=f"{GONE}/run")
    with pytest.raises(InputError, match=f"no output_dir {GONE}/run: .* give it as --trainer-output DIR"):
        given(config)
    found = given(config, trainer_output=[project / "trained/run"])
    assert found.trainings[0].folder == str(project / "trained/run")
    assert found.trainings[0].beta == 0.2


def test_a_config_without_a_folder_asks_for_it_and_takes_it(project):
    config = written(project, LLAMAFACTORY, output_dir=None)
    with pytest.raises(InputError, match=r"no output_dir in .* --trainer-output DIR"):
        given(config)
    assert given(config, trainer_output=[project / "trained/run"]).trainings[0].beta == 0.2


def test_data_that_were_moved_are_given_as_pairs(project):
    config = written(project, LLAMAFACTORY, dataset_dir=f"{GONE}/data")
    with pytest.raises(
        InputError, match=f"no {GONE}/data/dataset_info.json, which describes the data set 'desk_train'"
    ):
        given(config)
    assert given(config, pairs=["eval=mine.jsonl"]).pairs == ["eval=mine.jsonl"]


def test_the_pairs_of_the_user_count_before_those_of_the_config(project):
    found = given(written(project, LLAMAFACTORY), pairs=["mine.jsonl"])
    assert found.pairs == ["mine.jsonl"]
    assert "score mine.jsonl --policy" in found.lines[-1]


@pytest.mark.parametrize(
    ("config", "changes", "why"),
    [
        (LLAMAFACTORY, {"pref_loss": "orpo"}, "pref_loss orpo in dpo.yaml: it is trained without a reference"),
        (LLAMAFACTORY, {"pref_loss": "simpo"}, "without a reference"),
        (LLAMAFACTORY, {"stage": "sft"}, "stage sft in dpo.yaml"),
        (
            LLAMAFACTORY,
            {"dataset": "other"},
            "no data set 'other' in .*dataset_info.json: dpo.yaml names it as dataset",
        ),
        (AXOLOTL, {"rl": "simpo"}, "rl simpo in dpo.yaml"),
        (AXOLOTL, {"datasets": [{"path": "none.jsonl", "type": "chat_template.default"}]}, "none.jsonl"),
        (AXOLOTL, {"datasets": None, "test_datasets": None}, "no PAIRS"),
        (
            {"learning_rate": 1},
            {},
            "unknown config .*dpo.yaml: .* for TRL, ms-swift and OpenRLHF give --trainer-output",
        ),
    ],
)
def test_configs_that_cannot_be_used_are_refused_in_one_line(project, config, changes, why):
    with pytest.raises(InputError, match=why) as error:
        given(written(project, config, **changes))
    assert "\n" not in str(error.value)


def test_data_files_that_are_missing_are_named(project):
    (project / "data/eval.json").unlink()
    with pytest.raises(InputError, match=r"no data file .*eval.json: .*dataset_info.json names it"):
        read_config(written(project, LLAMAFACTORY))


def test_data_of_the_hub_are_of_one_split(project):
    info = {"hub": RANKED | {"hf_hub_url": "org/pairs"}, "test": RANKED | {"hf_hub_url": "org/pairs", "split": "test"}}
    (project / "data/dataset_info.json").write_text(json.dumps(info))
    read = read_config(written(project, LLAMAFACTORY, dataset="hub", eval_dataset="test"))
    assert [entry.source for entry in read.datasets] == ["org/pairs:train", "org/pairs:test"]
    entry = {"path": "org/pairs", "split": "test", "type": "chat_template.default"}
    assert read_config(written(project, AXOLOTL, datasets=[entry])).datasets[0].source == "org/pairs:test"


BOMB = "a0: &a0 [xxxxxxxx]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 24))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 22))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{BOMB}stage: *a23", "more than 10 aliases"),
        (MERGES, "more than 10 aliases"),
        ("a: &a [*a]\nb: " + "[" * 3000, "damaged config"),
        ("x: " + "1," * MAX_CHARACTERS, "larger than 32 KiB"),
        ("stage: !!python/object/apply:os.system [id]", "damaged config"),
        ("x: " + "9" * 5000, "damaged config"),
        ("- 1", "no settings in"),
        ("a: [", "damaged config"),
        ("\0", "damaged config"),
    ],
    ids=["laughs", "merges", "deep", "long", "tag", "number", "list", "torn", "nul"],
)
def test_hostile_files_are_refused_in_one_line(tmp_path, text, why):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=why) as error:
        read_yaml_object(tmp_path / "a.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["x" * 300, "~no-such-user/x", [1], {"a": 1}, 3])
@pytest.mark.parametrize("config", [LLAMAFACTORY, AXOLOTL], ids=["llamafactory", "axolotl"])
def test_odd_names_are_no_crash(project, config, name):
    key = "model_name_or_path" if "stage" in config else "base_model"
    assert read_config(written(project, config, **{key: name})).facts["start"].value == str(name)


def test_a_llamafactory_config_is_scored_from_end_to_end(project, capsys):
    for source, target in (("sft", "sft"), ("gentle/checkpoint-300", "trained/moved/checkpoint-20")):
        shutil.rmtree(project / target, ignore_errors=True)
        shutil.copytree(SAMPLE / source, project / target)
    (project / "trained/moved/checkpoint-20/trainer_state.json").unlink()
    config = written(project, LLAMAFACTORY, output_dir=f"{GONE}/run")
    command = ["score", "--config", config, "--trainer-output", project / "trained/moved", "--out", project / "run"]
    with pytest.raises(SystemExit) as ended:
        main([*map(str, command), "--evidence", "none"])
    printed, errors = capsys.readouterr()
    assert ended.value.code == 0, errors
    run = open_run(project / "run")
    assert run.is_complete
    assert set(run.splits) == {"train", "eval"}
    (series,) = run.series.values()
    assert (series.name, series.beta) == ("moved", 0.2)
    assert f"  reference             {project / 'sft'}  from dpo.yaml" in printed
