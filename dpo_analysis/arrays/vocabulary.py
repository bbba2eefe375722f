"""The vocabulary of a run: the bytes and the text of token ids, read once per run folder."""

from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.runs.file_stamps import FileStamps, file_stamps
from dpo_analysis.runs.run import VOCAB_FILE, Run
from dpo_analysis.text.token_text import token_text


class Vocabulary:
    """The bytes and the text of token ids; each distinct id is looked up once per call."""

    def __init__(self, vocab: pa.Table | None) -> None:
        """Take a table in ``schema.VOCAB_SCHEMA``; None for a run that stores no vocabulary."""
        self._ids = np.zeros(0, np.int64) if vocab is None else vocab["token_id"].to_numpy()
        self._bytes = pa.chunked_array([], pa.binary()) if vocab is None else vocab["bytes"]
        self._order = np.argsort(self._ids, kind="stable")

    def bytes_and_texts(self, token_ids: NDArray) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
        """Return bytes and text of every token id, two object arrays of its shape.

        An id that is not in the vocabulary has None for bytes and ``[id]`` for text.
        """
        distinct, place = np.unique(token_ids, return_inverse=True)
        entries = np.empty((2, len(distinct)), dtype=object)
        for index, (token_id, content) in enumerate(zip(distinct.tolist(), self._contents(distinct), strict=True)):
            entries[:, index] = (content, f"[{token_id}]" if content is None else token_text(content))
        return entries[0][place], entries[1][place]

    def texts(self, token_ids: NDArray) -> NDArray[np.object_]:
        """Return the text of every token id, decoded alone, an object array of its shape; ``[id]`` for unknown ids."""
        return self.bytes_and_texts(token_ids)[1]

    def _contents(self, token_ids: NDArray) -> list[bytes | None]:
        """Return the bytes of each id; None where the vocabulary has no such id."""
        if not len(self._ids):
            return [None] * len(token_ids)
        nearest = np.minimum(np.searchsorted(self._ids, token_ids, sorter=self._order), len(self._ids) - 1)
        line = self._order[nearest]
        return self._bytes.take(pa.array(line, mask=self._ids[line] != token_ids)).to_pylist()


def read_vocabulary(run: Run) -> Vocabulary:
    """Return the vocabulary of ``run``; cached, so that opening the run again reads nothing.

    Raises:
        StorageError: the vocabulary is damaged.
    """
    return _read(file_stamps(run, VOCAB_FILE))


@lru_cache(maxsize=4)
def _read(files: FileStamps) -> Vocabulary:
    return Vocabulary(files.run.vocab())
