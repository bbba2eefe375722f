"""Chat templates and tokenizers that never end or ask for all memory: one line, soon, and nothing left running."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from dpo_analysis.data import bounded_worker
from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.presets import rendering
from dpo_analysis.data.tokenization import tokenize_pairs
from dpo_analysis.errors import InputError

pytest.importorskip("transformers")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="work is bounded where a process can be forked safely")
SFT = Path(__file__).resolve().parent.parent / "sample_data/sft"
LOOP = 3 * "{% for i in range(99999) %}" + 3 * "{% endfor %}"
TEMPLATES = {
    "loop": (LOOP, "takes more than 1 seconds of CPU time"),
    "times": ("{{ 'a' * 3000000000 }}", "asks for more than 0.5 GiB of memory"),
    "center": ("{{ 'a'.center(3000000000) }}", "asks for more than 0.5 GiB of memory"),
    "doubling": (
        "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}",
        "asks for more than 0.5 GiB of memory",
    ),
}


def row(number):
    texts = {
        "prompt": ("user", f"Say {number}."),
        "chosen": ("assistant", str(number)),
        "rejected": ("assistant", "no"),
    }
    return {side: [{"role": role, "content": text}] for side, (role, text) in texts.items()}


ROWS = [row(number) for number in range(3)]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(bounded_worker, "CPU_SECONDS", 1.0)
    monkeypatch.setattr(bounded_worker, "EXTRA_BYTES", 2**29)


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(SFT))


@pytest.fixture
def template(tokenizer):
    """A function that gives the tokenizer a template; afterwards it has its old one."""
    before = tokenizer.chat_template

    def give(text):
        tokenizer.chat_template = text
        return tokenizer

    yield give
    tokenizer.chat_template = before


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("preset", ["trl", "trl-0.24", "openrlhf", "llamafactory"])
def test_a_hostile_template_is_one_line(name, preset, template):
    text, excess = TEMPLATES[name]
    with pytest.raises(InputError) as error:
        tokenize_pairs(load_pairs(ROWS), template(text), tokenization=preset)
    assert excess in str(error.value)
    assert "chat template" in str(error.value)


def test_the_row_that_the_template_fails_on_is_named(template):
    picky = "{% if '2' in messages[0]['content'] %}" + LOOP + "{% endif %}{{ messages[0]['content'] }}"
    pairs = load_pairs(ROWS)
    with pytest.raises(InputError) as error:
        tokenize_pairs(pairs, template(picky))
    assert f"on {pairs[2].where} it takes more than 1 seconds" in str(error.value)


def test_numbers_beyond_the_sandbox_are_a_status_of_the_row_as_before(template):
    pairs = tokenize_pairs(load_pairs(ROWS), template("{% for i in range(10**9) %}{% endfor %}"))
    assert {pair.status for pair in pairs} == {"template_error"}


def test_a_template_that_writes_too_much_does_not_render(template, monkeypatch):
    monkeypatch.setattr(rendering, "MAX_CHARACTERS", 1000)
    pairs = tokenize_pairs(load_pairs(ROWS), template("{{ 'a' * 2000 }}{{ messages[0]['content'] }}"))
    assert {pair.reason for pair in pairs} == {"the chat template fails: it writes 2,006 characters"}


def test_tokens_are_the_same_with_and_without_the_child(tokenizer, monkeypatch):
    pairs = load_pairs([json.loads(line) for line in (SFT.parent / "pairs/eval.jsonl").read_text("utf-8").splitlines()])
    bounded = tokenize_pairs(pairs, tokenizer)
    monkeypatch.setattr(bounded_worker, "CAN_FORK", False)
    for one, other in zip(bounded, tokenize_pairs(pairs, tokenizer), strict=True):
        assert (one.prompt, one.chosen, one.status) == (other.prompt, other.chosen, other.status)
        assert all((one.responses[side].token_ids == other.responses[side].token_ids).all() for side in one.responses)


def broken_tokenizer(folder, **changes):
    shutil.copytree(SFT, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    content = json.loads((folder / "tokenizer.json").read_text("utf-8")) | changes
    (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    return folder


LONGER = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 900}
BACKTRACKING = {"Regex": "(([a-zA-Z ]+)+)+$^"}
HOSTILE = {
    "memory": {"normalizer": {"type": "Sequence", "normalizers": [LONGER, LONGER, LONGER]}},
    "time": {"pre_tokenizer": {"type": "Split", "pattern": BACKTRACKING, "behavior": "Isolated", "invert": False}},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_tokenizer_is_one_line(changes, tmp_path, capfd):
    from dpo_analysis.scoring.models.tokenizer import load_tokenizer

    with pytest.raises(InputError, match=r"the tokenizer in .* cannot be used: on a few short texts") as error:
        load_tokenizer(broken_tokenizer(tmp_path / "tok", **changes))
    assert "\n" not in str(error.value)
    assert "panicked" not in capfd.readouterr().err
