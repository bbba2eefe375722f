"""Both languages are complete, and a sentence takes the same values in both."""

import re
import string
from pathlib import Path

import pytest

from dpo_analysis import schema
from dpo_analysis.numerics.metrics import METRICS
from dpo_analysis.words import LANGUAGES, WORDS, text

ROOT = Path(__file__).resolve().parent.parent
USED = re.compile(r"""(?:words\.)?\btext\(\s*f?["']([a-z_]+\.[a-zA-Z0-9_.{}]+)["']""")


def fields(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("key", sorted(WORDS))
def test_every_key_says_the_same_in_both_languages(key):
    assert set(WORDS[key]) == set(LANGUAGES)
    assert all(WORDS[key][lang].strip() for lang in LANGUAGES)
    assert fields(WORDS[key]["en"]) == fields(WORDS[key]["zh"])


def test_chinese_is_chinese_wherever_english_is_a_sentence():
    said = {k: w for k, w in WORDS.items() if not k.startswith("meaning.") and not k.endswith(".formula")}
    bare = [k for k, w in said.items() if w["en"].count(" ") >= 3 and not re.search(r"[\u4e00-\u9fff]", w["zh"])]
    assert bare == []


def test_the_english_meanings_are_those_of_the_schema():
    told = {key.removeprefix("meaning."): said["en"] for key, said in WORDS.items() if key.startswith("meaning.")}
    own = {name: one.meaning for name, one in schema.COLUMNS.items()}
    own |= {f"metric.{name}": one.meaning for name, one in METRICS.items()}
    assert told == own


def test_every_key_that_the_code_names_exists():
    sources = [*ROOT.glob("dpo_analysis/**/*.py"), *ROOT.glob("app/**/*.py")]
    named = {key for path in sources for key in USED.findall(path.read_text("utf-8"))}
    plain = {key for key in named if "{" not in key}
    assert plain, "the search found no key at all"
    assert sorted(plain - set(WORDS)) == []


def test_values_are_put_in():
    WORDS["test.hello"] = {"en": "hello {name}", "zh": "你好 {name}"}
    try:
        assert text("test.hello", "zh", name="x") == "你好 x"
    finally:
        del WORDS["test.hello"]


def test_an_unknown_key_is_an_error():
    with pytest.raises(KeyError):
        text("no.such.key")
