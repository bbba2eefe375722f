"""The sample data: its spans cover the errors, its verifier agrees, its files are small, portable and no pickles."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "sample_data"
sys.path.insert(0, str(ROOT))

from sample_data import credit, lexicon, text, verifier  # noqa: E402

SERIES = ("gentle", "strong", "lora")
SHIPPED = [p for name in ("pairs", "sft", *SERIES) for p in sorted((SAMPLE / name).rglob("*")) if p.is_file()]
MB = 1_000_000


def read(split: str) -> list[dict[str, Any]]:
    lines = (SAMPLE / "pairs" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


ROWS = {split: read(split) for split in ("train", "eval")}
EVERY = ROWS["train"] + ROWS["eval"]


def words(row: dict[str, Any], side: str) -> tuple[str, str]:
    return row["prompt"][0]["content"], row[side][0]["content"]


def test_twelve_hundred_training_and_one_hundred_and_fifty_held_out_pairs():
    assert {split: len(rows) for split, rows in ROWS.items()} == {"train": 1200, "eval": 150}


def test_the_shipped_pairs_are_what_the_text_modules_make():
    made = text.make_pairs(2026, 1350)
    assert made == EVERY


def test_no_prompt_occurs_twice_so_every_group_is_one_pair():
    assert len({row["prompt"][0]["content"] for row in EVERY}) == len(EVERY)


def test_rows_are_conversational_with_an_explicit_prompt():
    assert {tuple(m["role"] for m in row["prompt"] + row["chosen"]) for row in EVERY} == {("user", "assistant")}
    assert {message["role"] for row in EVERY for message in row["rejected"]} == {"assistant"}


def test_the_verifier_accepts_every_chosen_reply():
    assert all(verifier.verify(*words(row, "chosen")).accepted for row in EVERY)


def test_the_verifier_names_the_planted_error_and_no_other():
    for row in EVERY:
        verdict, kind = verifier.verify(*words(row, "rejected")), row["error_kind"]
        assert verdict.readable, row
        assert bool(verdict.false_slots) == (kind in ("wrong_slot", "half_wrong")), row
        assert verdict.rude == (kind == "rude"), row
        assert verdict.favourite or kind != "favourite", row


def test_correcting_the_span_of_a_false_fact_makes_the_reply_true():
    for row in (row for row in EVERY if row["error_kind"] in ("wrong_slot", "half_wrong")):
        (span,), (prompt, reply) = row["error_spans"], words(row, "rejected")
        corrected = reply[: span["start"]] + span["correct"] + reply[span["end"] :]
        assert corrected != reply
        assert verifier.verify(prompt, corrected).accepted


def test_the_span_of_a_bad_closing_is_the_whole_closing():
    for row in (row for row in EVERY if row["error_kind"] in ("rude", "favourite")):
        (span,), reply = row["error_spans"], row["rejected"][0]["content"]
        texts = lexicon.RUDE_CLOSINGS if span["kind"] == "rude" else {k: [v[0][0]] for k, v in lexicon.CLOSINGS.items()}
        assert reply[span["start"] : span["end"]] in [closing.strip() for closing in texts[row["lang"]]]


def test_segments_are_contiguous_and_spell_the_reply():
    for row in EVERY:
        for side in ("chosen", "rejected"):
            some = [s for s in row["segments"] if s["side"] == side]
            assert [s["segment"] for s in some] == ["opening", "core", "closing"]
            edges = [0, *(s["end"] for s in some)]
            assert [s["start"] for s in some] == edges[:-1]
            assert edges[-1] == len(row[side][0]["content"])


def test_a_fifth_to_a_quarter_of_the_pairs_is_chinese():
    assert 0.2 <= np.mean([row["lang"] == "zh" for row in EVERY]) <= 0.26


def test_the_verifier_refuses_a_prompt_of_another_domain():
    with pytest.raises(ValueError, match="no prompt of the sample domain"):
        verifier.verify("What is love?", "Baby, don't hurt me.")


def test_the_verifier_calls_an_unknown_reply_unreadable():
    assert not verifier.verify(EVERY[0]["prompt"][0]["content"], "I do not know.").accepted


def test_the_decision_token_is_the_first_that_departs_from_the_truth():
    row = {"rejected": [{"content": "é: 28."}], "error_spans": [{"start": 3, "end": 5, "correct": "21"}]}
    assert credit.decision_position(row, [b"\xc3", b"\xa9:", b" 2", b"8", b".", b"<|im_end|>"]) == 3


def test_auroc_by_hand():
    assert credit.auroc(np.array([3.0, 1.0, 2.0, 2.0]), np.array([False, False, True, False])) == 0.5


@pytest.mark.parametrize("series", SERIES)
def test_five_checkpoints_each_with_its_trainer_state(series: str):
    folders = list((SAMPLE / series).glob("checkpoint-*"))
    assert len(folders) == 5
    for folder in folders:
        state = json.loads((folder / "trainer_state.json").read_text())
        assert state["global_step"] == int(folder.name.removeprefix("checkpoint-"))
        assert any("eval_rewards/chosen" in entry for entry in state["log_history"])


def test_no_pickles_no_model_cards_no_optimizer():
    assert {p.suffix for p in SHIPPED} == {".jsonl", ".json", ".jinja", ".safetensors"}


def test_no_file_knows_the_machine_it_was_made_on():
    needles = (b"/work", b"/root", b"/tmp", b"/home", b"C:\\")
    for path in (path for path in SHIPPED if path.suffix != ".safetensors"):
        assert not any(needle in path.read_bytes() for needle in needles), path


def test_weights_and_everything_else_stay_small():
    size = {p: p.stat().st_size for p in SHIPPED}
    assert sum(n for p, n in size.items() if p.name == "model.safetensors") < 8.5 * MB
    assert max(n for p, n in size.items() if p.name == "tokenizer.json") < 50_000
    assert sum(size.values()) < 10.3 * MB


def test_all_of_sample_data_stays_under_fifteen_megabytes():
    assert sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file() and "__pycache__" not in p.parts) < 15 * MB


def test_adapters_name_their_base_by_a_relative_path():
    configs = [json.loads(p.read_text()) for p in SAMPLE.glob("lora/*/adapter_config.json")]
    assert {config["base_model_name_or_path"] for config in configs} == {"sample_data/sft"}
    assert len(configs) == 5


def test_hashes_are_those_of_the_files():
    for line in (SAMPLE / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((SAMPLE / name).read_bytes()).hexdigest() == digest, name


def test_weights_are_finite_half_precision():
    numpy = pytest.importorskip("safetensors.numpy")
    for path in (p for p in SHIPPED if p.suffix == ".safetensors"):
        tensors = numpy.load_file(path)
        assert all(t.dtype == np.float16 and np.isfinite(t).all() for t in tensors.values()), path


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(SAMPLE / "sft")


def test_the_tokenizer_gives_every_reply_back(tokenizer: Any):
    replies = [row[side][0]["content"] for row in EVERY for side in ("chosen", "rejected")]
    assert [tokenizer.decode(ids) for ids in tokenizer(replies)["input_ids"]] == replies


def test_the_chat_template_closes_the_turn_with_eos(tokenizer: Any):
    row = EVERY[0]
    whole = tokenizer.apply_chat_template(row["prompt"] + row["chosen"], return_dict=True)["input_ids"]
    prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert whole[-1] == tokenizer.eos_token_id != tokenizer.pad_token_id
    assert whole[: len(prompt)] == prompt


def test_digits_stand_alone_and_chinese_characters_are_split_for_real(tokenizer: Any):
    assert len(tokenizer(" 28")["input_ids"]) == 2
    replies = [row["chosen"][0]["content"] for row in ROWS["eval"] if row["lang"] == "zh"]
    split = [any("\ufffd" in tokenizer.decode([i]) for i in ids) for ids in tokenizer(replies)["input_ids"]]
    assert np.mean(split) > 0.25


def test_the_readme_names_the_hash_of_every_weight_file():
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    sums = [line.split("  ") for line in (SAMPLE / "SHA256SUMS").read_text().splitlines()]
    weights = [(digest, name) for digest, name in sums if name.endswith(".safetensors")]
    assert len(weights) == 16
    assert all(f"| {name} | `{digest}` |" in readme for digest, name in weights)


def test_the_score_line_of_two_replies_by_hand():
    replies = [{"s": np.array([5.0, 1.0, 2.0]), "decision": 0}, {"s": np.array([1.0, 3.0, 2.0]), "decision": 2}]
    assert credit.score_line(replies, "s") == {"auroc": 0.75, "top1": 0.5, "pooled": pytest.approx(6.5 / 8)}


def test_implicit_reward_finds_the_errors_that_surprisal_cannot_see():
    table = credit.credit_table(credit.read_replies(SAMPLE / "run"))
    first = table[(table["series"] == "gentle") & (table["step"] == 60)].set_index("errors")
    assert first.loc["all", "n"] == 150
    assert first.loc["all", "adv_auroc"] >= 0.93
    assert first.loc["fluent", "adv_top1"] >= 0.9
    assert first.loc["fluent", "surp_top1"] <= 0.3
