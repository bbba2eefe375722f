"""Show: with the preset of its trainer, a real checkpoint gives the mean log-probs that its trainer logged.

Nothing of the scoring is used: the ids of the presets go through transformers in a plain loop.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.tokenization import tokenize_pairs
from dpo_analysis.schema import CHOSEN, REJECTED, SIDES

pytestmark = pytest.mark.parity
TRAINERS = Path(__file__).parents[3] / "shared/trainers"
if not TRAINERS.is_dir():
    # not a skip of each test, which CI forbids for tests of parity: these folders are no part of the repository
    pytest.skip("no folders of trainers beside the repository", allow_module_level=True)
DEFAULT_024 = {"max_length": 1024, "max_prompt_length": 512, "truncation": "keep_end"}
FOLDERS = {
    "trl-0.29.1-full": ("sft", "eval.jsonl", {"tokenization": "trl-0.29"}),
    "trl-0.24-chatml": ("sft-nl", "eval.jsonl", {"tokenization": "trl-0.24"} | DEFAULT_024),
    "trl-0.24-ipo": ("sft", "eval.jsonl", {"tokenization": "trl-0.24"} | DEFAULT_024),
    "trl-0.24-lora": ("sft", "eval.jsonl", {"tokenization": "trl-0.24"} | DEFAULT_024),
    "trl-0.12.2-text": ("sft-bos", "eval-text.jsonl", {"tokenization": "trl-0.12", "max_length": None}),
    "trl-0.9.6-full": ("sft", "eval.jsonl", {"tokenization": "trl-0.9", "max_length": 512, "truncation": "keep_end"}),
    "lf-0.9.5-full": ("sft", "eval.jsonl", {"tokenization": "llamafactory", "max_length": 256}),
    "swift-4.6.0-full": (
        "sft",
        "eval.jsonl",
        {"tokenization": "ms-swift", "template": "dummy", "max_length": 256, "truncation": "delete"},
    ),
    "axolotl-0.19.0-full": ("sft", "eval.jsonl", {"tokenization": "axolotl", "max_length": 256}),
}
"""Folder -> its reference, its pairs, and the settings with which it was trained."""


@pytest.mark.parametrize("name", FOLDERS)
def test_mean_logps_are_those_that_the_trainer_logged(name, unpacked):
    reference, pairs, settings = FOLDERS[name]
    references = unpacked("references")
    tokenizer = AutoTokenizer.from_pretrained(next(references.rglob(f"{reference}/tokenizer.json")).parent)
    if settings["tokenization"] == "trl-0.9":
        tokenizer.bos_token = "<|im_start|>"  # as the recipe does
    tokenized = tokenize_pairs(load_pairs(str(next(references.rglob(pairs)))), tokenizer, **settings)
    assert {pair.status for pair in tokenized} <= {"ok", "identical"}
    if settings["tokenization"] == "trl-0.12":
        tokenized = without_last_column(tokenized)
    for step, logged in logged_evaluations(name).items():
        if step == 0:
            continue
        logps = pair_logps(tokenized, checkpoint(unpacked(name), references, reference, step))
        if "ipo" in name:
            logps /= torch.tensor([[len(pair.responses[side].token_ids) for side in SIDES] for pair in tokenized])
        for side, mean in zip((CHOSEN, REJECTED), logps.mean(0).tolist(), strict=True):
            assert mean == pytest.approx(logged[f"eval_logps/{side}"], abs=1e-4), (step, side)


def test_the_loss_of_openrlhf_is_the_logged_one(unpacked):
    references = unpacked("references")
    tokenizer = AutoTokenizer.from_pretrained(next(references.rglob("sft/tokenizer.json")).parent)
    pairs = load_pairs(str(next(references.rglob("eval-implicit.jsonl"))))
    tokenized = tokenize_pairs(pairs, tokenizer, tokenization="openrlhf", max_length=256)
    note = (TRAINERS / "openrlhf-0.11.2.NOTE").read_text("utf-8")
    start = pair_logps(tokenized, load_model(references, "sft", torch.bfloat16))
    for step, loss in re.findall(r"step (\d+): eval/eval_loss ([\d.]+)", note):
        folder = next(unpacked("openrlhf-0.11.2").rglob(f"global_step{step}_hf"))
        rewards = 0.2 * (pair_logps(tokenized, load_model(folder, "", torch.bfloat16)) - start)
        losses = -torch.nn.functional.logsigmoid(rewards[:, 0] - rewards[:, 1])
        # means of batch means: 18 batches of 8 and one of 6
        batches = torch.stack([batch.mean() for batch in losses.split(8)])
        assert batches.mean().item() == pytest.approx(float(loss), abs=1e-3), step


def without_last_column(tokenized):
    """The pairs as TRL 0.12 scores them in batches of 50: the longest row of a batch with padding loses its last token.

    (It removes the columns from the first empty one minus one on.) The preset cannot: it depends on the batch.
    """
    cut = []
    for start in range(0, len(tokenized), 50):
        batch = tokenized[start : start + 50]
        sides = [pair.responses[side] for pair in batch for side in SIDES]
        lengths = [len(side.prompt_token_ids) + len(side.token_ids) for side in sides]
        width = max(len(side.prompt_token_ids) for side in sides) + max(len(side.token_ids) for side in sides)
        for pair in batch:
            responses = {
                side: replace(response, token_ids=response.token_ids[:-1])
                if max(lengths) < width and len(response.prompt_token_ids) + len(response.token_ids) == max(lengths)
                else response
                for side, response in pair.responses.items()
            }
            cut.append(replace(pair, responses=responses))
    return cut


def logged_evaluations(name):
    note = (TRAINERS / f"{name}.NOTE").read_text("utf-8")
    return {int(step): json.loads(values) for step, values in re.findall(r"step (\d+): (\{.*\})", note)}


def load_model(root, name, dtype=torch.float32):
    folder = next(root.rglob(f"{name}/config.json")).parent if name else root
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def checkpoint(root, references, reference, step):
    folder = next(root.rglob(f"checkpoint-{step}"))
    if not (folder / "adapter_config.json").is_file():
        return load_model(folder, "")
    from peft import PeftModel

    return PeftModel.from_pretrained(load_model(references, reference), folder).eval()


@torch.no_grad()
def pair_logps(tokenized, model):
    """Summed log-probs of chosen and rejected, shape (pairs, 2)."""
    return torch.tensor([[response_logp(pair.responses[side], model) for side in SIDES] for pair in tokenized])


def response_logp(response, model):
    ids = torch.tensor([[*response.prompt_token_ids.tolist(), *response.token_ids.tolist()]])
    start = len(response.prompt_token_ids)
    logps = model(ids).logits[0, start - 1 : -1].float().log_softmax(-1)
    return logps.gather(1, ids[0, start:, None]).double().sum().item()
