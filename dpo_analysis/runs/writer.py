"""A run folder opened for scoring: planned once, filled part by part, finished with checksums.

Nothing here depends on when or how often the work was interrupted: a part is present whole or missing, and what is
missing is done. Two folders with the same inputs and the same scores are the same bytes, log.jsonl aside.
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
from dpo_analysis.runs.log import append_event
from dpo_analysis.runs.parquet import check_label, read_label, to_bytes
from dpo_analysis.runs.parts import Part, pairs_table, part_path, plan_parts, responses_table, scores_folder
from dpo_analysis.runs.records import Model, NoiseFloor, Series
from dpo_analysis.runs.run import CURVES, NOISE, VOCAB, Run
from dpo_analysis.runs.safe_files import atomic_write, make_dirs, sha256_inside
from dpo_analysis.runs.summaries import store
from dpo_analysis.runs.summaries.pair_sums import inputs_of
from dpo_analysis.text.token_types import Entries

if TYPE_CHECKING:
    from dpo_analysis.data.tokenization import TokenizedPair

ADDITIONS = ("evidence/", "probes/")
TABLES_OF = {"pairs": pairs_table, "responses": responses_table}


class RunWriter:
    """The worker of one shard of a run folder; made by ``open``, a context manager that gives the shard back.

    Attributes:
        path: the run folder.
        models: what this command scores, the reference first.
        parts: the whole plan, the same for every worker.
        part_size: rows per part of the plan.
        shard: this worker's number and the number of workers; part p belongs to worker p % number.
        expected: additions that this command is to write, by path: what they are called, and their part.
        corrected: what of the stored series ``open`` changed as the user said, one line each.
    """

    def __init__(self, path: Path, identity: dict[str, Any], *, models: Sequence[Model], lock: locks.ShardLock) -> None:
        """Hold the lock of one shard; use ``open``."""
        self.path, self.models, self.shard = path, list(models), lock.shard
        self.parts: list[Part] = []
        self.part_size = 0
        self.corrected: list[str] = []
        self.expected: dict[str, tuple[str, int]] = {}
        self._identity, self._identity_hash = identity, manifest.identity_hash(identity)
        self._lock = lock
        self._vocab: pa.Table | None = None
        self._labels: dict[str, dict[str, str]] = {}
        self._there: set[str] = set()

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
        given: Collection[str] = (),
    ) -> "RunWriter":
        """Take one shard of a new run, or of one that is there, and write down the plan.

        Args:
            path: the run folder; made where it is missing.
            identity: JSON-able facts that the numbers depend on; a run with others is refused.
            tokenized: every pair of the run, in order, whatever its status.
            series: the series of the policies; added to those of the run.
            models: the reference first, then policies; added to those of the run.
            part_size: rows of one part; a larger group makes larger parts.
            shard: this worker's number, from 0, and the number of workers.
            vocab: the tokenizer's bytes, in ``schema.VOCAB_SCHEMA``.
            given: the fields of ``Series`` that the user gave in so many words; they correct those of a stored series.

        Raises:
            InputError: other identity, other weights under a known name, no pairs, not a run folder, or workers with
                another count at work.
            RunBusy: another process holds this shard.
            StorageError: the folder cannot be written or is damaged.
        """
        root = Path(path)
        _check_models(models, series)
        if not tokenized:
            raise InputError(f"no pairs to score into {root}: the sources hold no rows; give other PAIRS")
        parts, size = plan_parts(tokenized, part_size)
        checksums.make_root(root)
        with ExitStack() as undo:
            lock = locks.acquire(root, *shard)
            undo.callback(lock.release)
            writer = cls(root, json.loads(manifest.canonical(identity)), models=models, lock=lock)
            writer.parts, writer.part_size, writer._vocab = parts, size, vocab
            writer._plan(series, given)
            undo.pop_all()
        return writer

    def __enter__(self) -> "RunWriter":
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the shard back."""
        self._lock.release()

    def mine(self, model: Model) -> list[Part]:
        """The parts of ``model`` that are this worker's and still missing, in order."""
        folder = scores_folder(model)
        return [part for part in self._own_parts if part_path(folder, part.index) not in self._there]

    @property
    def has_noise(self) -> bool:
        """Whether the noise floor is stored."""
        return checksums.is_present(self.path, NOISE)

    def saved(self) -> str:
        """How much of this worker's share is on disk, in words."""
        total = len(self._own_parts) * len(self.models)
        missing = sum(len(self.mine(model)) for model in self.models)
        return f"{total - missing} of {total} score parts are saved"

    def write_inputs(self) -> None:
        """Write this worker's parts of pairs and responses, and the vocabulary, as far as they are missing.

        Raises:
            StorageError: the disk is full or refuses.
        """
        for part in self._own_parts:
            for folder, table_of in TABLES_OF.items():
                if part_path(folder, part.index) not in self._there:
                    self._put(folder, part_path(folder, part.index), table_of(part))
        if self._vocab is not None and self.shard[0] == 0 and VOCAB not in self._there:
            self._put("vocab", VOCAB, self._vocab.cast(schema.VOCAB_SCHEMA))

    def write_scores(self, model: Model, part: Part, table: pa.Table) -> None:
        """Write one part of one model, whole; from now on it is done.

        Args:
            model: one of ``models``.
            part: one of ``parts``.
            table: ``schema.SCORES_SCHEMA``, one row for each of ``part.keys``, in that order.

        Raises:
            StorageError: the disk is full or refuses.
        """
        assert table.schema.equals(schema.SCORES_SCHEMA), table.schema
        found = zip(*(table[name].to_pylist() for name in ("row", "pair_id", "side")), strict=True)
        assert list(found) == part.keys, f"scores of {model.key}, part {part.index}: not the rows of the plan"
        path = part_path(scores_folder(model), part.index)
        self._put("scores", path, table)
        label = self._labels[path] | {"of": sha256_inside(self.path, path)}
        responses = responses_table(part)
        inputs = inputs_of(pairs_table(part), responses)
        for kind, summed in store.part_tables(table, inputs, responses, self._entries).items():
            self._put_summary(store.part_file(kind, model, part.index), summed, label | store.rules_of(kind))

    def write_noise(self, noise: NoiseFloor) -> None:
        """Store the noise floor; errors as ``write_scores``."""
        values = {"n_pairs": noise.n_pairs, "response": noise.response, "token": noise.token}
        if noise.against != "packing":
            values |= {"against": noise.against}
        self._atomic("noise", NOISE, manifest.canonical(values))

    def write_curves(self, table: pa.Table) -> None:
        """Add trainers' logs: the series in ``table`` replace their stored curves, the others stay.

        The worker of shard 0 writes them, for all.

        Args:
            table: ``schema.CURVES_SCHEMA``.

        Raises:
            StorageError: the disk is full or refuses.
        """
        if self.shard[0] != 0 or not table.num_rows:
            return
        with locks.guard(self.path):
            facts = manifest.load_manifest(self.path)
            stored = Run(self.path, facts).curves()
            merged = _merge_curves(stored, table.cast(schema.CURVES_SCHEMA))
            if stored is not None and stored.equals(merged):
                return
            # The old checksum goes before the file changes, so that no moment shows a wrong one.
            self._store_manifest(checksums.without(facts, [CURVES]), "plan")
            self._put("curves", CURVES, merged)

    def put_addition(self, path: str, table: pa.Table, label: Mapping[str, str]) -> None:
        """Write a file that is no part of the plan, or write it anew, labelled with ``label`` and the run's identity.

        Raises:
            StorageError: the disk is full or refuses.
        """
        data = to_bytes(table, {**label, "identity": self._identity_hash})
        if not checksums.is_present(self.path, path):
            self._atomic("evidence", path, data)
            return
        with locks.guard(self.path):
            # The old checksum goes before the file changes, so that no moment shows a wrong one.
            self._store_manifest(checksums.without(manifest.load_manifest(self.path), [path]), "plan")
            self._atomic("evidence", path, data)

    @property
    def own_parts(self) -> list[Part]:
        """The parts of this worker's share, in order."""
        return self._own_parts

    @property
    def tag(self) -> str:
        """What temporary files of this worker are marked with."""
        return self._lock.tag

    @property
    def identity_hash(self) -> str:
        """The hash of what every number of the run comes from; it stands in the label of every file."""
        return self._identity_hash

    def log(self, event: str, **facts: Any) -> None:
        """Append one runtime fact to log.jsonl, with time, process and shard; it is outside every comparison.

        Raises:
            StorageError: the disk is full or refuses.
        """
        append_event(self.path, event, {"shard": "{}/{}".format(*self.shard)} | facts)

    def finish(self) -> bool:
        """Store the checksum of every file, when nothing is missing; twice does no harm.

        Returns:
            True when the run is finished; False when other workers' parts are still missing (the last one finishes).

        Raises:
            PartialResult: parts of this worker's own share are missing; the message names them.
            StorageError: the disk is full or refuses.
        """
        missing = self._missing()
        own = Counter(key for key, index in missing if index % self.shard[1] == self.shard[0])
        if own:
            names = ", ".join(f"{key} ({count} of {len(self._own_parts)} parts)" for key, count in own.items())
            raise PartialResult(f"unfinished run {self.path}: missing {names[:160]}; run the same command again")
        if missing:
            return False
        known = {record["path"] for record in manifest.load_manifest(self.path)["parts"]}
        # What may be written anew is hashed while nobody can: with the manifest's lock.
        changing = {path for path in checksums.paths(self.path) if path == CURVES or path.startswith(ADDITIONS)}
        entries = checksums.entries(self.path, skip=known | changing)
        with locks.guard(self.path):
            facts = manifest.load_manifest(self.path)
            hashes = {record["path"]: record["sha256"] for record in [*facts["parts"], *entries]}
            merged = store.merge(Run(self.path, facts), hashes, self._put_summary)
            entries = [record for record in entries if record["path"] not in merged]
            self._store_manifest(checksums.completed(self.path, checksums.without(facts, merged), entries), "finish")
            locks.sweep(self.path, self._lock.tag)
        return True

    @cached_property
    def _entries(self) -> Entries:
        return Entries.of(self._vocab)

    @property
    def _own_parts(self) -> list[Part]:
        index, count = self.shard
        return self.parts[index::count]

    def _plan(self, series: Sequence[Series], given: Collection[str]) -> None:
        # Looked at twice: refusals come before a glance at the parts, and the glance, which takes long, needs no lock.
        self._planned(series, given)
        self._labels = self._own_labels()
        self._there = {path for path, label in self._labels.items() if self._is_there(path, label)}
        with locks.guard(self.path):
            locks.sweep(self.path, self._lock.tag)
            facts = self._planned(series, given)
            for model in self.models:
                store.drop(self.path, model, [part.index for part in self.mine(model)])
            listed = [record["path"] for record in facts["parts"]]
            gone = [path for path in listed if not checksums.is_present(self.path, path)]
            self._store_manifest(checksums.without(facts, [*gone, *(self._labels.keys() - self._there)]), "plan")

    def _planned(self, series: Sequence[Series], given: Collection[str]) -> dict[str, Any]:
        """The manifest that is there, or a new one, with this command's series and models."""
        new = self._new_manifest()
        try:
            facts = manifest.load_manifest(self.path)
            manifest.refuse_other_run(self.path, facts, new)
        except FileNotFoundError:
            facts = new
        merged = manifest.merge_series(facts["series"], series, given=given)
        self.corrected = manifest.corrections(facts["series"], merged)
        return facts | {
            "series": merged,
            "models": manifest.merge_models(facts["models"], self.models, scored=self._has_scores),
        }

    def _has_scores(self, model: Model) -> bool:
        return any((self.path / scores_folder(model)).glob("*.parquet"))

    def _new_manifest(self) -> dict[str, Any]:
        pairs = [pair for part in self.parts for pair in part.pairs]
        return {
            "schema_version": schema.SCHEMA_VERSION,
            "identity": self._identity,
            "series": {},
            "models": [],
            "parts": [],
            "n_parts": len(self.parts),
            "n_pairs": len(pairs),
            "part_size": self.part_size,
            "splits": dict(Counter(pair.pair.split for pair in pairs)),
        }

    def _own_labels(self) -> dict[str, dict[str, str]]:
        """Every Parquet file that this worker may have to write, with its label."""
        labels = {VOCAB: {}} if self.shard[0] == 0 else {}
        owners = {folder: {} for folder in TABLES_OF}
        owners |= {scores_folder(model): {"model": model.key, "weights": model.weights} for model in self.models}
        for folder, owner in owners.items():
            labels |= {part_path(folder, part.index): owner | {"part": str(part.index)} for part in self._own_parts}
        return {path: label | {"identity": self._identity_hash} for path, label in labels.items()}

    def _is_there(self, path: str, label: dict[str, str]) -> bool:
        """Whether a file is present with a whole footer; a link, or a file of another run, is refused."""
        if not checksums.is_present(self.path, path):
            return False
        try:
            found, _ = read_label(self.path, path)
        except StorageError:
            self.log("damaged", path=path)
            return False
        check_label(self.path, path, found, label)
        return True

    def _missing(self) -> list[tuple[str, int]]:
        folders = {folder: folder for folder in TABLES_OF}
        folders |= {model.key: scores_folder(model) for model in self.models}
        missing = [
            (key, part.index)
            for key, folder in folders.items()
            for part in self.parts
            if not checksums.is_present(self.path, part_path(folder, part.index))
        ]
        expected = self.expected.items()
        return missing + [(key, index) for path, (key, index) in expected if not checksums.is_present(self.path, path)]

    def _put(self, point: str, path: str, table: pa.Table) -> None:
        label = self._labels.get(path, {"identity": self._identity_hash})
        self._atomic(point, path, to_bytes(table, label))
        self._there.add(path)

    def _put_summary(self, path: str, table: pa.Table, label: dict[str, str]) -> None:
        self._atomic("summary", path, to_bytes(table, label, store.ROW_GROUP))

    def _store_manifest(self, facts: dict[str, Any], point: str) -> None:
        data = manifest.seal(facts)
        path = self.path / manifest.NAME
        if not path.is_file() or path.read_bytes() != data:
            self._atomic(point, manifest.NAME, data)

    def _atomic(self, point: str, path: str, data: bytes | pa.Buffer) -> None:
        folder, _, name = path.rpartition("/")
        try:
            where = make_dirs(self.path, folder) if folder else self.path
            atomic_write(where / name, memoryview(data), point=point, tag=self._lock.tag)
        except StorageError as error:
            raise StorageError(f"{error} ({self.saved()})") from error


def _check_models(models: Sequence[Model], series: Sequence[Series]) -> None:
    assert [model.is_reference for model in models[:1]] == [True], "the reference comes first"
    twice = [key for key, count in Counter(model.key for model in models).items() if count > 1]
    if twice:
        raise InputError(f"model {twice[0]} is given twice: one name is one set of weights; write SERIES/NAME=MODEL")
    unknown = {model.series for model in models[1:]} - {one.name for one in series}
    assert not unknown, f"no series {unknown} for these models"
    for model in models:
        scores_folder(model)


def _merge_curves(stored: pa.Table | None, added: pa.Table) -> pa.Table:
    new = set(added["series"].to_pylist())
    kept = [] if stored is None else [row for row in stored.to_pylist() if row["series"] not in new]
    rows = kept + added.to_pylist()
    rows.sort(key=lambda row: (row["series"], row["split"], row["metric"], row["step"]))
    return pa.Table.from_pylist(rows, schema=schema.CURVES_SCHEMA)
