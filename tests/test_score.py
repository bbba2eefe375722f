"""Pairs and models to a run folder: names, references, refusals, resuming, and what one damaged checkpoint costs."""

import importlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.vocab import byte_level_alphabet
from dpo_analysis.errors import InputError, PartialResult
from dpo_analysis.runs import open_run, verify_run
from dpo_analysis.scoring import score, score_text
from dpo_analysis.scoring.models.loading import quiet
from dpo_analysis.scoring.models.preflight import model_sha256
from dpo_analysis.scoring.single_pair import in_python
from dpo_analysis.tables.tokens import token_table

ROWS = [
    {"prompt": "Say hi.", "chosen": " Hi there.", "rejected": " No."},
    {"prompt": "Say hi.", "chosen": " Hello.", "rejected": " Never."},
    {"prompt": "你好吗?", "chosen": " 很好。", "rejected": " 不好。"},
    {"prompt": "Same", "chosen": " as it was", "rejected": " as it was"},
    {"prompt": "Gone", "chosen": "", "rejected": ""},
    {"prompt": "Two plus two?", "chosen": " Four.", "rejected": " Five, I think."},
]
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"


def tiny(seed, **changes):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(
        **{"vocab_size": 258, "max_position_embeddings": 128, "initializer_range": 0.2} | sizes | changes
    )
    return LlamaForCausalLM(config).eval()


def byte_tokenizer(swapped=False, template=None, extra=()):
    """Bytes and two special tokens; ``swapped`` exchanges two ids, which a comparison of sizes would not see."""
    ids = byte_level_alphabet() | {"<s>": 256, "</s>": 257}
    if swapped:
        ids["a"], ids["b"] = ids["b"], ids["a"]
    core = Tokenizer(models.BPE(vocab=ids, merges=[]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    tokenizer.add_tokens(list(extra))
    tokenizer.chat_template = template
    return tokenizer


def lora(base, seed):
    torch.manual_seed(seed)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.2)
    return model.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("scored")
    with quiet():
        tiny(0).save_pretrained(root / "sft")
        byte_tokenizer().save_pretrained(root / "sft")
        for step in (10, 20):
            tiny(step).save_pretrained(root / f"strong/checkpoint-{step}")
            byte_tokenizer().save_pretrained(root / f"strong/checkpoint-{step}")
        lora(LlamaForCausalLM.from_pretrained(root / "sft"), 5).save_pretrained(root / "lora/checkpoint-5")
    config = root / "lora/checkpoint-5/adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "sft"}))
    (root / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return root


@pytest.fixture
def place(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(saved, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def refused(match, kind=InputError, **options):
    with pytest.raises(kind, match=match) as caught:
        score("pairs.jsonl", **{"reference": "sft", "policies": ["strong"], "out": "run"} | options)
    assert len(str(caught.value)) < 400
    return caught.value


def nothing_written(place):
    return not (place / "run").exists()


def test_a_folder_of_checkpoints_an_adapter_and_a_reference_become_a_run(place):
    run = score(["eval=pairs.jsonl"], reference="sft", policies=["strong", "lora/checkpoint-5"], out="run", part_size=2)
    assert [(model.key, model.step, model.kind) for model in run.models] == [
        ("lora/checkpoint-5", 5, "adapter"),
        ("strong/checkpoint-10", 10, "full"),
        ("strong/checkpoint-20", 20, "full"),
    ]
    assert run.is_complete
    assert run.splits == ["eval"]
    assert run.noise_floor.n_pairs == 5
    assert run.noise_floor.response < 1e-4
    statuses = dict(zip(run.pairs()["prompt"].to_pylist(), run.pairs()["status"].to_pylist(), strict=True))
    assert (statuses["Same"], statuses["Two plus two?"]) == ("identical", "ok")


def test_the_stored_scores_are_the_models_own(place):
    run = score("pairs.jsonl", reference="sft", policies={"a": "strong/checkpoint-10"}, out="run")
    row = run.scores("strong/a").to_pylist()[0]
    response = run.responses().to_pylist()[0]
    ids = torch.tensor([response["prompt_token_ids"] + response["token_ids"]])
    with torch.no_grad():
        logp = tiny(10)(input_ids=ids).logits[0].log_softmax(-1)
    start = len(response["prompt_token_ids"])
    want = [logp[place - 1, ids[0, place]].item() for place in range(start, ids.shape[1])]
    assert row["logp"] == pytest.approx(want, abs=1e-5)


def test_running_again_and_adding_a_policy_change_no_finished_part(place):
    score("pairs.jsonl", reference="sft", policies={"s/10": "strong/checkpoint-10"}, out="run")
    before = {path: path.read_bytes() for path in (place / "run").rglob("*.parquet")}
    run = score("pairs.jsonl", reference="sft", policies={"s/20": "strong/checkpoint-20"}, out="run")
    assert [model.key for model in run.models] == ["s/10", "s/20"]
    assert all(path.read_bytes() == data for path, data in before.items())


def test_other_inputs_under_the_same_folder_are_refused_with_the_difference(place):
    score("pairs.jsonl", reference="sft", policies=["strong"], out="run")
    refused("max_length", max_length=64)
    refused("reference", reference="strong/checkpoint-10")


def test_an_adapter_says_its_reference_itself(place):
    run = score("pairs.jsonl", policies=["lora/checkpoint-5"], out="run")
    given = score("pairs.jsonl", reference="sft", policies=["lora/checkpoint-5"], out="given")
    assert run.reference.weights == given.reference.weights
    assert run.reference.source == "sft"
    assert run.scores("reference").equals(given.scores("reference"))


def test_an_adapter_measured_against_another_model_than_its_base_is_told(place):
    for name, reference, told in (("base", "sft", 0), ("other", "strong/checkpoint-10", 1)):
        run = score("pairs.jsonl", reference=reference, policies=["lora/checkpoint-5"], out=name)
        notes = [record["text"] for record in run.log() if record["event"] == "note"]
        assert sum("stands on" in note for note in notes) == told


def test_confirming_without_training_pairs_is_refused_before_anything_is_scored(place):
    with pytest.raises(InputError, match="give train=PAIRS"):
        score("pairs.jsonl", reference="sft", policies=["strong"], out="run", confirm=lambda run: None)
    assert nothing_written(place)


def test_a_saved_ref_adapter_is_the_reference_and_not_the_base(place):
    shutil.copytree(place / "lora/checkpoint-5", place / "lora/checkpoint-5/ref")
    run = score("pairs.jsonl", policies=["lora/checkpoint-5"], out="run")
    assert run.reference.source.endswith("ref")
    assert run.scores("reference")["logp"].equals(run.scores("lora/checkpoint-5")["logp"])
    notes = [record["text"] for record in run.log() if record["event"] == "note"]
    assert "lora/checkpoint-5 gives exactly the reference's numbers: all its rewards are 0" in notes


def test_full_models_do_not_say_their_reference(place):
    refused("no reference: .*pass --reference", reference=None)
    assert nothing_written(place)


def test_no_policy(place):
    refused("no policy to score", policies=[])


def test_loaded_models_score_as_those_on_disk_do(place):
    run = score(
        load_pairs("pairs.jsonl"),
        reference=tiny(0),
        policies={"s/10": tiny(10)},
        out="loaded",
        tokenizer=byte_tokenizer(),
    )
    stored = score("pairs.jsonl", reference="sft", policies={"s/10": "strong/checkpoint-10"}, out="stored")
    assert run.models[0].kind == "loaded"
    for key in ("reference", "s/10"):
        assert run.scores(key).equals(stored.scores(key))


def test_a_loaded_adapter_model_is_its_own_reference(place):
    model = lora(tiny(0), 5)
    run = score("pairs.jsonl", policies={"s/5": model}, out="run", tokenizer="sft")
    stored = score("pairs.jsonl", policies={"s/5": "lora/checkpoint-5"}, out="stored")
    for key in ("reference", "s/5"):
        one, other = (np.concatenate(some.scores(key)["logp"].to_pylist()) for some in (run, stored))
        assert one == pytest.approx(other, abs=1e-5)


def test_loaded_models_need_a_tokenizer(place):
    refused("no tokenizer beside these models", reference=tiny(0), policies={"a": tiny(1)})


def test_one_damaged_checkpoint_of_three_costs_only_itself(place):
    path = place / "strong/checkpoint-10/model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    error = refused(
        "finished without 1 of 4 models: strong/checkpoint-10: truncated",
        PartialResult,
        policies=["strong", "lora/checkpoint-5"],
    )
    assert error.exit_code == 4
    progress = open_run("run").progress()
    assert progress["strong/checkpoint-10"] == (0, 1)
    assert progress["strong/checkpoint-20"] == progress["lora/checkpoint-5"] == progress["reference"] == (1, 1)


def test_a_damaged_reference_or_an_only_policy_stops_before_anything_is_written(place):
    (place / "sft/model.safetensors").write_bytes(b"")
    refused("bad safetensors header")
    assert nothing_written(place)
    refused("bad safetensors header", reference="strong/checkpoint-20", policies=["broken=sft"])
    assert nothing_written(place)


@pytest.mark.parametrize("loss", ["simpo", "orpo", "cpo"])
def test_losses_without_a_reference_are_refused(place, loss):
    refused(f"loss '{loss}' .*trained without a reference", loss_type=loss)


def test_a_moving_reference_is_refused(place):
    refused("moving reference", parameters={"sync_ref_model": True})


def test_an_unknown_loss_is_refused_before_the_work(place):
    refused("no such loss", loss_type="sigmoyd")
    assert nothing_written(place)


def test_the_series_keep_beta_and_loss(place):
    run = score(
        "pairs.jsonl",
        reference="sft",
        policies=["strong"],
        out="run",
        beta=0.5,
        loss_type=["sigmoid", "sft"],
        parameters={"loss_weights": [1.0, 0.2]},
    )
    series = run.series["strong"]
    assert (series.beta, series.loss_type, series.parameters) == (0.5, ["sigmoid", "sft"], {"loss_weights": [1.0, 0.2]})


LOG = {"global_step": 20, "log_history": [{"step": 10, "loss": 0.6, "rewards/chosen": -0.5}]}


def test_what_a_trainer_left_gives_policies_series_and_curves(place):
    (place / "strong/checkpoint-20/trainer_state.json").write_text(json.dumps(LOG))
    run = score(
        "pairs.jsonl",
        reference="sft",
        trainer_outputs=["strong", "lora"],
        out="run",
        beta=0.1,
        parameters={"ld_alpha": 0.5},
    )
    assert [model.key for model in run.models] == ["lora/checkpoint-5", "strong/checkpoint-10", "strong/checkpoint-20"]
    curves = run.curves().to_pylist()
    assert [(row["series"], row["split"], row["step"]) for row in curves] == [("strong", "train", 10)] * len(curves)
    assert {row["metric"]: row["value"] for row in curves}["chosen_reward"] == -0.5
    assert run.series["strong"].beta == 0.1
    assert run.series["strong"].parameters["ld_alpha"] == 0.5


def test_an_adapters_training_needs_no_reference(place):
    run = score("pairs.jsonl", trainer_outputs=["lora"], out="run", beta=0.1)
    assert run.reference.source == "sft"


def test_a_training_without_beta_and_log_is_asked_for(place):
    with pytest.raises(InputError, match=r"no beta for lora: .*--beta"):
        score("pairs.jsonl", trainer_outputs=["lora"], out="run")


def test_a_log_that_does_not_parse_costs_only_the_overlay(place):
    (place / "strong/checkpoint-20/trainer_state.json").write_text("{")
    run = score("pairs.jsonl", reference="sft", trainer_outputs=["strong"], out="run")
    assert run.curves() is None
    assert any("trainer_state.json" in record.get("text", "") for record in run.log())


def test_a_reference_with_two_ids_swapped_is_refused(place):
    byte_tokenizer(swapped=True).save_pretrained(place / "sft")
    refused("different tokenizer in sft: token .*'a'")
    assert nothing_written(place)


def test_a_padding_token_that_only_the_policy_has_is_no_difference(place):
    for step in (10, 20):
        byte_tokenizer(extra=["[PAD]"]).save_pretrained(place / f"strong/checkpoint-{step}")
    run = score("pairs.jsonl", reference="sft", policies=["strong"], out="run")
    assert run.is_complete


def test_different_chat_templates_need_a_choice(place):
    rows = [
        {
            name: [{"role": role, "content": row[name]}]
            for name, role in (("prompt", "user"), ("chosen", "assistant"), ("rejected", "assistant"))
        }
        for row in ROWS[:2]
    ]
    (place / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for step, template in ((10, TEMPLATE), (20, "x" + TEMPLATE)):
        byte_tokenizer(template=template).save_pretrained(place / f"strong/checkpoint-{step}")
    refused("different chat templates in .*checkpoint-10 and .*checkpoint-20")
    (place / "t.jinja").write_text(TEMPLATE)
    assert score("pairs.jsonl", reference="sft", policies=["strong"], out="run", chat_template="t.jinja").is_complete


def test_pairs_longer_than_the_positions_are_refused(place):
    path = place / "strong/checkpoint-20/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": 12}))
    refused("tokens for .*checkpoint-20: it takes at most 12; pass --max-length 12")
    assert nothing_written(place)


def test_ids_beyond_a_vocabulary_are_refused(place):
    with quiet():
        tiny(3, vocab_size=100).save_pretrained(place / "small")
    refused("token id 257 for small: its vocabulary has 100", policies=["a=small"])


def test_nothing_to_score_says_what_became_of_the_rows(place):
    refused("nothing to score in 6 pairs: 1 empty, 5 too_long; pass a larger --max-length", max_length=1)
    assert nothing_written(place)


def test_a_limit_keeps_whole_groups(place):
    run = score("pairs.jsonl", reference="sft", policies=["strong"], out="run", limit=2)
    assert len(set(run.pairs()["group_id"].to_pylist())) == 2


def test_rows_in_memory_are_pairs_too(place):
    run = score(ROWS, reference="sft", policies=["strong"], out="run")
    assert run.pairs()["pair_id"].to_pylist() == [pair.pair_id for pair in load_pairs("pairs.jsonl")]


def test_weights_are_hashed_again_by_verify(place):
    run = score("pairs.jsonl", policies=["lora/checkpoint-5"], out="run")
    assert verify_run("run", weights=model_sha256) == []
    path = place / "lora/checkpoint-5/adapter_model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (problem,) = verify_run(run.path, weights=model_sha256)
    assert problem.startswith("weights of lora/checkpoint-5 have changed")


def test_two_shards_give_the_scores_of_one_worker(place):
    whole = score("pairs.jsonl", reference="sft", policies=["strong"], out="whole", part_size=2)
    for index in (0, 1):
        run = score("pairs.jsonl", reference="sft", policies=["strong"], out="run", part_size=2, shard=(index, 2))
    assert run.is_complete
    for model in ("reference", *run.models):
        assert run.scores(model).equals(whole.scores(model))


def test_an_answer_as_a_token_table(place):
    found = score_text(
        ROWS[2]["prompt"],
        ROWS[2]["chosen"],
        ROWS[2]["rejected"],
        policy=tiny(10),
        reference=tiny(0),
        tokenizer=byte_tokenizer(),
        beta=0.5,
    )
    assert list(found.columns) == (
        "pair_id side series model step position token_id token_bytes text logp reference_logp log_ratio advantage "
        "value entropy rank argmax_id argmax_logp kl_reference_policy kl_policy_reference credit credit_variance "
        "credit_z".split()
    )
    chosen = found[found.side == "chosen"]
    assert b"".join(chosen.token_bytes).decode() == " 很好。</s>"
    assert chosen.position.tolist() == list(range(len(chosen)))
    assert chosen.value.iloc[-1] == pytest.approx(0.5 * (chosen.logp - chosen.reference_logp).sum())
    assert set(found.side) == {"chosen", "rejected"}


def test_an_answer_is_the_token_table_of_a_run_with_that_pair(place):
    run = score(ROWS[2:3], reference="sft", policies=["strong/checkpoint-10"], out="run", beta=0.5)
    found = score_text(*ROWS[2].values(), policy="strong/checkpoint-10", reference="sft", beta=0.5)
    pd.testing.assert_frame_equal(found, token_table(run), check_dtype=False, check_exact=False, atol=1e-6)


def test_an_answer_under_one_model_alone_is_worth_nothing(place):
    found = score_text("a", " b", " c", policy="sft", reference="sft")
    assert found.value.tolist() == [0.0] * len(found)


def test_importing_the_package_loads_no_torch_and_the_function_is_not_hidden_by_its_module():
    assert callable(score)
    importlib.import_module("dpo_analysis.scoring.run_score")
    assert importlib.import_module("dpo_analysis.scoring").score is score
    code = "import sys, dpo_analysis.scoring, dpo_analysis.scoring.loop; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"policy": "sft"}, "no reference.*pass reference="),
        ({"policy": "sft", "reference": "sft", "prompt": "a" * 9999}, "takes at most .*; give shorter texts"),
    ],
)
def test_a_refused_text_is_told_in_the_words_of_python(place, given, said):
    with pytest.raises(InputError, match=said) as refusal:
        score_text(**({"prompt": "a", "chosen": " b", "rejected": " c"} | given))
    assert "--" not in str(refusal.value)


def test_no_advice_to_score_text_names_an_option_of_the_command_line():
    for line in (
        "x; pass --tokenizer FOLDER, or tokenizer= for loaded models",
        "x; pass --reference MODEL",
        "x; copy its files or pass --tokenizer",
        "x; pass the base it was trained on as --base",
        "x; pass --base MODEL",
        "x; give another with --chat-template FILE",
        "x: pass the one to use as --chat-template FILE",
        "x; pass a larger --max-length",
        "x; give them names, as in --policy SERIES/NAME=MODEL",
    ):
        assert "--" not in in_python(line)
        assert in_python(line).endswith(("=", "texts"))
