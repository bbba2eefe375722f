"""Adapters beside each other in one run: each gives the numbers of the model that was trained, or is refused."""

import importlib.util
import json
import re
import shutil

import numpy as np
import peft
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dpo_analysis.data.vocab import byte_level_alphabet
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model
from dpo_analysis.scoring import score
from dpo_analysis.scoring.models.adapters import base_bits
from dpo_analysis.scoring.models.adapters.four_bit import FourBit, check_four_bit, four_bit_note, four_bit_of
from dpo_analysis.scoring.models.in_memory import reference_adapter
from dpo_analysis.scoring.models.loading import check_class, quiet
from dpo_analysis.scoring.models.model_loader import ModelLoader
from dpo_analysis.scoring.models.preflight import check_weights, find_model, in_four_bits
from dpo_analysis.scoring.models.requirements import ModelRequirements
from dpo_analysis.scoring.models.resolved_model import resolve_files
from dpo_analysis.scoring.models.weight_files import DamagedWeights
from dpo_analysis.scoring.requests import Request

REQUESTS = [Request(np.array([1, 2]), np.array([3, 4, 5])), Request(np.array([7]), np.array([8]))]
ROWS = [{"prompt": f"Say {i}.", "chosen": f" Yes {i}.", "rejected": " No, " + "never" * i} for i in range(1, 6)]
QV = ["q_proj", "v_proj"]
KINDS = {
    "lora": LoraConfig(r=4, target_modules=QV),
    "dora": LoraConfig(r=4, target_modules=QV, use_dora=True),
    "rslora": LoraConfig(r=4, target_modules=QV, use_rslora=True),
    "head": LoraConfig(r=4, target_modules=["q_proj", "lm_head"]),
    "pissa": LoraConfig(r=4, target_modules=QV, init_lora_weights="pissa"),
    "pissa_again": LoraConfig(r=4, target_modules=QV, init_lora_weights="pissa"),
    "olora": LoraConfig(r=4, target_modules=QV, init_lora_weights="olora"),
    "eva": LoraConfig(r=4, target_modules=QV, init_lora_weights="eva"),
    "orthogonal": LoraConfig(r=4, target_modules=QV, init_lora_weights="orthogonal"),
    "bias": LoraConfig(r=4, target_modules=QV, bias="all"),
    "embedding": LoraConfig(r=4, target_modules=["q_proj", "embed_tokens"]),
    "modules": LoraConfig(r=4, target_modules=QV, modules_to_save=["embed_tokens", "lm_head"]),
    "both": LoraConfig(r=4, target_modules=["q_proj", "embed_tokens"], modules_to_save=["lm_head"]),
    "tokens": LoraConfig(r=4, target_modules=QV, trainable_token_indices=[2, 5]),
    "parameters": LoraConfig(r=4, target_modules=[], target_parameters=["mlp.down_proj.weight"]),
    "replicated": LoraConfig(r=4, target_modules=QV, layer_replication=[[0, 2], [0, 2]]),
    "ia3": peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "adalora": peft.AdaLoraConfig(target_modules=QV, total_step=10),
    "vera": peft.VeraConfig(target_modules=QV),
    "vblora": peft.VBLoRAConfig(target_modules=["q_proj"], num_vectors=8, vector_length=4, topk=2),
    "loha": peft.LoHaConfig(target_modules=QV),
    "lokr": peft.LoKrConfig(target_modules=QV),
    "oft": peft.OFTConfig(target_modules=QV, oft_block_size=4),
    "boft": peft.BOFTConfig(target_modules=QV, boft_block_size=4),
    "layer_norms": peft.LNTuningConfig(target_modules=["input_layernorm"]),
    "fourier": peft.FourierFTConfig(target_modules=QV, n_frequency=20),
    "hra": peft.HRAConfig(target_modules=QV),
    "miss": peft.MissConfig(target_modules=QV, r=4),
    "prompts_inside": peft.AdaptionPromptConfig(adapter_len=4, adapter_layers=2),
}


def tiny(tied=False, **changes):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = {"vocab_size": 258, "max_position_embeddings": 64, "initializer_range": 0.2, "tie_word_embeddings": tied}
    return LlamaForCausalLM(LlamaConfig(**config | sizes | changes)).eval()


def byte_tokenizer():
    core = Tokenizer(models.BPE(vocab=byte_level_alphabet() | {"<s>": 256, "</s>": 257}, merges=[]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")


def plain_logps(model):
    """Log-probs of the responses by the model's own forward, one sequence at a time."""
    found = []
    for prompt, response in ((request.prompt_token_ids, request.token_ids) for request in REQUESTS):
        ids = torch.tensor(np.concatenate([prompt, response]))[None].long()
        with torch.no_grad():
            logps = model(input_ids=ids).logits[0].double().log_softmax(-1)
        found += [logps[len(prompt) - 1 + i, token].item() for i, token in enumerate(response)]
    return np.array(found)


def train(base, config, folder, seed=1, recorded="base", **options):
    """Put an adapter on a base, move its weights at random, save it; returns the log-probs of the model in memory."""
    config.task_type = "CAUSAL_LM"
    torch.manual_seed(seed)
    model = get_peft_model(base, config).eval()
    for value in model.parameters():
        if value.requires_grad:
            value.data += 0.05 * torch.randn_like(value)
    model.save_pretrained(folder, **options)
    set_config(folder, base_model_name_or_path=recorded)
    return plain_logps(model)


def set_config(folder, name="adapter_config.json", **changes):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A base with an adapter of every kind on it, and the log-probs of each as trained."""
    root = tmp_path_factory.mktemp("adapters")
    with quiet():
        tiny().save_pretrained(root / "base")
        byte_tokenizer().save_pretrained(root / "base")
        wanted = {"base": plain_logps(tiny())}
        for seed, (name, config) in enumerate(KINDS.items()):
            wanted[name] = train(tiny(), config, root / name, seed)
    return root, wanted


@pytest.fixture
def copy(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("base", "lora", "pissa"):
        shutil.copytree(trained[0] / name, tmp_path / name)
    return tmp_path


def loader_of(notes=None):
    note = (notes if notes is not None else []).append
    return ModelLoader(device="cpu", dtype="float32", requirements=ModelRequirements(8, 255), note=note)


def logps(folder, loader=None, base=None):
    with (loader or loader_of()).open(resolve_files(Model("s", folder.name), find_model(folder, base=base))) as engine:
        return engine.score(REQUESTS, batch_tokens=64).logp


def refusal(folder, kind=InputError, **options):
    with pytest.raises(kind) as caught:
        logps(folder, **options)
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(("backwards", "n_cached"), [(False, 8), (True, 1)])
def test_every_kind_beside_the_others_gives_the_numbers_of_the_model_as_trained(
    trained, backwards, n_cached, monkeypatch
):
    monkeypatch.setattr("dpo_analysis.scoring.models.model_loader.MAX_CACHED_ADAPTERS", n_cached)
    root, wanted = trained
    loader, order = loader_of(), sorted(wanted, reverse=backwards)
    for name in [*order, *order]:
        assert np.abs(logps(root / name, loader) - wanted[name]).max() < 1e-5, name


def test_adapters_that_leave_the_base_alone_share_it_and_others_do_not(trained):
    loader = loader_of()
    for name in ("base", "lora", "dora", "eva", "rslora"):
        logps(trained[0] / name, loader)
    assert len(loader._cached) == 1
    for number, name in enumerate(("pissa", "pissa_again", "ia3", "embedding", "modules"), 2):
        logps(trained[0] / name, loader)
        assert len(loader._cached) == number


def scored(root, names, out, **options):
    run = score(
        ROWS,
        policies={f"s/{name}": root / name for name in names},
        reference=root / "base",
        out=out,
        evidence="none",
        device="cpu",
        **options,
    )
    keys = ["reference", *(f"s/{name}" for name in names)]
    return {key: np.concatenate(run.scores(key)["logp"].to_pylist()) for key in keys}, out / "log.jsonl"


def test_order_and_part_size_do_not_matter_to_a_run(trained, tmp_path):
    root, names = trained[0], ["pissa", "lora", "olora", "pissa_again", "ia3"]
    alone = {}
    for name in names:
        alone |= scored(root, [name], tmp_path / name)[0]
    for order, size in ((names, 2), (names[::-1], 2), (names, 512), (names[::-1], 512)):
        found, log = scored(root, order, tmp_path / f"{order[0]}{size}", part_size=size)
        assert {key: np.abs(found[key] - alone[key]).max() < 1e-5 for key in found} == dict.fromkeys(found, True)
        notes = [line["text"] for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "note"]
        assert len([note for note in notes if "PiSSA takes a part out of the base's weights" in note]) == 2


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"init_lora_weights": "pissa_niter_4"}, "PiSSA by a fast SVD.* drawn at random; save it as plain LoRA"),
        ({"init_lora_weights": "corda"}, "CorDA.* activations of its calibration data; save"),
        ({"init_lora_weights": "lora_ga"}, "LoRA-GA.* gradients of its first batches; save"),
        ({"alora_invocation_tokens": [3]}, "activated LoRA in"),
        ({"peft_type": "XLORA"}, "type XLORA .*mixes other adapters"),
        ({"peft_type": "POLY"}, "type POLY .*task id"),
    ],
)
def test_what_cannot_be_repeated_from_files_is_refused_with_the_reason(copy, changes, match):
    set_config(copy / "lora", **changes)
    assert re.search(match, refusal(copy / "lora"))


def test_a_converted_adapter_beside_one_that_is_refused_is_named(copy):
    set_config(copy / "lora", init_lora_weights="pissa_niter_16")
    (copy / "pissa_converted").mkdir()
    assert re.search("score .*pissa_converted, its conversion to plain LoRA", refusal(copy / "lora"))


def test_a_fast_svd_really_is_another_at_every_load(tmp_path):
    config = LoraConfig(r=4, target_modules=QV, init_lora_weights="pissa_niter_4")
    with quiet():
        tiny().save_pretrained(tmp_path / "base")
        wanted = train(tiny(), config, tmp_path / "adapter")
        torch.manual_seed(5)
        base = LlamaForCausalLM.from_pretrained(tmp_path / "base")
        torch.manual_seed(6)
        again = plain_logps(peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval())
    assert np.abs(again - wanted).max() > 0.1


def test_an_adapter_that_went_on_from_pissa_is_refused(copy):
    shutil.copytree(copy / "pissa", copy / "pissa/ref")
    assert re.search("rewrote the base once for each of the two", refusal(copy / "pissa"))


def test_loftq_names_what_is_lacking(copy):
    set_config(copy / "lora", init_lora_weights="loftq", loftq_config={"loftq_bits": 4, "loftq_iter": 1})
    if not torch.cuda.is_available():
        assert re.search("LoftQ.* lacks .*a CUDA device on cpu", refusal(copy / "lora"))


def test_a_type_or_an_option_that_this_peft_does_not_know(copy):
    notes = []
    set_config(copy / "lora", use_tomorrow=True)
    logps(copy / "lora", loader_of(notes))
    assert re.search("does not know use_tomorrow of its config", notes[0])
    set_config(copy / "lora", peft_type="TOMORROW")
    assert re.search("type TOMORROW .*PEFT .* does not know it", refusal(copy / "lora"))


def test_a_base_that_is_an_adapter_is_found_and_named_as_such(copy):
    set_config(copy / "pissa", base_model_name_or_path="lora")
    assert re.search("is itself an adapter: merge it .*merge_and_unload", refusal(copy / "pissa"))


RESIZED = {
    "modules": ({"modules_to_save": ["embed_tokens", "lm_head"]}, {}),
    "embedding module": ({"modules_to_save": ["embed_tokens"]}, {}),
    "saved embedding": ({}, {"save_embedding_layers": True}),
    "tokens": ({"trainable_token_indices": [2, 269]}, {}),
}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", RESIZED)
def test_an_adapter_on_more_tokens_than_its_base_has(tmp_path, kind, tied):
    changes, options = RESIZED[kind]
    with quiet():
        tiny(tied).save_pretrained(tmp_path / "base")
        base = LlamaForCausalLM.from_pretrained(tmp_path / "base")
        base.resize_token_embeddings(270)
        config = LoraConfig(r=4, target_modules=QV, **changes)
        wanted = train(base, config, tmp_path / "adapter", recorded=str(tmp_path / "base"), **options)
    assert resolve_files(Model("s", "a"), find_model(tmp_path / "adapter")).config["vocab_size"] == 270
    notes = []
    assert np.abs(logps(tmp_path / "adapter", loader_of(notes)) - wanted).max() < 1e-5
    assert re.search("its vocabulary has 270 tokens where the base has 258", notes[0])


def test_rows_of_a_vocabulary_that_were_not_saved_are_not_made_up(tmp_path):
    with quiet():
        tiny().save_pretrained(tmp_path / "base")
        base = tiny()
        base.resize_token_embeddings(270)
        train(base, LoraConfig(r=4, target_modules=["embed_tokens"]), tmp_path / "adapter", recorded="base")
    assert re.search("vocabulary of 270 tokens where the base has 258", refusal(tmp_path / "adapter", DamagedWeights))


def test_a_token_beyond_base_and_adapter_is_refused_before_a_forward(copy):
    loader = ModelLoader(device="cpu", dtype="float32", requirements=ModelRequirements(8, 258), note=print)
    with pytest.raises(InputError, match=r"token id 258 .*its vocabulary has 258"):
        logps(copy / "lora", loader)


def test_a_tokenizer_larger_than_the_base_is_noted(copy):
    notes, tokenizer = [], byte_tokenizer()
    tokenizer.add_tokens(["<tool>"])
    tokenizer.save_pretrained(copy / "lora")
    logps(copy / "lora", loader_of(notes))
    assert re.search("its tokenizer has 259 tokens and the base 258", notes[0])


@pytest.mark.parametrize("changes", [{"target_modules": ["q_proj", "lm_head"]}, {"trainable_token_indices": [2]}])
def test_adapters_at_a_tied_head(tmp_path, changes):
    with quiet():
        tiny(tied=True).save_pretrained(tmp_path / "base")
        config = LoraConfig(**{"r": 4, "target_modules": QV} | changes)
        wanted = train(tiny(tied=True), config, tmp_path / "adapter", recorded="base")
    assert np.abs(logps(tmp_path / "adapter") - wanted).max() < 1e-5


def rename(path, change):
    save_file({change(name): value for name, value in load_file(path).items()}, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    "change",
    [
        lambda name: "_orig_mod." + name,
        lambda name: "module." + name,
        lambda name: "base_model.model." + name,
        lambda name: "module._orig_mod." + name,
        lambda name: name.replace("layers.1.", "layers.1._orig_mod.").replace("mlp.", "mlp._fsdp_wrapped_module."),
    ],
)
def test_a_wrapped_full_model_is_read_without_the_wrappers_names(trained, copy, change):
    notes = []
    rename(copy / "base/model.safetensors", change)
    assert np.abs(logps(copy / "base", loader_of(notes)) - trained[1]["base"]).max() < 1e-5
    assert re.search("weights are named as in a wrapped model", notes[0])
    assert np.abs(logps(copy / "lora") - trained[1]["lora"]).max() < 1e-5


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.replace("base_model.model.", "base_model.model._orig_mod."),
        lambda name: "module." + name.replace("lora_A", "lora_A.default").replace("lora_B", "lora_B.default"),
    ],
)
def test_a_wrapped_adapter_is_read_without_the_wrappers_names(trained, copy, change):
    rename(copy / "lora/adapter_model.safetensors", change)
    assert np.abs(logps(copy / "lora") - trained[1]["lora"]).max() < 1e-5


def test_one_weight_under_two_names_is_refused(copy):
    path = copy / "base/model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"_orig_mod.model.norm.weight": tensors["model.norm.weight"] + 1}, path)
    with pytest.raises(DamagedWeights, match="two tensors of one name"):
        check_weights(find_model(copy / "base"))


def test_another_prefix_is_named_with_what_takes_it_off(copy):
    rename(copy / "base/model.safetensors", lambda name: "policy." + name)
    line = refusal(copy / "base", DamagedWeights)
    assert re.search(r"policy\..* where transformers looks for .*take 'policy\.' off .*removeprefix", line)


def test_a_peft_model_saved_by_hand_is_unmerged_and_not_unfinished(copy):
    rename(copy / "base/model.safetensors", lambda name: name.replace("q_proj", "q_proj.base_layer"))
    path = copy / "base/model.safetensors"
    lora = {"model.layers.0.self_attn.q_proj.lora_A.default.weight": torch.zeros(4, 32)}
    save_file(load_file(path) | lora, path, metadata={"format": "pt"})
    assert re.search("unmerged LoRA weights", refusal(copy / "base"))


@pytest.mark.parametrize("changes", [{"init_lora_weights": "pissa"}, {"init_lora_weights": "olora"}, {"bias": "all"}])
def test_a_changed_base_in_memory_is_no_reference(changes):
    config = LoraConfig(r=4, target_modules=QV, task_type="CAUSAL_LM", **changes)
    with quiet(), pytest.raises(InputError, match=r"no reference in this PeftModel: .*pass that model as reference="):
        reference_adapter(get_peft_model(tiny(), config))


BITS = {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": False}


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({"quantization_config": BITS | {"quant_method": "bitsandbytes"}}, ("fp4", False)),
        ({"quantization_bit": 4}, ("nf4", True)),
        ({"quantization_bit": 4, "double_quantization": False, "quantization_type": "fp4"}, ("fp4", False)),
        ({"quantization_bit": 4, "quantization_method": "hqq"}, None),
        ({"quant_method": "bnb", "quant_bits": 4, "bnb_4bit_use_double_quant": True}, ("nf4", True)),
        ({"adapter": "qlora", "load_in_4bit": True}, ("nf4", True)),
        ({"load_in_4bit": True, "use_bnb_nested_quant": False}, ("nf4", False)),
        ({"base_model_name_or_path": "unsloth/desk-1b-bnb-4bit"}, ("nf4", True)),
        ({"load_in_8bit": True, "load_in_4bit": False, "quant_method": "bitsandbytes"}, None),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, None),
        ({"quantization_config": "nf4", "load_in_4bit": "yes"}, None),
    ],
)
def test_records_of_a_base_in_4_bits(record, found):
    four_bit = four_bit_of(record, "config.yaml")
    assert (four_bit and (four_bit.quant_type, four_bit.double_quant)) == found


def test_a_base_in_4_bits_without_bitsandbytes(copy, monkeypatch):
    monkeypatch.setattr("dpo_analysis.scoring.models.adapters.four_bit.find_spec", lambda name: None)
    set_config(copy / "base", "config.json", quantization_config=BITS | {"quant_method": "bitsandbytes"})
    with pytest.raises(InputError, match=r"4-bit weights in .* pip install bitsandbytes"):
        check_class(find_model(copy / "lora"))
    check_four_bit(None, copy)
    note = four_bit_note(FourBit("nf4", True, "args.json"), scored=False)
    assert re.search("4-bit in training .nf4 with double quantisation., as args.json says, .*scored unquantised", note)


@pytest.mark.parametrize("installed", [True, False])
def test_bases_are_packed_as_in_training_where_all_models_of_the_run_allow_it(copy, monkeypatch, installed):
    monkeypatch.setattr(base_bits, "has_bitsandbytes", lambda: installed)
    reference, lora, pissa = (resolve_files(Model("s", n), find_model(copy / n)) for n in ("base", "lora", "pissa"))
    recorded = {"s": FourBit("nf4", False, "args.json")}
    assert base_bits.match_training_bits(reference, [lora], {}) == (reference, [lora], [])
    one, policies, (note,) = base_bits.match_training_bits(reference, [lora, pissa], recorded)
    packed = [model.files.full.four_bit for model in (one, *policies)]
    assert packed == [recorded["s"] if installed else None] * 3
    assert re.search("scored in 4 bits, too" if installed else "scored unquantised: .*pip install bits", note)
    for name in ("base", "pissa"):
        other = resolve_files(Model("other", name), find_model(copy / name))
        assert base_bits.match_training_bits(reference, [lora, other], recorded)[:2] == (reference, [lora, other])
    set_config(copy / "lora", base_model_name_or_path="org/desk-1b-bnb-4bit")
    moved = resolve_files(Model("s", "lora"), find_model(copy / "lora", base=copy / "base"))
    assert "as adapter_config.json says" in base_bits.match_training_bits(reference, [moved], {})[2][0]


def test_other_quantised_weights_are_refused(copy):
    set_config(copy / "base", "config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    assert re.search(r"quantised weights \(bitsandbytes in 8 bits\)", refusal(copy / "base"))


@pytest.mark.skipif(not importlib.util.find_spec("bitsandbytes"), reason="needs bitsandbytes")
def test_a_base_in_4_bits_gives_the_numbers_of_its_unpacked_weights(copy):
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    four_bit = FourBit("nf4", True, "a test")
    with quiet():
        model = peft.PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(copy / "base"), copy / "lora").eval()
    for name, value in model.named_parameters():
        if "proj" in name and "lora_" not in name:
            packed, state = quantize_4bit(value.data, quant_type="nf4", compress_statistics=True)
            value.data = dequantize_4bit(packed, state)
    files = find_model(copy / "lora")
    notes = []
    with loader_of(notes).open(resolve_files(Model("s", "a"), in_four_bits(files, four_bit))) as engine:
        found = engine.score(REQUESTS, batch_tokens=64).logp
    assert np.abs(found - plain_logps(model)).max() < 1e-5
    assert "loaded in 4 bits (nf4 with double quantisation), as a test says" in notes[0]
    assert np.abs(logps(copy / "lora") - found).max() > 1e-3
