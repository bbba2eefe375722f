"""What is refused before torch is loaded: one small folder for each way a checkpoint can be unusable."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.models.policy_names import name_policies
from dpo_analysis.scoring.models.preflight import (
    check_weights,
    find_model,
    find_saved_reference,
    position_limit,
    weights_sha256,
)
from dpo_analysis.scoring.models.weight_files import DamagedWeights, file_sha256, safetensors_header

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 8, "max_position_embeddings": 16}


def write_tensors(path: Path, names=("w",), shape=(2, 2)) -> None:
    """A safetensors file of zeros, by hand: length, header, data."""
    size = 4 * shape[0] * shape[1]
    header = {
        name: {"dtype": "F32", "shape": list(shape), "data_offsets": [i * size, (i + 1) * size]}
        for i, name in enumerate(names)
    }
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(size * len(names)))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def full(tmp_path):
    folder = tmp_path / "sft"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    write_tensors(folder / "model.safetensors")
    return folder


@pytest.fixture
def adapter(tmp_path, full):
    folder = tmp_path / "lora" / "checkpoint-3"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "sft", "r": 2})
    )
    write_tensors(folder / "adapter_model.safetensors")
    return folder


def inspect_model(folder, **options):
    """The files of a model, with all that is checked before torch is loaded."""
    files = find_model(folder, **options)
    check_weights(files)
    return files


def set_config(folder: Path, **changes) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))


def refusal(folder, kind=InputError, **options):
    """The one line with which a folder is refused."""
    with pytest.raises(kind) as caught:
        inspect_model(folder, **options)
    assert type(caught.value) is kind
    assert len(str(caught.value)) < 400
    return str(caught.value)


def test_a_whole_model_passes(full):
    files = inspect_model(full)
    assert (files.kind, files.weight_paths, files.base) == ("full", (full / "model.safetensors",), None)
    assert safetensors_header(files.weight_paths[0])["w"].shape == (2, 2)


def test_a_folder_that_is_not_there_is_no_hub_name(tmp_path):
    assert re.search("no such folder: .*gone; name a folder", refusal(tmp_path / "gone"))
    assert re.search("no such folder", refusal("./gone"))


def test_a_mistyped_path_below_a_real_folder_is_not_asked_of_the_hub(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    assert re.search("no such folder: out/checkpoint-9; name a folder", refusal("out/checkpoint-9"))


def test_an_unknown_hub_id_offline_is_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert re.search(
        "no such folder: nobody/nothing-of-this-name, and the hub does not give", refusal("nobody/nothing-of-this-name")
    )


def test_a_file_is_not_a_model(full):
    assert re.search("is a file: a model is a folder", refusal(full / "model.safetensors"))


def test_an_empty_folder(tmp_path):
    assert re.search("neither config.json nor", refusal(tmp_path))


def test_a_missing_config(full):
    (full / "config.json").unlink()
    assert re.search("no config.json in", refusal(full))


def test_a_config_that_does_not_parse(full):
    (full / "config.json").write_text('{"model_type": ')
    assert re.search("bad config.json in .*copy the file again", refusal(full))


def test_a_config_without_a_model_type(full):
    (full / "config.json").write_text("{}")
    assert re.search("no model_type", refusal(full))


def test_pickled_weights_are_refused_with_the_conversion(full):
    (full / "model.safetensors").rename(full / "pytorch_model.bin")
    assert re.search("only pytorch_model.bin: pickled weights .*save_pretrained", refusal(full))


def test_a_trainer_folder_with_nothing_but_state_has_no_model(full):
    (full / "model.safetensors").unlink()
    for name in ("training_args.bin", "optimizer.pt", "rng_state.pth"):
        (full / name).touch()
    assert re.search("no model in", refusal(full))


def test_an_adapter_of_pickled_weights(adapter):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert re.search("only adapter_model.bin: pickled", refusal(adapter))


def test_an_adapter_whose_save_was_cut_off(adapter):
    (adapter / "adapter_model.safetensors").unlink()
    assert re.search("no adapter_model.safetensors .*save was not finished", refusal(adapter))


def test_zero_3_pieces_are_told_how_to_gather(full):
    (full / "model.safetensors").unlink()
    (full / "zero_to_fp32.py").touch()
    (full / "global_step10").mkdir()
    assert re.search("zero_to_fp32.py . merged --safe_serialization", refusal(full))


def test_the_empty_tensors_that_zero_3_saves(full):
    write_tensors(full / "model.safetensors", shape=(0, 2))
    assert re.search("empty tensor w .*zero_to_fp32", refusal(full, DamagedWeights))


def test_fsdp_shards_are_told_how_to_merge(full):
    (full / "model.safetensors").unlink()
    (full / "pytorch_model_fsdp_0").mkdir()
    assert re.search("accelerate merge-weights .*pytorch_model_fsdp_0", refusal(full))


def test_a_gguf_file(full):
    (full / "model.safetensors").rename(full / "model.gguf")
    assert re.search("only GGUF", refusal(full))


def test_a_folder_of_checkpoints_names_one(adapter):
    assert re.search("only checkpoints; name one, such as .*checkpoint-3", refusal(adapter.parent))


def test_an_encoder_decoder(full):
    set_config(full, model_type="t5", is_encoder_decoder=True, architectures=["T5ForConditionalGeneration"])
    assert re.search("encoder-decoder model t5", refusal(full))


def test_a_reward_model(full):
    set_config(full, architectures=["LlamaForSequenceClassification"])
    assert re.search("it has no language-model head", refusal(full))


def test_a_quantised_model(full):
    set_config(full, quantization_config={"quant_method": "gptq"})
    assert re.search(r"quantised weights \(gptq\)", refusal(full))


def test_code_in_the_folder_is_never_run(full):
    set_config(full, auto_map={"AutoModelForCausalLM": "modeling_x.X"})
    (full / "modeling_x.py").write_text("raise SystemExit('ran')")
    assert re.search("model code modeling_x.py in .*never run", refusal(full))


def test_auto_map_without_code_or_a_known_type(full):
    (full / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": "org/x--configuration_x.X"}}))
    assert re.search("model code auto_map", refusal(full))


@pytest.mark.parametrize("damage", ["cut", "empty", "huge header", "garbage header"])
def test_a_damaged_weight_file(full, damage):
    path = full / "model.safetensors"
    whole = path.read_bytes()
    broken = {
        "cut": whole[:-3],
        "empty": b"",
        "huge header": struct.pack("<Q", 2**62) + whole[8:],
        "garbage header": whole[:8] + b"x" * (len(whole) - 8),
    }
    path.write_bytes(broken[damage])
    assert re.search("truncated weights|bad safetensors header", refusal(full, DamagedWeights))


def shard(full, weight_map):
    (full / "model.safetensors").rename(full / "model-00001-of-00002.safetensors")
    (full / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_missing_shard(full):
    shard(full, {"w": "model-00001-of-00002.safetensors", "v": "model-00002-of-00002.safetensors"})
    assert re.search("missing shard model-00002-of-00002.safetensors in .*1 of 2", refusal(full, DamagedWeights))


def test_a_shard_without_the_tensor_its_index_names(full):
    shard(full, {"w": "model-00001-of-00002.safetensors", "v": "model-00001-of-00002.safetensors"})
    assert re.search("no tensor v in", refusal(full, DamagedWeights))


def test_an_index_that_points_out_of_the_folder(full):
    shard(full, {"w": "../other.safetensors"})
    assert re.search("not files of this folder", refusal(full, DamagedWeights))


def test_an_index_that_does_not_parse(full):
    shard(full, {})
    (full / "model.safetensors.index.json").write_text("[")
    assert re.search("no weight_map can be read", refusal(full, DamagedWeights))


def test_a_recorded_base_is_found_beside_the_adapter_or_above_it(adapter, full, monkeypatch, tmp_path):
    monkeypatch.chdir(os.sep)
    assert inspect_model(adapter).full.folder == full.resolve()


def test_a_base_that_is_not_here_is_not_fetched(adapter, full):
    shutil.rmtree(full)
    assert re.search("needs base sft: not found on this machine; pass --base", refusal(adapter))
    set_adapter(adapter, base_model_name_or_path="/nowhere/sft")
    assert re.search("needs base /nowhere/sft", refusal(adapter))
    set_adapter(adapter, base_model_name_or_path=None)
    assert re.search("no base model named", refusal(adapter))


def test_base_overrules_the_recorded_path(adapter, full, tmp_path):
    full.rename(tmp_path / "moved")
    assert inspect_model(adapter, base=tmp_path / "moved").full.folder == tmp_path / "moved"


def set_adapter(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_adapter_of_virtual_tokens(adapter):
    set_adapter(adapter, peft_type="PREFIX_TUNING")
    assert re.search("adapter of type PREFIX_TUNING", refusal(adapter))


def test_an_adapter_on_an_adapter(adapter, tmp_path):
    shutil.copytree(adapter, tmp_path / "second")
    assert re.search("is itself an adapter", refusal(tmp_path / "second", base=adapter))


LAYER = "model.layers.0.self_attn.q_proj"


def lora_on(adapter, full, names, shape=(2, 2)):
    write_tensors(full / "model.safetensors", [f"{LAYER}.weight", "model.embed_tokens.weight"], (4, 2))
    write_tensors(adapter / "adapter_model.safetensors", [f"base_model.model.{name}" for name in names], shape)


def test_an_adapter_that_fits_its_base(adapter, full):
    lora_on(adapter, full, [f"{LAYER}.lora_A.weight"])
    assert inspect_model(adapter).kind == "adapter"


def test_an_adapter_for_a_layer_that_the_base_lacks(adapter, full):
    lora_on(adapter, full, [f"{LAYER}.lora_A.weight", f"{LAYER.replace('0', '7')}.lora_A.weight"])
    assert re.search("does not fit base .*the base has no model.layers.7", refusal(adapter, DamagedWeights))


def test_an_adapter_for_a_layer_of_another_size(adapter, full):
    lora_on(adapter, full, [f"{LAYER}.lora_A.weight"], shape=(2, 3))
    assert re.search("is for 3 where .* is 4 x 2", refusal(adapter, DamagedWeights))


def test_a_config_of_another_model(full):
    write_tensors(full / "model.safetensors", ["model.embed_tokens.weight"], (8, 4))
    set_config(full, hidden_size=4)
    assert inspect_model(full).kind == "full"
    set_config(full, hidden_size=6)
    assert re.search(
        "config.json in .* does not fit its weights: .* is 4 wide, the config says 6", refusal(full, DamagedWeights)
    )


def test_the_ref_adapter_a_trainer_saved_is_the_reference(adapter):
    assert find_saved_reference(find_model(adapter)) is None
    shutil.copytree(adapter, adapter / "ref")
    found = find_saved_reference(find_model(adapter))
    assert found.kind == "adapter"
    assert found.folder == adapter / "ref"


def test_the_hash_is_of_content_and_not_of_place_or_version(full, adapter, tmp_path):
    whole, part = weights_sha256(find_model(full)), weights_sha256(find_model(adapter))
    set_config(full, transformers_version="9.9")
    shutil.move(full, tmp_path / "elsewhere")
    set_adapter(adapter, base_model_name_or_path="elsewhere")
    assert weights_sha256(find_model(tmp_path / "elsewhere")) == whole
    assert weights_sha256(find_model(adapter)) == part


def test_the_hash_sees_one_byte_of_weights_config_or_base(full, adapter):
    before = weights_sha256(find_model(full)), weights_sha256(find_model(adapter))
    data = bytearray((full / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (full / "model.safetensors").write_bytes(data)
    after = weights_sha256(find_model(full)), weights_sha256(find_model(adapter))
    assert before[0] != after[0]
    assert before[1] != after[1]
    set_config(full, rope_theta=5.0)
    assert weights_sha256(find_model(full)) != after[0]


def test_a_hash_is_remembered_until_the_file_changes(full, tmp_path):
    path = full / "model.safetensors"
    first = file_sha256(path)
    entry = next((tmp_path / "cache" / "dpo-analysis" / "sha256").iterdir())
    entry.write_text("f" * 64)
    assert file_sha256(path) == "f" * 64
    assert file_sha256(path, cache=False) == first
    os.utime(path, ns=(1, 1))
    assert file_sha256(path) == first


def test_a_cache_that_cannot_be_written_is_harmless(full, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(file_sha256(full / "model.safetensors")) == 64


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"max_position_embeddings": 16}, 16),
        ({"n_positions": 1024}, 1024),
        ({"alibi": True, "max_position_embeddings": 16}, None),
        ({}, None),
        ({"text_config": {"max_position_embeddings": 7}}, 7),
        ({"max_position_embeddings": 8, "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 8}}, 32),
    ],
)
def test_the_end_of_the_positions(config, limit):
    assert position_limit(config) == limit


def test_a_bare_checkpoint_takes_its_series_from_its_parent(adapter, tmp_path):
    assert [policy[:3] for policy in name_policies([str(adapter)])] == [("lora", "checkpoint-3", 3)]


def test_a_folder_of_checkpoints_stands_for_all_by_step(tmp_path):
    for step in (20, 3, 100):
        (tmp_path / "strong" / f"checkpoint-{step}").mkdir(parents=True)
    found = name_policies([tmp_path / "strong"])
    assert [policy.key for policy in found] == [f"strong/checkpoint-{step}" for step in (3, 20, 100)]
    assert name_policies([f"renamed={tmp_path / 'strong'}"])[0].key == "renamed/checkpoint-3"


def test_labels_give_series_name_and_step(full):
    found = name_policies({"strong/100": full, "last": full, "strong/checkpoint-7": "org/model"})
    assert [policy[:3] for policy in found] == [
        ("strong", "100", 100),
        ("policy", "last", None),
        ("strong", "checkpoint-7", 7),
    ]


def test_a_path_with_an_equals_sign_is_a_path(tmp_path):
    folder = tmp_path / "beta=0.1"
    folder.mkdir()
    assert name_policies([str(folder)])[0].name == "beta=0.1"


def test_two_policies_of_one_name_are_refused(full, tmp_path):
    with pytest.raises(InputError, match="two policies named policy/a"):
        name_policies([f"a={full}", f"a={tmp_path}"])


def test_a_name_with_two_slashes_is_refused():
    with pytest.raises(InputError, match="bad policy name 'a/b/c'"):
        name_policies(["a/b/c=org/model"])


def test_a_policy_without_a_model_is_refused():
    with pytest.raises(InputError, match=r"bad policy 'a='"):
        name_policies(["a="])


def test_none_of_this_loads_torch():
    code = (
        "import sys, dpo_analysis.scoring.models.preflight, dpo_analysis.scoring.models.policy_names; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'peft')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
