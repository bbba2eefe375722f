"""Show: two presets are compared row by row, and a terminal says in plain words what differs."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dpo_analysis.cli.main import app
from dpo_analysis.data.comparison.differences import differences, first_difference
from dpo_analysis.data.comparison.output import render_comparison
from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.tokenization import tokenize_pairs
from dpo_analysis.data.vocab import vocabulary
from tests.parity.setting import CHATML, build_tokenizer

BOS = build_tokenizer(bos=True, template=CHATML.replace("<|im_end|>\n", "</s>\n"))
VOCAB = vocabulary(BOS)
TEXT = {"prompt": "The sky is blue", "chosen": " because air", "rejected": "."}
CHAT = {
    "prompt": [{"role": "user", "content": "Why?"}],
    "chosen": [{"role": "assistant", "content": "Because."}],
    "rejected": [{"role": "assistant", "content": "No."}],
}


def both(row, first, second):
    pairs = load_pairs([row])
    return [tokenize_pairs(pairs, BOS, **settings)[0] for settings in (first, second)]


TRL, OLD = {"tokenization": "trl"}, {"tokenization": "trl-0.24"}
KINDS = {
    "begin-of-text": (TEXT, TRL, OLD, ["bos"]),
    "end-of-text": (CHAT, TRL, OLD, ["eos"]),
    "tokens in the response": (TEXT, OLD, {"tokenization": "openrlhf"}, ["response"]),
    "tokens in the prompt": (TEXT, OLD, {"tokenization": "llamafactory", "template": "default"}, ["prompt"]),
    "the cut": (TEXT, OLD, OLD | {"max_completion_length": 2}, ["eos", "cut"]),
    "the status": (TEXT, TRL | {"max_length": 5}, OLD, ["status"]),
    "merged tokens": ({"prompt": "Hel", "chosen": "lo", "rejected": "p"}, TRL, OLD, ["bos", "prompt", "response"]),
    "nothing": (CHAT, TRL, {"tokenization": "trl-0.29"}, []),
    "nothing, scored by none": (TEXT, TRL | {"max_length": 5}, TRL | {"max_length": 4}, []),
}


@pytest.mark.parametrize("case", KINDS)
def test_what_differs_is_named(case):
    row, first, second, expected = KINDS[case]
    assert differences(*both(row, first, second)) == expected


def test_the_first_difference_is_a_position_or_none():
    assert [first_difference("abc", text) for text in ("abc", "abd", "ab", "abcd", "")] == [None, 2, 2, 3, 0]


def printed(rows, presets, n=3, lang="en"):
    pairs = load_pairs(rows)
    compared = {preset: tokenize_pairs(pairs, BOS, tokenization=preset) for preset in presets}
    return terminal(compared, n, lang=lang)


def terminal(compared, n=3, lang="en"):
    file = io.StringIO()
    Console(file=file, width=200, highlight=False).print(*render_comparison(compared, VOCAB, n, lang=lang), sep="\n")
    return file.getvalue()


def test_a_terminal_shows_how_many_rows_differ_and_the_tokens_where_they_do():
    text = printed([TEXT, CHAT], ["trl", "trl-0.24"])
    assert "2 of 2 pairs differ between trl and trl-0.24." in text
    assert "    1  another number of begin-of-text tokens before the prompt" in text
    assert "    1  another number of end-of-text tokens at the end of a response" in text
    assert "prompt 5  trl       [BOS <s>]|The|·sky|·is|·blue" in text
    assert "prompt 4  trl-0.24  The|·sky|·is|·blue" in text
    chosen = [line.rstrip() for line in text.splitlines() if line.startswith("chosen")]
    assert [line.split()[2] for line in chosen] == ["trl", "trl-0.24"]
    assert [line.split("|", 1)[1][-30:].count("[EOS </s>]") for line in chosen] == [1, 2]


def test_rows_are_limited_and_equal_presets_are_one_line():
    assert printed([TEXT] * 4, ["trl", "trl-0.24"], n=1).count("list[") == 1
    assert printed([CHAT], ["trl", "trl-0.29"]).splitlines() == ["0 of 1 pairs differ between trl and trl-0.29."]


def test_the_first_preset_is_compared_with_each_and_in_both_languages():
    text = printed([TEXT], ["trl", "trl-0.24", "openrlhf"], lang="zh")
    assert "trl 与 trl-0.24" in text
    assert "trl 与 openrlhf" in text


def test_a_row_that_only_one_trainer_scores_is_shown_with_its_reason():
    pairs = load_pairs([TEXT])
    old = tokenize_pairs(pairs, BOS, tokenization="trl-0.24")
    text = terminal({"trl": tokenize_pairs(pairs, BOS, max_length=5), "trl-0.24": old})
    assert "status  trl       too_long: the prompt alone is 5 tokens, max_length is 5" in text


SAMPLE = Path(__file__).parent.parent / "sample_data"


def check(*options):
    arguments = ["check", str(SAMPLE / "pairs/eval.jsonl"), *options]
    return CliRunner().invoke(app, arguments)


def test_the_command_compares_with_the_settings_that_are_given():
    done = check("--tokenizer", str(SAMPLE / "sft"), "--compare", "trl,trl-0.28", "--max-length", "30", "--rows", "1")
    assert done.exit_code == 0
    assert "pairs differ between trl and trl-0.28." in done.output
    assert "cut by one trainer only" in done.output or "scored by one trainer only" in done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--compare", "trl,trl-0.24"], "--compare without --tokenizer"),
        (["--compare", "trl", "--tokenizer", "x"], "it takes two tokenizations or more"),
        (["--compare", "trl,magic", "--tokenizer", "x"], "unknown tokenization 'magic'"),
        (["--template", "qwen", "--tokenizer", "x"], "template 'qwen' with trl"),
        (["--max-prompt-length", "0", "--tokenizer", "x"], "bad max_prompt_length 0"),
    ],
)
def test_what_cannot_be_compared_is_one_line_before_a_model_library_is_loaded(options, message):
    done = check(*options)
    assert done.exit_code != 0
    assert message in str(done.exception)
    assert "torch" not in done.output
