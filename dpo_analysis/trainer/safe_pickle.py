"""Reads the plain values out of a pickle without unpickling it: no class is looked up, nothing is ever called.

``training_args.bin`` is a zip with a pickle inside, and unpickling runs whatever code it names. Here the pickle's
instructions are walked by hand: numbers, texts, lists and dictionaries become what they are, and everything that would
be an object or a call becomes an ``Inert`` record of its name and its arguments.
"""

import pickletools
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGEST_FILE = 64 * 2**20
LARGEST_PICKLE = 2**20
MEMBER = "data.pkl"
PUSHED = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8".split()
)
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
BROKEN = (
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    OverflowError,
    RecursionError,
    MemoryError,
    OSError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
"""What reading a damaged or foreign file can raise."""


class UnreadablePickle(Exception):
    """The file is no zip with a pickle, or a damaged one; ``str()`` says why."""


@dataclass(slots=True, eq=False)
class Inert:
    """What a pickle would have built or called: its name (``module.name``), its arguments and its state."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)


def read_saved(path: Path) -> Any:
    """The value that ``torch.save`` wrote into ``path``, with ``Inert`` in place of every object.

    Raises:
        UnreadablePickle: the file is missing, too large, damaged, or in torch's format of before 1.6.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UnreadablePickle("it is larger than 64 MiB")
        with zipfile.ZipFile(path) as archive:
            member = next(info for info in archive.infolist() if info.filename.rpartition("/")[2] == MEMBER)
            with archive.open(member) as handle:
                data = handle.read(LARGEST_PICKLE + 1)
    except StopIteration:
        raise UnreadablePickle(f"it holds no {MEMBER}") from None
    except BROKEN as error:
        raise UnreadablePickle(str(error) or type(error).__name__) from error
    return read_pickle(data)


def read_pickle(data: bytes) -> Any:
    """The value behind a pickle's bytes, with ``Inert`` in place of every object; keys that are no text are left out.

    Raises:
        UnreadablePickle: over 1 MiB, damaged, or cut short.
    """
    if len(data) > LARGEST_PICKLE:
        raise UnreadablePickle("its pickle is larger than 1 MiB")
    machine = _Machine()
    try:
        for operation, argument, _ in pickletools.genops(data):
            machine.run(operation.name, argument)
        return machine.stack.pop()
    except BROKEN as error:
        raise UnreadablePickle(str(error) or type(error).__name__) from error


class _Machine:
    """The pickle machine with nothing but a stack, marks and a memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in PUSHED:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in TUPLES:
            self.stack[-TUPLES[name] :] = [tuple(self.stack[-TUPLES[name] :])]
        else:
            getattr(self, f"_{name.lower()}")(argument)

    def _to_mark(self) -> list[Any]:
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def _nothing(self, argument: Any) -> None:
        """An instruction that changes no value."""

    _proto = _frame = _stop = _readonly_buffer = _nothing

    def _mark(self, argument: Any) -> None:
        self.marks.append(len(self.stack))

    def _pop(self, argument: Any) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def _pop_mark(self, argument: Any) -> None:
        self._to_mark()

    def _dup(self, argument: Any) -> None:
        self.stack.append(self.stack[-1])

    def _put(self, argument: int) -> None:
        self.memo[argument] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, argument: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    _binget = _long_binget = _get

    def _empty_list(self, argument: Any) -> None:
        self.stack.append([])

    _empty_set = _empty_list

    def _empty_tuple(self, argument: Any) -> None:
        self.stack.append(())

    def _empty_dict(self, argument: Any) -> None:
        self.stack.append({})

    def _list(self, argument: Any) -> None:
        self.stack.append(self._to_mark())

    _frozenset = _list

    def _tuple(self, argument: Any) -> None:
        self.stack.append(tuple(self._to_mark()))

    def _dict(self, argument: Any) -> None:
        items = self._to_mark()
        self.stack.append({})
        self._set(items)

    def _append(self, argument: Any) -> None:
        self._extend([self.stack.pop()])

    def _appends(self, argument: Any) -> None:
        self._extend(self._to_mark())

    _additems = _appends

    def _setitem(self, argument: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _setitems(self, argument: Any) -> None:
        self._set(self._to_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        values = target.state if isinstance(target, Inert) else target
        if isinstance(values, dict):
            values.update((key, value) for key, value in zip(items[::2], items[1::2], strict=True) if type(key) is str)

    def _global(self, argument: str) -> None:
        self.stack.append(Inert(argument.replace(" ", ".")))

    def _stack_global(self, argument: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Inert(f"{module!s:.200}.{name!s:.200}" if type(name) is type(module) is str else "unknown"))

    def _ext1(self, argument: Any) -> None:
        self.stack.append(Inert("extension"))

    _ext2 = _ext4 = _persid = _next_buffer = _ext1

    def _binpersid(self, argument: Any) -> None:
        self.stack[-1] = Inert("persistent")

    def _inst(self, argument: str) -> None:
        self.stack.append(Inert(argument.replace(" ", "."), tuple(self._to_mark())))

    def _obj(self, argument: Any) -> None:
        kind, *arguments = self._to_mark()
        self._make(kind, tuple(arguments))

    def _reduce(self, argument: Any) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        self._make(kind, arguments)

    _newobj = _reduce

    def _newobj_ex(self, argument: Any) -> None:
        self.stack.pop()
        self._reduce(argument)

    def _make(self, kind: Any, arguments: Any) -> None:
        name = kind.name if isinstance(kind, Inert) else "unknown"
        self.stack.append(Inert(name, arguments if isinstance(arguments, tuple) else ()))

    def _build(self, argument: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(target, Inert) and isinstance(part, dict):
                target.state.update(part)
