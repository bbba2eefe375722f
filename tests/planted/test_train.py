"""The loop is TRL's: the same losses and rewards over a few steps, and gradients that are off move nothing."""

from __future__ import annotations

import random

import pytest
import torch

from tests.planted import sft
from tests.planted.families import FAMILIES
from tests.planted.forks import Fork
from tests.planted.measure import PLACES, by_group, chosen_by_place
from tests.planted.pairs import CULPRIT, VICTIM
from tests.planted.plants import PLANTS
from tests.planted.sequences import sequence_logps
from tests.planted.train import BATCH, Pairs, Setting, train

pytestmark = pytest.mark.slow

RATE, STEPS = 5e-4, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A reference that has learned little: enough to have gradients."""
    return sft.reference(tmp_path_factory.mktemp("references"), ("parcels",), width=32, seed=1, steps=30)


@pytest.fixture(scope="module")
def rows():
    """As many pairs as a batch holds, so that every step sees all of them, in whatever order."""
    return random.Random(1).sample(PLANTS["drift"](random.Random(2), FAMILIES["parcels"], "opening", 144), BATCH)


def trained(folder, rows, setting: Setting):
    model, tokenizer = sft.load(folder)
    pairs = Pairs.of_rows(rows, tokenizer, model)
    return train(model, pairs, setting), model, pairs, tokenizer


@pytest.mark.parity
@pytest.mark.parametrize("sft_weight", [0.0, 0.5])
def test_losses_and_rewards_are_those_of_trl(folder, rows, tmp_path, sft_weight):
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    model, tokenizer = sft.load(folder)
    reference, _ = sft.load(folder)
    arguments = DPOConfig(
        output_dir=str(tmp_path),
        learning_rate=RATE,
        num_train_epochs=STEPS,
        per_device_train_batch_size=BATCH,
        beta=0.1,
        loss_type=["sigmoid", "sft"] if sft_weight else "sigmoid",
        loss_weights=[1.0, sft_weight] if sft_weight else None,
        lr_scheduler_type="linear",
        logging_steps=1,
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
    )
    bare = [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in rows]
    trainer = DPOTrainer(
        model, ref_model=reference, args=arguments, train_dataset=Dataset.from_list(bare), processing_class=tokenizer
    )
    trainer.train()
    theirs = [record for record in trainer.state.log_history if "loss" in record]
    ours, *_ = trained(folder, rows, Setting(RATE, 0, sft_weight=sft_weight, epochs=STEPS, warmup=0))
    assert len(ours) == len(theirs) == STEPS
    for own, other in zip(ours, theirs, strict=True):
        for name in ("loss", "rewards/chosen", "rewards/rejected", "rewards/margins"):
            assert own[name] == pytest.approx(other[name], abs=1e-5), (own["step"], name)
        for name in ("logps/chosen", "logps/rejected"):
            assert own[name] == pytest.approx(other[name], abs=1e-3), (own["step"], name)


def test_a_row_that_forks_has_the_log_probs_of_two_rows(folder, rows):
    model, tokenizer = sft.load(folder)
    pairs = Pairs.of_rows(rows, tokenizer, model)
    for place, side in enumerate(("chosen", "rejected")):
        alone = sequence_logps(model, pairs.side(place, range(BATCH))).sums().detach()
        torch.testing.assert_close(pairs.reference[side], alone, atol=1e-4, rtol=0)


def test_a_reply_that_another_only_continues_forks_too():
    fork = Fork.of_pair(([1, 2], [3, 4]), ([1, 2], [3, 4, 5]))
    assert fork.ids.tolist() == [1, 2, 3, 4, 5]
    assert fork.sources[0].tolist() == [1, 2]
    assert fork.sources[1].tolist() == [1, 2, 3]


def test_with_every_gradient_off_nothing_moves(folder, rows):
    off = frozenset((row["group"], side) for row in rows for side in ("chosen", "rejected"))
    _, model, _, _ = trained(folder, rows, Setting(RATE, 0, off=off, epochs=1))
    for own, before in zip(model.parameters(), sft.load(folder)[0].parameters(), strict=True):
        assert torch.equal(own, before)


def test_with_the_push_downs_off_the_rejected_is_not_pushed(folder, rows):
    off = frozenset((group, "rejected") for group in (VICTIM, CULPRIT, "background"))
    _, pushed, pairs, _ = trained(folder, rows, Setting(RATE, 0, epochs=8))
    _, spared, _, _ = trained(folder, rows, Setting(RATE, 0, off=off, epochs=8))
    assert pairs.logps(pushed)["rejected"].mean() < pairs.logps(spared)["rejected"].mean()


def test_the_changes_by_place_add_up_to_the_replys_log_prob(folder, rows):
    model, tokenizer = sft.load(folder)
    pairs = Pairs.of_rows(rows, tokenizer, model)
    found = chosen_by_place(model, tokenizer, pairs, range(BATCH))
    assert found.shape == (BATCH, len(PLACES))
    torch.testing.assert_close(found.sum(1), pairs.reference["chosen"], atol=1e-4, rtol=0)


def test_every_place_of_a_planted_reply_has_a_token(folder, rows):
    model, tokenizer = sft.load(folder)
    found = chosen_by_place(model, tokenizer, Pairs.of_rows(rows, tokenizer, model), range(BATCH))
    assert (found < 0).all()


def test_a_groups_mean_change_is_over_its_own_pairs():
    changes = torch.tensor([[1.0, 0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, -5.0]])
    found = by_group(changes, ["a", "a", "b"])
    assert found["a"]["opening"] == 2
    assert found["a"]["n"] == 2
    assert found["b"]["whole"] == -5
