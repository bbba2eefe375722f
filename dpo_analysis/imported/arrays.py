"""Arrays of summed log-probs: a row for each checkpoint, a column for each pair."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.errors import InputError
from dpo_analysis.imported.imported_sums import MAX_WHOLE, THE_REFERENCE, ImportedModel, ImportedSums
from dpo_analysis.imported.npz import read_npz
from dpo_analysis.schema import SIDES

Arrays = Mapping[str, NDArray[Any]]
REFERENCE_ARRAYS = tuple(f"reference_{side}" for side in SIDES)
ARRAYS = (*SIDES, *REFERENCE_ARRAYS, "steps", "pair_id")
"""The arrays that are read; the names of all other arrays are reported."""
SHAPES = "chosen and rejected are arrays of shape (checkpoints, pairs)"


def is_arrays(source: object) -> bool:
    """Return whether ``source`` is an .npz file, or a mapping that holds the arrays."""
    if isinstance(source, Mapping):
        return any(isinstance(source.get(side), np.ndarray) for side in SIDES)
    return isinstance(source, str | Path) and str(source).lower().endswith(".npz")


def read_arrays(source: object, split: str | None, series: str, sums: ImportedSums) -> None:
    """Read ``chosen`` and ``rejected``, each of shape (checkpoints, pairs), nats, from an .npz file or a mapping.

    Optional arrays: ``steps``, shape (checkpoints,), whole numbers, else 0, 1, 2 ...; ``pair_id``, shape (pairs,),
    text, else the number of the column; ``reference_chosen`` and ``reference_rejected``, shape (pairs,), nats.

    Args:
        source: the file or the mapping.
        split: the split of its pairs; None for ``eval``.
        series: the series of its checkpoints.
        sums: takes what is read.

    Raises:
        InputError: there is no such file, it is damaged or pickled, or the arrays have other shapes.
    """
    name = str(source) if isinstance(source, str | Path) else "arrays"
    arrays, others = _load(source, name)
    sums.unused += [key for key in others if key not in sums.unused]
    values = np.stack([_numbers(arrays, side, 2, name) for side in _equal_shapes(arrays, SIDES, name)], axis=2)
    n_models, n_pairs = values.shape[:2]
    steps = _read_steps(arrays.get("steps"), n_models, name)
    pairs = _add_pairs(arrays.get("pair_id"), n_pairs, split or "eval", name, sums)
    for step, of_checkpoint in zip(steps, values, strict=True):
        _add_model(sums, ImportedModel(series, str(step), step), pairs, of_checkpoint, name)
    if any(key in arrays for key in REFERENCE_ARRAYS):
        keys = _equal_shapes(arrays, REFERENCE_ARRAYS, name)
        of_reference = np.stack([_numbers(arrays, key, 1, name) for key in keys], axis=1)
        if len(of_reference) != n_pairs:
            raise InputError(
                f"bad arrays in {name}: {REFERENCE_ARRAYS[0]} has {len(of_reference)} pairs, not {n_pairs}; {SHAPES}"
            )
        _add_model(sums, THE_REFERENCE, pairs, of_reference, name)


def _add_pairs(ids: NDArray[Any] | None, n_pairs: int, split: str, name: str, sums: ImportedSums) -> list[int]:
    """Return the index of the pair of every column, added if new."""
    if ids is not None and ids.shape != (n_pairs,):
        raise InputError(f"bad arrays in {name}: pair_id has shape {ids.shape}, not {(n_pairs,)}; {SHAPES}")
    names = [str(number) for number in range(n_pairs)] if ids is None else _texts(ids, name)
    return [
        sums.add_pair(split, pair_name, f"{name}[{number}]", has_id=ids is not None)
        for number, pair_name in enumerate(names)
    ]


def _texts(ids: NDArray[Any], name: str) -> list[str]:
    """Return ids as text.

    Raises:
        InputError: they are neither texts nor whole numbers, or hold what UTF-8 cannot store.
    """
    try:
        if ids.dtype.kind not in "USiu":
            raise ValueError(f"they are of {ids.dtype}")
        texts = [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in ids.tolist()]
        "".join(texts).encode("utf-8")
    except ValueError as error:
        why = str(error)[:80]
        raise InputError(f"bad arrays in {name}: pair_id has ids that are no text: {why}; write them again") from error
    return texts


def _add_model(
    sums: ImportedSums, model: ImportedModel, pairs: list[int], values: NDArray[np.float64], name: str
) -> None:
    """Add the sums of a model, nats, shape (pairs, sides)."""
    model_index = sums.add_model(model, name)
    for pair, of_pair in zip(pairs, values.tolist(), strict=True):
        for side, logps in enumerate(of_pair):
            sums.add_sum(model_index, pair, side, logps)


def _load(source: object, name: str) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the arrays, and the names of those that are not read."""
    if isinstance(source, Mapping):
        arrays = {str(key): np.asarray(value) for key, value in source.items()}
        return arrays, [key for key in arrays if key not in ARRAYS]
    if not Path(name).is_file():
        raise InputError(f"no arrays in {name}: no such file; check the path")
    return read_npz(Path(name), ARRAYS)


def _equal_shapes(arrays: Arrays, keys: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return ``keys``, checked to name two arrays of equal shape."""
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise InputError(f"bad arrays in {name}: no {missing[0]!r}, only {sorted(arrays)}; {SHAPES}")
    first, second = (arrays[key].shape for key in keys)
    if first != second:
        raise InputError(f"bad arrays in {name}: {keys[0]} has shape {first}, {keys[1]} {second}; {SHAPES}")
    return keys


def _numbers(arrays: Arrays, key: str, dimensions: int, name: str) -> NDArray[np.float64]:
    values = arrays[key]
    if values.ndim != dimensions or values.dtype.kind not in "fiu":
        raise InputError(f"bad arrays in {name}: {key} has shape {values.shape} of {values.dtype}; {SHAPES}")
    return values.astype(np.float64)


def _read_steps(steps: NDArray[Any] | None, count: int, name: str) -> list[int]:
    if steps is None:
        return list(range(count))
    whole = steps.shape == (count,) and steps.dtype.kind in "iu" and ((steps >= 0) & (steps < MAX_WHOLE)).all()
    if not whole or len(np.unique(steps)) < count:
        raise InputError(
            f"bad arrays in {name}: steps must be {count} different whole numbers below 2**53; give one per checkpoint"
        )
    return [int(step) for step in steps]
