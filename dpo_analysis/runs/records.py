"""The records of a run folder on its series, its models and its noise floor, read from JSON and written to it."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dpo_analysis import schema
from dpo_analysis.errors import InputError, StorageError

MODEL_KINDS = ("full", "adapter", "reference", "loaded", "imported", "fake")
LOGGED_LOGPS = ("sum", "mean")
STARTS = ("reference", "unknown")


@dataclass(frozen=True, slots=True)
class Series:
    """A training run: the parameters by which log-probs become its rewards and its loss.

    Attributes:
        name: the series' name, without ``/``.
        beta: DPO's beta; 0 only where a trainer's folder says so, and then every reward is 0.
        loss_type: one TRL loss name, or several with ``parameters["loss_weights"]``.
        parameters: further parameters of the loss (label_smoothing, discopop_tau, loss_weights, f_divergence_type), and
            ``trainer.training_args.BATCH_SETTINGS`` where they are known.
        logged_logps: whether the trainer logged log-probs as sums over tokens or as means ("sum", "mean").
        start: "reference" where training began at the reference, so that curves begin at 0; else "unknown".
    """

    name: str
    beta: float = 0.1
    loss_type: str | list[str] = "sigmoid"
    parameters: dict[str, Any] = field(default_factory=dict)
    logged_logps: str = "sum"
    start: str = "reference"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: the name is empty or has a ``/``, beta is below 0 or not finite, or a word is unknown.
        """
        _refuse_half_characters(self.name, "series")
        if not self.name or "/" in self.name:
            raise InputError(f"bad series name {self.name!r}: it is one word without '/'; write SERIES/NAME=MODEL")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise InputError(f"bad beta {self.beta} for series {self.name!r}: it must be above 0; give the trainer's")
        if self.logged_logps not in LOGGED_LOGPS or self.start not in STARTS:
            raise InputError(
                f"series {self.name!r}: logged_logps {self.logged_logps!r} or start {self.start!r} is unknown; "
                f"use {' or '.join(LOGGED_LOGPS)}, and {' or '.join(STARTS)}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return all fields but the name, which is the key of the record in the manifest."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "name"}

    @classmethod
    def from_json(cls, name: str, record: Mapping[str, Any]) -> "Series":
        """Return the series of a manifest record; unknown keys are ignored, missing keys take their defaults."""
        where = f"series {name!r}"
        loss = record.get("loss_type", "sigmoid")
        return cls(
            name,
            beta=float(_field(record, "beta", (int, float), where, 0.1)),
            loss_type=[str(part) for part in loss] if isinstance(loss, list) else str(loss),
            parameters=_field(record, "parameters", dict, where, {}),
            logged_logps=_field(record, "logged_logps", str, where, "sum"),
            start=_field(record, "start", str, where, "reference"),
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A set of weights: a policy of a series, or the reference.

    Attributes:
        series: the training run; empty for the reference only.
        name: the name of the checkpoint.
        step: optimizer steps; None where the name does not tell them.
        kind: full, adapter, reference, loaded, imported (from summed log-probs) or fake.
        source: the folder or hub id as the user typed it; only shown, never opened.
        weights: sha256 of the content of the weights, 64 hex digits.
        template: hash of the chat template beside the model, as ``data.vocab.template_hash`` gives it; empty where it
            has none, or where that is not known.
    """

    series: str
    name: str
    step: int | None = None
    kind: str = "full"
    source: str = ""
    weights: str = ""
    template: str = ""

    def __post_init__(self) -> None:
        """Check that the key tells this model from every other model.

        Raises:
            InputError: a policy has no series or no name, or its series has a ``/``.
        """
        _refuse_half_characters(self.key, "model")
        if not self.name or "/" in self.series or (not self.series and self.name != schema.REFERENCE):
            raise InputError(f"bad model name {self.key!r}: it must be SERIES/NAME; write SERIES/NAME=MODEL")

    @classmethod
    def reference(cls, *, source: str = "", weights: str = "") -> "Model":
        """Return the reference of a run, with its source as typed and the hash of its weights."""
        return cls("", schema.REFERENCE, None, "reference", source, weights)

    @property
    def is_reference(self) -> bool:
        """Whether this is the reference, and not a policy."""
        return not self.series

    @property
    def key(self) -> str:
        """``series/name``, or ``reference``."""
        return f"{self.series}/{self.name}" if self.series else self.name

    @property
    def order(self) -> tuple[str, bool, int, str]:
        """Sort key: series, then step (unknown steps last), then name; the reference comes first."""
        return self.series, self.step is None, self.step or 0, self.name

    def to_json(self) -> dict[str, Any]:
        """Return all fields, as they are stored in the manifest; a template that is not known is left out."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "template" or value}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Model":
        """Return the model of a manifest record; unknown keys are ignored."""
        series = _field(record, "series", str, "models")
        name = _field(record, "name", str, "models")
        where = f"model {series}/{name}"
        return cls(
            series,
            name,
            step=_field(record, "step", (int, type(None)), where, None),
            kind=_field(record, "kind", str, where, "full"),
            source=_field(record, "source", str, where, ""),
            weights=_field(record, "weights", str, where, ""),
            template=_field(record, "template", str, where, ""),
        )


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The largest difference between two scorings of the reference, caused by rounding alone.

    Attributes:
        token: largest absolute difference of a token's log-prob, nats.
        response: largest absolute difference of a response's summed log-prob, nats.
        n_pairs: number of pairs that were compared.
        against: ``packing`` where the pairs were packed into batches in two ways; ``float32`` where the run is in 16
            bits and twice its difference from float32 is larger.
    """

    token: float
    response: float
    n_pairs: int
    against: str = "packing"

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "NoiseFloor":
        """Return the noise floor of noise.json; unknown keys are ignored."""
        token = float(_field(record, "token", (int, float), "noise.json"))
        response = float(_field(record, "response", (int, float), "noise.json"))
        n_pairs = _field(record, "n_pairs", int, "noise.json")
        return cls(token, response, n_pairs, _field(record, "against", str, "noise.json", "packing"))


def _refuse_half_characters(name: str, of: str) -> None:
    """Check that a name can be stored as UTF-8: the name of a folder on disk may be any bytes.

    Raises:
        InputError: it cannot.
    """
    if not name.isascii() and any("\ud800" <= sign <= "\udfff" for sign in name):
        raise InputError(f"bad {of} name {ascii(name)[:80]}: it is not UTF-8; give another as SERIES/NAME=MODEL")


_MISSING = object()


def _field(record: Mapping[str, Any], key: str, types: Any, where: str, default: Any = _MISSING) -> Any:
    """Return the value of a field, or ``default`` where it is missing.

    Raises:
        StorageError: the field is missing and has no default, or its type is none of ``types``.
    """
    value = record.get(key, default)
    if value is _MISSING:
        raise StorageError(f"damaged run folder: {where} has no {key!r}; take the folder from where it was made")
    if value is not default and (not isinstance(value, types) or isinstance(value, bool)):
        raise StorageError(
            f"damaged run folder: {key!r} of {where} is {type(value).__name__}; take the folder from where it was made"
        )
    return value
