"""manifest.json: the inputs, models and files of a run; its bytes depend on the content of the run alone.

It holds no time, host, process or duration. It has the sha256 of itself (``checksum``) and, once the run is finished,
of every file (``parts``).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpo_analysis.errors import InputError, OtherWeights, StorageError
from dpo_analysis.runs.records import Model, Series
from dpo_analysis.runs.safe_files import open_inside, reading
from dpo_analysis.schema import SCHEMA_VERSION
from dpo_analysis.text.bounded_json import STORED_DIGITS, parse_json, read_at_most
from dpo_analysis.trainer.training_args import BATCH_SETTINGS

if TYPE_CHECKING:
    from dpo_analysis.runs.parts import Part

MANIFEST_FILE = "manifest.json"
MAX_JSON_BYTES = 256 * 2**20
MAX_PARTS = 1_000_000
"""Parts of a run: at the usual 512 pairs, half a billion pairs."""
SHOWN_DIFFERENCES = 4
"""Differences of two records that an error message names."""
_PLAN_FIELDS = ("n_pairs", "n_parts", "part_size", "splits")
_FIELDS: dict[str, type] = {
    "schema_version": int,
    "identity": dict,
    "series": dict,
    "models": list,
    "parts": list,
    "n_parts": int,
    "n_pairs": int,
    "part_size": int,
    "splits": dict,
}


def canonical_json(value: object) -> bytes:
    """Return ``value`` as JSON with sorted keys, ASCII only, ending in a newline.

    Raises:
        ValueError: ``value`` holds NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, allow_nan=False, indent=1).encode() + b"\n"


def identity_hash(identity: Mapping[str, Any]) -> str:
    """Return the sha256 of an identity, 64 hex digits; it is in the label of every Parquet file of the run."""
    return hashlib.sha256(canonical_json(identity)).hexdigest()


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Return the bytes of manifest.json: ``manifest`` with the checksum of all its other fields."""
    return canonical_json({**manifest, "checksum": _checksum(manifest)})


def _checksum(manifest: Mapping[str, Any]) -> str:
    """Return the sha256 of all fields but ``checksum``, 64 hex digits."""
    body = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(canonical_json(body)).hexdigest()


def read_json(root: Path, relative: str) -> Any:
    """Return the content of a JSON file of the run folder.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: the file is unreadable, over 256 MiB, or no JSON.
    """
    with open_inside(root, relative) as handle, reading(root / relative):
        raw = read_at_most(handle, MAX_JSON_BYTES)
    try:
        if len(raw) > MAX_JSON_BYTES:
            raise ValueError("over 256 MiB")
        return parse_json(raw, most_digits=STORED_DIGITS, constant=_refuse_constant, finite=True)
    except ValueError as error:
        raise StorageError(
            f"unreadable {root / relative}: {str(error)[:120]}; take the folder from where it was made, "
            "or delete this file and score again: finished parts are kept"
        ) from error


def load_manifest(root: Path) -> dict[str, Any]:
    """Return the content of manifest.json of the run folder ``root``, checked.

    Raises:
        FileNotFoundError: the folder has no manifest.
        InputError: a newer version of this package wrote it.
        StorageError: it is damaged.
    """
    manifest = read_json(root, MANIFEST_FILE)
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise InputError(
            f"run folder {root} was made by a newer version: its schema is {version}, this one reads up to "
            f"{SCHEMA_VERSION}; upgrade dpo-analysis"
        )
    problem = _manifest_problem(manifest)
    if problem:
        raise StorageError(
            f"damaged {root / MANIFEST_FILE}: {problem}; take the folder from where it was made, or delete this file "
            "and score again: finished parts are kept"
        )
    return manifest


def _manifest_problem(manifest: Any) -> str:
    """Return what is wrong with a manifest, as part of an error message; empty for nothing."""
    if not isinstance(manifest, dict):
        return "it is no JSON object"
    for key, kind in _FIELDS.items():
        if not isinstance(manifest.get(key), kind) or isinstance(manifest.get(key), bool):
            return f"no field {key!r} of type {kind.__name__}"
    if manifest["schema_version"] < 1 or manifest["part_size"] < 1 or manifest["n_parts"] < 0:
        return "a number below what is possible"
    counts = [count for count in manifest["splits"].values() if type(count) is int and count >= 0]
    if len(counts) < len(manifest["splits"]) or sum(counts) != manifest["n_pairs"]:
        return "numbers of pairs of the splits that do not add up"
    n_parts, n_pairs = manifest["n_parts"], manifest["n_pairs"]
    if n_parts > MAX_PARTS or not n_parts <= n_pairs <= n_parts * manifest["part_size"]:
        return f"{n_pairs} pairs in {n_parts} parts of {manifest['part_size']}, which is impossible"
    if not all(isinstance(record, dict) for record in [*manifest["models"], *manifest["series"].values()]):
        return "a series or model that is no object"
    if not all(_is_file_record(record) for record in manifest["parts"]):
        return "an entry of 'parts' without path and sha256"
    if manifest.get("checksum") != _checksum(manifest):
        return "it does not match its own checksum"
    return ""


def _is_file_record(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("path"), str) and isinstance(record.get("sha256"), str)


def read_records(manifest: Mapping[str, Any]) -> tuple[dict[str, Series], list[Model]]:
    """Return the series by name, and all models, sorted, the reference first.

    Raises:
        StorageError: a series or model is malformed, or there is not exactly one reference.
    """
    try:
        series = {name: Series.from_json(name, record) for name, record in sorted(manifest["series"].items())}
        models = sorted((Model.from_json(record) for record in manifest["models"]), key=lambda model: model.order)
    except InputError as error:
        raise StorageError(f"damaged {MANIFEST_FILE}: {error}") from error
    why = ""
    if sum(model.is_reference for model in models) != 1:
        why = "it needs exactly one reference"
    elif not {model.series for model in models if not model.is_reference} <= series.keys():
        why = "a model of a series that it does not have"
    elif len({model.key for model in models}) < len(models):
        why = "two models of one name"
    if why:
        raise StorageError(f"damaged {MANIFEST_FILE}: {why}; take the folder from where it was made")
    return series, models


def describe_differences(stored: Mapping[str, Any], new_record: Mapping[str, Any]) -> str:
    """Return how two identities, or other nested records, differ, in words; empty when they are equal."""
    old, new = _dotted_keys(stored), _dotted_keys(new_record)
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key, _ABSENT) != new.get(key, _ABSENT)]
    shown = [f"{key} was {_shortened(old, key)}, is {_shortened(new, key)} now" for key in changed[:SHOWN_DIFFERENCES]]
    more = len(changed) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")


def refuse_other_run(root: Path, stored: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Check that two manifests have the same identity and the same plan of parts.

    Raises:
        InputError: they differ; the message names the differences.
    """
    difference = describe_differences(stored["identity"], new["identity"]) or describe_differences(
        {key: stored[key] for key in _PLAN_FIELDS}, {key: new[key] for key in _PLAN_FIELDS}
    )
    if difference:
        raise InputError(f"run folder {root} holds a different run: {difference}; give the same inputs, or a new --out")


def new_manifest(identity: Mapping[str, Any], parts: "Sequence[Part]", part_size: int) -> dict[str, Any]:
    """Return the manifest of a planned run that has no series, models or files yet."""
    pairs = [pair for part in parts for pair in part.pairs]
    return {
        "schema_version": SCHEMA_VERSION,
        "identity": identity,
        "series": {},
        "models": [],
        "parts": [],
        "n_parts": len(parts),
        "n_pairs": len(pairs),
        "part_size": part_size,
        "splits": dict(Counter(pair.pair.split for pair in pairs)),
    }


def merge_series(
    stored: Mapping[str, Any], added: Sequence[Series], *, explicit: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """Return the records of the stored and the added series, by name.

    Args:
        stored: the series of the manifest.
        added: the series of this command.
        explicit: the fields of ``Series`` that the user gave; they correct what is stored, as no score depends on them.

    Raises:
        InputError: a stored series has the same name and differs in a field that is not in ``explicit``.
    """
    merged = {name: dict(record) for name, record in stored.items()}
    for series in added:
        record = merged.setdefault(series.name, series.to_json())
        record["parameters"], added_parameters = _with_facts(record.get("parameters", {}), series.parameters)
        record |= {name: value for name, value in series.to_json().items() if name in explicit}
        difference = describe_differences(record, series.to_json() | {"parameters": added_parameters})
        if difference:
            raise InputError(
                f"series {series.name!r} has different parameters in this run: {difference}; name a second "
                "training differently; to correct the run give --beta or --loss-type; to try a value, tables take "
                "--beta"
            )
    return merged


def _with_facts(stored: Mapping[str, Any], added: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of a stored and of an added series, each with the batch settings that only the other has.

    No score, reward or loss depends on these, so a run folder that lacks them is the same run.
    """
    facts = [{name: record[name] for name in BATCH_SETTINGS if name in record} for record in (stored, added)]
    return facts[1] | dict(stored), facts[0] | dict(added)


def corrections(stored: Mapping[str, Any], merged: Mapping[str, Any]) -> list[str]:
    """Return a line for each field of a stored series that changes: ``beta of series gentle: 0.1 -> 0.05``."""
    return [
        f"{field} of series {name}: {json.dumps(record.get(field))} -> {json.dumps(merged[name][field])}"
        for name, record in sorted(stored.items())
        for field in sorted(merged[name])
        if merged[name][field] != record.get(field)
    ]


def merge_models(
    stored: Sequence[Mapping[str, Any]], added: Sequence[Model], *, scored: Callable[[Model], bool]
) -> list[dict[str, Any]]:
    """Return the records of the stored and the added models, sorted; the record of a model with scores stays.

    Args:
        stored: the models of the manifest.
        added: the models of this command.
        scored: whether a model has scores on disk; a checkpoint that failed has none, and may have been mended since.

    Raises:
        OtherWeights: a stored model has the same series and name, and scores from other weights.
    """
    merged = {Model.from_json(record).key: dict(record) for record in stored}
    for model in added:
        weights = merged.get(model.key, {}).get("weights", model.weights)
        if weights != model.weights and scored(model):
            raise OtherWeights(
                f"model {model.key} has different weights in this run: sha256 {str(weights)[:12]} stored, "
                f"{model.weights[:12]} now; score it under a new name"
            )
        if weights != model.weights or model.key not in merged:
            merged[model.key] = model.to_json()
        elif model.template:
            merged[model.key].setdefault("template", model.template)
    return sorted(merged.values(), key=lambda record: Model.from_json(record).order)


_ABSENT = object()


def _dotted_keys(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested record as a flat one: the value of ``a`` in ``tokenizer`` has the key ``tokenizer.a``."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            flat |= _dotted_keys(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shortened(record: Mapping[str, Any], key: str) -> str:
    """Return the value under ``key`` as JSON of at most 34 letters; ``absent`` where there is none."""
    text = json.dumps(record[key], default=str) if key in record else "absent"
    return f'{text[:13]}..."' if len(text) > 34 else text


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")
