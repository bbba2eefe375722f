"""Every preset gives exactly the ids that its trainer's code gave: tests/trainers/tokens/README.md says how."""

import json
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.tokenization import tokenize_pairs
from dpo_analysis.schema import SIDES

ROOT = Path(__file__).parent.parent
TOKENS = ROOT / "tests/trainers/tokens"
BOS = "<|im_start|>"


def cases_of(name):
    """The cases of a file, a list of ids in place of each index; a row that was not encoded says why, or is None."""
    golden = json.loads((TOKENS / f"{name}.json").read_text("utf-8"))
    for case in golden["cases"]:
        case["rows"] = [[golden["ids"][n] for n in row] if isinstance(row, list) else row for row in case["rows"]]
    return golden["cases"]


@cache
def tokenizer_of(name, preset=""):
    """The tokenizers of the real folders: of the sample model, with a BOS, and with a newline after each turn."""
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "sample_data/sft")
    if name == "sft-bos" or preset == "trl-0.9":
        tokenizer.bos_token = BOS
    if name == "sft-bos":
        special = [(BOS, tokenizer.convert_tokens_to_ids(BOS))]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=special
        )
    if name == "sft-nl":
        tokenizer.chat_template = tokenizer.chat_template.replace("'<|im_end|>' }}", "'<|im_end|>\\n' }}")
    return tokenizer


PAIRS = load_pairs(str(TOKENS / "rows.jsonl"))
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}-{n}-{case['tokenizer']}")
    for path in sorted(TOKENS.glob("*.json"))
    for n, case in enumerate(cases_of(path.stem))
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_prompt_and_response_ids_are_those_of_the_trainer(name, case):
    tokenizer = tokenizer_of(case["tokenizer"], name)
    if "added_tokens" in case:
        tokenizer = deepcopy(tokenizer)
        tokenizer.add_special_tokens({"additional_special_tokens": case["added_tokens"]})
    rows = case.get("numbers", range(len(PAIRS)))
    tokenized = tokenize_pairs([PAIRS[n] for n in rows], tokenizer, tokenization=name, **case["settings"])
    for pair, expected in zip(tokenized, case["rows"], strict=True):
        assert_same(pair, expected)


def assert_same(pair, expected):
    """The ids are the trainer's; where the trainer stops at a row, drops it or scores none of it, it has a status."""
    where = f"{pair.pair.where} {pair.status} {pair.reason}"
    if expected is None or isinstance(expected, str) or not (expected[1] and expected[3]):
        assert pair.status in ("template_error", "too_long"), (where, expected)
        return
    found = [ids.tolist() for side in SIDES for ids in both(pair.responses[side])]
    assert found == expected, where


def both(response):
    return response.prompt_token_ids, response.token_ids
