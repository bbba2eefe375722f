"""A run folder opened for scoring: planned once, filled part by part, finished with checksums.

The result does not depend on when or how often the work was interrupted: a part is present whole or missing, and the
missing parts are scored. Two folders with the same inputs and the same scores have the same bytes, but for log.jsonl
and the lock files.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.errors import InputError, PartialResult, StorageError
from dpo_analysis.runs import checksums, locks, manifest
from dpo_analysis.runs.curves.merge import merge_curves
from dpo_analysis.runs.log import append_event
from dpo_analysis.runs.parquet import check_label, parquet_bytes, read_label
from dpo_analysis.runs.parts import Part, pairs_table, part_path, plan_parts, responses_table, scores_folder
from dpo_analysis.runs.records import Model, NoiseFloor, Series
from dpo_analysis.runs.run import CURVES_FILE, NOISE_FILE, VOCAB_FILE, Run
from dpo_analysis.runs.safe_files import atomic_write, make_dirs, sha256_inside
from dpo_analysis.runs.summaries import store
from dpo_analysis.runs.summaries.pair_sums import pair_index_table
from dpo_analysis.text.token_types import TokenTypes

if TYPE_CHECKING:
    from dpo_analysis.data.tokenization import TokenizedPair

ADDITION_FOLDERS = ("evidence/", "probes/")
"""Folders whose files may be written anew after the run is finished."""
INPUT_TABLES = {"pairs": pairs_table, "responses": responses_table}
"""The folders with a table of each part that no model is needed for, and how the table is made."""


class RunWriter:
    """Writes the parts of a shard into a run folder; made by ``open``, a context manager that gives the shard back.

    Attributes:
        path: the run folder.
        models: the models that this command scores, the reference first.
        parts: all parts of the plan, the same for every worker.
        part_size: rows per part of the plan.
        shard: number of this worker, from 0, and number of workers; part p belongs to worker p % number of workers.
        expected: the additions that this command is to write, by path: their name in messages, and their part.
        corrected: the fields of stored series that ``open`` changed because the user gave them, a line each.
    """

    def __init__(self, path: Path, identity: dict[str, Any], *, models: Sequence[Model], lock: locks.ShardLock) -> None:
        """Make a writer that holds ``lock``; use ``open``."""
        self.path, self.models, self.shard = path, list(models), lock.shard
        self.parts: list[Part] = []
        self.part_size = 0
        self.corrected: list[str] = []
        self.expected: dict[str, tuple[str, int]] = {}
        self._identity, self._identity_hash = identity, manifest.identity_hash(identity)
        self._lock = lock
        self._vocab: pa.Table | None = None
        self._labels: dict[str, dict[str, str]] = {}
        self._present: set[str] = set()

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        identity: dict[str, Any],
        tokenized: "Sequence[TokenizedPair]",
        series: Sequence[Series],
        models: Sequence[Model],
        part_size: int = 512,
        shard: tuple[int, int] = (0, 1),
        vocab: pa.Table | None = None,
        explicit: Collection[str] = (),
    ) -> "RunWriter":
        """Take a shard of a new or an existing run and write the plan into the manifest.

        Args:
            path: the run folder; made where it is missing.
            identity: the facts that the scores depend on, as JSON; a run with another identity is refused.
            tokenized: every pair of the run, in order, whatever its status.
            series: the series of the policies; added to those of the run.
            models: the reference first, then policies; added to those of the run.
            part_size: rows of a part; a larger group makes larger parts.
            shard: number of this worker, from 0, and number of workers.
            vocab: the bytes of every token id, in ``schema.VOCAB_SCHEMA``.
            explicit: the fields of ``Series`` that the user gave; they correct those of a stored series.

        Raises:
            InputError: the run has another identity, or other weights under the same name; there are no pairs; ``path``
                is no run folder; or workers with another count are at work.
            RunBusy: another process holds this shard.
            StorageError: the folder cannot be written or is damaged.
        """
        root = Path(path)
        _check_models(models, series)
        if not tokenized:
            raise InputError(f"no pairs to score into {root}: the sources hold no rows; give other PAIRS")
        parts, size = plan_parts(tokenized, part_size)
        checksums.make_run_folder(root)
        with ExitStack() as undo:
            lock = locks.acquire(root, *shard)
            undo.callback(lock.release)
            writer = cls(root, json.loads(manifest.canonical_json(identity)), models=models, lock=lock)
            writer.parts, writer.part_size, writer._vocab = parts, size, vocab
            writer._plan_run(series, explicit)
            undo.pop_all()
        return writer

    def __enter__(self) -> "RunWriter":
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the shard back."""
        self._lock.release()

    def missing_parts(self, model: Model) -> list[Part]:
        """Return the parts of this worker's shard that have no scores of ``model`` yet, in order."""
        folder = scores_folder(model)
        return [part for part in self.shard_parts if part_path(folder, part.index) not in self._present]

    @property
    def has_noise_floor(self) -> bool:
        """Whether the run has its noise floor."""
        return checksums.is_plain_file(self.path, NOISE_FILE)

    def saved_share(self) -> str:
        """Return how many score parts of this worker's shard are on disk, in words for a message."""
        total = len(self.shard_parts) * len(self.models)
        missing = sum(len(self.missing_parts(model)) for model in self.models)
        return f"{total - missing} of {total} score parts are saved"

    def write_inputs(self) -> None:
        """Write the missing parts of pairs and responses of this worker's shard, and the vocabulary.

        Raises:
            StorageError: the disk is full or refuses.
        """
        for part in self.shard_parts:
            for folder, make_table in INPUT_TABLES.items():
                if part_path(folder, part.index) not in self._present:
                    self._write_table(folder, part_path(folder, part.index), make_table(part))
        if self._vocab is not None and self.shard[0] == 0 and VOCAB_FILE not in self._present:
            self._write_table("vocab", VOCAB_FILE, self._vocab.cast(schema.VOCAB_SCHEMA))

    def write_scores(self, model: Model, part: Part, table: pa.Table) -> None:
        """Write the scores of a part under ``model``, and their summaries.

        Args:
            model: one of ``models``.
            part: one of ``parts``.
            table: the scores in ``schema.SCORES_SCHEMA``: a row for each of ``part.keys``, in that order.

        Raises:
            StorageError: the disk is full or refuses.
        """
        assert table.schema.equals(schema.SCORES_SCHEMA), table.schema
        keys = zip(*(table[name].to_pylist() for name in ("row", "pair_id", "side")), strict=True)
        assert list(keys) == part.keys, f"scores of {model.key}, part {part.index}: not the rows of the plan"
        path = part_path(scores_folder(model), part.index)
        self._write_table("scores", path, table)
        label = self._labels[path] | {"of": sha256_inside(self.path, path)}
        responses = responses_table(part)
        pair_index = pair_index_table(pairs_table(part), responses)
        for kind, summed in store.part_summaries(table, pair_index, responses, self._token_types).items():
            self._write_summary(
                store.part_summary_path(kind, model, part.index), summed, label | store.rules_label(kind)
            )

    def write_noise_floor(self, noise: NoiseFloor) -> None:
        """Write the noise floor; raises what ``write_scores`` raises."""
        values = {"n_pairs": noise.n_pairs, "response": noise.response, "token": noise.token}
        if noise.against != "packing":
            values |= {"against": noise.against}
        self._write_file("noise", NOISE_FILE, manifest.canonical_json(values))

    def write_curves(self, table: pa.Table) -> None:
        """Add the logs of trainers; series that are in ``table`` replace their stored logs, other series keep theirs.

        Only the worker of shard 0 writes them; a call of any other worker does nothing.

        Args:
            table: the logs in ``schema.CURVES_SCHEMA``.

        Raises:
            StorageError: the disk is full or refuses.
        """
        if self.shard[0] != 0 or not table.num_rows:
            return
        with locks.guard(self.path):
            content = manifest.load_manifest(self.path)
            stored = Run(self.path, content).curves()
            merged = merge_curves(stored, table)
            if stored is not None and stored.equals(merged):
                return
            # The old checksum goes before the file changes, so that no moment shows a wrong one.
            self._write_manifest(checksums.without_files(content, [CURVES_FILE]), "plan")
            self._write_table("curves", CURVES_FILE, merged)

    def write_addition(self, path: str, table: pa.Table, label: Mapping[str, str]) -> None:
        """Write a file that is not in the plan, or replace it; its label is ``label`` and the identity of the run.

        Raises:
            StorageError: the disk is full or refuses.
        """
        data = parquet_bytes(table, {**label, "identity": self._identity_hash})
        if not checksums.is_plain_file(self.path, path):
            self._write_file("evidence", path, data)
            return
        with locks.guard(self.path):
            # The old checksum goes before the file changes, so that no moment shows a wrong one.
            self._write_manifest(checksums.without_files(manifest.load_manifest(self.path), [path]), "plan")
            self._write_file("evidence", path, data)

    @property
    def shard_parts(self) -> list[Part]:
        """The parts of this worker's shard, in order."""
        index, count = self.shard
        return self.parts[index::count]

    @property
    def tag(self) -> str:
        """The mark of this worker in the names of its temporary files."""
        return self._lock.tag

    @property
    def identity_hash(self) -> str:
        """The sha256 of the identity, 64 hex digits, which is in the label of every file."""
        return self._identity_hash

    def log(self, event: str, **facts: Any) -> None:
        """Append an event to log.jsonl, with the time, the process and the shard.

        Raises:
            StorageError: the disk is full or refuses.
        """
        append_event(self.path, event, {"shard": "{}/{}".format(*self.shard)} | facts)

    def finish(self) -> bool:
        """Write the checksum of every file into the manifest if no part is missing; twice does no harm.

        Returns:
            True when the run is finished; False while parts of other workers are missing: the last worker finishes.

        Raises:
            PartialResult: parts of this worker's shard are missing; the message names them.
            StorageError: the disk is full or refuses.
        """
        missing = self._missing_files()
        in_shard = Counter(key for key, index in missing if index % self.shard[1] == self.shard[0])
        if in_shard:
            names = ", ".join(f"{key} ({count} of {len(self.shard_parts)} parts)" for key, count in in_shard.items())
            raise PartialResult(f"unfinished run {self.path}: missing {names[:160]}; run the same command again")
        if missing:
            return False
        listed = {record["path"] for record in manifest.load_manifest(self.path)["parts"]}
        # Files that another worker may write anew are hashed with the manifest's lock held.
        changing = {
            path
            for path in checksums.listed_paths(self.path)
            if path == CURVES_FILE or path.startswith(ADDITION_FOLDERS)
        }
        records = checksums.file_records(self.path, skip=listed | changing)
        with locks.guard(self.path):
            content = manifest.load_manifest(self.path)
            hashes = {record["path"]: record["sha256"] for record in [*content["parts"], *records]}
            merged = store.merge_summaries(Run(self.path, content), hashes, self._write_summary)
            records = [record for record in records if record["path"] not in merged]
            content = checksums.with_all_files(self.path, checksums.without_files(content, merged), records)
            self._write_manifest(content, "finish")
            locks.sweep(self.path, self._lock.tag)
        return True

    def correct_series(self, series: Sequence[Series], fields: Collection[str]) -> None:
        """Write fields of series into the manifest that were not known when the run was planned; no score changes.

        Raises:
            StorageError: the disk is full or refuses.
        """
        with locks.guard(self.path):
            content = manifest.load_manifest(self.path)
            merged = manifest.merge_series(content["series"], series, explicit=fields)
            self._write_manifest(content | {"series": merged}, "plan")

    @cached_property
    def _token_types(self) -> TokenTypes:
        return TokenTypes.of(self._vocab)

    def _plan_run(self, series: Sequence[Series], explicit: Collection[str]) -> None:
        """Find the files that are present, and write the plan into the manifest."""
        # Planned twice: a refusal comes before the files are read, and reading them, which takes long, needs no lock.
        self._planned_manifest(series, explicit)
        self._labels = self._shard_labels()
        self._present = {path for path, label in self._labels.items() if self._is_whole(path, label)}
        with locks.guard(self.path):
            locks.sweep(self.path, self._lock.tag)
            content = self._planned_manifest(series, explicit)
            for model in self.models:
                store.remove_summaries(self.path, model, [part.index for part in self.missing_parts(model)])
            listed = [record["path"] for record in content["parts"]]
            gone = [path for path in listed if not checksums.is_plain_file(self.path, path)]
            missing = [*gone, *(self._labels.keys() - self._present)]
            self._write_manifest(checksums.without_files(content, missing), "plan")

    def _planned_manifest(self, series: Sequence[Series], explicit: Collection[str]) -> dict[str, Any]:
        """Return the stored manifest, or a new one, with the series and models of this command added."""
        new = manifest.new_manifest(self._identity, self.parts, self.part_size)
        try:
            content = manifest.load_manifest(self.path)
            manifest.refuse_other_run(self.path, content, new)
        except FileNotFoundError:
            content = new
        merged = manifest.merge_series(content["series"], series, explicit=explicit)
        self.corrected = manifest.corrections(content["series"], merged)
        return content | {
            "series": merged,
            "models": manifest.merge_models(content["models"], self.models, scored=self._has_scores),
        }

    def _has_scores(self, model: Model) -> bool:
        return any((self.path / scores_folder(model)).glob("*.parquet"))

    def _shard_labels(self) -> dict[str, dict[str, str]]:
        """Return the path and the label of every Parquet file that this worker may have to write."""
        labels = {VOCAB_FILE: {}} if self.shard[0] == 0 else {}
        folders = {folder: {} for folder in INPUT_TABLES}
        folders |= {scores_folder(model): {"model": model.key, "weights": model.weights} for model in self.models}
        for folder, label in folders.items():
            labels |= {part_path(folder, part.index): label | {"part": str(part.index)} for part in self.shard_parts}
        return {path: label | {"identity": self._identity_hash} for path, label in labels.items()}

    def _is_whole(self, path: str, label: dict[str, str]) -> bool:
        """Return whether a file exists and its footer is whole; a link or a file of another run is refused."""
        if not checksums.is_plain_file(self.path, path):
            return False
        try:
            file_label, _ = read_label(self.path, path)
        except StorageError:
            self.log("damaged", path=path)
            return False
        check_label(self.path, path, file_label, label)
        return True

    def _missing_files(self) -> list[tuple[str, int]]:
        """Return name and part of every file that is missing in the whole run, the shards of others included."""
        folders = {folder: folder for folder in INPUT_TABLES}
        folders |= {model.key: scores_folder(model) for model in self.models}
        missing = [
            (key, part.index)
            for key, folder in folders.items()
            for part in self.parts
            if not checksums.is_plain_file(self.path, part_path(folder, part.index))
        ]
        expected = self.expected.items()
        return missing + [
            (key, index) for path, (key, index) in expected if not checksums.is_plain_file(self.path, path)
        ]

    def _write_table(self, point: str, path: str, table: pa.Table) -> None:
        label = self._labels.get(path, {"identity": self._identity_hash})
        self._write_file(point, path, parquet_bytes(table, label))
        self._present.add(path)

    def _write_summary(self, path: str, table: pa.Table, label: dict[str, str]) -> None:
        self._write_file("summary", path, parquet_bytes(table, label, store.ROW_GROUP))

    def _write_manifest(self, content: dict[str, Any], point: str) -> None:
        data = manifest.manifest_bytes(content)
        path = self.path / manifest.MANIFEST_FILE
        if not path.is_file() or path.read_bytes() != data:
            self._write_file(point, manifest.MANIFEST_FILE, data)

    def _write_file(self, point: str, path: str, data: bytes | pa.Buffer) -> None:
        folder, _, name = path.rpartition("/")
        try:
            parent = make_dirs(self.path, folder) if folder else self.path
            atomic_write(parent / name, memoryview(data), point=point, tag=self._lock.tag)
        except StorageError as error:
            raise StorageError(f"{error} ({self.saved_share()})") from error


def _check_models(models: Sequence[Model], series: Sequence[Series]) -> None:
    assert [model.is_reference for model in models[:1]] == [True], "the reference comes first"
    twice = [key for key, count in Counter(model.key for model in models).items() if count > 1]
    if twice:
        raise InputError(f"model {twice[0]} is given twice: one name is one set of weights; write SERIES/NAME=MODEL")
    unknown = {model.series for model in models[1:]} - {record.name for record in series}
    assert not unknown, f"no series {unknown} for these models"
    for model in models:
        scores_folder(model)
