"""Pairs become exactly the ids that are scored, or a status that says why not; the equality with TRL is in parity/."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.tokenization import limit_groups, tokenize_pairs
from dpo_analysis.errors import InputError
from dpo_analysis.schema import SIDES
from tests.parity.setting import CHATML, TIGHT, build_tokenizer

PLAIN, WITH_BOS = build_tokenizer(), build_tokenizer(bos=True)
USER, GOOD, BAD = (
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "Because."},
    {"role": "assistant", "content": "No."},
)
CHAT = {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}
TEXT = {"prompt": "Why?", "chosen": " Because.", "rejected": " No."}


def tokenize_row(row, tokenizer=PLAIN, **settings):
    return tokenize_pairs(load_pairs([row]), tokenizer, **settings)[0]


def decoded(response, tokenizer=PLAIN):
    return tokenizer.decode(response.prompt_token_ids), tokenizer.decode(response.token_ids)


def test_a_text_row_ends_with_end_of_text_and_begins_with_begin_of_text():
    assert decoded(tokenize_row(TEXT, WITH_BOS).responses["chosen"], WITH_BOS) == ("<s>Why?", " Because.</s>")
    assert decoded(tokenize_row(TEXT).responses["rejected"]) == ("Why?", " No.</s>")


def test_a_conversation_is_what_the_template_makes_of_it():
    pair = tokenize_row(CHAT)
    prompt = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    assert decoded(pair.responses["chosen"]) == (prompt, "Because.<|im_end|>\n")
    assert (pair.prompt, pair.chosen, pair.rejected) == (prompt, "Because.<|im_end|>\n", "No.<|im_end|>\n")


def test_tokens_that_merge_over_the_border_belong_to_the_response():
    row = {"prompt": "Hel", "chosen": "lo world", "rejected": "p"}
    pair = tokenize_row(row, WITH_BOS)
    assert decoded(pair.responses["chosen"], WITH_BOS) == ("<s>", "Hello world</s>")
    assert decoded(pair.responses["rejected"], WITH_BOS) == ("<s>", "Help</s>")
    assert pair.border_shift == 2


def test_without_prompt_and_bos_the_first_token_is_context_since_nothing_scores_it():
    response = tokenize_row({"prompt": "", "chosen": "Hello world", "rejected": "No."}).responses["chosen"]
    assert decoded(response) == ("Hello", " world</s>")


def test_keep_start_cuts_the_response_and_keep_end_the_prompt():
    row = {"prompt": "The sky is blue", "chosen": " because air", "rejected": "."}
    start = tokenize_row(row, max_length=5, truncation="keep_start")
    assert decoded(start.responses["chosen"]) == ("The sky is blue", " because")
    assert (start.status, start.responses["rejected"].truncated) == ("truncated", True)
    end = tokenize_row(row, max_length=5, truncation="keep_end")
    assert decoded(end.responses["chosen"]) == (" is blue", " because air</s>")


@pytest.mark.parametrize(("max_length", "status"), [(3, "too_long"), (4, "too_long"), (5, "truncated"), (7, "ok")])
def test_a_prompt_that_fills_max_length_is_too_long(max_length, status):
    pair = tokenize_row({"prompt": "The sky is blue", "chosen": " because air", "rejected": "."}, max_length=max_length)
    assert (pair.status, bool(pair.responses)) == (status, status != "too_long")


STATUSES = {
    "ok": TEXT,
    "identical": TEXT | {"rejected": TEXT["chosen"]},
    "empty": TEXT | {"rejected": ""},
    "empty: white space": TEXT | {"chosen": " \n"},
    "empty: only end of text": TEXT | {"chosen": "</s>"},
    "empty: no message": CHAT | {"chosen": []},
    "empty: no content": CHAT | {"rejected": [{"role": "assistant", "content": None}]},
    "bad_text": TEXT | {"chosen": "\ud800"},
    "bad_text: role": CHAT | {"chosen": [{"role": "\ud800", "content": "a"}]},
    "ok: tool call": CHAT | {"chosen": [{"role": "assistant", "content": "", "tool_calls": [{"name": "clock"}]}]},
}


@pytest.mark.parametrize("case", STATUSES)
def test_every_status_is_given_where_it_is_due(case):
    pair = tokenize_row(STATUSES[case])
    assert pair.status == case.split(":")[0]
    assert bool(pair.reason) == (not pair.responses)
    assert (set(pair.responses) == set(SIDES)) == (pair.status in ("ok", "identical"))


def test_nothing_is_dropped_and_order_is_kept():
    rows = [row for row in STATUSES.values() for _ in range(3)]
    tokenized = tokenize_pairs(load_pairs(rows), PLAIN)
    assert [pair.pair.where for pair in tokenized] == [f"list[{n}]" for n in range(len(rows))]


@pytest.mark.parametrize(
    ("template", "extra"),
    [
        ("{{ raise_exception('no system role') }}", {}),
        ("{{ messages[0].content + 1 }}", {}),
        ("{{ messages.pop() }}", {}),
        ("{{ ''.__class__.__mro__ }}{{ x.y.z }}", {}),
        (CHATML, {"chat_template_kwargs": {"tokenize": True}}),
    ],
    ids=["raise", "type", "sandbox", "undefined", "reserved"],
)
def test_a_failing_template_is_a_status_of_its_row_alone(template, extra):
    tokenizer = build_tokenizer(template=template)
    failed, fine = tokenize_pairs(load_pairs([CHAT | extra, TEXT]), tokenizer)
    assert (failed.status, fine.status) == ("template_error", "ok")
    assert failed.reason.startswith("the chat template fails: ")
    assert (failed.prompt, failed.chosen) == ("Why?", "Because.")


@settings(deadline=None)
@given(
    sides=st.tuples(*[st.text("ab 天空\n<>🙂é", max_size=9)] * 3),
    bos=st.booleans(),
    length=st.one_of(st.none(), st.integers(1, 12)),
    truncation=st.sampled_from(["keep_start", "keep_end"]),
)
def test_scored_pairs_have_context_and_tokens_and_fit(sides, bos, length, truncation):
    row = dict(zip(("prompt", "chosen", "rejected"), sides, strict=True))
    pair = tokenize_row(row, WITH_BOS if bos else PLAIN, max_length=length, truncation=truncation)
    for response in pair.responses.values():
        assert min(len(response.prompt_token_ids), len(response.token_ids)) >= 1
        assert len(response.prompt_token_ids) + len(response.token_ids) <= (length or 10_000)
        assert response.token_ids.dtype == response.prompt_token_ids.dtype == np.int32


@settings(deadline=None)
@given(
    prompt=st.text("ab 天空\n"), answers=st.tuples(*[st.text("ab 天空\n").filter(str.strip)] * 2), chat=st.booleans()
)
def test_prompt_and_response_are_exactly_the_text_that_was_tokenised(prompt, answers, chat):
    row = {"prompt": prompt, "chosen": answers[0], "rejected": answers[1]}
    if chat:
        row = {name: [{"role": name, "content": text}] for name, text in row.items()}
    tokenizer = build_tokenizer(template=TIGHT) if chat else PLAIN
    pair = tokenize_row(row, tokenizer, max_length=None)
    for side, response in pair.responses.items():
        ids = [*response.prompt_token_ids, *response.token_ids]
        assert tokenizer.decode(ids) == pair.prompt + getattr(pair, side)


def test_pairs_of_one_prompt_share_a_group_even_where_the_border_moves():
    rows = [{"prompt": "Hel", "chosen": c, "rejected": "x"} for c in ("lo", "p", "3")]
    tokenized_pairs = tokenize_pairs(load_pairs(rows), PLAIN)
    assert len({pair.border_shift for pair in tokenized_pairs}) > 1
    assert len({pair.group_id for pair in tokenized_pairs}) == 1
    assert tokenized_pairs[0].group_id != tokenize_row(TEXT).group_id


@settings(deadline=None)
@given(small=st.integers(0, 6), more=st.integers(0, 6), chance=st.randoms())
def test_a_limit_is_per_split_nested_and_blind_to_order(small, more, chance):
    kept, larger = limit_groups(MANY, small), limit_groups(MANY, small + more)
    shuffled = limit_groups(chance.sample(MANY, len(MANY)), small)
    assert {id(pair) for pair in kept} == {id(pair) for pair in shuffled} <= {id(pair) for pair in larger}
    for split in ("train", "eval"):
        groups = {pair.group_id for pair in kept if pair.pair.split == split}
        assert len(groups) == min(small, 4)
        assert sum(pair.pair.split == split for pair in kept) == 2 * len(groups)


def test_no_limit_keeps_all():
    assert limit_groups(MANY, None) == MANY


def two_a_prompt(count):
    return [TEXT | {"prompt": f"{n}?", "rejected": f" {end}"} for n in range(count) for end in "ab"]


MANY = tokenize_pairs(load_pairs({"train": two_a_prompt(4), "eval": two_a_prompt(4)}), PLAIN)


def test_a_conversation_without_template_names_the_option():
    tokenizer = build_tokenizer()
    tokenizer.chat_template = None
    message = r"no chat template in the tokenizer: list\[0\] is conversational .* --chat-template FILE"
    with pytest.raises(InputError, match=message):
        tokenize_row(CHAT, tokenizer)
    assert tokenize_row(TEXT, tokenizer).status == "ok"


def test_a_template_that_does_not_parse_is_refused_at_once():
    with pytest.raises(InputError, match=r"broken chat template in the tokenizer: .* at line 1"):
        tokenize_row(CHAT, build_tokenizer(template="{% for %}"))


def test_text_rows_need_an_end_of_text_token():
    tokenizer = build_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="no end-of-text token in the tokenizer"):
        tokenize_row(TEXT, tokenizer)
    assert tokenize_row(CHAT, tokenizer).status == "ok"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenization": "magic"}, "unknown tokenization 'magic': there is trl"),
        ({"truncation": "keep_middle"}, "unknown truncation 'keep_middle': there is keep_start, keep_end"),
        ({"max_length": 0}, "bad max_length 0"),
    ],
)
def test_settings_that_are_none_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        tokenize_row(TEXT, **settings)
