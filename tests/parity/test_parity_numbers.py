"""Show: log-probs, rewards, margins and losses of a run folder are those of TRL 1.16's DPOTrainer in float32."""

import copy

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
from trl import DPOConfig, DPOTrainer

from dpo_analysis import load_pairs, open_run, pair_table, step_table
from dpo_analysis.schema import SCORED, SIDES
from dpo_analysis.scoring import score
from tests.parity.setting import CHATML, CONFIGS, TIGHT, build_rows, build_tokenizer

pytestmark = pytest.mark.parity
BETA = 0.1
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "initializer_range": 0.2,
    "vocab_size": 420,
}
FAMILIES = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}
LORA = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two random models of each family on disk: what the policy and what the reference starts from."""
    folder = tmp_path_factory.mktemp("models")
    for family, (config, model) in FAMILIES.items():
        for seed, name in enumerate(("policy", "reference")):
            torch.manual_seed(seed)
            model(config(**SIZES)).save_pretrained(folder / family / name)
    return folder


def build_trainer(config, models, tokenizer, folder):
    """A DPOTrainer as TRL builds it, one evaluation batch holding every row."""
    rows = Dataset.from_list(build_rows(explicit=config.explicit, chat=config.chat))
    given = {} if config.lora else {"ref_model": load(models, config, "reference")}
    args = DPOConfig(
        output_dir=str(folder / "trl"),
        beta=BETA,
        max_length=config.max_length,
        bf16=False,
        use_cpu=True,
        per_device_eval_batch_size=len(rows),
        gradient_checkpointing=False,
        disable_tqdm=True,
        report_to="none",
    )
    return DPOTrainer(
        load(models, config, "reference" if config.lora else "policy"),
        args=args,
        train_dataset=rows.select([0]),
        eval_dataset=rows,
        processing_class=tokenizer,
        peft_config=copy.deepcopy(LORA) if config.lora else None,
        **given,
    )


def load(models, config, name):
    return AutoModelForCausalLM.from_pretrained(models / config.family / name, dtype=torch.float32)


def their_numbers(trainer, monkeypatch):
    """Per-pair values as the trainer gathers them for its log, its per-pair losses, and the log itself."""
    gathered = []
    gather = trainer.accelerator.gather
    monkeypatch.setattr(trainer.accelerator, "gather", lambda value: gathered.append(value) or gather(value))
    logged = trainer.evaluate()
    names = ("chosen_reward", "rejected_reward", None, "margin", "chosen_logps", "rejected_logps")
    sized = [value for value in gathered if value.ndim == 1 and len(value) == len(trainer.eval_dataset)]
    pairs = {name: value.numpy() for name, value in zip(names, sized[:6], strict=True) if name}
    with torch.no_grad():
        batches = [trainer.data_collator([row]) for row in trainer.eval_dataset]
        pairs["loss"] = np.array([trainer.compute_loss(trainer.model, batch).item() for batch in batches])
    return pairs, logged


def our_run(config, models, tokenizer, trainer, folder):
    """The same models through the public door: adapters from disk, full models from memory."""
    if config.lora:
        trainer.model.save_pretrained(folder / "adapter")
        policy, reference = str(folder / "adapter"), str(models / config.family / "reference")
    else:
        policy, reference = load(models, config, "policy"), load(models, config, "reference")
    return score(
        load_pairs(build_rows(explicit=config.explicit, chat=config.chat)),
        reference=reference,
        policies={"trl/100": policy},
        out=folder / "run",
        beta=BETA,
        tokenizer=tokenizer,
        max_length=config.max_length,
        device="cpu",
        batch_tokens=256,
    )


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_run_has_trls_tokens_and_numbers(config, models, tmp_path, monkeypatch):
    tokenizer = build_tokenizer(bos=config.bos, template=TIGHT if config.explicit else CHATML)
    trainer = build_trainer(config, models, tokenizer, tmp_path)
    theirs, logged = their_numbers(trainer, monkeypatch)
    run = open_run(our_run(config, models, tokenizer, trainer, tmp_path).path)
    assert_same_tokens(run, trainer)
    ours = pair_table(run)
    assert config.truncated == {"truncated", "too_long"}.issubset(ours["status"])
    ours = ours[ours["status"].isin(SCORED)]
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=0, atol=1e-4 if "logps" in name else 1e-5, err_msg=name)
    assert np.abs(ours["margin"]).max() > 0.1, "the models must differ for this to show anything"
    assert_same_log(run, logged)


def assert_same_tokens(run, trainer):
    """The stored ids are the trainer's columns, cut as its collator cuts them; its dropped rows have none."""
    stored = run.responses().to_pylist()
    expected = list(trainer.eval_dataset)
    assert len(stored) == 2 * len(expected)
    for place, response in enumerate(stored):
        row, side = expected[place // 2], SIDES[place % 2]
        assert response["side"] == side
        whole = (row["prompt_ids"] + row[f"{side}_ids"])[: trainer.args.max_length]
        assert response["prompt_token_ids"] + response["token_ids"] == whole


def assert_same_log(run, logged):
    """One batch holds all rows, so the logged means are means over pairs, and the entropy over tokens."""
    step = step_table(run).iloc[0]
    names = {
        "loss": "loss",
        "rewards/chosen": "chosen_reward",
        "rewards/rejected": "rejected_reward",
        "rewards/margins": "margin",
        "rewards/accuracies": "accuracy_trl",
        "logps/chosen": "chosen_logps",
        "logps/rejected": "rejected_logps",
    }
    for theirs, ours in names.items():
        assert step[ours] == pytest.approx(logged[f"eval_{theirs}"], abs=1e-4 if "logps" in theirs else 1e-5), theirs
    entropy = np.concatenate(run.scores("trl/100")["entropy"].to_pylist())
    assert entropy.mean() == pytest.approx(logged["eval_entropy"], abs=1e-5)
