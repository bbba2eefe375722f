"""Arrays of summed log-probs: a row for each checkpoint, a column for each pair."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.errors import InputError
from dpo_analysis.imported.imported_sums import THE_REFERENCE, Gathered, Label
from dpo_analysis.schema import SIDES

REFERENCES = tuple(f"reference_{side}" for side in SIDES)
READ = (*SIDES, *REFERENCES, "steps", "pair_id")
SHAPES = "chosen and rejected are arrays of shape (checkpoints, pairs)"


def is_arrays(source: object) -> bool:
    """Whether ``source`` is an .npz file, or a mapping with the arrays themselves."""
    if isinstance(source, Mapping):
        return any(isinstance(source.get(side), np.ndarray) for side in SIDES)
    return isinstance(source, str | Path) and str(source).lower().endswith(".npz")


def gather_arrays(source: object, split: str | None, series: str, into: Gathered) -> None:
    """Read ``chosen`` and ``rejected``, each of shape (checkpoints, pairs), nats, from an .npz file or a mapping.

    Further arrays that are read if they are there: ``steps`` (checkpoints,): whole numbers, else 0, 1, 2 ...;
    ``pair_id`` (pairs,): text, else the column's number; ``reference_chosen`` and ``reference_rejected`` (pairs,).

    Args:
        source: the file or the mapping.
        split: the split of its pairs; None for ``eval``.
        series: the series of its checkpoints.
        into: what was gathered before.

    Raises:
        InputError: no such file, damaged, pickled, or arrays of other shapes.
    """
    name = str(source) if isinstance(source, str | Path) else "arrays"
    arrays = _load(source, name)
    into.unused += [one for one in arrays if one not in READ and one not in into.unused]
    values = np.stack([_numbers(arrays, side, 2, name) for side in _equal(arrays, SIDES, name)], axis=2)
    n_models, n_pairs = values.shape[:2]
    steps = _steps(arrays.get("steps"), n_models, name)
    ids = arrays.get("pair_id")
    if ids is not None and ids.shape != (n_pairs,):
        raise InputError(f"bad arrays in {name}: pair_id has shape {ids.shape}, not {(n_pairs,)}; {SHAPES}")
    names = [str(one) for one in (range(n_pairs) if ids is None else ids.tolist())]
    places = [
        into.pair(split or "eval", own, f"{name}[{number}]", named=ids is not None) for number, own in enumerate(names)
    ]
    for step, own in zip(steps, values, strict=True):
        _add(into, Label(series, str(step), step), places, own, name)
    if any(one in arrays for one in REFERENCES):
        own = np.stack([_numbers(arrays, one, 1, name) for one in _equal(arrays, REFERENCES, name)], axis=1)
        if len(own) != n_pairs:
            raise InputError(f"bad arrays in {name}: {REFERENCES[0]} has {len(own)} pairs, not {n_pairs}; {SHAPES}")
        _add(into, THE_REFERENCE, places, own, name)


def _add(into: Gathered, label: Label, places: list[int], values: NDArray[np.float64], name: str) -> None:
    model = into.model(label, name)
    for pair, sums in zip(places, values.tolist(), strict=True):
        for side, logps in enumerate(sums):
            into.add(model, pair, side, logps)


def _load(source: object, name: str) -> dict[str, NDArray[Any]]:
    if isinstance(source, Mapping):
        return {str(key): np.asarray(value) for key, value in source.items()}
    if not Path(name).is_file():
        raise InputError(f"no arrays in {name}: no such file; check the path")
    try:
        with np.load(name, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        why = str(error).partition("\n")[0][:120]
        raise InputError(f"unreadable arrays in {name}: {why}; write numbers with numpy.savez") from error


def _equal(arrays: Mapping[str, NDArray[Any]], names: tuple[str, ...], name: str) -> tuple[str, ...]:
    missing = [one for one in names if one not in arrays]
    if missing:
        raise InputError(f"bad arrays in {name}: no {missing[0]!r}, only {sorted(arrays)}; {SHAPES}")
    first, second = (arrays[one].shape for one in names)
    if first != second:
        raise InputError(f"bad arrays in {name}: {names[0]} has shape {first}, {names[1]} {second}; {SHAPES}")
    return names


def _numbers(arrays: Mapping[str, NDArray[Any]], key: str, dimensions: int, name: str) -> NDArray[np.float64]:
    found = arrays[key]
    if found.ndim != dimensions or found.dtype.kind not in "fiu":
        raise InputError(f"bad arrays in {name}: {key} has shape {found.shape} of {found.dtype}; {SHAPES}")
    return found.astype(np.float64)


def _steps(steps: NDArray[Any] | None, count: int, name: str) -> list[int]:
    if steps is None:
        return list(range(count))
    whole = steps.shape == (count,) and steps.dtype.kind in "iu" and (steps >= 0).all()
    if not whole or len(np.unique(steps)) < count:
        raise InputError(f"bad arrays in {name}: steps are not {count} different whole numbers; give one a checkpoint")
    return [int(step) for step in steps]
