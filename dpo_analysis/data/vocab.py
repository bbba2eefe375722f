"""The vocabulary of a tokenizer: exact bytes of every id, fingerprints of its content, and a comparison of two."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from dpo_analysis.schema import VOCAB_SCHEMA

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
SPACE_MARK = "\u2581"
FINGERPRINT_TEXTS = (
    "The quick brown fox, isn't it? 3.14159 * 2 = 6.28318",
    "  two spaces\n\n\ttabs  and trailing space ",
    "def add(a, b):\n    return a + b  # camelCase snake_case",
    "天空为什么是蓝色的？因为瑞利散射。",
    "Ünïcödé e\u0301 \u00e9 ﬁ １２３ 👩‍👩‍👧 مرحبا नमस्ते",
    "1234567890 0x7F https://example.org/?q=a%20b",
)
"""Texts whose token ids represent the rules (merges, normaliser, splitting, post-processor) in a fingerprint.

This works for slow and fast tokenizers alike.
"""

TokenDecoder = Callable[[str], bytes]


def vocabulary(tokenizer: Any) -> pa.Table:
    """Return every id of the tokenizer with its exact bytes, in ``VOCAB_SCHEMA``, sorted by id.

    Byte-level BPE: the bytes that GPT-2's printable characters stand for. SentencePiece style: ``<0xE4>`` is that byte
    and the space mark a space, so that joined bytes have an extra space before the first word. WordPiece: a space
    before every token that does not continue a word, so that joined bytes are the text up to white space and case.
    Added tokens: their text.
    """
    added = tokenizer.added_tokens_decoder
    decode = _token_decoder(tokenizer)
    rows = {token_id: (decode(token), False) for token, token_id in tokenizer.get_vocab().items()}
    rows |= {token_id: (str(token.content).encode(), bool(token.special)) for token_id, token in added.items()}
    ids = sorted(rows)
    columns = [ids, [rows[token_id][0] for token_id in ids], [rows[token_id][1] for token_id in ids]]
    return pa.table(dict(zip(VOCAB_SCHEMA.names, columns, strict=True)), schema=VOCAB_SCHEMA)


def tokenizer_fingerprint(tokenizer: Any) -> dict[str, str]:
    """Return hashes of a tokenizer's content, equal for equal content wherever it was loaded from.

    Returns:
        sha256 of four parts: ``vocab`` (every id and token), ``special`` (begin, end and unknown token and the flags
        of added tokens, but not the padding token, which trainers set freely), ``template`` (the chat template) and
        ``rules`` (the ids of fixed texts, which depend on merges, normaliser and post-processor).
    """
    added = {
        token_id: [str(token.content), token.special, token.lstrip, token.rstrip, token.single_word, token.normalized]
        for token_id, token in tokenizer.added_tokens_decoder.items()
    }
    special = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token, sorted(added.items())]
    return {
        "vocab": _sha256(sorted(tokenizer.get_vocab().items(), key=lambda item: (item[1], item[0]))),
        "special": _sha256(special),
        "template": template_hash(tokenizer.chat_template or ""),
        "rules": _sha256([list(tokenizer(text)["input_ids"]) for text in FINGERPRINT_TEXTS]),
    }


def template_hash(template: Any) -> str:
    """Return the sha256 of a chat template, 64 hex digits; several templates are a mapping by name."""
    return _sha256(template)


def tokenizer_difference(first: Any, second: Any) -> str | None:
    """Return why ids made by ``first`` would be misread by ``second``, or None when every id means the same in both.

    ``second`` may have more tokens than ``first``.

    Returns:
        A sentence that names the first differing token, or None.
    """
    first_tokens = {token_id: token for token, token_id in first.get_vocab().items()}
    second_tokens = {token_id: token for token, token_id in second.get_vocab().items()}
    for token_id, token in sorted(first_tokens.items()):
        if token_id not in second_tokens:
            return f"token {token_id} is {token!r} in the one and missing in the other"
        if token != second_tokens[token_id]:
            return f"token {token_id} is {token!r} in the one and {second_tokens[token_id]!r} in the other"
    return None


def byte_level_alphabet() -> dict[str, int]:
    """Return the byte that each printable character of GPT-2's alphabet stands for.

    Printable Latin-1 bytes stand for themselves; the characters of the other bytes start at U+0100.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unprintable = [byte for byte in range(256) if byte not in set(printable)]
    stand_ins = {chr(0x100 + index): byte for index, byte in enumerate(unprintable)}
    return {chr(byte): byte for byte in printable} | stand_ins


def _token_decoder(tokenizer: Any) -> TokenDecoder:
    """Return the function from a token of the vocabulary to its bytes.

    A fast tokenizer states its kind in its serialised decoder; for a slow one it is inferred from the vocabulary.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        vocab = tokenizer.get_vocab()
        # "Ġ" is the space of byte-level BPE; SentencePiece vocabularies may hold it as a letter, but with byte tokens.
        is_byte_level = "Ġ" in vocab and "<0x00>" not in vocab
        return _byte_level_bytes if is_byte_level else _sentence_piece_bytes
    content = json.loads(backend.to_str())
    steps = _flatten_steps(content.get("decoder"))
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds or any(
        step["type"] == "ByteLevel" for step in _flatten_steps(content.get("pre_tokenizer"))
    ):
        return _byte_level_bytes
    if "WordPiece" in kinds:
        prefix = next(step["prefix"] for step in steps if step["type"] == "WordPiece")
        return lambda token: _word_piece_bytes(token, prefix)
    if "BPEDecoder" in kinds:
        suffix = next(step["suffix"] for step in steps if step["type"] == "BPEDecoder")
        return lambda token: (token.removesuffix(suffix) + " " * token.endswith(suffix)).encode()
    return _sentence_piece_bytes


def _flatten_steps(part: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the steps of a serialised pipeline part; a Sequence nests them under ``decoders`` or ``pretokenizers``."""
    if part is None:
        return []
    nested = part.get("decoders") or part.get("pretokenizers")
    return [step for item in nested for step in _flatten_steps(item)] if nested else [part]


def _byte_level_bytes(token: str) -> bytes:
    try:
        return bytes(ALPHABET[character] for character in token)
    except KeyError:  # a token stored as plain text
        return token.encode()


def _sentence_piece_bytes(token: str) -> bytes:
    byte = BYTE_TOKEN.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(SPACE_MARK, " ").encode()


def _word_piece_bytes(token: str, prefix: str) -> bytes:
    return token.removeprefix(prefix).encode() if token.startswith(prefix) else f" {token}".encode()


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=True, sort_keys=True).encode()).hexdigest()


ALPHABET = byte_level_alphabet()
