"""Show: with ``numerics="trainer"`` a run has what TRL 1.16 logs under bf16 autocast, pair by pair."""

import copy

import numpy as np
import pytest
from datasets import Dataset
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from dpo_analysis import load_pairs, pair_table, step_table
from dpo_analysis.errors import InputError
from dpo_analysis.schema import SIDES
from dpo_analysis.scoring import score
from dpo_analysis.tables.trainer_log import explain_difference
from tests.parity.setting import CHATML, build_rows, build_tokenizer
from tests.parity.test_parity_numbers import BETA, LORA, load, models  # noqa: F401

pytestmark = pytest.mark.parity
NAMES = ("chosen_reward", "rejected_reward", None, "margin", "chosen_logps", "rejected_logps", None)
"""What TRL gathers of each batch, one value per pair; the last is the batch's loss, again and again."""
BATCH = 8


class Case:
    """What ``load`` of the float32 parity asks of a configuration."""

    def __init__(self, family, lora):
        self.family, self.lora = family, lora


class UpToEvaluation(TrainerCallback):
    """Forgets what the training gathers after the evaluation that it starts with."""

    def __init__(self, gathered):
        self.gathered, self.kept, self.logged = gathered, None, None

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        if self.kept is None:
            self.kept, self.logged = list(self.gathered), metrics


def rows_of(chat):
    """21 pairs in two batches of eight and one of five; none identical, whose two rows would be one here."""
    rows = [row for number, row in enumerate(build_rows(explicit=True, chat=chat)) if number != 6]
    if chat:
        said = lambda row, mark: [{"role": "user", "content": mark + row["prompt"][0]["content"]}]  # noqa: E731
        return [row | {"prompt": said(row, mark)} for mark in ("", "1. ", "二、") for row in rows]
    return [row | {"prompt": mark + row["prompt"]} for mark in ("", "1. ", "二、") for row in rows]


def logged_by_trl(case, rows, models, tokenizer, folder):  # noqa: F811
    """Per-pair values of an evaluation at the start of bf16 training, the log of it, and the trainer."""
    args = DPOConfig(
        output_dir=str(folder / "trl"), beta=BETA, bf16=True, use_cpu=True, per_device_eval_batch_size=BATCH,
        eval_strategy="steps", eval_steps=100, eval_on_start=True, max_steps=1, learning_rate=0.0, disable_tqdm=True,
        gradient_checkpointing=False, report_to="none", save_strategy="no",
    )  # fmt: skip
    trainer = DPOTrainer(
        load(models, case, "reference" if case.lora else "policy"),
        args=args,
        train_dataset=Dataset.from_list(rows[:1]),
        eval_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=copy.deepcopy(LORA) if case.lora else None,
        **({} if case.lora else {"ref_model": load(models, case, "reference")}),
    )
    gathered = []
    gather = trainer.accelerator.gather
    trainer.accelerator.gather = lambda value: gathered.append(value) or gather(value)
    seen = UpToEvaluation(gathered)
    trainer.add_callback(seen)
    trainer.train()
    sized = [value.detach().float().numpy() for value in seen.kept if value.ndim == 1]
    pairs = {name: np.concatenate(sized[place :: len(NAMES)]) for place, name in enumerate(NAMES) if name}
    return pairs, seen.logged, trainer


@pytest.mark.parametrize(("family", "lora", "chat"), [("llama", False, False), ("qwen2", True, True)])
def test_a_bf16_run_has_what_trl_logs_to_the_rounding_of_float32(family, lora, chat, models, tmp_path):  # noqa: F811
    case, tokenizer, rows = Case(family, lora), build_tokenizer(template=CHATML), rows_of(chat)
    theirs, logged, trainer = logged_by_trl(case, rows, models, tokenizer, tmp_path)
    if lora:
        trainer.model.save_pretrained(tmp_path / "adapter")
    run = score(
        load_pairs(rows),
        reference=str(models / family / "reference"),
        policies={"trl/100": str(tmp_path / "adapter" if lora else models / family / "policy")},
        out=tmp_path / "run",
        beta=BETA,
        tokenizer=tokenizer,
        numerics="trainer",
        device="cpu",
        evidence="none",
    )
    ours = pair_table(run)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=0, atol=1e-4 if "logps" in name else 1e-5, err_msg=name)
    assert (run.identity["numerics"], run.identity["dtype"]) == ("trainer", "float32")
    assert run.noise_floor.against == "float32"
    assert run.noise_floor.response > 1e-3, "bf16 autocast must have left its mark"
    means = [[theirs[f"{side}_logps"][start : start + BATCH].mean() for start in (0, 8, 16)] for side in SIDES]
    for side, batches in zip(SIDES, means, strict=True):
        assert logged[f"eval_logps/{side}"] == pytest.approx(np.mean(batches), abs=1e-4)
        assert step_table(run).iloc[0][f"{side}_logps"] == pytest.approx(theirs[f"{side}_logps"].mean(), abs=1e-4)
    assert not {"overlay.bf16", "overlay.bf16_unknown"} & set(explain_difference(run, "trl", "eval"))


def test_default_numerics_are_not_the_trainers(models, tmp_path):  # noqa: F811
    """The parity above is no accident of a model that does not round."""
    case, tokenizer, rows = Case("llama", False), build_tokenizer(template=CHATML), rows_of(False)
    theirs, _, _ = logged_by_trl(case, rows, models, tokenizer, tmp_path)
    where = {"reference": str(models / "llama" / "reference"), "policies": {"a/1": str(models / "llama" / "policy")}}
    run = score(load_pairs(rows), **where, out=tmp_path / "run", tokenizer=tokenizer, device="cpu", evidence="none")
    gap = np.abs(pair_table(run)["chosen_logps"] - theirs["chosen_logps"]).max()
    assert gap > 1e-3


def test_a_type_of_weights_beside_the_trainers_numerics_is_refused(tmp_path):
    with pytest.raises(InputError, match="leave out one"):
        score([], out=tmp_path / "run", numerics="trainer", dtype="bfloat16")
    with pytest.raises(InputError, match="unknown --numerics"):
        score([], out=tmp_path / "run", numerics="trl")
