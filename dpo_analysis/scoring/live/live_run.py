"""The run folder of a training that runs: planned at its begin, and given a checkpoint at every step that is scored.

Only the main process of the training uses it. The weights of a checkpoint are not hashed, as they may lie on several
devices: its token log-probs, which depend on them alone, stand for them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, NoiseFloor, RunWriter, Series, open_run
from dpo_analysis.runs.evidence import probes
from dpo_analysis.runs.evidence.probes import SAMPLES
from dpo_analysis.runs.live.live_lock import TRAINING, LiveLock, hold_live_lock
from dpo_analysis.runs.live.removal import remove_later_models
from dpo_analysis.runs.log import append_event
from dpo_analysis.runs.manifest import MANIFEST_FILE, describe_differences, load_manifest
from dpo_analysis.runs.parts import Part, plan_parts, responses_table
from dpo_analysis.schema import SIDES
from dpo_analysis.scoring.live.score_tables import mean_difference, response_sums, scores_digest, scores_table
from dpo_analysis.scoring.live.trainer_forward import PairScores, SequenceScores
from dpo_analysis.scoring.score_writer import log_note

PART_SIZE = 512
SAME_REFERENCE = {"float32": 1e-4, "16 bits": 2e-2}
"""Mean difference of two scorings of one token, nats, up to which they are of the same reference."""


class LiveRun:
    """The run folder of one training.

    Attributes:
        path: the folder.
        series: the series of this training; its name is decided by ``begin``.
        reference: the reference of the run, known after ``begin``.
    """

    def __init__(
        self,
        path: Path,
        tokenized: Sequence[TokenizedPair],
        vocab: pa.Table,
        identity: Mapping[str, Any],
        series: Series,
    ) -> None:
        """Describe the run; nothing is written.

        Args:
            path: the run folder.
            tokenized: the pairs that are scored.
            vocab: the vocabulary, ``schema.VOCAB_SCHEMA``.
            identity: facts that decide every score, without the reference.
            series: the training.
        """
        self.path, self.series = path, series
        self.reference = Model.reference()
        self._tokenized, self._vocab, self._identity = list(tokenized), vocab, dict(identity)
        self._lock: LiveLock | None = None
        self._samples: Part | None = None

    def begin(
        self, step: int, source: str, scores: Sequence[PairScores], noise: NoiseFloor, facts: Mapping[str, Any]
    ) -> list[str]:
        """Write the plan and the scores of the reference, and return notes on what an earlier training left there.

        A training that begins at step 0 where this series has checkpoints becomes a series of its own. A training that
        is resumed goes on in its series, and checkpoints after ``step`` are removed: it will reach them again.

        Args:
            step: the step at which the training begins.
            source: name of the reference.
            scores: the scores of every pair by the reference.
            noise: the noise floor.
            facts: what the run's log says of this training.

        Raises:
            InputError: the folder holds a run of other pairs or of another reference, or is no run folder.
            StorageError: it cannot be written.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"run folder {self.path} is a file; give the callback another output_dir")
        self.reference = Model.reference(source=source, weights=self._reference_id(scores))
        notes = self._settle_series(step)
        with self._writer([]) as writer:
            writer.write_inputs()
            for part in writer.missing_parts(self.reference):
                writer.write_scores(self.reference, part, self._table(part, scores))
            if not writer.has_noise_floor:
                writer.write_noise_floor(noise)
            writer.log("start", step=step, **facts)
            for note in notes:
                log_note(writer, note)
            writer.finish()
        self._lock = hold_live_lock(self.path, TRAINING)
        return notes

    def rows(self) -> list[tuple[int, TokenizedPair]]:
        """Return row and pair of every pair of the plan."""
        parts = plan_parts(self._tokenized, PART_SIZE)[0]
        return [item for part in parts for item in zip(part.rows, part.pairs, strict=True)]

    def groups(self) -> NDArray[np.int64]:
        """Return the index of each scored pair's prompt, shape (scored pairs,), in the order of the rows."""
        groups = [pair.group_id for _, pair in self.rows() if pair.responses]
        return np.unique(groups, return_inverse=True)[1].astype(np.int64)

    def add_samples(
        self,
        rows: Sequence[int],
        pairs: Sequence[TokenizedPair],
        label: Mapping[str, str],
        scores: Sequence[SequenceScores],
    ) -> None:
        """Store samples of the reference and its scores of them.

        Args:
            rows: the rows of the pairs whose prompts were continued.
            pairs: these pairs, with the samples as responses.
            label: what the samples depend on beside the reference.
            scores: one for each response, in order.
        """
        self._samples = Part(0, list(rows), list(pairs))
        with self._writer([]) as writer:
            probes.store_responses(writer, SAMPLES, self.reference, responses_table(self._samples), label)
            self._write_sample_scores(writer, self.reference, scores)
            writer.finish()

    def add_checkpoint(
        self,
        step: int,
        source: str,
        scores: Sequence[PairScores],
        *,
        sample_scores: Sequence[SequenceScores] = (),
        curves: pa.Table | None = None,
    ) -> None:
        """Store the scores of the policy at a step, and the trainer's log so far.

        Raises:
            StorageError: the folder cannot be written.
        """
        model = Model(self.series.name, f"checkpoint-{step}", step, "loaded", source, scores_digest(scores))
        with self._writer([model]) as writer:
            for part in writer.missing_parts(model):
                writer.write_scores(model, part, self._table(part, scores))
            if sample_scores:
                self._write_sample_scores(writer, model, sample_scores)
            if curves is not None:
                writer.write_curves(curves)
            writer.finish()

    def add_notes(self, notes: Sequence[str]) -> None:
        """Write notes into the log of the run folder."""
        for note in notes:
            append_event(self.path, "note", {"text": note})

    def add_curves(self, curves: pa.Table) -> None:
        """Store the trainer's log so far."""
        with self._writer([]) as writer:
            writer.write_curves(curves)
            writer.finish()

    def steps(self) -> set[int]:
        """Return the steps of this training that are scored."""
        return {model.step for model in self._models() if model.step is not None}

    def log_ratios(self, side: str) -> dict[int, np.ndarray]:
        """Return policy logps - reference logps by step, nats, shape (scored pairs,), in the order of ``groups``."""
        run = open_run(self.path)
        reference = response_sums(run.scores(run.reference), side)
        return {model.step or 0: response_sums(run.scores(model), side) - reference for model in self._models()}

    def end(self) -> None:
        """Give the folder back: pages no longer wait for further checkpoints."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _models(self) -> list[Model]:
        """Return the checkpoints of this training."""
        return [model for model in open_run(self.path).models if model.series == self.series.name]

    def _writer(self, models: Sequence[Model]) -> RunWriter:
        return RunWriter.open(
            self.path,
            identity=self._identity | {"reference": self.reference.weights},
            tokenized=self._tokenized,
            series=[self.series],
            models=[self.reference, *models],
            part_size=PART_SIZE,
            vocab=self._vocab,
        )

    def _reference_id(self, scores: Sequence[PairScores]) -> str:
        """Return what stands for the reference's weights: as in the stored run, if its reference gave the same scores.

        Raises:
            InputError: the stored run is of other pairs, or of another reference.
        """
        new = scores_digest(scores)
        if not (self.path / MANIFEST_FILE).is_file():
            return new
        stored = load_manifest(self.path)["identity"]
        advice = "give the callback another output_dir, or move that folder away"
        difference = describe_differences(
            {name: value for name, value in stored.items() if name != "reference"}, self._identity
        )
        if difference:
            raise InputError(f"run folder {self.path} is of another training: {difference}; {advice}")
        run = open_run(self.path)
        before = run.scores(run.reference)
        if not before.num_rows:
            return str(stored["reference"])
        again = [self._table(part, scores) for part in plan_parts(self._tokenized, PART_SIZE)[0]]
        apart = mean_difference(before, pa.concat_tables(again))
        exact = self._identity["dtype"] == "float32" and self._identity["numerics"] == "default"
        if apart > SAME_REFERENCE["float32" if exact else "16 bits"]:
            raise InputError(
                f"another reference than in run folder {self.path}: its token log-probs differ by {apart:.2g} nats on "
                f"average; a training that goes on from a checkpoint needs the model before training as ref_model; "
                f"or {advice}"
            )
        return str(stored["reference"])

    def _settle_series(self, step: int) -> list[str]:
        """Choose the name of the series, and remove checkpoints that this training will reach again."""
        if not (self.path / MANIFEST_FILE).is_file():
            return []
        steps: dict[str, set[int]] = {name: set() for name in load_manifest(self.path)["series"]}
        for model in open_run(self.path).models:
            steps[model.series].add(model.step or 0)
        base, number = self.series.name, 1
        while (name := base if number == 1 else f"{base}-{number}") in steps:
            next_name = f"{base}-{number + 1}"
            if next_name not in steps and (step > 0 or not max(steps[name], default=0)):
                break
            number += 1
        values = self.series.to_json()
        self.series = Series(name, **values)
        removed = remove_later_models(self.path, name, step if step else -1)
        again = sorted(model.step or 0 for model in removed if (model.step or 0) > step)
        if again:
            listed = ", ".join(map(str, again[:8])) + ("..." if len(again) > 8 else "")
            return [f"{name} was resumed at step {step}: the scores of its steps {listed} are removed and made again"]
        if name != base and not step:
            return [f"this training is called {name}: the folder has a training {base} already"]
        return []

    def _table(self, part: Part, scores: Sequence[PairScores]) -> pa.Table:
        by_pair = {pair.pair.pair_id: found for pair, found in zip(self._tokenized, scores, strict=True)}
        sides = [
            (pair.pair.pair_id, side)
            for pair in part.pairs
            for number, side in enumerate(pair.responses)
            if number == 0 or pair.status != "identical"
        ]
        return scores_table(part, [by_pair[pair_id][SIDES.index(side)] for pair_id, side in sides])

    def _write_sample_scores(self, writer: RunWriter, model: Model, scores: Sequence[SequenceScores]) -> None:
        assert self._samples is not None
        table = scores_table(self._samples, scores)
        probes.store_scores(writer, SAMPLES, self.reference, model, table)
