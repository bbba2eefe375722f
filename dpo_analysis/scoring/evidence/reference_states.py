"""Final hidden states of the reference, stored on the host until every policy is compared with them.

They are the inputs of the reference's head, in the type of its weights: exact, and far smaller than its distributions.
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

MAX_MEMORY_BYTES = 2 << 30
"""Bytes of states held in memory; more go to files beside the run."""
MAX_BYTES = 50 << 30
"""Bytes of states in memory and files together."""

RequestKey = tuple[bytes, bytes]


def request_key(request: Request) -> RequestKey:
    """Return a hashable key; requests of equal ids have equal keys."""
    prompt, response = (np.ascontiguousarray(ids, dtype=np.int32) for ids in request)
    return prompt.tobytes(), response.tobytes()


class StateStore:
    """Hidden states by request, in one block for each part of the run.

    Args:
        folder: where its files are made; each is unlinked as soon as it is open, so that no file is left behind.
        tag: letters and digits in the files' names that say which process they belong to, should the system not let
            them be unlinked while open.
    """

    def __init__(self, folder: Path, tag: str) -> None:
        self._folder, self._tag = folder, tag
        self._blocks: dict[int, dict[RequestKey, Tensor]] = {}
        self._free: dict[int, Tensor] = {}
        self._in_memory = self._total = 0

    def __contains__(self, part: int) -> bool:
        """Return whether the states of a part are stored."""
        return part in self._blocks

    def begin_part(self, part: int, requests: Iterable[Request]) -> None:
        """Prepare to store the states of ``requests``."""
        self._blocks[part] = {}
        self._n_rows = sum({request_key(request): len(request.token_ids) for request in requests}.values())

    def put(self, part: int, request: Request, states: Tensor) -> None:
        """Store the states (tokens, model width) of one of the part's requests; a repeat has no effect.

        Raises:
            InputError: they are too many for this machine.
            StorageError: the disk is full or refuses.
        """
        block = self._blocks[part]
        if not block:
            # only the first states tell width and type
            self._free[part] = self._allocate(self._n_rows, states)
        if (key := request_key(request)) not in block:
            room, self._free[part] = self._free[part][: len(states)], self._free[part][len(states) :]
            block[key] = room.copy_(states)

    def get(self, part: int, request: Request) -> Tensor | None:
        """Return the states (tokens, model width) of a request; None where it did not fit when they were computed."""
        return self._blocks[part].get(request_key(request))

    def _allocate(self, n_rows: int, like: Tensor) -> Tensor:
        """Return an empty tensor (n_rows, width of ``like``), in memory or mapped to a file."""
        size = n_rows * like.shape[1] * like.element_size()
        self._total += size
        if self._total > MAX_BYTES:
            raise InputError(
                f"too much evidence: the reference's states would take more than {MAX_BYTES >> 30} GiB; "
                "pass a smaller --evidence-pairs"
            )
        if self._in_memory + size <= MAX_MEMORY_BYTES:
            self._in_memory += size
            return torch.empty((n_rows, like.shape[1]), dtype=like.dtype)
        return self._allocate_file(n_rows, like, size)

    def _allocate_file(self, n_rows: int, like: Tensor, size: int) -> Tensor:
        path = self._folder / f".states.{self._tag}.{uuid.uuid4().hex}.tmp"
        try:
            with open(path, "xb") as handle:
                handle.truncate(size)
                if hasattr(os, "posix_fallocate"):
                    # a full disk says so now, and not in the middle of a copy into the mapped file
                    os.posix_fallocate(handle.fileno(), 0, size)
            mapped = torch.from_file(str(path), shared=True, size=n_rows * like.shape[1], dtype=like.dtype)
        except OSError as error:
            raise storage_error(error, path) from error
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return mapped.view(n_rows, like.shape[1])
