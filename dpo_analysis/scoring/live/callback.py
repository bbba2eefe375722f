"""``LogTokenRewardsCallback``: the token rewards of some fixed pairs, in a run folder that grows while TRL trains."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from dpo_analysis.data.vocab import vocabulary
from dpo_analysis.errors import DPOAnalysisError, InputError
from dpo_analysis.runs import NoiseFloor
from dpo_analysis.schema import CHOSEN, REJECTED, SIDES
from dpo_analysis.scoring.evidence.probes import end_ids
from dpo_analysis.scoring.live.alarms import Alarm, Alarms
from dpo_analysis.scoring.live.checked_trainer import (
    check_trainer,
    run_folder,
    run_identity,
    training_facts,
    training_series,
)
from dpo_analysis.scoring.live.clock import Clock
from dpo_analysis.scoring.live.fixed_pairs import fixed_pairs
from dpo_analysis.scoring.live.live_run import LiveRun
from dpo_analysis.scoring.live.samples import Sampled, draw_samples, prompts_to_sample
from dpo_analysis.scoring.live.step_means import kept_mass, largest_difference, noise_floor, step_means
from dpo_analysis.scoring.live.trackers import Trackers
from dpo_analysis.scoring.live.trainer_forward import PairScores, TrainerForward
from dpo_analysis.scoring.models.in_memory import evaluation_mode, reference_adapter
from dpo_analysis.trainer.logs import curves_of_history

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class LogTokenRewardsCallback(TrainerCallback):
    """A callback of TRL's ``DPOTrainer`` that scores some fixed pairs, token by token, while it trains.

    It writes a run folder, which ``dpo-analysis app`` shows while the training runs, with the trainer's log beside the
    scores. Its forward passes are those of the trainer's evaluation, so the rewards are those that the trainer logs.
    The training itself is not changed, to the bit. Means go to trackio and Weights & Biases, where the trainer
    reports there, as ``dpo_analysis/rewards/chosen`` and so on. A warning goes there and to the log of this module
    when the chosen reward of the pairs has passed its peak, or when the policy keeps less than half of the probability
    of the reference's samples.

    The pairs are the first ``num_pairs`` of the evaluation set (of each, where there are several), or of the training
    set without one. Full fine-tuning, a PEFT model and its ``ref`` adapter are scored alike, by any number of
    processes. A resumed training goes on in the same folder.

    Attributes:
        clock: how much of the training's time it took.

    Example:
        >>> trainer = DPOTrainer(...)
        >>> trainer.add_callback(LogTokenRewardsCallback(trainer=trainer, num_pairs=64))
        >>> trainer.train()
    """

    def __init__(
        self, trainer: Any, num_pairs: int = 64, freq: int | None = None, output_dir: str | Path | None = None
    ) -> None:
        """Choose the pairs; nothing is scored or written before the training begins.

        Args:
            trainer: the DPOTrainer to which the callback is added, of TRL 0.29 or later.
            num_pairs: pairs to score, of each evaluation set.
            freq: score every ``freq`` steps; None: whenever the trainer evaluates, and without evaluations whenever it
                saves a checkpoint. The first and the last step are always scored.
            output_dir: the run folder; None: ``dpo_analysis`` in the trainer's ``output_dir``, or ``_dpo_analysis``
                where the trainer pushes that folder to the Hub, which leaves such names out.

        Raises:
            InputError: the trainer has no fixed reference, or its pairs cannot be read.
        """
        if num_pairs < 1 or (freq is not None and freq < 1):
            raise InputError(f"num_pairs={num_pairs}, freq={freq}: both are numbers above 0; freq may be None")
        check_trainer(trainer)
        self._trainer, self._num_pairs, self._freq = trainer, num_pairs, freq
        self._fixed = fixed_pairs(trainer, num_pairs)
        self._tokenized = [pair.tokenized for pair in self._fixed]
        self._folder = run_folder(trainer, output_dir)
        self._forward = TrainerForward(trainer)
        self._tokenizer = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)
        self._run: LiveRun | None = None
        self._alarms: Alarms | None = None
        self._trackers: Trackers | None = None
        self._reference: list[PairScores] = []
        self._samples: Sampled | None = None
        self._sample_reference: list[PairScores] = []
        self._last_step, self._active, self.clock = -1, False, Clock()

    @property
    def run_folder(self) -> Path:
        """The run folder that the callback writes."""
        return self._folder

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Score the reference, and the policy as it is before the first step."""
        self._last_step, self._active, self.clock = -1, True, Clock()
        with self.clock.timed("start"):
            self._reference = self._forward.score(self._examples, of_reference=True)
            # the same pairs in batches of another size: what rounding alone changes
            alone = self._forward.score(self._examples, of_reference=True, batch_size=1)
            self._on_main_process(lambda: self._begin(state, noise_floor(self._reference, alone)))
            self._draw_samples()
        self._score(state, first=state.global_step == 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Score after every ``freq`` steps and after the last: afterwards the best checkpoint may be loaded."""
        if state.global_step >= state.max_steps or (self._freq and state.global_step % self._freq == 0):
            self._score(state)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Score where the trainer evaluates, if no ``freq`` is given."""
        if self._freq is None:
            self._score(state)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Score where the trainer saves, if no ``freq`` is given and it never evaluates."""
        if self._freq is None and str(getattr(args.eval_strategy, "value", args.eval_strategy)) == "no":
            self._score(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Store the trainer's whole log, and tell open pages that no checkpoint will follow."""
        run, is_active, self._active = self._run, self._active, False
        if run is None:
            return
        if is_active:
            try:
                run.add_curves(curves_of_history(state.log_history).table(run.series.name))
            except DPOAnalysisError as error:
                logger.warning("the end of the training log is not in the run folder: %s", error)
        run.end()
        logger.warning("%s", self.clock.summary())

    @property
    def _examples(self) -> list[dict[str, Any]]:
        return [pair.example for pair in self._fixed]

    def _begin(self, state: Any, noise: NoiseFloor) -> None:
        """Open the run folder; on the main process alone."""
        trainer = self._trainer
        identity = run_identity(trainer, self._tokenized, self._tokenizer)
        run = LiveRun(self._folder, self._tokenized, vocabulary(self._tokenizer), identity, training_series(trainer))
        source = getattr(getattr(trainer.ref_model or trainer.model, "config", None), "_name_or_path", "")
        arguments = f"num_pairs={self._num_pairs}, freq={self._freq}, output_dir={str(self._folder)!r}"
        facts = {"command": f"LogTokenRewardsCallback(trainer=trainer, {arguments})"} | training_facts(trainer)
        for note in run.begin(state.global_step, str(source), self._reference, noise, facts):
            logger.warning("%s", note)
        self._run, self._alarms, self._trackers = run, Alarms(run.groups()), Trackers(trainer.args.report_to or [])
        logger.warning("token rewards of %d pairs; to see them: dpo-analysis app %s", len(self._fixed), run.path)

    def _draw_samples(self) -> None:
        """Draw samples of the reference on the main process, and score them with it on every process."""
        trainer = self._trainer
        if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
            return  # a model in shards generates on all processes together or not at all
        self._samples = self._on_main_process(self._drawn_samples)
        if not self._samples or not self._samples.pairs:
            self._samples = None
            return
        self._sample_reference = self._forward.score(self._samples.examples, of_reference=True)
        self._on_main_process(self._store_samples)

    def _store_samples(self) -> None:
        run, samples = self._run, self._samples
        assert run is not None
        assert samples is not None
        scores = [side for pair in self._sample_reference for side in pair]
        run.add_samples(samples.rows, samples.pairs, samples.label, scores)

    def _drawn_samples(self) -> Sampled:
        trainer, run = self._trainer, self._run
        assert run is not None
        prompts = prompts_to_sample(run.rows(), len(self._fixed) // 2 or 1, trainer.args.max_length)
        model = trainer.accelerator.unwrap_model(trainer.ref_model if trainer.ref_model is not None else trainer.model)
        adapter = reference_adapter(model) if trainer.ref_model is None else None
        ends = end_ids(vocabulary(self._tokenizer), [pair for _, pair in prompts])
        with evaluation_mode(model, adapter), trainer.compute_loss_context_manager():
            size, limit = trainer.args.per_device_eval_batch_size, trainer.args.max_length
            return draw_samples(model, prompts, end_ids=ends, batch_size=size, max_length=limit)

    def _score(self, state: Any, *, first: bool = False) -> None:
        """Score the policy as it is now; every process takes part, and the main process stores it."""
        if not self._active or state.global_step == self._last_step:
            return
        self._last_step = state.global_step
        with self.clock.timed("pairs"):
            scores = self._forward.score(self._examples, of_reference=False)
        with self.clock.timed("samples"):
            kept = self._forward.score(self._samples.examples, of_reference=False) if self._samples else []
        with self.clock.timed("writing"):
            self._try_to_write(lambda: self._store(state, scores, kept, first=first))

    def _store(self, state: Any, scores: list[PairScores], kept: list[PairScores], *, first: bool) -> None:
        """Store a step, log its means and give warnings; on the main process alone."""
        run, step = self._run, state.global_step
        assert run is not None
        assert self._alarms is not None
        assert self._trackers is not None
        if step in run.steps():  # where a resumed training begins
            return
        curves = curves_of_history(state.log_history).table(run.series.name)
        source = f"{self._trainer.args.output_dir}/checkpoint-{step}"
        alarms: list[Alarm] = []
        if first:
            alarms += self._alarms.at_start(run.series.beta * largest_difference(scores, self._reference))
        run.add_checkpoint(
            step,
            source,
            scores,
            sample_scores=[side for pair in kept for side in pair],
            curves=curves,
        )
        mass = kept_mass(kept, self._sample_reference) if kept else None
        rewards = {side: {at: run.series.beta * ratio for at, ratio in run.log_ratios(side).items()} for side in SIDES}
        alarms += self._alarms.at_step(step, rewards[CHOSEN], mass)
        run.add_notes([f"step {step}: {alarm.text}" for alarm in alarms])
        self._trackers.log(step, step_means(rewards[CHOSEN][step], rewards[REJECTED][step], mass))
        for alarm in alarms:
            logger.warning("%s", alarm.text)
            self._trackers.alert(alarm)

    def _on_main_process(self, work: Callable[[], Result]) -> Result:
        """Return on every process what ``work`` returns on the main process.

        Raises:
            DPOAnalysisError: ``work`` raised it; every process raises it, so that none waits for another.
        """
        result: list[Any] = [None, None]
        if self._trainer.accelerator.is_main_process:
            try:
                result[0] = work()
            except DPOAnalysisError as error:
                result[1] = error
        broadcast_object_list(result, from_process=0)
        if result[1] is not None:
            raise result[1]
        return result[0]

    def _try_to_write(self, work: Callable[[], None]) -> None:
        """Do ``work`` on the main process; a folder that cannot be written ends the scoring, and not the training."""
        try:
            self._on_main_process(work)
        except DPOAnalysisError as error:
            self._active = False
            if self._trainer.accelerator.is_main_process:
                # what follows the first semicolon is advice to somebody who runs a command
                reason = str(error).partition(";")[0]
                logger.warning("no more token rewards are logged in this training: %s", reason)
