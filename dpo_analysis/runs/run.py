"""A run folder opened for reading: pairs, responses, scores, curves; nothing is written and no model is loaded."""

import os
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.errors import InputError, StorageError, counted
from dpo_analysis.runs.evidence.kinds import evidence_folder, evidence_label
from dpo_analysis.runs.log import read_events
from dpo_analysis.runs.manifest import NAME, identity_hash, load_manifest, read_json, read_records
from dpo_analysis.runs.parquet import read_table
from dpo_analysis.runs.parts import PART_FILE, part_path, scores_folder
from dpo_analysis.runs.records import Model, NoiseFloor
from dpo_analysis.runs.safe_files import reading, sha256_inside

IMPORTED = "import"
"""What the identity of a run that was imported from sums gives as its source."""
VOCAB, NOISE, CURVES = "vocab.parquet", "noise.json", "training/curves.parquet"


def open_run(path: str | Path) -> "Run":
    """Open a run folder, finished or still being scored.

    Raises:
        InputError: no such folder, not a run folder, or one of a newer version.
        StorageError: its manifest is damaged.
    """
    root = Path(path)
    check_folder(root)
    try:
        return Run(root, load_manifest(root))
    except FileNotFoundError:
        raise InputError(
            f"{root} is not a run folder: it has no {NAME}; give the folder that score wrote (--out)"
        ) from None


def check_folder(path: Path) -> None:
    """Pass when ``path`` is a folder.

    Raises:
        InputError: it is a file, or nothing.
    """
    if not path.is_dir():
        why = "it is a file" if path.exists() else "there is no such folder"
        raise InputError(f"no run folder {path}: {why}; give the folder that score wrote (--out)")


class Run:
    """One dataset, one reference and any number of policies, scored; made by ``open_run``.

    Missing parts are simply absent from every table: what is present when a method is called is what it reads.

    Attributes:
        path: the folder.
        manifest: manifest.json as it was when the run was opened.
        identity: the inputs that every part of this run comes from.
        series: the training runs by name.
        models: the policies, sorted by series, step (unknown last) and name.
        reference: the reference model.
        part_size: rows per part; a row lies in part row // part_size.
        n_parts: parts of the plan.
        n_pairs: pairs of the plan, whatever their status.
        splits: the names of the splits, sorted.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        """Take a loaded manifest; use ``open_run``."""
        self.path = path
        self.manifest = manifest
        self.identity: dict[str, Any] = manifest["identity"]
        self.series, models = read_records(manifest)
        self.models = [model for model in models if not model.is_reference]
        self.reference = next(model for model in models if model.is_reference)
        self.part_size: int = manifest["part_size"]
        self.n_parts: int = manifest["n_parts"]
        self.n_pairs: int = manifest["n_pairs"]
        self.splits = sorted(manifest["splits"])
        self._identity_hash = identity_hash(self.identity)

    def __repr__(self) -> str:
        """The folder and what is in it."""
        return f"Run({str(self.path)!r}: {counted(self.n_pairs, 'pair')}, {counted(len(self.models), 'policy')})"

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    @property
    def identity_hash(self) -> str:
        """The identity's hash, which stands in the label of every part."""
        return self._identity_hash

    @property
    def hashes(self) -> dict[str, str]:
        """The sha256 of every file, by path, as far as the manifest knew them when the run was opened."""
        return self._checksums

    def pairs(
        self, part: int | None = None, columns: Sequence[str] | None = None, rows: Collection[int] | None = None
    ) -> pa.Table:
        """The pairs of one part, or of all that are present, in ``schema.PAIRS_SCHEMA``, by row.

        With ``rows``, only what lies near those rows is read.

        Raises:
            StorageError: a part is damaged or of another run.
        """
        return self._read("pairs", schema.PAIRS_SCHEMA, part, columns, rows=rows)

    def responses(
        self, part: int | None = None, columns: Sequence[str] | None = None, rows: Collection[int] | None = None
    ) -> pa.Table:
        """The token ids of both sides, in ``schema.RESPONSES_SCHEMA``, by row and side; errors as ``pairs``.

        With ``rows``, only what lies near those rows is read.
        """
        return self._read("responses", schema.RESPONSES_SCHEMA, part, columns, rows=rows)

    def scores(
        self,
        model: Model | str,
        part: int | None = None,
        columns: Sequence[str] | None = None,
        rows: Collection[int] | None = None,
    ) -> pa.Table:
        """What ``model`` says about every scored response, in ``schema.SCORES_SCHEMA``, by row and side.

        Args:
            model: one of ``models``, ``reference``, or a key such as "gentle/checkpoint-100".
            part: one part, or None for all that are present.
            columns: only these.
            rows: only what lies near these rows is read.

        Raises:
            InputError: no such model in this run.
            StorageError: a part is damaged, or of another run or other weights.
        """
        found = self.model(model)
        label = {"model": found.key, "weights": found.weights}
        return self._read(scores_folder(found), schema.SCORES_SCHEMA, part, columns, label, rows)

    def evidence(
        self,
        kind: str,
        model: Model | str,
        part: int | None = None,
        columns: Sequence[str] | None = None,
        rows: Collection[int] | None = None,
    ) -> pa.Table:
        """What was collected of a sample of pairs, in ``schema.EVIDENCE_SCHEMAS[kind]``, by row; empty where nothing.

        Args:
            kind: ``topk`` or ``kl`` (one row per response, policies only), or ``hidden`` (one row per pair).
            model: one of ``models``, ``reference``, or a key.
            part: one part, or None for all that are present.
            columns: only these.
            rows: only what lies near these rows is read.

        Raises:
            InputError: no such kind, or no such model in this run.
            StorageError: a part is damaged, or of another run or other weights.
        """
        if kind not in schema.EVIDENCE_SCHEMAS:
            raise InputError(f"no evidence {kind!r}: there is {', '.join(schema.EVIDENCE_SCHEMAS)}; give one of these")
        found = self.model(model)
        folder, label = evidence_folder(kind, found), evidence_label(kind, found)
        return self._read(folder, schema.EVIDENCE_SCHEMAS[kind], part, columns, label, rows)

    def model(self, model: Model | str) -> Model:
        """The model with this key ("series/name" or "reference").

        Raises:
            InputError: this run has none.
        """
        key = model if isinstance(model, str) else model.key
        for known in [self.reference, *self.models]:
            if known.key == key:
                return known
        names = ", ".join(known.key for known in self.models[:5])
        raise InputError(f"no model {key!r} in run {self.path}: it has {names or 'no policies'}; give one of these")

    def vocab(self) -> pa.Table | None:
        """The bytes of every token id, in ``schema.VOCAB_SCHEMA``; None where they were not stored."""
        return self._optional(VOCAB, schema.VOCAB_SCHEMA)

    def curves(self) -> pa.Table | None:
        """The trainers' own logs, in ``schema.CURVES_SCHEMA``; None where none was imported."""
        return self._optional(CURVES, schema.CURVES_SCHEMA)

    @property
    def noise_floor(self) -> NoiseFloor | None:
        """How far two scorings of the reference differ, nats; None where it was not measured."""
        self.check_files([NOISE])
        try:
            return NoiseFloor.from_json(read_json(self.path, NOISE))
        except FileNotFoundError:
            return None
        except AttributeError:
            raise StorageError(f"damaged {self.path / NOISE}: no JSON object; delete it and score again") from None

    def check_files(self, paths: Iterable[str]) -> None:
        """Pass when every byte of these files is as it was written, as far as the manifest knows their sha256.

        Reading a part checks its pages alone; this reads each file whole.

        Raises:
            StorageError: the first that has other bytes.
        """
        sums = self._checksums
        for path in paths:
            try:
                found = sha256_inside(self.path, path) if path in sums else None
            except FileNotFoundError:
                continue
            # A worker may have written the file anew since this run was opened, and the manifest with it.
            if found and found != sums[path] and found != _checksums(load_manifest(self.path)).get(path, found):
                raise StorageError(
                    f"damaged {self.path / path}: its sha256 is not the manifest's; delete this file and run the same "
                    "score command again"
                )

    def parts_done(self, model: Model | str) -> list[int]:
        """The parts of ``model`` that are present, sorted."""
        return self._present(scores_folder(self.model(model)))

    def progress(self) -> dict[str, tuple[int, int]]:
        """Parts present and parts planned, by model key, the reference first."""
        return {model.key: (len(self.parts_done(model)), self.n_parts) for model in [self.reference, *self.models]}

    @property
    def has_tokens(self) -> bool:
        """Whether log-probs are there by token: not in a run that was imported from sums."""
        return self.identity.get("source") != IMPORTED

    @property
    def is_complete(self) -> bool:
        """Whether every part of the pairs and of every model is present."""
        inputs = [len(self._present(folder)) for folder in ("pairs", "responses")]
        return all(done == self.n_parts for done in inputs + [done for done, _ in self.progress().values()])

    def log(self) -> list[dict[str, Any]]:
        """What happened while scoring, oldest first: the lines of log.jsonl; a torn last line is left out."""
        return read_events(self.path)

    @cached_property
    def _checksums(self) -> dict[str, str]:
        return _checksums(self.manifest)

    def _present(self, folder: str) -> list[int]:
        try:
            with reading(self.path / folder), os.scandir(self.path / folder) as entries:
                matches = [PART_FILE.fullmatch(entry.name) for entry in entries]
        except FileNotFoundError:
            return []
        return sorted(index for index in (int(match[1]) for match in matches if match) if index < self.n_parts)

    def _read(
        self,
        folder: str,
        table_schema: pa.Schema,
        part: int | None,
        columns: Sequence[str] | None,
        label: dict[str, str] | None = None,
        rows: Collection[int] | None = None,
    ) -> pa.Table:
        tables = []
        for index in self._present(folder) if part is None else [part]:
            expected = {"identity": self._identity_hash, "part": str(index), **(label or {})}
            try:
                path = part_path(folder, index)
                tables.append(read_table(self.path, path, table_schema, columns=columns, label=expected, rows=rows))
            except FileNotFoundError:
                continue
        names = table_schema.names if columns is None else columns
        empty = pa.schema([table_schema.field(name) for name in names]).empty_table()
        return pa.concat_tables([empty, *tables])

    def _optional(self, path: str, table_schema: pa.Schema) -> pa.Table | None:
        self.check_files([path])
        try:
            return read_table(self.path, path, table_schema, label={"identity": self._identity_hash})
        except FileNotFoundError:
            return None


def _checksums(manifest: dict[str, Any]) -> dict[str, str]:
    return {record["path"]: record["sha256"] for record in manifest["parts"]}
