"""Models loaded one after another: full models, adapters on a base that they share, and models that the caller holds.

Small models stay in memory, so that taking turns part by part does not load them again; of large models only the last
one stays. Adapters that leave their base as it is share it, and the base itself is that model with its adapters off;
an adapter that changes its base has a base of its own.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch
from peft import PeftModel
from torch import nn

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.engine.memory import empty_cache, guard_memory
from dpo_analysis.scoring.engine.placement import DeviceMap
from dpo_analysis.scoring.models.adapters.attach import attach_adapter
from dpo_analysis.scoring.models.adapters.kinds import shares_base
from dpo_analysis.scoring.models.devices import pick_device
from dpo_analysis.scoring.models.in_memory import active_adapter, causal_model, evaluation_mode
from dpo_analysis.scoring.models.loading import check_embedding, first_bad_weight, load_full, quiet
from dpo_analysis.scoring.models.preflight import ModelFiles
from dpo_analysis.scoring.models.requirements import ModelRequirements
from dpo_analysis.scoring.models.resolved_model import ResolvedModel
from dpo_analysis.scoring.models.weight_files import DamagedWeights, safetensors_header

MAX_CACHED_BYTES = 2 << 30
"""Bytes of weights that may stay loaded, the model in use among them."""
MAX_CACHED_ADAPTERS = 8
"""Adapters that may stay on one base."""

Note = Callable[[str], None]
"""Takes a line for the run's log."""
OnOpen = Callable[[Model, bytes], None]
"""Takes every model that was opened, with the engine's fingerprint of its outputs."""


class ReferenceComparison:
    """Notes policies with the outputs of the reference: an adapter without effect, or a checkpoint of step 0."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._reference: bytes | None = None
        self._noted: set[str] = set()

    def compare(self, model: Model, outputs: bytes) -> None:
        """Compare the hash of a model's outputs with that of the reference, which is opened first; note it once."""
        if model.is_reference:
            self._reference = outputs
        elif outputs == self._reference and model.key not in self._noted:
            self._noted.add(model.key)
            self._note(f"{model.key} gives exactly the reference's numbers: all its rewards are 0")


@dataclass
class _CachedModel:
    """A full model in memory with the adapters on it; ``engines`` and adapter names by adapter, "" for none."""

    model: nn.Module
    n_bytes: int
    peft: PeftModel | None = None
    adapter_names: "OrderedDict[str, str]" = field(default_factory=OrderedDict)
    engines: dict[str, Engine] = field(default_factory=dict)
    n_adapters_loaded: int = 0


class ModelLoader:
    """Loads models, and keeps those loaded that fit into ``MAX_CACHED_BYTES``.

    Args:
        device: auto, cpu, cuda or mps: where they run; looked for when the first model is loaded.
        dtype: float32, bfloat16 or float16, for all models on disk.
        requirements: what the pairs require of them.
        note: takes a line for the log.
        on_open: takes every model that was opened.
        numerics: ``default`` or ``trainer``, as for ``Engine``.
        device_map: how each model is spread over devices, as for transformers; None puts it on ``device``.
    """

    def __init__(
        self,
        *,
        device: str,
        dtype: str,
        requirements: ModelRequirements,
        note: Note = lambda line: None,
        on_open: OnOpen = lambda model, outputs: None,
        numerics: str = "default",
        device_map: DeviceMap | None = None,
    ) -> None:
        self._device_name, self._dtype, self._requirements = device, dtype, requirements
        self._note, self._on_open = note, on_open
        self._numerics, self._device_map = numerics, device_map
        self._cached: OrderedDict[str, _CachedModel] = OrderedDict()
        self._noted: set[str] = set()

    @cached_property
    def _device(self) -> torch.device:
        return pick_device(self._device_name)

    @contextmanager
    def open(self, resolved: ResolvedModel) -> Iterator[Engine]:
        """Load a model and yield its engine: with its adapter active, or every adapter off for a full model.

        A model in memory is in eval mode for that long, and then as it was before.

        Raises:
            DamagedWeights: its weight files, or its outputs, cannot be used.
            InputError: it cannot score these pairs.
            MemoryError: it does not fit on the device.
        """
        opened = self._open_module(resolved) if resolved.files is None else self._open_files(resolved, resolved.files)
        with opened as engine:
            self._on_open(resolved.model, engine.fingerprint)
            yield engine

    @contextmanager
    def _open_module(self, resolved: ResolvedModel) -> Iterator[Engine]:
        assert resolved.module is not None
        causal = causal_model(resolved.module)
        check_embedding(causal, self._requirements.largest_token_id, resolved.model.key)
        with quiet(), evaluation_mode(resolved.module, resolved.adapter):
            try:
                engine = Engine(causal, numerics=self._numerics)
            except InputError as error:
                raise type(error)(f"cannot score {resolved.model.key}: {error}") from error
            yield engine

    @contextmanager
    def _open_files(self, resolved: ResolvedModel, files: ModelFiles) -> Iterator[Engine]:
        if resolved.damage:
            raise DamagedWeights(resolved.damage)
        key = _cache_key(files)
        try:
            with quiet():
                cached, adapter = self._load(key, resolved, files)
                with active_adapter(cached.peft, adapter):
                    yield self._engine(cached, adapter, files)
        except InputError:
            # a model that was refused may be half changed: the next one is loaded from its files
            self._cached.pop(key, None)
            raise

    def _load(self, key: str, resolved: ResolvedModel, files: ModelFiles) -> tuple[_CachedModel, str]:
        """Return the full model, and the name of its adapter; all other models are dropped where memory is short.

        Raises:
            MemoryError: it does not fit.
        """

        def work() -> tuple[_CachedModel, str]:
            cached = self._load_full(key, resolved.n_parameters, files)
            adapter = self._load_adapter(cached, files) if files.kind == "adapter" else ""
            # after the adapter: it may hold a larger embedding than its base
            check_embedding(cached.model, self._requirements.largest_token_id, str(files.folder))
            return cached, adapter

        try:
            return guard_memory(work, self._device, str(files.folder))
        except MemoryError:
            self._cached.clear()
        return guard_memory(work, self._device, str(files.folder))

    def _load_full(self, key: str, n_parameters: int, files: ModelFiles) -> _CachedModel:
        if key in self._cached:
            self._cached.move_to_end(key)
            return self._cached[key]
        n_bytes = n_parameters * (4 if self._dtype == "float32" else 2)
        while self._cached and n_bytes + sum(cached.n_bytes for cached in self._cached.values()) > MAX_CACHED_BYTES:
            self._cached.popitem(last=False)
            empty_cache(self._device)
        model, notes = load_full(files.full, dtype=self._dtype, device=self._device, device_map=self._device_map)
        self._note_once(notes)
        self._cached[key] = _CachedModel(model, n_bytes)
        return self._cached[key]

    def _load_adapter(self, cached: _CachedModel, files: ModelFiles) -> str:
        """Put an adapter on its base and return the name that it has there."""
        folder = str(files.folder.resolve())
        if folder in cached.adapter_names:
            cached.adapter_names.move_to_end(folder)
            return cached.adapter_names[folder]
        cached.n_adapters_loaded += 1
        name = f"adapter{cached.n_adapters_loaded}x"
        cached.peft, notes = attach_adapter(cached.model, cached.peft, files, name, self._device)
        cached.adapter_names[folder] = name
        if len(cached.adapter_names) > MAX_CACHED_ADAPTERS:
            _, oldest = cached.adapter_names.popitem(last=False)
            cached.peft.set_adapter(name, inference_mode=True)
            cached.peft.delete_adapter(oldest)
            cached.engines.pop(oldest, None)
        self._note_once(notes)
        return name

    def _note_once(self, lines: Iterable[str]) -> None:
        for line in lines:
            if line not in self._noted:
                self._noted.add(line)
                self._note(line)

    def _engine(self, cached: _CachedModel, adapter: str, files: ModelFiles) -> Engine:
        if adapter not in cached.engines:
            try:
                engine = Engine(cached.model, numerics=self._numerics)
            except DamagedWeights as error:
                name = first_bad_weight(cached.model)
                first = f" (first: {name})" if name else ""
                raise DamagedWeights(f"cannot score {files.folder}: {error}{first}") from error
            except InputError as error:
                raise InputError(f"cannot score {files.folder}: {error}") from error
            if engine.fallback_reason:
                self._note(
                    f"{files.folder}: scored by the slower route '{engine.route_name}', since {engine.fallback_reason}"
                )
            cached.engines[adapter] = engine
        return cached.engines[adapter]


def _cache_key(files: ModelFiles) -> str:
    """Return the folder of the full model; an adapter that changes its base gets a base of its own."""
    full = files.full
    key = str(full.folder.resolve()) + (f" in {full.four_bit}" if full.four_bit else "")
    if files.kind == "full":
        return key
    names = safetensors_header(files.weight_paths[0])
    return key if shares_base(files.adapter_config, names) else f"{key} under {files.folder.resolve()}"


@dataclass(frozen=True, slots=True)
class LoadableModel:
    """A model that is loaded when its turn comes: what ``loop.score_parts`` opens."""

    resolved: ResolvedModel
    loader: ModelLoader

    @property
    def model(self) -> Model:
        """Its place in the run."""
        return self.resolved.model

    @contextmanager
    def open(self) -> Iterator[Engine]:
        """Load the model for the length of a ``with`` block; errors as ``ModelLoader.open``."""
        with self.loader.open(self.resolved) as engine:
            yield engine
