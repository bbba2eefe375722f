"""Settings that a preset cannot use are refused in one line; defaults are those of the trainers."""

import re

import pytest

from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.presets import DEFAULTS, PRESETS, TEMPLATES, with_defaults
from dpo_analysis.data.tokenization import tokenize_pairs
from dpo_analysis.errors import InputError
from tests.parity.setting import CHATML, build_tokenizer

TEXT = {"prompt": "Why?", "chosen": " Because.", "rejected": " No."}
USER, ASSISTANT = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
CHAT = {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [ASSISTANT | {"content": "No."}]}
BOS = build_tokenizer(bos=True, template=CHATML)


def tokenize_row(row, tokenizer=BOS, **settings):
    return tokenize_pairs(load_pairs([row]), tokenizer, **settings)[0]


REFUSED = {
    "unknown preset": ({"tokenization": "trl-9"}, "unknown tokenization 'trl-9': there is trl, trl-0.29, "),
    "another trainer's truncation": ({"truncation": "delete"}, "unknown truncation 'delete': there is keep_start, "),
    "no token of a prompt": ({"tokenization": "trl-0.24", "max_prompt_length": 0}, "bad max_prompt_length 0"),
    "no token of a response": ({"tokenization": "trl-0.24", "max_completion_length": -1}, "bad max_completion_length"),
    "a template for TRL": (
        {"template": "qwen"},
        "template 'qwen' with trl: only llamafactory, ms-swift, axolotl",
    ),
    "an unknown template": ({"tokenization": "llamafactory", "template": "qwen2"}, "unknown llamafactory template"),
    "a template with the date": ({"tokenization": "ms-swift", "template": "llama3_2"}, "the date of the day of train"),
    "ms-swift without template": ({"tokenization": "ms-swift"}, "no template for ms-swift: .* --template NAME"),
    "a template without its tokens": ({"tokenization": "llamafactory", "template": "llama3"}, "no token '<.eot_id.>'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_cannot_be_used_are_refused_in_one_line(case):
    settings, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as raised:
        tokenize_row(CHAT, **settings)
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) <= 300


def test_a_template_with_a_similar_name_is_proposed():
    with pytest.raises(InputError, match=r"such as .*qwen3"):
        tokenize_row(CHAT, tokenization="llamafactory", template="quen3")


def test_presets_that_end_or_begin_rows_need_these_tokens():
    without_eos, without_bos = build_tokenizer(), build_tokenizer()
    without_eos.eos_token = without_bos.bos_token = None
    for preset in ("trl-0.24", "trl-0.12", "openrlhf", "axolotl", "trl-0.9"):
        with pytest.raises(InputError, match=r"no (end|begin)-of-text token in the tokenizer"):
            tokenize_row(TEXT, without_eos, tokenization=preset)
    with pytest.raises(
        InputError, match=r"no begin-of-text token in the tokenizer: TRL 0\.9 puts it before every prompt"
    ):
        tokenize_row(TEXT, without_bos, tokenization="trl-0.9")


def test_a_chat_template_that_llamafactory_cannot_read_is_refused():
    for template in ("{{ raise_exception('no system') }}", "Hello"):
        with pytest.raises(
            InputError, match=r"LLaMA-Factory cannot read the tokenizer's chat template.* --template NAME"
        ):
            tokenize_row(CHAT, build_tokenizer(template=template), tokenization="llamafactory")


NOT_READ = {
    "tools": (CHAT | {"tools": [{"name": "clock"}]}, "has tools"),
    "a tool's message": (CHAT | {"prompt": [USER, ASSISTANT, USER | {"role": "tool"}]}, "has the role 'tool'"),
    "an answer of two messages": (CHAT | {"chosen": [ASSISTANT, USER]}, "a single message of the assistant"),
    "a message of parts": (CHAT | {"chosen": [ASSISTANT | {"content": [{"text": "So."}]}]}, "is no text"),
    "a prompt that ends with an answer": (CHAT | {"prompt": [USER, ASSISTANT]}, "alternate|ends with an answer"),
}


@pytest.mark.parametrize("case", NOT_READ)
@pytest.mark.parametrize("preset", ["llamafactory", "ms-swift"])
def test_a_row_that_a_template_by_name_cannot_render_has_a_status_of_its_row_alone(preset, case):
    row, reason = NOT_READ[case]
    template = "chatml" if preset == "ms-swift" else None
    failed, fine = tokenize_pairs(load_pairs([row, CHAT]), BOS, tokenization=preset, template=template)
    assert (failed.status, fine.status) == ("template_error", "ok")
    assert re.search(reason, failed.reason), failed.reason


def test_every_preset_has_defaults_with_which_it_can_be_used():
    assert list(DEFAULTS) == list(PRESETS)
    for preset in PRESETS:
        settings = with_defaults(preset, template="chatml" if preset == "ms-swift" else None)
        assert tokenize_row(CHAT, tokenization=preset, **settings._asdict()).status == "ok", preset
    assert with_defaults("trl-0.9").max_prompt_length == 128
    assert with_defaults("ms-swift", truncation=None, max_length=5)[:2] == (5, "delete")


def test_the_templates_that_people_use_are_there():
    common = {
        "default",
        "alpaca",
        "vicuna",
        "llama2",
        "llama3",
        "mistral",
        "qwen",
        "qwen3",
        "chatml",
        "gemma",
        "gemma2",
    }
    more = {"gemma3", "phi", "phi4", "yi", "deepseek", "deepseek3", "zephyr", "glm4", "empty", "intern2"}
    assert common | more <= set(TEMPLATES["llamafactory"])
    assert {
        "dummy",
        "chatml",
        "qwen",
        "qwen2_5",
        "qwen3",
        "llama3",
        "mistral_nemo",
        "gemma",
        "gemma3_text",
        "glm4",
    } <= set(TEMPLATES["ms-swift"])
