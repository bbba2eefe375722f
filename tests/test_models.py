"""Loading: what transformers and PEFT would let pass with a warning is refused; adapters share their base."""

import json
import re
import shutil
import warnings

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from dpo_analysis.data.vocab import byte_level_alphabet
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model
from dpo_analysis.scoring.models.devices import ONE_THREAD_PARAMETERS, few_threads, pick_device, pick_dtype
from dpo_analysis.scoring.models.in_memory import ADAPTERS_OFF, loaded_sha256, reference_adapter
from dpo_analysis.scoring.models.loading import check_class, quiet
from dpo_analysis.scoring.models.model_loader import LoadableModel, ModelLoader, ReferenceComparison
from dpo_analysis.scoring.models.preflight import find_model
from dpo_analysis.scoring.models.requirements import ModelRequirements
from dpo_analysis.scoring.models.resolved_model import resolve_files, resolve_module
from dpo_analysis.scoring.models.tokenizer import load_tokenizer
from dpo_analysis.scoring.models.weight_files import DamagedWeights
from dpo_analysis.scoring.requests import Request

CPU = torch.device("cpu")
REQUIREMENTS = ModelRequirements(longest_sequence=8, largest_token_id=255)
REQUESTS = [Request(np.array([1, 2]), np.array([3, 4, 5])), Request(np.array([7]), np.array([8]))]


def tiny(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=258, max_position_embeddings=32, initializer_range=0.2, **sizes | changes)
    ).eval()


def byte_tokenizer(swapped=False, extra=()):
    """Bytes and two special tokens; ``swapped`` exchanges two ids, which a comparison of sizes would not see."""
    ids = byte_level_alphabet() | {"<s>": 256, "</s>": 257}
    if swapped:
        ids["a"], ids["b"] = ids["b"], ids["a"]
    core = Tokenizer(models.BPE(vocab=ids, merges=[]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    tokenizer.add_tokens(list(extra))
    return tokenizer


def lora(base, seed=0, std=0.2, **changes):
    torch.manual_seed(seed)
    options = {"r": 2, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **changes}
    model = get_peft_model(base, LoraConfig(**options))
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=std)
    return model.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A base, and two adapters on it."""
    root = tmp_path_factory.mktemp("models")
    with quiet():
        tiny().save_pretrained(root / "sft")
        byte_tokenizer().save_pretrained(root / "sft")
        for step in (1, 2):
            lora(LlamaForCausalLM.from_pretrained(root / "sft"), step).save_pretrained(root / f"lora/checkpoint-{step}")
    return root


@pytest.fixture
def copy(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(saved, tmp_path / "models")
    for step in (1, 2):
        config = tmp_path / f"models/lora/checkpoint-{step}/adapter_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "sft"}))
    return tmp_path / "models"


def loader_of(notes=None, requirements=REQUIREMENTS, **options):
    note = (notes if notes is not None else []).append
    return ModelLoader(device="cpu", dtype="float32", requirements=requirements, note=note, **options)


def on_disk(folder, model=None, **options):
    return resolve_files(model or Model.reference(), find_model(folder, **options))


def in_memory(module, adapter=None):
    return resolve_module(Model.reference(), module, adapter)


def logps(folder, loader=None, **options):
    with (loader or loader_of()).open(on_disk(folder, **options)) as engine:
        return engine.score(REQUESTS, batch_tokens=16).logp


def edit(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def refusal(folder, kind=DamagedWeights, **options):
    """The one line with which a model is refused."""
    with pytest.raises(kind) as caught:
        logps(folder, **options)
    assert len(str(caught.value)) < 500
    return str(caught.value)


def test_a_saved_model_gives_the_numbers_of_the_one_in_memory(copy):
    with loader_of().open(in_memory(tiny())) as engine:
        assert np.array_equal(engine.score(REQUESTS, batch_tokens=16).logp, logps(copy / "sft"))


def test_a_missing_key_is_refused_and_not_made_up(copy):
    edit(copy / "sft/model.safetensors", lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    assert re.search("missing weights in .*model.layers.1.mlp.up_proj.weight would be random", refusal(copy / "sft"))


def test_a_tied_head_is_not_missing(tmp_path):
    with quiet():
        tiny(tie_word_embeddings=True).save_pretrained(tmp_path / "tied")
    assert "lm_head.weight" not in load_file(tmp_path / "tied/model.safetensors")
    assert np.isfinite(logps(tmp_path / "tied")).all()


def test_a_misshapen_weight_is_refused(copy):
    edit(copy / "sft/model.safetensors", lambda tensors: tensors.update({"lm_head.weight": torch.zeros(258, 8)}))
    assert re.search("cannot load .*sft|misshapen weights", refusal(copy / "sft"))


def test_nan_weights_are_refused_and_named(copy):
    edit(copy / "sft/model.safetensors", lambda tensors: tensors["model.norm.weight"].fill_(float("nan")))
    assert re.search(r"weights hold NaN .*\(first: model.norm.weight\)", refusal(copy / "sft"))


def test_unmerged_adapter_weights_are_refused(copy):
    name = "model.layers.0.self_attn.q_proj.lora_A.weight"
    edit(copy / "sft/model.safetensors", lambda tensors: tensors.update({name: torch.zeros(2, 16)}))
    assert re.search("unmerged LoRA weights", refusal(copy / "sft", InputError))


def test_other_unexpected_weights_are_noted(copy):
    notes = []
    edit(copy / "sft/model.safetensors", lambda tensors: tensors.update({"v_head.weight": torch.zeros(2)}))
    logps(copy / "sft", loader_of(notes))
    assert "ignored weights v_head.weight" in notes[0]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model_type": "zebra"}, "model type 'zebra' .*no causal language model"),
        ({"model_type": "zebra", "auto_map": {"AutoConfig": "c.C"}}, "code from a checkpoint is never run"),
        ({"model_type": "vit"}, "model type 'vit' .*no causal language model"),
    ],
)
def test_a_type_for_which_transformers_has_no_language_model(copy, changes, match):
    path = copy / "sft/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=match):
        check_class(find_model(copy / "sft"))


def test_a_known_type_is_loaded_by_its_own_class_whatever_auto_map_says(copy):
    path = copy / "sft/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoModelForCausalLM": "m.M"}}))
    check_class(find_model(copy / "sft"))
    assert np.isfinite(logps(copy / "sft")).all()


def test_a_truncated_file_is_refused_before_it_is_loaded(copy):
    path = copy / "sft/model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    assert re.search("truncated weights", refusal(copy / "sft"))


def test_adapters_share_one_base_and_off_is_exactly_the_base(copy):
    loader = loader_of()
    base = logps(copy / "sft", loader)
    one, two = (logps(copy / f"lora/checkpoint-{step}", loader) for step in (1, 2))
    assert len(loader._cached) == 1
    assert np.abs(one - two).max() > 1e-3
    assert np.array_equal(logps(copy / "sft", loader), base)
    assert np.array_equal(logps(copy / "lora/checkpoint-1", loader), one)


def test_many_adapters_do_not_pile_up_on_the_base(copy, monkeypatch):
    monkeypatch.setattr("dpo_analysis.scoring.models.model_loader.MAX_CACHED_ADAPTERS", 1)
    loader = loader_of()
    one = logps(copy / "lora/checkpoint-1", loader)
    logps(copy / "lora/checkpoint-2", loader)
    (loaded,) = loader._cached.values()
    assert len(loaded.peft.peft_config) == 1
    assert np.array_equal(logps(copy / "lora/checkpoint-1", loader), one)


def test_an_adapter_equals_itself_loaded_by_peft(copy):
    with quiet():
        base = LlamaForCausalLM.from_pretrained(copy / "sft")
        model = PeftModel.from_pretrained(base, copy / "lora/checkpoint-2").eval()
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    with torch.no_grad():
        want = model(input_ids=ids).logits[0].log_softmax(-1)
    found = logps(copy / "lora/checkpoint-2")
    assert found[:3] == pytest.approx([want[i, ids[0, i + 1]].item() for i in (1, 2, 3)], abs=1e-5)


def test_large_models_take_turns(copy, monkeypatch):
    monkeypatch.setattr("dpo_analysis.scoring.models.model_loader.MAX_CACHED_BYTES", 0)
    shutil.copytree(copy / "sft", copy / "other")
    loader = loader_of()
    first = logps(copy / "sft", loader)
    logps(copy / "other", loader)
    assert list(loader._cached) == [str((copy / "other").resolve())]
    assert np.array_equal(logps(copy / "sft", loader), first)


def test_memory_that_runs_out_while_loading_frees_the_cache_and_tries_once_more(copy, monkeypatch):
    loader = loader_of()
    first = logps(copy / "sft", loader)
    load, calls = torch.nn.Module.to, []

    def short(module, *args, **options):
        calls.append(len(loader._cached))
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return load(module, *args, **options)

    shutil.copytree(copy / "sft", copy / "other")
    monkeypatch.setattr(LlamaForCausalLM, "to", short)
    assert np.array_equal(logps(copy / "other", loader), first)
    assert calls == [1, 0]
    monkeypatch.setattr(LlamaForCausalLM, "to", lambda *args: (_ for _ in ()).throw(torch.OutOfMemoryError("out")))
    with pytest.raises(MemoryError, match="does not fit on cpu"):
        logps(copy / "sft", loader)


def test_renamed_adapter_keys_are_refused(copy):
    path = copy / "lora/checkpoint-1/adapter_model.safetensors"
    save_file({key.replace("lora_A", "lora_Z"): value for key, value in load_file(path).items()}, path)
    assert re.search("does not fit base .*weights do not match", refusal(copy / "lora/checkpoint-1"))


def test_an_adapter_for_a_base_of_another_shape_is_refused(copy):
    with quiet():
        tiny(hidden_size=32).save_pretrained(copy / "wide")
    assert re.search("checkpoint-1 does not fit base .*wide", refusal(copy / "lora/checkpoint-1", base=copy / "wide"))


def test_an_adapter_for_layers_the_base_lacks_is_refused(copy):
    path = copy / "lora/checkpoint-1/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target_modules": ["c_attn"]}))
    assert re.search("does not fit base .*Target modules", refusal(copy / "lora/checkpoint-1"))


def test_a_refused_adapter_leaves_the_next_one_unharmed(copy):
    loader = loader_of()
    want = logps(copy / "lora/checkpoint-2", loader)
    path = copy / "lora/checkpoint-1/adapter_model.safetensors"
    save_file({key.replace("q_proj", "query"): value for key, value in load_file(path).items()}, path)
    with pytest.raises(DamagedWeights):
        logps(copy / "lora/checkpoint-1", loader)
    assert np.array_equal(logps(copy / "lora/checkpoint-2", loader), want)


def test_an_adapter_that_does_nothing_is_noted(copy):
    notes = []
    edit(
        copy / "lora/checkpoint-1/adapter_model.safetensors",
        lambda tensors: [value.zero_() for key, value in tensors.items() if "lora_B" in key],
    )
    logps(copy / "lora/checkpoint-1", loader_of(notes))
    assert "all lora_B are zero" in notes[0]


def test_a_policy_that_is_the_reference_is_noted_once(copy):
    notes = []
    loader = loader_of(on_open=ReferenceComparison(notes.append).compare)
    for model in (Model.reference(), Model("s", "a"), Model("s", "a")):
        with LoadableModel(on_disk(copy / "sft", model), loader).open():
            pass
    assert notes == ["s/a gives exactly the reference's numbers: all its rewards are 0"]


@pytest.mark.parametrize("config", [{"max_position_embeddings": 7}, {"vocab_size": 255, "max_position_embeddings": 32}])
def test_pairs_beyond_positions_or_vocabulary_are_refused_from_the_config(config):
    with pytest.raises(InputError, match=r"takes at most 7; pass --max-length 7|token id 255 .*vocabulary has 255"):
        REQUIREMENTS.check(config, "m")


def test_ids_beyond_the_embedding_are_refused_before_a_forward(copy):
    with pytest.raises(InputError, match=r"token id 300 .*its vocabulary has 258"):
        logps(copy / "sft", loader_of(requirements=ModelRequirements(8, 300)))


def test_a_loaded_adapter_model_is_given_back_as_it_was():
    model = lora(tiny()).train()
    trainable = {name for name, value in model.named_parameters() if value.requires_grad}
    with loader_of().open(in_memory(model, reference_adapter(model))) as engine:
        off = engine.score(REQUESTS, batch_tokens=16).logp
        assert not model.training
    assert all(part.training for part in model.modules())
    assert {name for name, value in model.named_parameters() if value.requires_grad} == trainable
    with loader_of().open(in_memory(tiny())) as engine:
        assert np.array_equal(off, engine.score(REQUESTS, batch_tokens=16).logp)


def test_a_saved_ref_adapter_is_the_reference_of_a_loaded_model():
    model = lora(tiny())
    assert reference_adapter(model) == ADAPTERS_OFF
    model.add_adapter("ref", LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    assert reference_adapter(model) == "ref"
    with loader_of().open(in_memory(model, "ref")):
        assert model.active_adapter == "ref"
    assert model.active_adapter == "default"


def test_the_hash_of_a_loaded_model_is_of_what_acts():
    plain, one, two = tiny(), lora(tiny(), 1), lora(tiny(), 2)
    assert loaded_sha256(one, ADAPTERS_OFF) == loaded_sha256(two, ADAPTERS_OFF) == loaded_sha256(plain, None)
    assert len({loaded_sha256(model, None) for model in (plain, one, two)}) == 3


def test_something_that_is_no_language_model_is_refused():
    with pytest.raises(InputError, match="cannot score a Linear"):
        loaded_sha256(torch.nn.Linear(2, 2), None)


def test_nothing_is_printed_and_the_users_settings_are_put_back(copy, capfd):
    transformers_logging.set_verbosity_info()
    transformers_logging.enable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            logps(copy / "lora/checkpoint-1")
        assert transformers_logging.get_verbosity() == transformers_logging.INFO
        assert transformers_logging.is_progress_bar_enabled()
    finally:
        transformers_logging.set_verbosity_warning()
    assert capfd.readouterr() == ("", "")


def test_dtype_by_size_and_device():
    cuda = torch.device("cuda")
    assert [pick_dtype(None, n, cuda) for n in (3_000_000_000, 3_000_000_001)] == ["float32", "bfloat16"]
    assert pick_dtype(None, 10**11, CPU) == "float32"
    assert pick_dtype("float16", 1, CPU) == "float16"
    with pytest.raises(InputError, match="unknown dtype 'int8'"):
        pick_dtype("int8", 1, CPU)


def test_small_models_use_one_thread_and_the_callers_number_is_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for size, threads in ((ONE_THREAD_PARAMETERS - 1, 1), (ONE_THREAD_PARAMETERS, 2)):
            with few_threads(size, CPU):
                assert torch.get_num_threads() == threads
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_devices_that_are_unknown_or_absent():
    assert pick_device("cpu") == CPU
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        pick_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no cuda device"):
            pick_device("cuda")


def test_an_adapter_without_a_tokenizer_has_its_bases(copy):
    assert load_tokenizer(copy / "lora/checkpoint-1").get_vocab() == load_tokenizer(copy / "sft").get_vocab()


def test_a_chat_template_file_takes_the_tokenizers_place(copy, tmp_path):
    (tmp_path / "t.jinja").write_text("{{ messages }}")
    assert load_tokenizer(copy / "sft", chat_template=tmp_path / "t.jinja").chat_template == "{{ messages }}"
    with pytest.raises(InputError, match="unreadable chat template"):
        load_tokenizer(copy / "sft", chat_template=tmp_path / "gone.jinja")


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer in"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "bad tokenizer.json"),
        (lambda folder: (folder / "tokenizer.json").write_text('{"model": {"type": "X"}}'), "no vocabulary"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("]"), "bad tokenizer_config.json"),
    ],
)
def test_a_tokenizer_that_does_not_load(copy, damage, match):
    damage(copy / "sft")
    with pytest.raises(InputError, match=match):
        load_tokenizer(copy / "sft")


def test_tokenizer_code_is_never_run(copy):
    path = copy / "sft/tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": ["t.T", None]}}))
    (copy / "sft/t.py").write_text("raise SystemExit('ran')")
    with pytest.raises(InputError, match="tokenizer code in"):
        load_tokenizer(copy / "sft")
