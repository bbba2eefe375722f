"""Read plain values from a pickle without unpickling it: no class is looked up and nothing is called.

``training_args.bin`` is a zip file with a pickle inside. Unpickling it would run whatever code it names, and output
folders are downloaded and shared. ``torch.load(weights_only=True)`` needs torch and refuses classes that it does not
know, such as TRL's. So the pickle's opcodes are interpreted here: numbers, texts, lists and dictionaries become Python
values, and every object or call becomes an ``InertObject``, a record of its name and arguments.
"""

import lzma
import pickletools
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 64 * 2**20
MAX_PICKLE_BYTES = 2**20
MAX_VALUES = 2_000_000
"""Values that are moved while a pickle is read. A megabyte of opcodes moves a million when each value is moved once;
more is a pickle that copies its values again and again, such as 150,000 copies of a dictionary of 50,000."""
PICKLE_FILE_NAME = "data.pkl"
PUSH_OPCODES = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8".split()
)
"""Opcodes that push their argument, which ``pickletools`` has decoded to a Python value."""
CONSTANT_OPCODES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
"""Opcodes that push a constant, with the constant."""
TUPLE_OPCODES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
"""Opcodes that make a tuple of the topmost values, with their number."""
READ_ERRORS = (
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    OverflowError,
    RecursionError,
    MemoryError,
    OSError,
    RuntimeError,
    AttributeError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
"""Exceptions that a damaged or foreign file can raise while it is read."""


class UnreadablePickle(Exception):
    """The file is not a zip file with a pickle, or is damaged; ``str()`` says why."""


@dataclass(slots=True, eq=False, repr=False)
class InertObject:
    """An object that a pickle would have built or called: its name (``module.name``), arguments and state."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """The name alone: what an object holds may hold the object, or itself a billion times."""
        return f"InertObject({self.name[:80]!r})"


def read_torch_file(path: Path) -> Any:
    """Return the value that ``torch.save`` wrote into ``path``, with ``InertObject`` in place of every object.

    Raises:
        UnreadablePickle: the file is missing, too large, damaged, or in the format of torch before 1.6.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnreadablePickle("it is larger than 64 MiB")
        with zipfile.ZipFile(path) as archive:
            member = next(info for info in archive.infolist() if info.filename.rpartition("/")[2] == PICKLE_FILE_NAME)
            with archive.open(member) as handle:
                data = handle.read(MAX_PICKLE_BYTES + 1)
    except StopIteration:
        raise UnreadablePickle(f"it holds no {PICKLE_FILE_NAME}") from None
    except READ_ERRORS as error:
        raise UnreadablePickle(str(error) or type(error).__name__) from error
    return read_pickle(data)


def read_pickle(data: bytes) -> Any:
    """Return the value in a pickle's bytes, with ``InertObject`` in place of every object.

    Dictionary keys that are not texts are left out.

    Raises:
        UnreadablePickle: over 1 MiB, damaged, or cut short.
    """
    if len(data) > MAX_PICKLE_BYTES:
        raise UnreadablePickle("its pickle is larger than 1 MiB")
    machine = _PickleMachine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.execute(opcode.name, argument)
        return machine.stack.pop()
    except READ_ERRORS as error:
        raise UnreadablePickle(str(error) or type(error).__name__) from error


class _PickleMachine:
    """Interpreter of pickle opcodes with a stack, marks and a memo, but without any way to reach a class or function.

    The method of an opcode is its name in lower case after an underscore: ``_append`` interprets APPEND.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.moved = 0

    def execute(self, name: str, argument: Any) -> None:
        """Interpret the opcode that ``pickletools`` calls ``name``."""
        self._count(1)
        if name in PUSH_OPCODES:
            self.stack.append(argument)
        elif name in CONSTANT_OPCODES:
            self.stack.append(CONSTANT_OPCODES[name])
        elif name in TUPLE_OPCODES:
            self.stack[-TUPLE_OPCODES[name] :] = [tuple(self.stack[-TUPLE_OPCODES[name] :])]
        else:
            getattr(self, f"_{name.lower()}")(argument)

    def _count(self, values: int) -> None:
        self.moved += values
        if self.moved > MAX_VALUES:
            raise UnreadablePickle(f"its pickle moves more than {MAX_VALUES:,} values")

    def _pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        self._count(len(values))
        del self.stack[start:]
        return values

    def _no_effect(self, argument: Any) -> None:
        """Interpret an opcode that changes no value."""

    _proto = _frame = _stop = _readonly_buffer = _no_effect

    def _mark(self, argument: Any) -> None:
        self.marks.append(len(self.stack))

    def _pop(self, argument: Any) -> None:
        # POP also removes a mark when the mark is on top; marks are kept apart from the stack here.
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def _pop_mark(self, argument: Any) -> None:
        self._pop_to_mark()

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

    # Sets become lists: a damaged file may put lists or dictionaries into a set, which cannot hold them.
    _empty_set = _empty_list

    def _empty_tuple(self, argument: Any) -> None:
        self.stack.append(())

    def _empty_dict(self, argument: Any) -> None:
        self.stack.append({})

    def _list(self, argument: Any) -> None:
        self.stack.append(self._pop_to_mark())

    _frozenset = _list

    def _tuple(self, argument: Any) -> None:
        self.stack.append(tuple(self._pop_to_mark()))

    def _dict(self, argument: Any) -> None:
        items = self._pop_to_mark()
        self.stack.append({})
        self._set_items(items)

    def _append(self, argument: Any) -> None:
        self._extend_top([self.stack.pop()])

    def _appends(self, argument: Any) -> None:
        self._extend_top(self._pop_to_mark())

    _additems = _appends

    def _setitem(self, argument: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def _setitems(self, argument: Any) -> None:
        self._set_items(self._pop_to_mark())

    def _extend_top(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        values = target.state if isinstance(target, InertObject) else target
        if isinstance(values, dict):
            # Keys other than texts may be unhashable here, and no setting of a trainer has one.
            values.update((key, value) for key, value in zip(items[::2], items[1::2], strict=True) if type(key) is str)

    def _global(self, argument: str) -> None:
        self.stack.append(InertObject(argument.replace(" ", ".")))

    def _stack_global(self, argument: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(
            InertObject(f"{module!s:.200}.{name!s:.200}" if type(name) is type(module) is str else "unknown")
        )

    def _ext1(self, argument: Any) -> None:
        self.stack.append(InertObject("extension"))

    _ext2 = _ext4 = _persid = _next_buffer = _ext1

    def _binpersid(self, argument: Any) -> None:
        self.stack[-1] = InertObject("persistent")

    def _inst(self, argument: str) -> None:
        self.stack.append(InertObject(argument.replace(" ", "."), tuple(self._pop_to_mark())))

    def _obj(self, argument: Any) -> None:
        callable_object, *arguments = self._pop_to_mark()
        self._push_object(callable_object, tuple(arguments))

    def _reduce(self, argument: Any) -> None:
        arguments, callable_object = self.stack.pop(), self.stack.pop()
        self._push_object(callable_object, arguments)

    _newobj = _reduce

    def _newobj_ex(self, argument: Any) -> None:
        self.stack.pop()
        self._reduce(argument)

    def _push_object(self, callable_object: Any, arguments: Any) -> None:
        name = callable_object.name if isinstance(callable_object, InertObject) else "unknown"
        self.stack.append(InertObject(name, arguments if isinstance(arguments, tuple) else ()))

    def _build(self, argument: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(target, InertObject) and isinstance(part, dict):
                self._count(len(part))
                target.state.update(part)
