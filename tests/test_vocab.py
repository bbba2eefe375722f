"""Ids stand for exact bytes, equal tokenizers have equal fingerprints, and a differing token is named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from dpo_analysis.data.vocab import byte_level_alphabet, tokenizer_difference, tokenizer_fingerprint, vocabulary
from dpo_analysis.schema import VOCAB_SCHEMA
from tests.parity.setting import CHATML, LINES, TIGHT, build_tokenizer


def rows_of(tokenizer):
    return {row["token_id"]: (row["bytes"], row["special"]) for row in vocabulary(tokenizer).to_pylist()}


def joined(tokenizer, text):
    table = rows_of(tokenizer)
    return b"".join(table[token_id][0] for token_id in tokenizer(text, add_special_tokens=False)["input_ids"])


def sentence_piece(family="bpe"):
    """Llama's style: a space mark in front of words, unknown characters as bytes."""
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "\u2581",
        *"helowrd",
        "he",
        "\u2581he",
    ]
    if family == "bpe":
        vocab = {piece: place for place, piece in enumerate(pieces)}
        core = Tokenizer(models.BPE(vocab, [("h", "e"), ("\u2581", "he")], byte_fallback=True, unk_token="<unk>"))
    else:
        core = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0, byte_fallback=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    core.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def word_piece():
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    core.train_from_iterator(
        LINES, trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


BYTE_LEVEL = build_tokenizer()
PIECES = {family: sentence_piece(family) for family in ("bpe", "unigram")}
anything = st.text(st.characters(codec="utf-8"))


def test_the_256_bytes_have_256_stand_ins_and_a_space_is_the_known_one():
    alphabet = byte_level_alphabet()
    assert sorted(alphabet.values()) == list(range(256))
    assert (alphabet["Ġ"], alphabet["Ċ"], alphabet["a"]) == (0x20, 0x0A, 0x61)


def test_the_table_has_every_id_once_and_says_which_are_special():
    table = vocabulary(BYTE_LEVEL)
    assert table.schema == VOCAB_SCHEMA
    assert table["token_id"].to_pylist() == list(range(len(BYTE_LEVEL)))
    special = table.filter(table["special"])["bytes"].to_pylist()
    assert special == [b"<s>", b"</s>", b"<|im_start|>", b"<|im_end|>", b"<pad>"]


@settings(deadline=None, max_examples=300)
@given(anything)
def test_bytes_of_byte_level_tokens_join_to_the_text(text):
    assert joined(BYTE_LEVEL, text) == text.encode()


@pytest.mark.parametrize("family", PIECES)
@settings(deadline=None)
@given(text=anything.filter(lambda text: "\u2581" not in text and "<" not in text))
def test_bytes_of_sentence_pieces_join_to_a_space_and_the_text(family, text):
    assert joined(PIECES[family], text) == (b" " + text.encode() if text else b"")


def test_one_character_may_be_several_tokens_of_one_byte():
    assert [rows_of(PIECES["bpe"])[3 + byte][0] for byte in "天".encode()] == [b"\xe5", b"\xa4", b"\xa9"]


def test_a_word_pieces_continuation_has_no_space():
    tokenizer = word_piece()
    text = "the sky is blue"
    assert any(token.startswith("##") for token in tokenizer.tokenize(text))
    assert joined(tokenizer, text).decode() == " the sky is blue"


def test_added_tokens_are_their_own_text_even_where_it_could_be_stand_ins():
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([AddedToken("Ġplain"), AddedToken("<think>", special=False)])
    table = rows_of(tokenizer)
    first = len(tokenizer) - 2
    assert (table[first], table[first + 1]) == (("Ġplain".encode(), False), (b"<think>", False))


@pytest.mark.parametrize("kind", [GPT2Tokenizer, Qwen2Tokenizer])
def test_a_librarys_own_class_gives_exact_bytes_and_one_fingerprint_when_saved(tmp_path, kind):
    stand_ins = {character: place for place, character in enumerate(byte_level_alphabet())}
    tokenizer = kind(vocab=stand_ins | {"<|endoftext|>": 256}, merges=[])
    assert joined(tokenizer, "天 x\n") == "天 x\n".encode()
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer_fingerprint(again) == tokenizer_fingerprint(tokenizer)


def test_a_copy_elsewhere_has_the_same_fingerprint_whatever_it_pads_with(tmp_path):
    tokenizer = build_tokenizer(bos=True)
    tokenizer.save_pretrained(tmp_path)
    copy = AutoTokenizer.from_pretrained(tmp_path)
    copy.pad_token = copy.eos_token
    copy("padded", padding="max_length", max_length=20, truncation=True)
    assert tokenizer_fingerprint(copy) == tokenizer_fingerprint(build_tokenizer(bos=True))


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (build_tokenizer(template=TIGHT), "template"),
        (build_tokenizer(bos=True, template=CHATML.replace("{{ bos }}", "")), "rules"),
    ],
    ids=["template", "post-processor"],
)
def test_a_fingerprint_tells_which_part_differs(other, part):
    first, second = tokenizer_fingerprint(BYTE_LEVEL), tokenizer_fingerprint(other)
    assert [name for name in first if first[name] != second[name]] == [part]


def test_another_end_of_text_token_shows_in_special():
    other = build_tokenizer()
    other.eos_token = "<|im_end|>"
    first, second = tokenizer_fingerprint(BYTE_LEVEL), tokenizer_fingerprint(other)
    assert [name for name in first if first[name] != second[name]] == ["special"]


def test_equal_and_larger_tokenizers_may_read_each_others_ids():
    larger = build_tokenizer()
    larger.add_tokens(["<think>"])
    assert tokenizer_difference(BYTE_LEVEL, build_tokenizer(bos=True, template=TIGHT)) is None
    assert tokenizer_difference(BYTE_LEVEL, larger) is None
    last = len(larger) - 1
    assert tokenizer_difference(larger, BYTE_LEVEL) == f"token {last} is '<think>' in the one and missing in the other"


def test_two_swapped_tokens_are_found_at_equal_size():
    vocab = {"a": 0, "b": 1, "c": 2}
    first, second = (
        PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="a")))
        for words in (vocab, vocab | {"b": 2, "c": 1})
    )
    assert tokenizer_difference(first, second) == "token 1 is 'b' in the one and 'c' in the other"
