"""What a tokenizer's ids stand for: exact bytes, fingerprints of content, and whether two tokenizers agree."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from dpo_analysis.schema import VOCAB_SCHEMA

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
SPACE_MARK = "\u2581"
PROBES = (
    "The quick brown fox, isn't it? 3.14159 * 2 = 6.28318",
    "  two spaces\n\n\ttabs  and trailing space ",
    "def add(a, b):\n    return a + b  # camelCase snake_case",
    "天空为什么是蓝色的？因为瑞利散射。",
    "Ünïcödé e\u0301 \u00e9 ﬁ １２３ 👩‍👩‍👧 مرحبا नमस्ते",
    "1234567890 0x7F https://example.org/?q=a%20b",
)
"""Texts whose ids stand for the rules (merges, normaliser, splitting, post-processor) in a fingerprint."""

Decode = Callable[[str], bytes]


def vocabulary(tokenizer: Any) -> pa.Table:
    """Every id of the tokenizer with its exact bytes, ``VOCAB_SCHEMA``, sorted by id.

    Byte-level BPE: the bytes behind GPT-2's printable stand-ins. SentencePiece style: ``<0xE4>`` is that byte and the
    space mark a space (one more than the text has in front of its first word). Added tokens: their text. WordPiece: a
    space in front of whatever does not continue a word, so joined bytes are the text up to white space and case.
    """
    added = tokenizer.added_tokens_decoder
    decode = _decoder(tokenizer)
    rows = {token_id: (decode(token), False) for token, token_id in tokenizer.get_vocab().items()}
    rows |= {token_id: (str(token.content).encode(), bool(token.special)) for token_id, token in added.items()}
    ids = sorted(rows)
    columns = [ids, [rows[token_id][0] for token_id in ids], [rows[token_id][1] for token_id in ids]]
    return pa.table(dict(zip(VOCAB_SCHEMA.names, columns, strict=True)), schema=VOCAB_SCHEMA)


def tokenizer_fingerprint(tokenizer: Any) -> dict[str, str]:
    """Hashes of a tokenizer's content, equal for equal content wherever it was loaded from.

    Returns:
        sha256 of four things: ``vocab`` (every id and token), ``special`` (begin, end and unknown token and the flags
        of added tokens; which one pads is left out, since trainers set it at will), ``template`` (the chat template)
        and ``rules`` (the ids of fixed probe texts, which merges, normaliser and post-processor decide).
    """
    added = {
        token_id: [str(token.content), token.special, token.lstrip, token.rstrip, token.single_word, token.normalized]
        for token_id, token in tokenizer.added_tokens_decoder.items()
    }
    special = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token, sorted(added.items())]
    return {
        "vocab": _sha256(sorted(tokenizer.get_vocab().items(), key=lambda item: (item[1], item[0]))),
        "special": _sha256(special),
        "template": _sha256(tokenizer.chat_template or ""),
        "rules": _sha256([list(tokenizer(text)["input_ids"]) for text in PROBES]),
    }


def tokenizer_difference(first: Any, second: Any) -> str | None:
    """Why ids made by ``first`` would be misread by ``second``; None when every id means the same in both.

    The second may know more tokens than the first.

    Returns:
        None, or one sentence that names the first differing token.
    """
    own = {token_id: token for token, token_id in first.get_vocab().items()}
    other = {token_id: token for token, token_id in second.get_vocab().items()}
    for token_id in sorted(own):
        if token_id not in other:
            return f"token {token_id} is {own[token_id]!r} in the one and missing in the other"
        if own[token_id] != other[token_id]:
            return f"token {token_id} is {own[token_id]!r} in the one and {other[token_id]!r} in the other"
    return None


def byte_level_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in of each byte: printable Latin-1 bytes are themselves, the rest start at U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    stand_ins = {chr(0x100 + place): byte for place, byte in enumerate(others)}
    return {chr(byte): byte for byte in printable} | stand_ins


def _decoder(tokenizer: Any) -> Decode:
    """The function from a stored token to its bytes, told by the tokenizer's own decoder where it is a fast one."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        vocab = tokenizer.get_vocab()
        is_byte_level = "Ġ" in vocab and "<0x00>" not in vocab
        return _byte_level if is_byte_level else _sentence_piece
    content = json.loads(backend.to_str())
    steps = _steps(content.get("decoder"))
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds or any(step["type"] == "ByteLevel" for step in _steps(content.get("pre_tokenizer"))):
        return _byte_level
    if "WordPiece" in kinds:
        prefix = next(step["prefix"] for step in steps if step["type"] == "WordPiece")
        return lambda token: _word_piece(token, prefix)
    if "BPEDecoder" in kinds:
        suffix = next(step["suffix"] for step in steps if step["type"] == "BPEDecoder")
        return lambda token: (token.removesuffix(suffix) + " " * token.endswith(suffix)).encode()
    return _sentence_piece


def _steps(part: dict[str, Any] | None) -> list[dict[str, Any]]:
    """A pipeline part as a flat list: a Sequence holds its steps under a name of its own."""
    if part is None:
        return []
    inner = part.get("decoders") or part.get("pretokenizers")
    return [step for item in inner for step in _steps(item)] if inner else [part]


def _byte_level(token: str) -> bytes:
    try:
        return bytes(ALPHABET[character] for character in token)
    except KeyError:  # a token stored as plain text
        return token.encode()


def _sentence_piece(token: str) -> bytes:
    byte = BYTE_TOKEN.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(SPACE_MARK, " ").encode()


def _word_piece(token: str, prefix: str) -> bytes:
    return token.removeprefix(prefix).encode() if token.startswith(prefix) else f" {token}".encode()


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=True, sort_keys=True).encode()).hexdigest()


ALPHABET = byte_level_alphabet()
