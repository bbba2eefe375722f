"""Every row is counted, every warning has rows with and without it, and a terminal shows every token."""

import io
import re

import pytest
from rich.console import Console

from dpo_analysis import words
from dpo_analysis.data.check_output import check_frames, render_check, render_rows, token_line, visible_text
from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.row_warnings import ROW_WARNINGS
from dpo_analysis.data.tokenization import tokenize_pairs
from dpo_analysis.data.understood import understood_line
from dpo_analysis.data.vocab import vocabulary
from dpo_analysis.schema import NOT_SCORED, SCORED
from tests.parity.setting import CHATML, build_tokenizer

TOKENIZER = build_tokenizer(bos=True)
TOKENIZER.chat_template = None
VOCAB = vocabulary(TOKENIZER)
TEXT = {"prompt": "The sky is blue", "chosen": " because air", "rejected": "."}


def message(text, role="assistant"):
    return [{"role": role, "content": text}]


CHAT = {"prompt": message("Why?", "user"), "chosen": message("Because."), "rejected": message("No.")}


def tokenized(*rows, tokenizer=TOKENIZER, **settings):
    return tokenize_pairs(load_pairs(list(rows)), tokenizer, **settings)


def printed(renderables, width=200):
    screen = Console(file=io.StringIO(), width=width, highlight=False)
    screen.print(*renderables, sep="\n")
    return screen.file.getvalue()


def test_every_pair_is_counted_under_one_status_of_its_split():
    rows = {"train": [TEXT, TEXT | {"chosen": ""}], "eval": [TEXT | {"rejected": TEXT["chosen"]}]}
    status = check_frames(tokenize_pairs(load_pairs(rows), TOKENIZER))["status"].set_index("split")
    assert list(status.columns) == ["n_pairs", *SCORED, *NOT_SCORED]
    assert status.loc["train", ["n_pairs", "ok", "empty"]].tolist() == [2, 1, 1]
    assert status.loc["eval", ["n_pairs", "identical", "ok"]].tolist() == [1, 1, 0]
    assert (status[[*SCORED, *NOT_SCORED]].sum(axis=1) == status["n_pairs"]).all()


def test_a_row_counts_the_tokens_that_are_conditioned_on_and_scored():
    row = check_frames(tokenized(TEXT))["rows"].iloc[0]
    assert (row["prompt_n_tokens"], row["chosen_n_tokens"], row["rejected_n_tokens"]) == (5, 3, 2)
    unscored = check_frames(tokenized(TEXT | {"chosen": ""}))["rows"]
    assert unscored["chosen_n_tokens"].isna().all()


NO_END = build_tokenizer(template="{% for m in messages %}{{ m.content }}|{% endfor %}")
ENDING = CHATML.replace("<|im_end|>\n", "</s>\n")
SOUND = build_tokenizer(template=ENDING)
TWICE_BOS = build_tokenizer(bos=True, template="{{ bos_token }}" + ENDING)
TWICE_EOS = build_tokenizer(template=ENDING.replace("</s>\n", "</s>\n</s>"))
BOILERPLATE = " I am sorry, but I cannot help you with that kind of question today."
LONG = [
    {"prompt": "Why?", "chosen": BOILERPLATE, "rejected": " Because of the air, and of the light that it scatters."},
    {"prompt": "How?", "chosen": " By turning the key twice to the left, then pull.", "rejected": BOILERPLATE},
]
TURN = message("Why?", "user")
DIFFERENT_TURNS = {
    "chosen": [*TURN, *message("Air."), *message("Thanks!", "user"), *message("Gladly.")],
    "rejected": [*TURN, *message("Sea."), *message("Really?", "user"), *message("Surely.")],
}
ROWS_WITH_WARNING = {
    "bad_text": tokenized(TEXT | {"chosen": "\ud800"}),
    "template_error": tokenized(CHAT, tokenizer=build_tokenizer(template="{{ raise_exception('no') }}")),
    "empty": tokenized(TEXT | {"chosen": ""}),
    "too_long": tokenized(TEXT, max_length=5),
    "unused_text": tokenized({"task": "Say why the sky is blue", "chosen": "because air", "rejected": "because sea"}),
    "markers": tokenized(TEXT | {"chosen": "[INST] The sky [/INST] is blue"}),
    "serialised": tokenized(TEXT | {"chosen": '[{"role": "assistant", "content": "air"}]'}),
    "prompt_inside": tokenized(TEXT | {"chosen": "The sky is blue because air"}),
    "raw_text": tokenized(TEXT, tokenizer=SOUND),
    "user_turns": tokenized(DIFFERENT_TURNS, tokenizer=SOUND),
    "unused_logps": tokenized(TEXT | {"ref_chosen_logps": -3.5, "ref_rejected_logps": -4.5}),
    "double_bos": tokenized(CHAT, tokenizer=TWICE_BOS),
    "double_eos": tokenized(CHAT, tokenizer=TWICE_EOS),
    "no_eos": tokenized(CHAT, tokenizer=NO_END),
    "truncated": tokenized(TEXT, max_length=7),
    "border_shift": tokenized({"prompt": "Hel", "chosen": "lo", "rejected": "p"}),
    "identical": tokenized(TEXT | {"rejected": TEXT["chosen"]}),
    "duplicate": tokenized(TEXT, TEXT),
    "near_duplicate": tokenized(TEXT, TEXT | {"chosen": f" {TEXT['chosen'].strip().upper()}"}),
    "contradicted": tokenized(TEXT, TEXT | {"chosen": TEXT["rejected"], "rejected": TEXT["chosen"]}),
    "both_ways": tokenized(*LONG),
    "frequent_text": tokenized(
        *(TEXT | {"prompt": f"{word} is blue because", "rejected": f" {word} air"} for word in "abcdef")
    ),
    "prompt_in_splits": tokenize_pairs(load_pairs({"a": [TEXT], "b": [TEXT | {"chosen": "x"}]}), TOKENIZER),
}
"""Rows that give exactly one warning."""


@pytest.mark.parametrize("warning", ROW_WARNINGS)
def test_the_rows_give_their_warning_and_no_other(warning):
    warnings = check_frames(ROWS_WITH_WARNING[warning])["warnings"]
    assert warnings["warning"].tolist() == [warning]
    assert warnings["first"].iloc[0] in ("list[0]", "list[1]", "a[0]")


def test_sound_rows_give_no_warning():
    assert check_frames(tokenized(TEXT))["warnings"].empty
    assert check_frames(tokenized(CHAT, tokenizer=SOUND))["warnings"].empty
    assert all(frame.empty for frame in check_frames([]).values())


def test_a_line_shows_begin_border_and_end():
    line = token_line(tokenized(TEXT)[0], VOCAB)
    assert line[0] == ("<s>", "bos")
    assert line[-1] == ("</s>", "eos")
    assert [kind for _, kind in line].index("border") == 5
    assert line[6:8] == [("·because", "response"), ("·air", "response")]


def test_a_line_holds_every_token_and_one_border():
    pair = tokenized(TEXT)[0]
    for side, response in pair.responses.items():
        line = token_line(pair, VOCAB, side=side)
        assert len(line) == len(response.prompt_token_ids) + 1 + len(response.token_ids)
    assert token_line(tokenized(TEXT | {"chosen": ""})[0], VOCAB) == []


def test_split_characters_and_hidden_ones_are_written_out():
    shown = [text for text, _ in token_line(tokenized(TEXT | {"chosen": "\x1b[31m é\u202e\n"})[0], VOCAB)]
    assert {"\\x1b", "\\xc3", "↵"} <= set(shown)
    assert visible_text("a\u200bb\u202e\x00") == "a\\u200bb\\u202e\\x00"


@pytest.mark.parametrize("lang", words.LANGUAGES)
@pytest.mark.parametrize("warning", ROW_WARNINGS)
def test_every_warning_can_be_printed_in_every_language(lang, warning):
    screen = printed(render_check(ROWS_WITH_WARNING[warning], VOCAB, lang=lang))
    assert words.text(f"check.complaint.{warning}", lang) in screen
    assert re.search(r"\n +[126]  ", screen), "how many pairs have it, in a column of its own"


def test_the_screen_marks_tokens_and_takes_no_markup_from_the_text():
    screen = printed(render_check(tokenized(TEXT | {"rejected": "[red]\x1b[31m"}), VOCAB))
    assert "prompt 5     [BOS <s>]|The|·sky|·is|·blue" in screen
    assert "chosen 3     ┃|·because|·air|[EOS </s>]" in screen
    assert "\x1b" not in screen
    assert "┃|[|re|d|]|" in screen


def test_a_long_line_is_cut_in_the_middle_and_says_by_how_much():
    screen = printed(render_check(tokenized(TEXT | {"chosen": " blue" * 100}), VOCAB))
    assert "chosen 101" in screen
    assert "…37…" in screen


def test_a_warning_of_many_rows_is_one_line_with_its_number_and_three_examples():
    rows = [TEXT | {"prompt": f"Question {number}", "chosen": ""} for number in range(20)]
    screen = printed(render_check(tokenized(*rows), VOCAB))
    (line,) = [line for line in screen.splitlines() if "a response is empty" in line]
    assert line.split()[0] == "20"
    assert line.rstrip().endswith("list[0], list[1], list[2]: chosen is empty")


def test_the_first_line_says_what_was_understood():
    implicit = {"chosen": "Q: why A: yes", "rejected": "Q: why A: no"}
    unused = understood_line(load_pairs([implicit | {"task": "Say why it is", "id": "a1"}]))
    assert unused.endswith("plain text, not used: `task`")
    assert understood_line(load_pairs([TEXT])) == "1 pair of eval, prompt from `prompt`, plain text"
    both = understood_line(load_pairs({"train": [CHAT, CHAT], "eval": [CHAT]}), tokenizer="sft")
    assert (
        both == "3 pairs (2 pairs of train and 1 pair of eval), prompt from `prompt`, conversational, template of sft"
    )
    assert understood_line(load_pairs([CHAT]), tokenizer="sft", chat_template="t.jinja").endswith("template of t.jinja")
    assert understood_line(load_pairs([CHAT])).endswith("no template until you give --tokenizer")
    shared = understood_line(load_pairs([TEXT, TEXT, implicit]))
    assert "prompt from `prompt` (2), prompt from what `chosen` and `rejected` have in common" in shared
    asked = load_pairs([CHAT | {"prompt": "Why?"}])
    assert "as one user message" in understood_line(asked)
    assert understood_line(load_pairs([TEXT]), lang="zh") == "eval 1 对，提示取自 `prompt`，纯文本"


def test_without_a_tokenizer_the_resolved_rows_are_shown():
    screen = printed(render_rows(load_pairs([{"chosen": "Q: why A: yes", "rejected": "Q: why A: no\x1b"}, CHAT])))
    assert "prompt    Q: why A:" in screen
    assert "assistant: Because." in screen
    assert "no\\x1b" in screen
    assert "--tokenizer MODEL" in screen
