"""Show: token ids, borders, cuts and dropped rows are exactly those of TRL 1.16's own DPOTrainer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpo_analysis.data.pairs import load_pairs, split_prompt
from dpo_analysis.data.tokenization import tokenize_pairs
from dpo_analysis.schema import SIDES
from tests.parity.setting import CHATML, CONFIGS, QUESTIONS, TIGHT, build_rows, build_tokenizer, trl_ids

pytestmark = pytest.mark.parity


def assert_same(rows, tokenizer, **settings):
    """Every row TRL keeps has our ids, cut and uncut; every row TRL drops is too_long; returns our pairs.

    Only an empty answer is treated otherwise: TRL trains on its end-of-text token, here it has a status of its own.
    """
    expected = {row["n"]: row for row in trl_ids(rows, tokenizer, **settings)}
    found = tokenize_pairs(load_pairs(rows), tokenizer, **settings)
    assert [n for n, pair in enumerate(found) if pair.status != "too_long"] == sorted(expected)
    for n, row in expected.items():
        if found[n].status == "empty":
            continue
        whole = tokenize_pairs([found[n].pair], tokenizer, max_length=None)[0]
        for side, sequence, scored in zip(SIDES, row["sequences"], row["scored"], strict=True):
            cut, uncut = found[n].responses[side], whole.responses[side]
            assert joined(uncut) == row["prompt_ids"] + row[f"{side}_ids"]
            assert joined(cut) == sequence.tolist()
            assert len(cut.token_ids) == int(scored[1:].sum())
    return found


def joined(response):
    return [*response.prompt_token_ids.tolist(), *response.token_ids.tolist()]


@pytest.mark.parametrize("config", [c for c in CONFIGS if c.family == "llama"], ids=str)
@pytest.mark.parametrize("template", [CHATML, TIGHT], ids=["chatml", "tight"])
def test_ids_equal_trls_in_every_shape(config, template):
    tokenizer = build_tokenizer(bos=config.bos, template=template)
    rows = build_rows(explicit=config.explicit, chat=config.chat)
    assert_same(rows, tokenizer, max_length=config.max_length)


@pytest.mark.parametrize("shape", [{"chat": False}, {"chat": True}], ids=["text", "chat"])
@pytest.mark.parametrize("bos", [True, False], ids=["bos", "plain"])
def test_chinese_tokens_merge_across_the_border_and_belong_to_the_response(shape, bos):
    tokenizer = build_tokenizer(bos=bos, template=TIGHT)
    found = assert_same(build_rows(explicit=True, **shape), tokenizer)
    assert any(pair.border_shift for pair in found if "天" in pair.prompt)
    assert {pair.status for pair in found} == {"ok", "identical"}


@pytest.mark.parametrize("truncation", ["keep_start", "keep_end"])
@pytest.mark.parametrize("max_length", [None, 4, 12, 29, 30, 31, 200])
def test_cuts_equal_trls(truncation, max_length):
    rows = build_rows(explicit=True, chat=False)
    assert_same(rows, build_tokenizer(bos=True), max_length=max_length, truncation=truncation)


def test_a_tokenizer_that_adds_eos_gets_two_as_in_trl():
    found = assert_same(build_rows(explicit=True, chat=False), build_tokenizer(bos=True, eos=True))
    eos = found[0].special_ids.eos
    assert found[0].responses["chosen"].token_ids[-2:].tolist() == [eos, eos]


def test_eos_in_the_text_is_not_added_twice():
    rows = [{"prompt": "The", "chosen": " sky</s>", "rejected": " sea"}]
    assert_same(rows, build_tokenizer())


def test_tools_and_template_values_reach_the_template():
    template = "{% if tools %}{{ tools[0].name }}{% endif %}{% if shout %}!{% endif %}" + CHATML
    rows = build_rows(explicit=True, chat=True)
    extra = {"tools": '[{"name": "clock"}]', "chat_template_kwargs": {"shout": True}}
    found = assert_same([{**row, **extra} for row in rows], build_tokenizer(template=template))
    assert found[0].prompt.startswith("clock!<|im_start|>")


def test_a_prompt_rendered_otherwise_alone_moves_the_border():
    template = CHATML.replace("assistant\n' }}{% endif %}", "assistant\n<think></think>' }}{% endif %}")
    found = assert_same(build_rows(explicit=True, chat=True), build_tokenizer(template=template))
    assert all(pair.border_shift > 0 for pair in found)
    assert found[0].prompt + found[0].chosen == (
        f"<|im_start|>user\n{QUESTIONS[0][0]}<|im_end|>\n<|im_start|>assistant\n{QUESTIONS[0][1]}<|im_end|>\n"
    )


words = st.text(alphabet="ab 天空。\n<>🙂é", max_size=12)
texts = st.tuples(words, words, words).filter(lambda t: t[1].strip() and t[2].strip())


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(texts, min_size=1, max_size=6), bos=st.booleans(), max_length=st.sampled_from([5, 9, 1024]))
def test_any_explicit_text_has_trls_ids(rows, bos, max_length):
    named = [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in rows]
    assert_same(named, TOKENIZERS[bos], max_length=max_length)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(texts, min_size=1, max_size=6), bos=st.booleans())
def test_any_implicit_text_has_trls_ids(rows, bos):
    named = [{"chosen": p + c, "rejected": p + r} for p, c, r in rows]
    assert_same(named, TOKENIZERS[bos])


TOKENIZERS = {bos: build_tokenizer(bos=bos) for bos in (True, False)}


@settings(deadline=None)
@given(chosen=words.filter(bool), rejected=words.filter(bool))
def test_the_extracted_prompt_is_trls(chosen, rejected):
    from trl.data_utils import extract_prompt

    expected = extract_prompt({"chosen": chosen, "rejected": rejected})
    assert split_prompt(chosen, rejected) == (expected["prompt"], expected["chosen"], expected["rejected"])
