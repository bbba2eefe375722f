"""``LogTokenRewardsCallback`` beside DPOTrainer: its sums are the logged rewards, and the training is unchanged."""

import hashlib
import logging
from types import SimpleNamespace

import numpy as np
import pytest

import dpo_analysis as dpo
from dpo_analysis.errors import InputError
from dpo_analysis.runs.live.live_lock import live_holder
from dpo_analysis.tables.probes import kept_mass_table

pytestmark = pytest.mark.parity
pytest.importorskip("trl")

from datasets import Dataset  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402

from dpo_analysis.scoring import LogTokenRewardsCallback  # noqa: E402
from tests.parity.small_training import SAMPLE, model, rows, small_trainer  # noqa: E402


def lora(seed=0):
    return LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")


def adapter_from_an_earlier_training():
    """An adapter that is not zero: TRL keeps a copy of it, ``ref``, as the reference."""
    import torch

    torch.manual_seed(3)
    adapted = get_peft_model(model(), lora())
    for name, value in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.05)
    return adapted


TRAININGS = {
    "full": {},
    "full-bf16": {"bf16": True},
    "lora": {"reference": False, "peft_config": lora()},
    "ref-adapter": {"reference": False, "policy": adapter_from_an_earlier_training},
    "plain-text": {"text": True, "max_length": 40},
    "keep-end": {"max_length": 24, "truncation_mode": "keep_end"},
}


def trainer_of(kind, out, **options):
    given = dict(TRAININGS[kind])
    if given.pop("text", False):
        given |= {"train": rows("train", 48, text=True), "evaluated": Dataset.from_list(rows("eval", 64, text=True))}
    if callable(given.get("policy")):
        given["policy"] = given["policy"]()
    return small_trainer(out, **given, **options)


def trained(trainer, **options):
    callback = LogTokenRewardsCallback(trainer=trainer, **options)
    trainer.add_callback(callback)
    trainer.train()
    return callback


def digest(trainer):
    weights = sorted(trainer.accelerator.unwrap_model(trainer.model).state_dict().items())
    return hashlib.sha256(b"".join(value.numpy().tobytes() for _, value in weights)).hexdigest()


@pytest.mark.parametrize("kind", TRAININGS)
def test_sums_are_the_logged_rewards_and_step_0_is_exactly_0(kind, tmp_path):
    trainer = trainer_of(kind, tmp_path / kind)
    callback = trained(trainer)
    run = dpo.open_run(callback.run_folder)
    steps = dpo.step_table(run).set_index("step")
    assert list(steps.index) == [0, 3, 6, 9, 12]
    logged = {one["step"]: one for one in trainer.state.log_history if "eval_rewards/chosen" in one}
    for step in (3, 6, 9, 12):
        for side in ("chosen", "rejected"):
            assert steps.loc[step, f"{side}_reward"] == pytest.approx(logged[step][f"eval_rewards/{side}"], abs=1e-6)
    first = dpo.token_table(run, model="checkpoint-0")
    assert len(first) > 500
    assert (first["advantage"] == 0).all()
    assert abs(steps.loc[12, "rejected_reward"]) > 1e-4
    assert kept_mass_table(run).set_index("step").loc[0, "kept_mass"] == 1
    assert dpo.open_run(callback.run_folder).is_complete
    assert live_holder(callback.run_folder) == ""
    assert set(run.curves()["split"].to_pylist()) == {"train", "eval"}


def test_the_training_is_the_same_to_the_bit_with_and_without(tmp_path):
    bare = trainer_of("full", tmp_path / "bare")
    bare.train()
    watched = trainer_of("full", tmp_path / "watched")
    trained(watched, freq=1)
    assert digest(watched) == digest(bare)
    assert len(dpo.open_run(tmp_path / "watched/dpo_analysis").models) == 13


def test_token_columns_are_those_of_the_offline_scoring(tmp_path):
    from dpo_analysis.scoring import score

    trainer = trainer_of("full", tmp_path / "full")
    live = dpo.open_run(trained(trainer).run_folder)
    offline = score(
        rows("eval", 64), trainer_outputs=[tmp_path / "full"], reference=str(SAMPLE / "sft"), out=tmp_path / "o"
    )
    keys = ["pair_id", "side", "position"]
    ours, theirs = (dpo.token_table(run, model="checkpoint-12").set_index(keys) for run in (live, offline))
    theirs = theirs.loc[ours.index]
    assert len(ours) == len(theirs) > 500
    assert (ours["token_id"] == theirs["token_id"]).all()
    for name in ("logp", "reference_logp", "entropy"):
        np.testing.assert_allclose(ours[name], theirs[name], atol=2e-5)
    assert (ours["rank"] == theirs["rank"]).mean() > 0.999


def test_without_evaluations_it_scores_where_the_trainer_saves(tmp_path):
    trainer = trainer_of("full", tmp_path / "t", eval_strategy="no", evaluated=[])
    run = dpo.open_run(trained(trainer, num_pairs=10, output_dir=tmp_path / "there").run_folder)
    assert run.path == tmp_path / "there"
    assert list(run.splits) == ["train"]
    assert [model.step for model in run.models] == [0, 4, 8, 12]


class FakeRun:
    """A run of a tracker that keeps what it is given, or fails."""

    def __init__(self, fails=False):
        self.logged, self.alerts, self.fails = [], [], fails

    def log(self, values):
        if self.fails:
            raise ConnectionError("no network")
        self.logged.append(values)

    def alert(self, title, text):
        self.alerts.append((title, text))


@pytest.mark.parametrize("fails", [False, True])
def test_means_and_warnings_go_to_the_tracker_and_the_log(fails, tmp_path, monkeypatch, caplog):
    from dpo_analysis.scoring.live import trackers

    run = FakeRun(fails)
    trainer = trainer_of("full", tmp_path / "t", learning_rate=3e-2, max_steps=6)
    callback = LogTokenRewardsCallback(trainer=trainer, freq=2)
    trainer.args.report_to = ["wandb"]
    trainer.add_callback(callback)
    monkeypatch.setattr(trackers, "load_module", {"wandb": SimpleNamespace(run=run)}.__getitem__)
    with caplog.at_level(logging.WARNING):
        trainer.train()
    titles = [title for title, _ in run.alerts]
    assert titles.count("the chosen reward is past its peak") == 1
    assert titles.count("half of the reference's probability mass is gone") == 1
    assert "The chosen reward of 64 fixed pairs was highest at step 0 (+0.000)" in caplog.text
    assert ("not logged to the tracker: no network" in caplog.text) is fails
    if not fails:
        assert [one["train/global_step"] for one in run.logged] == [0, 2, 4, 6]
        steps = dpo.step_table(dpo.open_run(callback.run_folder)).set_index("step")
        for one in run.logged:
            row = steps.loc[one["train/global_step"]]
            assert one["dpo_analysis/rewards/chosen"] == pytest.approx(row["chosen_reward"], abs=1e-6)
            assert one["dpo_analysis/rewards/margins"] == pytest.approx(row["margin"], abs=1e-6)
        assert run.logged[0]["dpo_analysis/kept_mass"] == 1


def test_a_second_training_is_a_series_of_its_own_and_other_pairs_are_refused(tmp_path):
    first = trained(trainer_of("full", tmp_path / "t", max_steps=3))
    trained(trainer_of("full", tmp_path / "t", max_steps=3, learning_rate=1e-4))
    assert set(dpo.open_run(first.run_folder).series) == {"t", "t-2"}
    before = (first.run_folder / "manifest.json").read_bytes()
    other = trainer_of("full", tmp_path / "t", max_steps=3, evaluated=Dataset.from_list(rows("train", 20)))
    with pytest.raises(InputError, match=r"is of another training: pairs was .*another output_dir"):
        trained(other)
    third = trainer_of("full", tmp_path / "t", max_steps=3)
    for value in third.ref_model.parameters():
        value.data *= 1.1
    with pytest.raises(InputError, match="another reference than in run folder"):
        trained(third)
    assert (first.run_folder / "manifest.json").read_bytes() == before


def test_what_it_cannot_score_is_refused_before_training(tmp_path):
    cases = {
        "set precompute_ref_log_probs=False": {"precompute_ref_log_probs": True, "reference": False},
        "set sync_ref_model=False": {"sync_ref_model": True},
        "no loss per pair for loss_type 'aot'": {"loss_type": ["aot"]},
    }
    for message, options in cases.items():
        with pytest.raises(InputError, match=message):
            LogTokenRewardsCallback(trainer=small_trainer(tmp_path / "t", **options))
    trainer = small_trainer(tmp_path / "t")
    with pytest.raises(InputError, match="is no DPOTrainer"):
        LogTokenRewardsCallback(trainer=object())
    with pytest.raises(InputError, match="num_pairs=0"):
        LogTokenRewardsCallback(trainer=trainer, num_pairs=0)
    trainer.eval_dataset = trainer.eval_dataset.remove_columns("chosen_ids")
    with pytest.raises(InputError, match=r"no column 'chosen_ids'.*--watch"):
        LogTokenRewardsCallback(trainer=trainer)
    assert not (tmp_path / "t/dpo_analysis").exists()


def test_a_folder_that_goes_to_the_hub_does_not_take_the_texts_along(tmp_path):
    trainer = small_trainer(tmp_path / "t")
    trainer.args.push_to_hub = True
    assert LogTokenRewardsCallback(trainer=trainer).run_folder == tmp_path / "t/_dpo_analysis"


def test_a_disk_that_is_full_ends_the_scoring_and_not_the_training(tmp_path, monkeypatch, caplog):
    from dpo_analysis.errors import StorageError
    from dpo_analysis.scoring.live.live_run import LiveRun

    def full(self, *args, **kwargs):
        raise StorageError("disk full")

    monkeypatch.setattr(LiveRun, "add_checkpoint", full)
    trainer = trainer_of("full", tmp_path / "t", max_steps=3)
    trained(trainer)
    assert trainer.state.global_step == 3
    assert caplog.text.count("no more token rewards are logged in this training: disk full") == 1
