"""What a trainer left: full, LoRA and ref/ runs told apart, and settings read without running what holds them."""

import io
import json
import os
import pickle
import pickletools
import struct
import zipfile
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.errors import InputError
from dpo_analysis.trainer import find_training
from dpo_analysis.trainer.safe_pickle import InertObject, UnreadablePickle, read_pickle, read_torch_file
from dpo_analysis.trainer.training_args import NO_LIMIT


class Mode(Enum):
    KEEP_END = "keep_end"


class DPOConfig:
    """Pickles as the trainer's arguments do: by class and by state."""

    def __init__(self, **facts):
        usual = {
            "beta": 0.25,
            "loss_type": ["sigmoid"],
            "max_length": 512,
            "truncation_mode": "keep_start",
            "bf16": True,
            "label_smoothing": 0.0,
            "loss_weights": None,
            "sync_ref_model": False,
            "mode": Mode.KEEP_END,
        }
        self.__dict__.update(usual | facts)


class KTOConfig(DPOConfig):
    """Another trainer's arguments."""


class ORPOConfig(DPOConfig):
    """Arguments of a trainer without a reference."""


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.makedirs, (str(self.path), 0o777, True)


def save(path, value, protocol=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("training_args/data.pkl", value if isinstance(value, bytes) else pickle.dumps(value, protocol))
        archive.writestr("training_args/version", "3\n")


def safetensors(path, dtype="F16"):
    header = json.dumps({"w": {"dtype": dtype, "shape": [1], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")


def checkpoint(folder, *, adapter=None, arguments=None, state=True):
    """A checkpoint's files: a full model, or an adapter of the base named."""
    folder.mkdir(parents=True, exist_ok=True)
    if adapter is None:
        (folder / "config.json").write_text("{}")
        safetensors(folder / "model.safetensors")
    else:
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": adapter}))
        safetensors(folder / "adapter_model.safetensors", "F32")
    if arguments is not None:
        save(folder / "training_args.bin", arguments)
    if state:
        step = int(folder.name.rpartition("-")[2])
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": []}))
    return folder


def test_a_full_run(tmp_path):
    for step in (100, 20, 3):
        checkpoint(tmp_path / "gentle" / f"checkpoint-{step}", arguments=DPOConfig())
    training = find_training(tmp_path / "gentle")
    assert training.series == "gentle"
    assert training.checkpoints == [(n, str(tmp_path / "gentle" / f"checkpoint-{n}")) for n in (3, 20, 100)]
    assert (training.beta, training.loss_type, training.bf16) == (0.25, "sigmoid", True)
    assert (training.max_length, training.truncation) == (512, "keep_start")
    assert training.parameters == {"bf16": True, "saved_dtype": "float16"}
    assert training.log_path == str(tmp_path / "gentle" / "checkpoint-100" / "trainer_state.json")
    assert training.reference is None
    assert any("--reference" in note for note in training.notes)


def test_a_lora_run_is_measured_against_its_base(tmp_path):
    (tmp_path / "sft").mkdir()
    checkpoint(tmp_path / "lora" / "checkpoint-5", adapter=str(tmp_path / "sft"))
    training = find_training(tmp_path / "lora")
    assert training.reference == str(tmp_path / "sft")
    assert training.parameters == {"saved_dtype": "float32"}


def test_a_relative_base_is_looked_for_above_the_adapter(tmp_path):
    (tmp_path / "models" / "sft").mkdir(parents=True)
    checkpoint(tmp_path / "runs" / "lora" / "checkpoint-5", adapter="models/sft")
    assert find_training(tmp_path / "runs" / "lora").reference == str(tmp_path / "models" / "sft")


def test_a_base_that_is_not_here_is_named_with_the_way_out(tmp_path):
    checkpoint(tmp_path / "lora" / "checkpoint-5", adapter="org/base")
    training = find_training(tmp_path / "lora")
    assert training.reference == "org/base"
    assert any("org/base" in note and "--reference" in note for note in training.notes)
    assert training.candidates


def test_a_run_that_went_on_from_an_adapter_is_measured_against_its_saved_copy(tmp_path):
    folder = checkpoint(tmp_path / "run" / "checkpoint-5", adapter="org/base")
    checkpoint(folder / "ref", adapter="org/base", state=False)
    assert find_training(tmp_path / "run").reference == str(folder / "ref")


@pytest.mark.parametrize("card", ["base_model: {}", "license: mit\nbase_model: '{}'", "base_model:\n- {}"])
def test_the_model_card_names_the_reference_where_it_is_a_folder(tmp_path, card):
    (tmp_path / "sft").mkdir()
    checkpoint(tmp_path / "run" / "checkpoint-5")
    (tmp_path / "run" / "README.md").write_text(f"---\n{card.format(tmp_path / 'sft')}\n---\n# Model\n")
    assert find_training(tmp_path / "run").reference == str(tmp_path / "sft")


@pytest.mark.parametrize(
    "card", ["---\nbase_model: org/sft\n---\n", "---\nbase_model: None\n---\n", "base_model: x\n", ""]
)
def test_a_model_card_that_names_no_folder_leaves_the_question(tmp_path, card):
    checkpoint(tmp_path / "run" / "checkpoint-5")
    (tmp_path / "run" / "README.md").write_text(card)
    training = find_training(tmp_path / "run")
    assert training.reference is None
    assert any("--reference" in note for note in training.notes)


def test_older_configs_name_where_training_started(tmp_path):
    (tmp_path / "sft").mkdir()
    folder = checkpoint(tmp_path / "run" / "checkpoint-5")
    (folder / "config.json").write_text(json.dumps({"_name_or_path": str(tmp_path / "sft")}))
    assert find_training(tmp_path / "run").reference == str(tmp_path / "sft")


def test_parameters_of_the_loss(tmp_path):
    facts = {
        "loss_type": ["sigmoid", "sft"],
        "loss_weights": [1.0, 0.2],
        "label_smoothing": 0.1,
        "ld_alpha": 0.5,
        "f_divergence_type": "js_divergence",
        "bf16": False,
        "max_length": None,
        "truncation_mode": Mode.KEEP_END,
    }
    checkpoint(tmp_path / "run" / "checkpoint-5", arguments=DPOConfig(**facts))
    training = find_training(tmp_path / "run")
    assert training.loss_type == ["sigmoid", "sft"]
    assert training.parameters == {
        "loss_weights": [1.0, 0.2],
        "label_smoothing": 0.1,
        "ld_alpha": 0.5,
        "f_divergence_type": "js_divergence",
        "bf16": False,
        "saved_dtype": "float16",
    }
    assert (training.max_length, training.truncation, training.bf16) == (NO_LIMIT, "keep_end", False)


def test_a_beta_of_0_is_read_as_0_and_the_batch_settings_are_kept(tmp_path):
    facts = {"beta": 0.0, "logging_steps": 5.0, "per_device_train_batch_size": 16, "gradient_accumulation_steps": 2}
    checkpoint(tmp_path / "run" / "checkpoint-5", arguments=DPOConfig(**facts, _n_gpu=0))
    training = find_training(tmp_path / "run")
    assert training.beta == 0.0
    batch = {"logging_steps": 5, "per_device_train_batch_size": 16, "gradient_accumulation_steps": 2}
    assert training.parameters == batch | {"bf16": True, "saved_dtype": "float16"}


def test_checkpoints_that_disagree_on_beta_are_noted(tmp_path):
    for step, beta in ((5, 0.1), (10, 0.5)):
        checkpoint(tmp_path / "run" / f"checkpoint-{step}", arguments=DPOConfig(beta=beta))
    training = find_training(tmp_path / "run")
    assert training.beta == 0.5
    assert any(note.startswith("beta differs") for note in training.notes)


def test_the_log_of_the_whole_run_is_taken_where_it_goes_further(tmp_path):
    checkpoint(tmp_path / "run" / "checkpoint-5")
    (tmp_path / "run" / "trainer_state.json").write_text('{"global_step": 8, "log_history": []}')
    assert find_training(tmp_path / "run").log_path == str(tmp_path / "run" / "trainer_state.json")
    (tmp_path / "run" / "trainer_state.json").write_text('{"global_step": 4, "log_history": []}')
    assert find_training(tmp_path / "run").log_path.endswith("checkpoint-5/trainer_state.json")


@pytest.mark.parametrize(("below", "series"), [("gentle", "gentle"), ("gentle/output", "gentle")])
def test_the_series_is_called_after_the_folder(tmp_path, below, series):
    folder = checkpoint(tmp_path / below / "checkpoint-5")
    assert find_training(tmp_path / below).series == series
    assert find_training(folder).series == series
    assert find_training(folder).checkpoints == [(5, str(folder))]


def test_a_final_model_without_checkpoints(tmp_path):
    checkpoint(tmp_path / "final", state=False)
    assert find_training(tmp_path / "final").checkpoints == [(None, str(tmp_path / "final"))]


def test_a_checkpoint_without_a_model_is_left_out_and_noted(tmp_path):
    checkpoint(tmp_path / "run" / "checkpoint-5")
    (tmp_path / "run" / "checkpoint-10").mkdir()
    training = find_training(tmp_path / "run")
    assert [step for step, _ in training.checkpoints] == [5]
    assert any("checkpoint-10" in note for note in training.notes)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (DPOConfig(sync_ref_model=True), "moving reference"),
        (DPOConfig(reference_free=True), "without a reference"),
        (ORPOConfig(), "without a reference"),
    ],
)
def test_rewards_that_no_checkpoint_gives_back_are_refused_in_one_line(tmp_path, arguments, why):
    checkpoint(tmp_path / "run" / "checkpoint-5", arguments=arguments)
    with pytest.raises(InputError, match=why):
        find_training(tmp_path / "run")


def test_a_folder_of_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="no checkpoint in"):
        find_training(tmp_path)
    with pytest.raises(InputError, match="there is no such folder"):
        find_training(tmp_path / "none")


def test_another_trainers_arguments_are_noted(tmp_path):
    checkpoint(tmp_path / "run" / "checkpoint-5", arguments=KTOConfig())
    assert any("holds a KTOConfig" in note for note in find_training(tmp_path / "run").notes)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a zip", b"\x80\x02}q\x00.", b"PK\x03\x04broken", pickle.dumps({"beta": 0.1})],
    ids=["empty", "text", "legacy", "torn", "pickle"],
)
def test_arguments_that_cannot_be_read_are_a_note_not_a_crash(tmp_path, content):
    folder = checkpoint(tmp_path / "run" / "checkpoint-5")
    (folder / "training_args.bin").write_bytes(content)
    training = find_training(tmp_path / "run")
    assert training.beta is None
    assert any("training_args.bin cannot be read" in note for note in training.notes)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_in_a_pickle_is_run(tmp_path, protocol):
    sentinel = tmp_path / "sentinel"
    evil = DPOConfig(evil=Evil(sentinel), more=[Evil(sentinel), {"x": Evil(sentinel)}])
    data = pickle.dumps(evil, protocol)
    assert read_pickle(data).state["beta"] == 0.25
    assert read_pickle(data).state["evil"].arguments[0] == str(sentinel)
    assert not sentinel.exists()
    pickle.loads(data)
    assert sentinel.exists(), "the same bytes do harm where they are unpickled"


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'touch {0}'\ntR.",
        b"(S'touch {0}'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch {0}'\no.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x08touch {0}\x85R.",
        b"\x80\x02cbuiltins\neval\nX\x0b\x00\x00\x00__import__0\x85\x81.",
    ],
    ids=["reduce", "inst", "obj", "stack_global", "newobj"],
)
def test_hand_written_attacks_are_inert(data):
    assert isinstance(read_pickle(data), InertObject)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_out_as_they_are(protocol):
    value = {
        "a": [1, 2.5, None, True, -(2**40)],
        "b": ("x", "天", ()),
        "c": {"d": {}},
        "e": 10**30,
        "long": list(range(2000)),
    }
    assert read_pickle(pickle.dumps(value, protocol)) == value


def test_memory_is_not_taken_for_a_number_in_the_file():
    with pytest.raises(UnreadablePickle):
        read_pickle(b"\x80\x04N" + b"r\xff\xff\xff\xff" + b"\x8e" + b"\xff" * 8 + b".")


def test_a_large_pickle_is_not_read(tmp_path):
    save(tmp_path / "a.bin", b"N" * (2**20 + 1))
    with pytest.raises(UnreadablePickle, match="larger than 1 MiB"):
        read_torch_file(tmp_path / "a.bin")


PLAIN_TYPES = (type(None), bool, int, float, str, bytes, bytearray, list, tuple, dict, InertObject)


def kinds(value, seen):
    """The types of a value and of all that is in it, which may hold itself."""
    if id(value) in seen:
        return set()
    seen[id(value)] = value
    inner = []
    if isinstance(value, InertObject):
        inner = [value.arguments, value.state]
    elif isinstance(value, dict):
        inner = [*value, *value.values()]
    elif isinstance(value, list | tuple):
        inner = value
    return {type(value)}.union(*(kinds(item, seen) for item in inner))


def plain_or_refused(data):
    """Whether bytes give nothing but plain values, or else the one error."""
    try:
        return kinds(read_pickle(data), {}) <= set(PLAIN_TYPES)
    except UnreadablePickle as error:
        return str(error) != ""


@given(st.binary(max_size=60))
def test_any_bytes_give_a_plain_value_or_the_one_error(data):
    assert plain_or_refused(data)


@given(st.data())
def test_damaged_arguments_give_a_plain_value_or_the_one_error(data):
    good = bytearray(pickle.dumps(DPOConfig(), 2))
    for _ in range(data.draw(st.integers(1, 5))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    assert plain_or_refused(bytes(good))


def test_every_instruction_is_known():
    from dpo_analysis.trainer import safe_pickle

    names = {operation.name for operation in pickletools.opcodes}
    known = safe_pickle.PUSH_OPCODES | set(safe_pickle.CONSTANT_OPCODES) | set(safe_pickle.TUPLE_OPCODES)
    assert {name for name in names - known if not hasattr(safe_pickle._PickleMachine, f"_{name.lower()}")} == set()


@pytest.mark.parity
def test_arguments_that_trl_saved_are_read(tmp_path):
    import torch
    from trl import DPOConfig as Config

    arguments = Config(
        output_dir=str(tmp_path / "o"),
        beta=0.3,
        loss_type=["sigmoid", "sft"],
        loss_weights=[1.0, 0.5],
        max_length=77,
        bf16=False,
        use_cpu=True,
        report_to="none",
    )
    folder = checkpoint(tmp_path / "run" / "checkpoint-5")
    torch.save(arguments, folder / "training_args.bin")
    training = find_training(tmp_path / "run")
    assert (training.beta, training.loss_type, training.max_length, training.bf16) == (
        0.3,
        ["sigmoid", "sft"],
        77,
        False,
    )
    assert training.parameters["loss_weights"] == [1.0, 0.5]
    assert training.truncation == "keep_start"
    assert not any("training_args" in note for note in training.notes)


def test_a_zip_that_names_no_pickle_is_told(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "x")
    (tmp_path / "a.bin").write_bytes(buffer.getvalue())
    with pytest.raises(UnreadablePickle, match=r"holds no data\.pkl"):
        read_torch_file(tmp_path / "a.bin")
