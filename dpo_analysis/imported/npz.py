"""Arrays of an .npz file, read by their headers first: nothing is allocated that the file does not hold or may not."""

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dpo_analysis.errors import InputError

MAX_ARRAY_BYTES = 512 * 2**20
"""Bytes of one array: 67 million sums, such as one million pairs at 67 checkpoints. Each sum takes another 32 bytes
while it is arranged, so that this is about 5 GB for both sides."""
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""The reader of an array's header by the version of its format; version 3 is for names of columns beyond Latin-1."""
READ_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    RuntimeError,
    EOFError,
    SyntaxError,
    tokenize.TokenError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
)
"""Exceptions that a damaged or foreign file can raise while it is read."""


def read_npz(path: Path, names: Collection[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the arrays of these names that an .npz file holds, and the names of its other arrays, which stay unread.

    Raises:
        InputError: the file is damaged, pickled, or no .npz file; an array stands twice in it, or is larger than
            ``MAX_ARRAY_BYTES``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [(info.filename.removesuffix(".npy"), info) for info in archive.infolist()]
            found = [name for name, _ in members if name in names]
            if len(set(found)) < len(found):
                raise ValueError("an array stands twice in it")
            arrays = {name: _read_member(archive, info, str(path)) for name, info in members if name in names}
    except InputError:
        raise
    except READ_ERRORS as error:
        why = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"unreadable arrays in {path}: {why}; write numbers with numpy.savez") from error
    return arrays, [name for name, _ in members if name not in names]


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> NDArray[Any]:
    with archive.open(info) as opened:
        handle = cast(BinaryIO, opened)
        version = npy.read_magic(handle)
        if version not in HEADERS:
            raise ValueError(f"{info.filename} has version {version} of the format")
        shape, is_fortran, dtype = HEADERS[version](handle)
        if dtype.hasobject or not all(type(length) is int and length >= 0 for length in shape):
            raise ValueError(f"{info.filename} is no array of numbers or texts")
        size = math.prod(shape) * dtype.itemsize
        if size > MAX_ARRAY_BYTES:
            raise InputError(
                f"too large an array in {where}: {info.filename} has {size / 2**20:,.0f} MiB, more than "
                f"{MAX_ARRAY_BYTES >> 20} MiB; import fewer checkpoints at once, into the same --out"
            )
        # One byte more than there should be: only at the end of a member does zipfile check its checksum.
        data = handle.read(size + 1)
    if len(data) != size:
        raise ValueError(f"{info.filename} has another length than its header says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")
