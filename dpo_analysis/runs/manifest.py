"""manifest.json: what a run folder is, in bytes that depend on nothing but its content.

No clock, host, process or duration stands in it. It carries the sha256 of itself (``checksum``) and, once finished,
of every file (``parts``).
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError, StorageError
from dpo_analysis.runs.records import Model, Series
from dpo_analysis.runs.safe_files import open_inside, reading
from dpo_analysis.schema import SCHEMA_VERSION

NAME = "manifest.json"
LARGEST = 256 * 2**20
SHOWN_DIFFERENCES = 4
_PLAN = ("n_pairs", "n_parts", "part_size", "splits")
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


def canonical(value: object) -> bytes:
    """JSON with sorted keys, ASCII only, one newline at the end; NaN is refused (ValueError)."""
    return json.dumps(value, sort_keys=True, allow_nan=False, indent=1).encode() + b"\n"


def identity_hash(identity: Mapping[str, Any]) -> str:
    """The sha256 of an identity, 64 hex digits; it stands in every Parquet file of the run."""
    return hashlib.sha256(canonical(identity)).hexdigest()


def seal(manifest: Mapping[str, Any]) -> bytes:
    """The bytes of manifest.json: ``manifest`` with the checksum of all the rest."""
    return canonical({**manifest, "checksum": _checksum(manifest)})


def _checksum(manifest: Mapping[str, Any]) -> str:
    """The sha256 of all but the checksum itself, as 64 hex digits."""
    body = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(canonical(body)).hexdigest()


def read_json(root: Path, relative: str) -> Any:
    """Parse one JSON file of the run folder.

    Raises:
        FileNotFoundError: there is none.
        StorageError: it is unreadable, over 256 MiB, or no JSON.
    """
    with open_inside(root, relative) as handle, reading(root / relative):
        raw = handle.read(LARGEST + 1)
    try:
        if len(raw) > LARGEST:
            raise ValueError("over 256 MiB")
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise StorageError(
            f"unreadable {root / relative}: {str(error)[:120]}; take the folder from where it was made, "
            "or delete this file and score again: finished parts are kept"
        ) from error


def load_manifest(root: Path) -> dict[str, Any]:
    """Read and check manifest.json of the run folder ``root``.

    Raises:
        FileNotFoundError: there is none.
        InputError: a newer version of this package wrote it.
        StorageError: it is damaged.
    """
    manifest = read_json(root, NAME)
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise InputError(
            f"run folder {root} was made by a newer version: its schema is {version}, this one reads up to "
            f"{SCHEMA_VERSION}; upgrade dpo-analysis"
        )
    problem = _problem(manifest)
    if problem:
        raise StorageError(
            f"damaged {root / NAME}: {problem}; take the folder from where it was made, or delete this file and score "
            "again: finished parts are kept"
        )
    return manifest


def _problem(manifest: Any) -> str:
    if not isinstance(manifest, dict):
        return "it is no JSON object"
    for key, kind in _FIELDS.items():
        if not isinstance(manifest.get(key), kind) or isinstance(manifest.get(key), bool):
            return f"no field {key!r} of type {kind.__name__}"
    if manifest["schema_version"] < 1 or manifest["part_size"] < 1 or manifest["n_parts"] < 0:
        return "a number below what is possible"
    if not all(isinstance(record, dict) for record in [*manifest["models"], *manifest["series"].values()]):
        return "a series or model that is no object"
    if not all(_is_part(record) for record in manifest["parts"]):
        return "an entry of 'parts' without path and sha256"
    if manifest.get("checksum") != _checksum(manifest):
        return "it does not match its own checksum"
    return ""


def _is_part(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("path"), str) and isinstance(record.get("sha256"), str)


def read_records(manifest: Mapping[str, Any]) -> tuple[dict[str, Series], list[Model]]:
    """The series by name and all models, sorted, the reference first.

    Raises:
        StorageError: one of them is not what it should be.
    """
    try:
        series = {name: Series.from_json(name, record) for name, record in sorted(manifest["series"].items())}
        models = sorted((Model.from_json(record) for record in manifest["models"]), key=lambda model: model.order)
    except InputError as error:
        raise StorageError(f"damaged {NAME}: {error}") from error
    if sum(model.is_reference for model in models) != 1:
        raise StorageError(f"damaged {NAME}: it needs exactly one reference; take the folder from where it was made")
    return series, models


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """How two identities (or other records) differ, in words; empty when they are equal."""
    old, new = _flat(stored), _flat(asked)
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key, _ABSENT) != new.get(key, _ABSENT)]
    shown = [f"{key} is {_short(old, key)} there, {_short(new, key)} now" for key in changed[:SHOWN_DIFFERENCES]]
    more = len(changed) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")


def refuse_other_run(root: Path, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Pass when two manifests have the same identity and the same plan of parts.

    Raises:
        InputError: they have not; the difference is told.
    """
    found = differences(stored["identity"], asked["identity"])
    found = found or differences({key: stored[key] for key in _PLAN}, {key: asked[key] for key in _PLAN})
    if found:
        raise InputError(f"run folder {root} holds another run: {found}; give the same inputs, or another --out")


def merge_series(
    stored: Mapping[str, Any], added: Sequence[Series], *, given: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """The stored series with the added ones; what the user gave corrects what is stored, for no score depends on it.

    Args:
        stored: the manifest's records.
        added: the series of this command.
        given: the fields of ``Series`` that the user gave in so many words.

    Raises:
        InputError: a series of the same name has other parameters, and the user did not say that it has.
    """
    merged = {name: dict(record) for name, record in stored.items()}
    for series in added:
        known = merged.setdefault(series.name, series.to_json())
        known |= {name: value for name, value in series.to_json().items() if name in given}
        found = differences(known, series.to_json())
        if found:
            raise InputError(
                f"series {series.name!r} is in this run with other parameters: {found}; another training needs another "
                "series name; to correct what the run says give --beta or --loss-type; to look at another one, tables "
                "take --beta"
            )
    return merged


def corrections(stored: Mapping[str, Any], merged: Mapping[str, Any]) -> list[str]:
    """One line per field of a stored series that changes: ``beta of series gentle: 0.1 -> 0.05``."""
    return [
        f"{field} of series {name}: {json.dumps(record.get(field))} -> {json.dumps(merged[name][field])}"
        for name, record in sorted(stored.items())
        for field in sorted(merged[name])
        if merged[name][field] != record.get(field)
    ]


def merge_models(
    stored: Sequence[Mapping[str, Any]], added: Sequence[Model], *, scored: Callable[[Model], bool]
) -> list[dict[str, Any]]:
    """The stored models with the added ones, sorted; of a known model that has scores what is stored stays.

    Args:
        stored: the manifest's records.
        added: the models of this command.
        scored: whether a model has scores on disk; a checkpoint that could not be used has none and may be mended.

    Raises:
        InputError: a model of the same series and name has scores from other weights.
    """
    known = {Model.from_json(record).key: dict(record) for record in stored}
    for model in added:
        found = known.get(model.key, {}).get("weights", model.weights)
        if found != model.weights and scored(model):
            raise InputError(
                f"model {model.key} is in this run with other weights: sha256 {str(found)[:12]} there, "
                f"{model.weights[:12]} now; score it under another name"
            )
        if found != model.weights or model.key not in known:
            known[model.key] = model.to_json()
    return sorted(known.values(), key=lambda record: Model.from_json(record).order)


_ABSENT = object()


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _short(flat: Mapping[str, Any], key: str) -> str:
    text = json.dumps(flat[key], default=str) if key in flat else "absent"
    return f'{text[:13]}..."' if len(text) > 34 else text


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")
