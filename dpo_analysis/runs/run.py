"""A run folder opened for reading: pairs, responses, scores, curves; reading writes nothing and loads no model."""

import os
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.errors import DPOAnalysisError, InputError, StorageError, counted
from dpo_analysis.runs.evidence.kinds import evidence_folder, evidence_label
from dpo_analysis.runs.log import read_events
from dpo_analysis.runs.manifest import MANIFEST_FILE, identity_hash, load_manifest, read_json, read_records
from dpo_analysis.runs.parquet import read_table
from dpo_analysis.runs.parts import PART_FILE, part_path, scores_folder
from dpo_analysis.runs.records import Model, NoiseFloor, Series
from dpo_analysis.runs.safe_files import known_sha256, reading

IMPORTED = "import"
"""The ``source`` in the identity of a run that was imported from summed log-probs."""
LOGGED = "log"
"""The ``source`` in the identity of a run that holds training logs alone."""
MAX_NAMED_MODELS = 20
"""Models that the message about an unknown name lists."""
INPUT_FOLDERS = ("pairs", "responses")
VOCAB_FILE, NOISE_FILE, CURVES_FILE = "vocab.parquet", "noise.json", "training/curves.parquet"


def open_run(path: str | Path) -> "Run":
    """Open a run folder, finished or still being scored.

    Raises:
        InputError: there is no such folder, it is no run folder, or a newer version wrote it.
        StorageError: its manifest is damaged.
    """
    root = Path(path)
    check_folder(root)
    try:
        return Run(root, load_manifest(root))
    except FileNotFoundError:
        raise InputError(
            f"{root} is not a run folder: it has no {MANIFEST_FILE}; give the folder that score wrote (--out)"
        ) from None


def stored_series(path: str | Path) -> dict[str, Series]:
    """Return the series of an existing run folder by name; empty where there is none, or none that can be opened."""
    try:
        return open_run(path).series
    except DPOAnalysisError:
        return {}


def check_folder(path: Path) -> None:
    """Check that ``path`` is a folder.

    Raises:
        InputError: it is a file, or does not exist.
    """
    if not path.is_dir():
        why = "it is a file" if path.exists() else "there is no such folder"
        raise InputError(f"no run folder {path}: {why}; give the folder that score wrote (--out)")


class Run:
    """The scores of a reference and any number of policies on the same pairs; made by ``open_run``.

    A method reads the parts that are present when it is called; parts that are missing have no rows in its result.

    Attributes:
        path: the run folder.
        manifest: manifest.json as it was when the run was opened.
        identity: the inputs that every part of this run depends on.
        series: the training runs by name.
        models: the policies, sorted by series, step (unknown last) and name.
        reference: the reference model.
        part_size: rows per part; a row is in part row // part_size.
        n_parts: number of parts of the plan.
        n_pairs: number of pairs of the plan, whatever their status.
        splits: the names of the splits, sorted.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        """Make a run of a folder and its manifest; use ``open_run``."""
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
        self._noise_floor: NoiseFloor | None = None

    def __repr__(self) -> str:
        """The folder, the number of pairs and the number of policies."""
        return f"Run({str(self.path)!r}: {counted(self.n_pairs, 'pair')}, {counted(len(self.models), 'policy')})"

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return self.path.resolve().name

    @property
    def identity_hash(self) -> str:
        """The sha256 of the identity, 64 hex digits, which is in the label of every part."""
        return self._identity_hash

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The sha256 of the files by path, as far as the manifest had them when the run was opened."""
        return _hashes_by_path(self.manifest)

    def pairs(
        self, part: int | None = None, columns: Sequence[str] | None = None, rows: Collection[int] | None = None
    ) -> pa.Table:
        """Return the pairs in ``schema.PAIRS_SCHEMA``, by row.

        Args:
            part: a single part; None for all that are present.
            columns: only these columns; None for all.
            rows: read only the row groups that may hold these rows; the result has all rows of those groups.

        Raises:
            StorageError: a part is damaged or of another run.
        """
        return self._read_parts("pairs", schema.PAIRS_SCHEMA, part, columns, rows=rows)

    def responses(
        self, part: int | None = None, columns: Sequence[str] | None = None, rows: Collection[int] | None = None
    ) -> pa.Table:
        """Return the token ids of both sides in ``schema.RESPONSES_SCHEMA``, by row and side.

        Arguments and errors are those of ``pairs``.
        """
        return self._read_parts("responses", schema.RESPONSES_SCHEMA, part, columns, rows=rows)

    def scores(
        self,
        model: Model | str,
        part: int | None = None,
        columns: Sequence[str] | None = None,
        rows: Collection[int] | None = None,
    ) -> pa.Table:
        """Return the scores of every scored response under ``model`` in ``schema.SCORES_SCHEMA``, by row and side.

        Args:
            model: a model of the run, or a key such as "gentle/checkpoint-100" or "reference".
            part: a single part; None for all that are present.
            columns: only these columns; None for all.
            rows: read only the row groups that may hold these rows; the result has all rows of those groups.

        Raises:
            InputError: the run has no such model.
            StorageError: a part is damaged, or of another run or other weights.
        """
        model = self.model(model)
        label = {"model": model.key, "weights": model.weights}
        return self._read_parts(scores_folder(model), schema.SCORES_SCHEMA, part, columns, label, rows)

    def evidence(
        self,
        kind: str,
        model: Model | str,
        part: int | None = None,
        columns: Sequence[str] | None = None,
        rows: Collection[int] | None = None,
    ) -> pa.Table:
        """Return the evidence of a sample of pairs in ``schema.EVIDENCE_SCHEMAS[kind]``, by row; empty if none.

        Args:
            kind: ``topk`` or ``kl`` (a row per response, policies only), or ``hidden`` (a row per pair).
            model: a model of the run, or its key.
            part: a single part; None for all that are present.
            columns: only these columns; None for all.
            rows: read only the row groups that may hold these rows; the result has all rows of those groups.

        Raises:
            InputError: there is no such kind, or the run has no such model.
            StorageError: a part is damaged, or of another run or other weights.
        """
        if kind not in schema.EVIDENCE_SCHEMAS:
            raise InputError(f"no evidence {kind!r}: there is {', '.join(schema.EVIDENCE_SCHEMAS)}; give one of these")
        model = self.model(model)
        folder, label = evidence_folder(kind, model), evidence_label(kind, model)
        return self._read_parts(folder, schema.EVIDENCE_SCHEMAS[kind], part, columns, label, rows)

    def model(self, model: Model | str) -> Model:
        """Return the model of this run with this key ("series/name" or "reference").

        Raises:
            InputError: the run has no such model.
        """
        key = model if isinstance(model, str) else model.key
        for candidate in [self.reference, *self.models]:
            if candidate.key == key:
                return candidate
        shown = [candidate.key for candidate in self.models[:MAX_NAMED_MODELS]]
        more = ", ..." if len(self.models) > len(shown) else ""
        names = ", ".join(shown) + more
        raise InputError(f"no model {key!r} in run {self.path}: it has {names or 'no policies'}; give one of these")

    def vocab(self) -> pa.Table | None:
        """Return the bytes of every token id in ``schema.VOCAB_SCHEMA``; None where the run stores no vocabulary.

        Raises:
            StorageError: the vocabulary is damaged.
        """
        return self._read_optional(VOCAB_FILE, schema.VOCAB_SCHEMA)

    def curves(self) -> pa.Table | None:
        """Return the logs of the trainers in ``schema.CURVES_SCHEMA``; None where no log was imported.

        Raises:
            StorageError: the logs are damaged.
        """
        return self._read_optional(CURVES_FILE, schema.CURVES_SCHEMA)

    @property
    def noise_floor(self) -> NoiseFloor | None:
        """The largest difference between two scorings of the reference, nats; None where it was not measured.

        Its file is hashed and read at the first access; a missing or a damaged file is looked for again.

        Raises:
            StorageError: the file is damaged.
        """
        if self._noise_floor is None:
            self._noise_floor = self._read_noise_floor()
        return self._noise_floor

    def _read_noise_floor(self) -> NoiseFloor | None:
        self.check_files([NOISE_FILE])
        try:
            return NoiseFloor.from_json(read_json(self.path, NOISE_FILE))
        except FileNotFoundError:
            return None
        except AttributeError:
            raise StorageError(f"damaged {self.path / NOISE_FILE}: no JSON object; delete it and score again") from None

    def check_files(self, paths: Iterable[str]) -> None:
        """Check these files against the sha256 that the manifest has of them; files without a sha256 pass.

        Every method that reads a file calls this first: what a Parquet file checks by itself, each page that is read,
        leaves out its footer. A file is hashed once by a process, while its size and times stay the same.

        Raises:
            StorageError: a file has other bytes, or pairs or responses that the manifest lists are missing; the message
                names the first.
        """
        for path in paths:
            expected = self.hashes.get(path)
            try:
                digest = known_sha256(self.path, path) if expected is not None else None
            except FileNotFoundError:
                self._refuse_missing(path)
                continue
            # A worker may have written the file anew since this run was opened, and the manifest with it.
            if digest != expected and digest != _hashes_by_path(load_manifest(self.path)).get(path, digest):
                raise StorageError(
                    f"damaged {self.path / path}: its sha256 is not the manifest's; delete this file and run the same "
                    "score command again"
                )

    def _refuse_missing(self, path: str) -> None:
        """Check that a missing file is none that every table needs: scores may be missing, as they may come later."""
        folder, _, name = path.partition("/")
        if folder not in INPUT_FOLDERS:
            return
        # Pairs and responses are written before their scores.
        why = "its scores are there" if (self.path / scores_folder(self.reference) / name).is_file() else ""
        why = "the manifest lists it" if path in _hashes_by_path(load_manifest(self.path)) else why
        if why:
            raise StorageError(
                f"missing {self.path / path}: {why}; take it from where the run was made, or run the same score "
                "command again"
            )

    def parts_done(self, model: Model | str) -> list[int]:
        """Return the indices of the parts of ``model`` that are present, sorted."""
        return self._present_parts(scores_folder(self.model(model)))

    def progress(self) -> dict[str, tuple[int, int]]:
        """Return the numbers of parts that are present and planned, by model key, the reference first."""
        return {model.key: (len(self.parts_done(model)), self.n_parts) for model in [self.reference, *self.models]}

    @property
    def present_parts(self) -> list[int]:
        """The indices of the parts whose pairs are there or should be, sorted: no more than there are files."""
        return self._listed_parts("pairs")

    @property
    def has_tokens(self) -> bool:
        """Whether the run has the log-prob of every token; a run that was imported from sums or logs has not."""
        return self.identity.get("source") not in (IMPORTED, LOGGED)

    @property
    def has_pairs(self) -> bool:
        """Whether the run has pairs; a run that holds training logs alone has neither pairs nor models."""
        return self.identity.get("source") != LOGGED

    def check_pairs(self, purpose: str) -> None:
        """Check that the run has pairs, without which there is nothing to ``purpose``, such as "diagnose".

        Raises:
            InputError: the run holds training logs alone.
        """
        if not self.has_pairs:
            raise InputError(
                f"nothing to {purpose} in {self.path}: it holds a training log alone, no pairs and no checkpoints; "
                "score them into a new folder: dpo-analysis score PAIRS --trainer-output FOLDER --out NEW"
            )

    @property
    def is_complete(self) -> bool:
        """Whether every part of the pairs and of every model is present."""
        inputs = [len(self._present_parts(folder)) for folder in ("pairs", "responses")]
        return all(done == self.n_parts for done in inputs + [done for done, _ in self.progress().values()])

    def log(self) -> list[dict[str, Any]]:
        """Return the events of scoring, oldest first: the lines of log.jsonl, without an incomplete last line."""
        return read_events(self.path)

    def _present_parts(self, folder: str) -> list[int]:
        """Return the indices of the parts that are present in ``folder``, sorted."""
        try:
            with reading(self.path / folder), os.scandir(self.path / folder) as entries:
                matches = [PART_FILE.fullmatch(entry.name) for entry in entries]
        except FileNotFoundError:
            return []
        return sorted(index for index in (int(match[1]) for match in matches if match) if index < self.n_parts)

    def _listed_parts(self, folder: str) -> list[int]:
        """Return the parts that are present, and those of pairs and responses that the manifest or scores tell of."""
        present = self._present_parts(folder)
        if folder not in INPUT_FOLDERS or len(present) == self.n_parts:
            return present
        present += self._present_parts(scores_folder(self.reference))
        matches = (PART_FILE.fullmatch(path.removeprefix(f"{folder}/")) for path in self.hashes)
        listed = {int(match[1]) for match in matches if match}
        return sorted({*present, *(index for index in listed if index < self.n_parts)})

    def _read_parts(
        self,
        folder: str,
        table_schema: pa.Schema,
        part: int | None,
        columns: Sequence[str] | None,
        label: dict[str, str] | None = None,
        rows: Collection[int] | None = None,
    ) -> pa.Table:
        tables = []
        for index in self._listed_parts(folder) if part is None else [part]:
            expected = {"identity": self._identity_hash, "part": str(index), **(label or {})}
            path = part_path(folder, index)
            self.check_files([path])
            try:
                tables.append(read_table(self.path, path, table_schema, columns=columns, label=expected, rows=rows))
            except FileNotFoundError:
                self._refuse_missing(path)
                continue
        names = table_schema.names if columns is None else columns
        empty = pa.schema([table_schema.field(name) for name in names]).empty_table()
        return pa.concat_tables([empty, *tables])

    def _read_optional(self, path: str, table_schema: pa.Schema) -> pa.Table | None:
        self.check_files([path])
        try:
            return read_table(self.path, path, table_schema, label={"identity": self._identity_hash})
        except FileNotFoundError:
            return None


def _hashes_by_path(manifest: dict[str, Any]) -> dict[str, str]:
    return {record["path"]: record["sha256"] for record in manifest["parts"]}
