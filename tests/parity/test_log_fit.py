"""The trainer's log as judge: every planted disagreement with a folder of TRL is named, and a sound folder is clean."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dpo_analysis.runs import open_run

pytestmark = pytest.mark.parity
SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"
NEWLINE_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
END_TWICE = NEWLINE_TEMPLATE.replace(
    "'<|im_end|>\\n' }}", "'<|im_end|>\\n' }}{% if message['role'] == 'assistant' %}{{ '<|im_end|>' }}{% endif %}"
)
BEGIN = {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}
WITH_BEGIN = {
    "type": "TemplateProcessing",
    "single": [BEGIN, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [BEGIN, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}},
}


def rows(split: str, count: int, *, text: bool = False) -> list[dict]:
    lines = (SAMPLE / f"pairs/{split}.jsonl").read_text("utf-8").splitlines()[:count]
    found = [{name: json.loads(line)[name] for name in ("prompt", "chosen", "rejected")} for line in lines]
    if not text:
        return found
    return [
        {
            "prompt": f"Question: {row['prompt'][0]['content']}\nAnswer:",
            **{side: f" {row[side][0]['content']}" for side in ("chosen", "rejected")},
        }
        for row in found
    ]


def write_rows(path: Path, found: list[dict]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), "utf-8")
    return str(path)


def with_begin(folder: Path) -> Path:
    """The sample's tokenizer, which puts a begin-of-text token in front of every text."""
    folder.mkdir()
    tokenizer = json.loads((SAMPLE / "sft/tokenizer.json").read_text("utf-8")) | {"post_processor": WITH_BEGIN}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), "utf-8")
    config = json.loads((SAMPLE / "sft/tokenizer_config.json").read_text("utf-8")) | {"bos_token": "<|im_start|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False), "utf-8")
    shutil.copy(SAMPLE / "sft/chat_template.jinja", folder)
    return folder


def train(out: Path, *, template: str | None = None, text: bool = False, tokenizer: Path = SAMPLE / "sft", **options):
    """Twenty steps of TRL's DPOTrainer from the sample's reference; evaluation batches do not divide the pairs."""
    torch = pytest.importorskip("torch")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    encoder = AutoTokenizer.from_pretrained(str(tokenizer))
    encoder.chat_template = template or encoder.chat_template
    torch.manual_seed(1)
    config = DPOConfig(
        output_dir=str(out),
        max_steps=20,
        per_device_train_batch_size=8,
        per_device_eval_batch_size=40,
        learning_rate=5e-4,
        eval_steps=10,
        save_steps=10,
        eval_strategy="steps",
        bf16=False,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        beta=0.2,
        gradient_checkpointing=False,
        **options,
    )
    load = {"dtype": torch.float32}
    trainer = DPOTrainer(
        AutoModelForCausalLM.from_pretrained(str(SAMPLE / "sft"), **load),
        ref_model=AutoModelForCausalLM.from_pretrained(str(SAMPLE / "sft"), **load),
        args=config,
        train_dataset=Dataset.from_list(rows("train", 160, text=text)),
        eval_dataset=Dataset.from_list(rows("eval", 100, text=text)),
        processing_class=encoder,
    )
    trainer.train()
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    write_rows(folder / "eval.jsonl", rows("eval", 100))
    write_rows(folder / "text.jsonl", rows("eval", 100, text=True))
    write_rows(folder / "train.jsonl", rows("train", 160))
    write_rows(folder / "other.jsonl", rows("train", 100))
    (folder / "newline.jinja").write_text(NEWLINE_TEMPLATE)
    train(folder / "sound")
    return folder


def score_it(place: Path, name: str, pairs: str | list[str], **options) -> tuple[dict, list[str]]:
    """The event of the log's judge, and the notes of the run."""
    from dpo_analysis.scoring import score

    options = {"reference": str(SAMPLE / "sft"), "trainer_outputs": [str(place / "sound")]} | options
    sources = [pairs] if isinstance(pairs, str) else pairs
    run = score(sources, out=place / f"run-{name}", evidence="none", **options)
    (event,) = [event for event in run.log() if event.get("event") == "log_fit"]
    return event, [event["text"] for event in run.log() if event.get("event") == "note"]


def test_nothing_is_said_of_a_sound_folder(place):
    from dpo_analysis.diagnosis import run_checks
    from dpo_analysis.tables.trainer_log import trainer_log_table

    for name, pairs in (("sound", ["eval.jsonl"]), ("both", ["eval.jsonl", "train.jsonl"])):
        sources = [f"{Path(one).stem}={place / one}" for one in pairs]
        event, notes = score_it(place, name, sources)
        assert (event["outcome"], event["exact"]) == ("agrees", True)
        assert notes == ["our values of sound fit its training log to four digits (up to step 20, eval)"]
        run = open_run(place / f"run-{name}")
        verdicts = {check.name: check for check in run_checks(run)}
        assert verdicts["logged"].key == "checks.logged.pass_exact"
        table = trainer_log_table(run)
        compared = table[(table["logged_split"] == "eval") & (table["metric"] != "entropy")]
        assert len(compared) == 2 * 7
        assert (compared["difference"].abs() <= 1e-4).all(), compared[["metric", "step", "difference"]]


def test_another_beta_is_named(place):
    event, notes = score_it(place, "beta", f"eval={place / 'eval.jsonl'}", beta=0.5)
    assert (event["outcome"], event["setting"], event["option"]) == ("fits", "beta", "--beta 0.2")
    assert any("--beta 0.2" in note for note in notes)


def test_another_chat_template_is_named(place):
    event, _ = score_it(place, "template", f"eval={place / 'eval.jsonl'}", chat_template=place / "newline.jinja")
    assert (event["outcome"], event["setting"]) == ("fits", "chat_template")
    assert event["option"].endswith("chat_template.jinja")


def test_another_reference_is_named(place):
    reference = str(SAMPLE / "gentle" / "checkpoint-300")
    event, notes = score_it(place, "reference", f"eval={place / 'eval.jsonl'}", reference=reference)
    assert event["outcome"] == "another_reference"
    assert any("another reference" in note for note in notes)


def test_other_pairs_are_named_and_nothing_is_compared(place):
    event, notes = score_it(place, "other", f"eval={place / 'other.jsonl'}")
    assert event["outcome"] == "other_pairs"
    assert any("other pairs" in note for note in notes)
    fewer = write_rows(place / "fewer.jsonl", rows("eval", 90))
    assert score_it(place, "fewer", f"eval={fewer}")[0]["outcome"] == "other_pairs"


def test_averages_over_tokens_are_named(place):
    averaged = place / "averaged"
    shutil.copytree(place / "sound", averaged)
    for checkpoint in averaged.glob("checkpoint-*"):
        state = json.loads((checkpoint / "trainer_state.json").read_text())
        for record in state["log_history"]:
            if "eval_logps/chosen" in record:
                record |= averages(averaged / f"checkpoint-{record['step']}")
        (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    event, _ = score_it(place, "mean", f"eval={place / 'eval.jsonl'}", trainer_outputs=[str(averaged)])
    assert (event["outcome"], event["setting"]) == ("fits", "logged_logps")
    same = {"trainer_outputs": [str(averaged)], "logged_logps": "mean"}
    assert score_it(place, "mean-told", f"eval={place / 'eval.jsonl'}", **same)[0]["outcome"] == "agrees"


def averages(policy: Path) -> dict[str, float]:
    """What a trainer that averages over tokens would log, by a loop in float64 that shares nothing with the engine."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    encoder = AutoTokenizer.from_pretrained(str(SAMPLE / "sft"))
    models = [AutoModelForCausalLM.from_pretrained(str(path)).double().eval() for path in (policy, SAMPLE / "sft")]
    means: dict[str, list[list[float]]] = {"chosen": [], "rejected": []}
    for row in rows("eval", 100):
        for side, found in means.items():
            prompt = encoder.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False)
            whole = encoder.apply_chat_template(row["prompt"] + row[side], tokenize=False)
            ids = encoder(whole, add_special_tokens=False, return_tensors="pt")["input_ids"]
            start = len(encoder(prompt, add_special_tokens=False)["input_ids"])
            with torch.no_grad():
                logps = [model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None]) for model in models]
            found.append([float(logp[start - 1 :].mean()) for logp in logps])
    logged = {}
    for side, found in means.items():
        values = np.array(found)
        batches = [values[first : first + 40].mean(axis=0) for first in range(0, len(values), 40)]
        policy_mean, reference_mean = np.mean(batches, axis=0)
        logged |= {
            f"eval_logps/{side}": policy_mean,
            f"eval_rewards/{side}": 0.2 * (policy_mean - reference_mean),
        }
    return logged


def test_an_end_token_too_few_is_named(place):
    train(place / "eos", template=END_TWICE)
    for checkpoint in (place / "eos").glob("checkpoint-*"):
        (checkpoint / "chat_template.jinja").write_text(NEWLINE_TEMPLATE)
    event, _ = score_it(place, "eos", f"eval={place / 'eval.jsonl'}", trainer_outputs=[str(place / "eos")])
    assert (event["outcome"], event["option"]) == ("fits", "--eos add")


def test_a_begin_token_too_few_is_named(place):
    train(place / "bos", text=True, tokenizer=with_begin(place / "begin"))
    plain = json.loads((SAMPLE / "sft/tokenizer.json").read_text("utf-8"))["post_processor"]
    for path in (place / "bos").glob("checkpoint-*/tokenizer.json"):
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"post_processor": plain}), "utf-8")
    event, _ = score_it(place, "bos", f"eval={place / 'text.jsonl'}", trainer_outputs=[str(place / "bos")])
    assert (event["outcome"], event["option"]) == ("fits", "--bos add")


def test_another_length_is_named(place):
    train(place / "length", max_length=44)
    event, _ = score_it(
        place, "length", f"eval={place / 'eval.jsonl'}", trainer_outputs=[str(place / "length")], max_length=1024
    )
    assert (event["outcome"], event["option"]) == ("fits", "--max-length 44")
