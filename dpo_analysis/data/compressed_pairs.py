"""Pairs held as compressed JSON, a tenth of the memory of their Python objects, and decompressed when they are read.

Scoring plans all pairs before it scores the first, so all are in memory at the same time.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from dpo_analysis.data.pairs import Pair, Tie, iter_pairs

MESSAGES, TEXTS = b"m", b"t"
"""The first byte of a compressed row: what its sides are."""
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

    __slots__ = ("_compressed_row",)

    prompt = _compressed_field("prompt")
    chosen = _compressed_field("chosen")
    rejected = _compressed_field("rejected")
    tools = _compressed_field("tools")
    chat_template_kwargs = _compressed_field("chat_template_kwargs")
    source = _compressed_field("source")

    def __init__(self, pair: Pair) -> None:
        """Compress ``pair``, whose fields JSON can hold (see ``Pair``)."""
        # Pair is frozen, so its fields can only be set past its own __setattr__.
        for name in ("pair_id", "split", "where", "problem", "reading"):
            object.__setattr__(self, name, getattr(pair, name))
        fields = {name: getattr(pair, name) for name in COMPRESSED_FIELDS}
        # A field that equals the column of the same name in ``source`` is stored once, in ``source``.
        stored = {name: value for name, value in fields.items() if name == "source" or value != pair.source.get(name)}
        text = json.dumps(stored, ensure_ascii=False, separators=(",", ":"))
        # Rows may hold lone surrogates, which only "surrogatepass" can encode.
        compressed = zlib.compress(text.encode("utf-8", "surrogatepass"), ZLIB_LEVEL)
        # the first byte says whether the pair is conversational: a slot for it would take eight
        object.__setattr__(self, "_compressed_row", (MESSAGES if pair.conversational else TEXTS) + compressed)

    @property
    def conversational(self) -> bool:
        """Whether the sides are lists of messages; nothing is decompressed for the answer."""
        return self._compressed_row[:1] == MESSAGES

    def decompressed(self) -> Pair:
        """Return the pair as it was before compression."""
        stored = json.loads(zlib.decompress(self._compressed_row[1:]).decode("utf-8", "surrogatepass"))
        fields = {name: stored[name] if name in stored else stored["source"].get(name) for name in COMPRESSED_FIELDS}
        return Pair(self.pair_id, self.split, **fields, where=self.where, problem=self.problem, reading=self.reading)

    def __reduce__(self) -> tuple[type["CompressedPair"], tuple[Pair]]:
        """Pickle the decompressed pair, which is compressed again when it is loaded."""
        return CompressedPair, (self.decompressed(),)


def load_compressed_pairs(
    *sources: object,
    split: str | None = None,
    columns: str | Mapping[str, str] | None = None,
    pairing: str = "best-worst",
    ties: list[Tie] | None = None,
) -> list[CompressedPair]:
    """Load pairs as ``load_pairs`` does, with the same errors, and compress each as soon as it is read.

    Args:
        *sources: as for ``load_pairs``, and so are ``split``, ``columns`` and ``pairing``.
        split: see there.
        columns: see there.
        pairing: see there.
        ties: takes the rows that prefer no response.
    """
    pairs = iter_pairs(*sources, split=split, columns=columns, pairing=pairing, ties=ties)
    return [CompressedPair(pair) for pair in pairs]
