"""Pairs held as compressed JSON, a tenth of the memory of their Python objects, and decompressed when they are read.

Scoring plans all pairs before it scores the first, so all are in memory at the same time.
"""

import json
import zlib
from typing import Any

from dpo_analysis.data.pairs import Pair, iter_pairs

ZLIB_LEVEL = 1
"""Twice as fast as zlib's default level, for a result that is a tenth larger."""
COMPRESSED_FIELDS = ("prompt", "chosen", "rejected", "tools", "chat_template_kwargs", "source")
"""The fields of a pair that are compressed; the other fields are small and read often."""


def _compressed_field(name: str) -> Any:
    return property(lambda self: getattr(self.decompressed(), name), doc=f"``Pair.{name}``.")


class CompressedPair(Pair):
    """A pair that decompresses its row on every access to a large field.

    Callers that read several fields call ``decompressed`` once and read them from its result.
    """

    __slots__ = ("_compressed_row", "_conversational")

    prompt = _compressed_field("prompt")
    chosen = _compressed_field("chosen")
    rejected = _compressed_field("rejected")
    tools = _compressed_field("tools")
    chat_template_kwargs = _compressed_field("chat_template_kwargs")
    source = _compressed_field("source")

    def __init__(self, pair: Pair) -> None:
        """Compress ``pair``, whose fields JSON can hold (see ``Pair``)."""
        # Pair is frozen, so its fields can only be set past its own __setattr__.
        for name in ("pair_id", "split", "where", "problem"):
            object.__setattr__(self, name, getattr(pair, name))
        fields = {name: getattr(pair, name) for name in COMPRESSED_FIELDS}
        # A field that equals the column of the same name in ``source`` is stored once, in ``source``.
        stored = {name: value for name, value in fields.items() if name == "source" or value != pair.source.get(name)}
        text = json.dumps(stored, ensure_ascii=False, separators=(",", ":"))
        # Rows may hold lone surrogates, which only "surrogatepass" can encode.
        object.__setattr__(self, "_compressed_row", zlib.compress(text.encode("utf-8", "surrogatepass"), ZLIB_LEVEL))
        object.__setattr__(self, "_conversational", pair.conversational)

    @property
    def conversational(self) -> bool:
        """Whether the sides are lists of messages; nothing is decompressed for the answer."""
        return self._conversational

    def decompressed(self) -> Pair:
        """Return the pair as it was before compression."""
        stored = json.loads(zlib.decompress(self._compressed_row).decode("utf-8", "surrogatepass"))
        fields = {name: stored[name] if name in stored else stored["source"].get(name) for name in COMPRESSED_FIELDS}
        return Pair(self.pair_id, self.split, **fields, where=self.where, problem=self.problem)

    def __reduce__(self) -> tuple[type["CompressedPair"], tuple[Pair]]:
        """Pickle the decompressed pair, which is compressed again when it is loaded."""
        return CompressedPair, (self.decompressed(),)


def load_compressed_pairs(*sources: object, split: str | None = None) -> list[CompressedPair]:
    """Load pairs as ``load_pairs`` does, with the same errors, and compress each as soon as it is read."""
    return [CompressedPair(pair) for pair in iter_pairs(*sources, split=split)]
