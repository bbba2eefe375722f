"""What a run folder says about its series, its models and its noise, as frozen data with a JSON form."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dpo_analysis import schema
from dpo_analysis.errors import InputError, StorageError

KINDS = ("full", "adapter", "reference", "loaded", "imported", "fake")
LOGGED_LOGPS = ("sum", "mean")
STARTS = ("reference", "unknown")


@dataclass(frozen=True, slots=True)
class Series:
    """One training run: what turns log-probs into its rewards and its loss.

    Attributes:
        name: the series' name, without ``/``.
        beta: DPO's beta, > 0.
        loss_type: one TRL loss name, or several with ``parameters["loss_weights"]``.
        parameters: further parameters of the loss (label_smoothing, discopop_tau, loss_weights, f_divergence_type).
        logged_logps: whether the trainer's logged logps are sums over tokens or means ("sum", "mean").
        start: "reference" where training began at the reference, so that curves begin at 0; else "unknown".
    """

    name: str
    beta: float = 0.1
    loss_type: str | list[str] = "sigmoid"
    parameters: dict[str, Any] = field(default_factory=dict)
    logged_logps: str = "sum"
    start: str = "reference"

    def __post_init__(self) -> None:
        """Refuse what no table could use.

        Raises:
            InputError: empty name or one with ``/``, beta not above 0, an unknown word.
        """
        if not self.name or "/" in self.name:
            raise InputError(f"bad series name {self.name!r}: it is one word without '/'; write SERIES/NAME=MODEL")
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise InputError(f"bad beta {self.beta} for series {self.name!r}: it must be above 0; give the trainer's")
        if self.logged_logps not in LOGGED_LOGPS or self.start not in STARTS:
            raise InputError(
                f"series {self.name!r}: logged_logps {self.logged_logps!r} or start {self.start!r} is unknown; "
                f"use {' or '.join(LOGGED_LOGPS)}, and {' or '.join(STARTS)}"
            )

    def to_json(self) -> dict[str, Any]:
        """Everything but the name, which is the key in the manifest."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "name"}

    @classmethod
    def from_json(cls, name: str, record: Mapping[str, Any]) -> "Series":
        """The series ``name`` of a manifest; unknown keys are ignored, missing ones take their defaults."""
        where = f"series {name!r}"
        loss = record.get("loss_type", "sigmoid")
        return cls(
            name,
            beta=float(_typed(record, "beta", (int, float), where, 0.1)),
            loss_type=[str(part) for part in loss] if isinstance(loss, list) else str(loss),
            parameters=_typed(record, "parameters", dict, where, {}),
            logged_logps=_typed(record, "logged_logps", str, where, "sum"),
            start=_typed(record, "start", str, where, "reference"),
        )


@dataclass(frozen=True, slots=True)
class Model:
    """One set of weights: a policy of a series, or the reference.

    Attributes:
        series: the training run; empty for the reference only.
        name: the checkpoint's name.
        step: optimiser steps, or None where the name does not tell.
        kind: full, adapter, reference, loaded, imported (sums from elsewhere) or fake.
        source: the folder or hub id as the user typed it; shown, never opened from here.
        weights: sha256 of the weights' content, 64 hex digits.
    """

    series: str
    name: str
    step: int | None = None
    kind: str = "full"
    source: str = ""
    weights: str = ""

    def __post_init__(self) -> None:
        """Refuse names that could not be told apart.

        Raises:
            InputError: a policy without series or name, or a series with ``/``.
        """
        if not self.name or "/" in self.series or (not self.series and self.name != schema.REFERENCE):
            raise InputError(f"bad model name {self.key!r}: it is SERIES/NAME, neither empty; write SERIES/NAME=MODEL")

    @classmethod
    def reference(cls, *, source: str = "", weights: str = "") -> "Model":
        """The run's one reference, as typed and with its weights' hash."""
        return cls("", schema.REFERENCE, None, "reference", source, weights)

    @property
    def is_reference(self) -> bool:
        """Whether this is the reference."""
        return not self.series

    @property
    def key(self) -> str:
        """``series/name``, or ``reference``."""
        return f"{self.series}/{self.name}" if self.series else self.name

    @property
    def order(self) -> tuple[str, bool, int, str]:
        """Sorts by series, then step (unknown last), then name; the reference first."""
        return self.series, self.step is None, self.step or 0, self.name

    def to_json(self) -> dict[str, Any]:
        """All fields, as they stand in the manifest."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Model":
        """A model of a manifest; unknown keys are ignored."""
        series = _typed(record, "series", str, "models")
        name = _typed(record, "name", str, "models")
        where = f"model {series}/{name}"
        return cls(
            series,
            name,
            step=_typed(record, "step", (int, type(None)), where, None),
            kind=_typed(record, "kind", str, where, "full"),
            source=_typed(record, "source", str, where, ""),
            weights=_typed(record, "weights", str, where, ""),
        )


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """How far apart two scorings may lie by rounding alone, as measured on the reference.

    Attributes:
        token: largest absolute difference of a token's logp, nats.
        response: largest absolute difference of a response's summed logp, nats.
        n_pairs: pairs compared.
        against: ``packing``: scored twice, packed into batches in two ways; ``float32``: where the run is in 16 bits,
            twice the gap to float32, if that is larger.
    """

    token: float
    response: float
    n_pairs: int
    against: str = "packing"

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "NoiseFloor":
        """The floor as it stands in noise.json; unknown keys are ignored."""
        token = float(_typed(record, "token", (int, float), "noise.json"))
        response = float(_typed(record, "response", (int, float), "noise.json"))
        n_pairs = _typed(record, "n_pairs", int, "noise.json")
        return cls(token, response, n_pairs, _typed(record, "against", str, "noise.json", "packing"))


_MISSING = object()


def _typed(record: Mapping[str, Any], key: str, kinds: Any, where: str, default: Any = _MISSING) -> Any:
    value = record.get(key, default)
    if value is _MISSING:
        raise StorageError(f"damaged run folder: {where} has no {key!r}; take the folder from where it was made")
    if value is not default and (not isinstance(value, kinds) or isinstance(value, bool)):
        raise StorageError(
            f"damaged run folder: {key!r} of {where} is {type(value).__name__}; take the folder from where it was made"
        )
    return value
