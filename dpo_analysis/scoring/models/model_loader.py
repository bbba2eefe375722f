"""Models on disk, opened when their turn to be scored comes: full ones, and adapters on a shared base.

A ``Shelf`` holds what is loaded. Small models stay, so that taking turns part by part does not load them again; of
large ones only the last does. Adapters of one base share it, and the base itself is that model with adapters off.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from peft import PeftModel
from torch import nn

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.engine.memory import in_memory, release
from dpo_analysis.scoring.engine.placement import DeviceMap
from dpo_analysis.scoring.models.loading import attach_adapter, check_embedding, first_bad_weight, load_full, quiet
from dpo_analysis.scoring.models.preflight import ModelFiles, check_weights, position_limit, vocabulary_size
from dpo_analysis.scoring.models.weight_files import Damaged

KEPT_BYTES = 2 << 30
"""Weights that may stay loaded beside the model in use."""
KEPT_ADAPTERS = 8
"""Adapters that may stay on one base."""

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Needs:
    """What the pairs ask of every model: the longest prompt + response in tokens, and the largest token id."""

    longest: int
    largest_id: int

    def check(self, config: dict, where: str) -> None:
        """Refuse, from the config alone, a model these pairs do not fit.

        Raises:
            InputError: a sequence longer than the model's positions, or an id beyond its vocabulary.
        """
        limit, size = position_limit(config), vocabulary_size(config)
        if limit is not None and self.longest > limit:
            raise InputError(
                f"a pair of {self.longest} tokens for {where}: its positions end at {limit}; pass --max-length {limit}"
            )
        if size is not None and self.largest_id >= size:
            raise InputError(
                f"token id {self.largest_id} for {where}: its vocabulary has {size}; use its own tokenizer"
            )


class Watch:
    """Notices a policy that is the reference in disguise: an adapter that does nothing, a checkpoint of step 0."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._reference: bytes | None = None
        self._told: set[str] = set()

    def see(self, model: Model, engine: Engine) -> None:
        """Compare ``model``'s outputs on the probe with the reference's, which is opened first; tell once."""
        if model.is_reference:
            self._reference = engine.probe
        elif engine.probe == self._reference and model.key not in self._told:
            self._told.add(model.key)
            self._note(f"{model.key} gives exactly the reference's numbers: all its rewards are 0")


@dataclass
class _Loaded:
    """One full model in memory, with the adapters put on it."""

    model: nn.Module
    size: int
    peft: PeftModel | None = None
    names: "OrderedDict[str, str]" = field(default_factory=OrderedDict)
    engines: dict[str, Engine] = field(default_factory=dict)
    count: int = 0


class Shelf:
    """Loads models and keeps those that fit ``KEPT_BYTES``.

    Args:
        device: where they run.
        dtype: float32, bfloat16 or float16, for all of them.
        needs: what the pairs ask of them.
        note: told in one line what the log should know.
        numerics: ``default`` or ``trainer``, as for ``Engine``.
        device_map: how each is spread over devices, as for transformers; None: it is on ``device``.
    """

    def __init__(
        self,
        *,
        device: torch.device,
        dtype: str,
        needs: Needs,
        note: Note = lambda line: None,
        numerics: str = "default",
        device_map: DeviceMap | None = None,
    ) -> None:
        self._device, self._dtype, self._needs, self.note = device, dtype, needs, note
        self.numerics, self._device_map = numerics, device_map
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()

    @contextmanager
    def opened(self, files: ModelFiles) -> Iterator[Engine]:
        """The engine of ``files``, its adapter active, or every adapter off for a full model.

        Raises:
            Damaged, InputError: the model cannot be used; see ``models``.
            MemoryError: it does not fit on the device.
        """
        check_weights(files)
        key = _shelf_key(files)
        try:
            with quiet():
                loaded, name = self._in_memory(key, files)
                with active(loaded.peft, name):
                    yield self._engine(loaded, name, files)
        except InputError:
            # a model that was refused may be half changed: the next one starts from the files
            self._loaded.pop(key, None)
            raise

    def _in_memory(self, key: str, files: ModelFiles) -> tuple[_Loaded, str]:
        """The full model, and the name of its adapter; everything else goes where memory is short.

        Raises:
            MemoryError: it does not fit.
        """

        def work() -> tuple[_Loaded, str]:
            loaded = self._full(key, files.full)
            return loaded, self._adapter(loaded, files) if files.kind == "adapter" else ""

        try:
            return in_memory(work, self._device, str(files.folder))
        except MemoryError:
            self._loaded.clear()
        return in_memory(work, self._device, str(files.folder))

    def _full(self, key: str, files: ModelFiles) -> _Loaded:
        if key in self._loaded:
            self._loaded.move_to_end(key)
            return self._loaded[key]
        size = check_weights(files) * (4 if self._dtype == "float32" else 2)
        while self._loaded and size + sum(one.size for one in self._loaded.values()) > KEPT_BYTES:
            self._loaded.popitem(last=False)
            release(self._device)
        model, notes = load_full(files, dtype=self._dtype, device=self._device, device_map=self._device_map)
        check_embedding(model, self._needs.largest_id, str(files.folder))
        for line in notes:
            self.note(line)
        self._loaded[key] = _Loaded(model, size)
        return self._loaded[key]

    def _adapter(self, loaded: _Loaded, files: ModelFiles) -> str:
        place = str(files.folder.resolve())
        if place in loaded.names:
            loaded.names.move_to_end(place)
            return loaded.names[place]
        loaded.count += 1
        name = f"adapter{loaded.count}x"
        loaded.peft, notes = attach_adapter(loaded.model, loaded.peft, files, name, self._device)
        loaded.names[place] = name
        if len(loaded.names) > KEPT_ADAPTERS:
            _, oldest = loaded.names.popitem(last=False)
            loaded.peft.set_adapter(name, inference_mode=True)
            loaded.peft.delete_adapter(oldest)
            loaded.engines.pop(oldest, None)
        for line in notes:
            self.note(line)
        return name

    def _engine(self, loaded: _Loaded, name: str, files: ModelFiles) -> Engine:
        if name not in loaded.engines:
            try:
                engine = Engine(loaded.model, numerics=self.numerics)
            except Damaged as error:
                bad = first_bad_weight(loaded.model)
                raise Damaged(f"cannot score {files.folder}: {error}" + (f" (first: {bad})" if bad else "")) from error
            except InputError as error:
                raise InputError(f"cannot score {files.folder}: {error}") from error
            if engine.why:
                self.note(f"{files.folder}: scored by the slower route '{engine.path}', since {engine.why}")
            loaded.engines[name] = engine
        return loaded.engines[name]


def _shelf_key(files: ModelFiles) -> str:
    """The base's folder; adapters that change the base's own biases get a base of their own."""
    key = str(files.full.folder.resolve())
    shared = files.adapter.get("bias", "none") == "none"
    return key if shared else f"{key} under {files.folder.resolve()}"


@contextmanager
def active(peft: PeftModel | None, name: str) -> Iterator[None]:
    """The adapter called ``name``, or every adapter off where ``name`` is empty; without adapters nothing is done."""
    if peft is None:
        yield
    elif name:
        peft.set_adapter(name, inference_mode=True)
        yield
    else:
        with peft.disable_adapter():
            yield


@dataclass(frozen=True)
class StoredModel:
    """A model on disk whose turn will come: what ``work.score_parts`` opens."""

    model: Model
    files: ModelFiles
    shelf: Shelf
    watch: Watch

    @contextmanager
    def open(self) -> Iterator[Engine]:
        """The model in memory, ready to score; errors as ``Shelf.opened``."""
        with self.shelf.opened(self.files) as engine:
            self.watch.see(self.model, engine)
            yield engine
