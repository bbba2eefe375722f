"""Final hidden states of the reference, kept on the host until every policy was compared with them.

They are what the reference's head reads, in its own type: exact, and far smaller than its distributions.
"""

import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dpo_analysis.errors import InputError
from dpo_analysis.runs.safe_files import storage_error
from dpo_analysis.scoring.requests import Request

IN_MEMORY = 2 << 30
"""Bytes of states kept in memory; more go to files beside the run."""
LARGEST = 50 << 30
"""Bytes of states in all."""

Key = tuple[bytes, bytes]


def key_of(request: Request) -> Key:
    """Equal for requests of equal ids."""
    prompt, own = (np.ascontiguousarray(ids, dtype=np.int32) for ids in request)
    return prompt.tobytes(), own.tobytes()


class StateStore:
    """States by request, in blocks of one part each.

    Args:
        folder: where files of it may lie; each is removed as soon as it is open, so that none is left behind.
        tag: letters and digits that say whose they are, should the system not let them be removed while open.
    """

    def __init__(self, folder: Path, tag: str) -> None:
        self._folder, self._tag = folder, tag
        self._blocks: dict[int, dict[Key, Tensor]] = {}
        self._free: dict[int, Tensor] = {}
        self._in_memory = self._total = 0

    def __contains__(self, part: int) -> bool:
        """Whether the states of a part are there."""
        return part in self._blocks

    def begin(self, part: int, requests: Iterable[Request]) -> None:
        """Make ready for the states of ``requests``."""
        self._blocks[part] = {}
        self._rows = sum({key_of(one): len(one.token_ids) for one in requests}.values())

    def put(self, part: int, request: Request, states: Tensor) -> None:
        """Keep (tokens, width) states of one of the requests; the same again changes nothing.

        Raises:
            InputError: they are too many for this machine.
            StorageError: the disk is full or refuses.
        """
        block = self._blocks[part]
        if not block:
            self._free[part] = self._room(self._rows, states)
        if (key := key_of(request)) not in block:
            own, self._free[part] = self._free[part][: len(states)], self._free[part][len(states) :]
            block[key] = own.copy_(states)

    def get(self, part: int, request: Request) -> Tensor | None:
        """The states of a request, or None where it had no place in memory when they were made."""
        return self._blocks[part].get(key_of(request))

    def _room(self, rows: int, like: Tensor) -> Tensor:
        size = rows * like.shape[1] * like.element_size()
        self._total += size
        if self._total > LARGEST:
            raise InputError(
                f"too much evidence: the reference's states would take more than {LARGEST >> 30} GiB; "
                "pass a smaller --evidence-pairs"
            )
        if self._in_memory + size <= IN_MEMORY:
            self._in_memory += size
            return torch.empty((rows, like.shape[1]), dtype=like.dtype)
        return self._on_disk(rows, like, size)

    def _on_disk(self, rows: int, like: Tensor, size: int) -> Tensor:
        path = self._folder / f".states.{self._tag}.{uuid.uuid4().hex}.tmp"
        try:
            with open(path, "xb") as handle:
                handle.truncate(size)
                if hasattr(os, "posix_fallocate"):
                    # a full disk says so now, and not in the middle of a copy into the mapped file
                    os.posix_fallocate(handle.fileno(), 0, size)
            room = torch.from_file(str(path), shared=True, size=rows * like.shape[1], dtype=like.dtype)
        except OSError as error:
            raise storage_error(error, path) from error
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return room.view(rows, like.shape[1])
