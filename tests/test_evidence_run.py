"""Evidence as part of a run folder: which pairs, what an interruption costs, what cannot be had, what verify sees."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dpo_analysis.errors import InputError, Interrupted
from dpo_analysis.runs import Model, RunWriter, open_run, verify_run
from dpo_analysis.runs.evidence import kinds
from dpo_analysis.scoring.evidence import part_collector, reference_states
from dpo_analysis.scoring.evidence.pair_sample import EvidenceRequest, fallen_rows, parse_evidence_request
from tests.collected import POLICY, REFERENCE, VOCABULARY, Two, collect, open_writer, pairs
from tests.faults.fakes import bytes_of
from tests.test_engine import Doubled

pytestmark = pytest.mark.slow

SIZES = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
    "max_position_embeddings": 64, "initializer_range": 0.3,
}  # fmt: skip
OTHER = Model("s", "checkpoint-2", 2, "loaded", "policy", "c" * 64)


def llama(seed, kind=LlamaForCausalLM, vocab_size=VOCABULARY):
    torch.manual_seed(seed)
    return kind(LlamaConfig(vocab_size=vocab_size, **SIZES)).eval()


def two():
    return Two(llama(1), llama(0))


def notes(run):
    return [event["text"] for event in run.log() if event["event"] == "note"]


def ids(run, kind="kl", model=POLICY):
    return set(run.evidence(kind, model)["pair_id"].to_pylist())


# which pairs


def test_all_pairs_none_and_some(tmp_path):
    tokenized = pairs(9)
    assert len(ids(collect(tmp_path / "all", tokenized, two()))) == 9
    none = collect(tmp_path / "none", tokenized, two(), parse_evidence_request("none"))
    assert not (none.path / "evidence").exists()
    assert (none.evidence("kl", POLICY).num_rows, parse_evidence_request("kl", "0").kinds) == (0, ())
    some = collect(tmp_path / "some", tokenized, two(), parse_evidence_request("kl,hidden", 3))
    assert [len(ids(some, kind)) for kind in kinds.EVIDENCE_KINDS] == [0, 3, 3]
    assert verify_run(some.path) == []


def test_the_sample_depends_on_neither_order_nor_parts_and_is_drawn_within_each_split(tmp_path):
    tokenized = pairs(12, splits=("train", "eval", "eval"))
    one = collect(tmp_path / "one", tokenized, two(), EvidenceRequest(max_pairs=2))
    other = collect(tmp_path / "other", tokenized[::-1], two(), EvidenceRequest(max_pairs=2), part_size=5)
    assert ids(one) == ids(other)
    split = dict(zip(*(one.pairs()[name].to_pylist() for name in ("pair_id", "split")), strict=True))
    assert sorted(split[pair_id] for pair_id in ids(one)) == ["eval", "eval", "train", "train"]


def test_a_larger_sample_holds_the_smaller_one_and_leaves_its_numbers_alone(tmp_path):
    tokenized = pairs(12)
    before = collect(tmp_path / "run", tokenized, two(), EvidenceRequest(max_pairs=2)).evidence("kl", POLICY)
    run = collect(tmp_path / "run", tokenized, two(), EvidenceRequest(max_pairs=7))
    after = run.evidence("kl", POLICY)
    assert (before.num_rows, after.num_rows, verify_run(run.path)) == (4, 14, [])
    kept = after.filter(pa.array(np.isin(after["row"].to_numpy(), before["row"].to_numpy())))
    assert kept.equals(before)
    assert after["row"].to_pylist() == sorted(after["row"].to_pylist())


def test_a_smaller_sample_takes_nothing_away_and_opens_no_model(tmp_path):
    tokenized = pairs(12)
    collect(tmp_path / "run", tokenized, two(), EvidenceRequest(max_pairs=7))
    before = bytes_of(tmp_path / "run")
    collect(tmp_path / "run", tokenized, Two(None, None), EvidenceRequest(max_pairs=3))
    assert bytes_of(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("evidence", "count"), [("topk,wrong", 1), ("", 1), ("none,kl", 1), ("kl", "many"), ("kl", -1)]
)
def test_options_that_say_nothing_are_refused(evidence, count):
    with pytest.raises(InputError, match="bad --evidence"):
        parse_evidence_request(evidence, count)


def test_options_are_read_as_they_are_written():
    assert (
        parse_evidence_request()
        == parse_evidence_request("topk,kl,hidden", "512")
        == EvidenceRequest(kinds.EVIDENCE_KINDS, 512, False)
    )
    assert parse_evidence_request("fallen", "all") == EvidenceRequest(kinds.EVIDENCE_KINDS, None, True)
    assert parse_evidence_request(" hidden,fallen", 3) == EvidenceRequest(("hidden",), 3, True)


# fallen pairs


def changes_of(run):
    """The change of every chosen log-prob, nats, and every chosen length, by row."""
    found = {}
    for own, reference in zip(run.scores(POLICY).to_pylist(), run.scores("reference").to_pylist(), strict=True):
        if own["side"] == "chosen":
            found[own["row"]] = sum(own["logp"]) - sum(reference["logp"]), len(own["logp"])
    return found


def test_fallen_pairs_get_evidence_with_as_many_that_did_not_fall(tmp_path):
    tokenized = pairs(40, splits=("train", "eval"))
    run = collect(tmp_path / "run", tokenized, two(), EvidenceRequest(max_pairs=2, fallen=True))
    changes, rows = changes_of(run), set(run.evidence("kl", POLICY)["row"].to_pylist())
    fell = {row for row, (change, _) in changes.items() if change < -run.noise_floor.response}
    assert (len(rows & fell), len(rows - fell), verify_run(run.path)) == (2, 2, [])
    assert set(run.evidence("hidden", "reference")["row"].to_pylist()) == rows
    everything = fallen_rows(run, [POLICY], None)[POLICY.key]
    assert fell <= everything
    split = dict(zip(run.pairs()["row"].to_pylist(), run.pairs()["split"].to_pylist(), strict=True))
    held = len(changes) - len(fell)
    counts = [
        (sum(split[row] == name for row in fell), sum(split[row] == name for row in everything - fell))
        for name in ("train", "eval")
    ]
    assert all(other <= own for own, other in counts)
    assert len(everything - fell) <= min(len(fell), held)


def test_the_match_of_a_fallen_pair_is_as_near_as_any_that_did_not_fall(tmp_path):
    run = collect(tmp_path / "run", pairs(30), two(), parse_evidence_request("none"))
    changes = changes_of(run)
    (fallen,) = [row for row in fallen_rows(run, [POLICY], 1)[POLICY.key] if changes[row][0] < 0]
    (match,) = fallen_rows(run, [POLICY], 1)[POLICY.key] - {fallen}
    reference = {
        line["row"]: np.mean(line["logp"]) for line in run.scores("reference").to_pylist() if line["side"] == "chosen"
    }
    features = np.array([[np.log(changes[row][1]), reference[row]] for row in sorted(changes)])
    features /= features.std(axis=0)
    gap = ((features - features[fallen]) ** 2).sum(axis=1)
    stood = [row for row, (change, _) in changes.items() if change >= -run.noise_floor.response]
    assert gap[match] == min(gap[row] for row in stood)


def test_fallen_pairs_of_a_run_with_missing_parts_wait_for_them(tmp_path):
    tokenized = pairs(12)
    run = collect(tmp_path / "run", tokenized, two(), EvidenceRequest(max_pairs=3, fallen=True), shard=(0, 2))
    assert "no evidence of pairs that fell yet" in notes(run)[-1]
    for shard in (1, 0):
        collect(tmp_path / "run", tokenized, two(), EvidenceRequest(max_pairs=3, fallen=True), shard=(shard, 2))
    assert verify_run(run.path) == []
    alone = collect(tmp_path / "alone", tokenized, two(), EvidenceRequest(max_pairs=3, fallen=True))
    assert ids(open_run(run.path)) == ids(alone)


# interruptions, workers


@pytest.mark.parametrize("after", [2, 5])
def test_an_interrupted_run_ends_in_the_bytes_of_an_undisturbed_one(tmp_path, after):
    tokenized, models = pairs(9), (REFERENCE, POLICY, OTHER)
    collect(tmp_path / "whole", tokenized, two(), models=models)
    steps = itertools.count(1)

    def stop(progress):
        if next(steps) == after:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        collect(tmp_path / "run", tokenized, two(), models=models, report=stop)
    collect(tmp_path / "run", tokenized, two(), models=models)
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")


def test_a_stop_between_evidence_and_scores_costs_that_part_alone(tmp_path, monkeypatch):
    collect(tmp_path / "whole", pairs(9), two())
    write, calls = RunWriter.write_scores, itertools.count(1)

    def stop(*arguments):
        if next(calls) == 4:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(RunWriter, "write_scores", stop)
    with pytest.raises(Interrupted):
        collect(tmp_path / "run", pairs(9), two())
    monkeypatch.undo()
    collect(tmp_path / "run", pairs(9), two())
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")


def test_two_workers_leave_the_bytes_of_one(tmp_path):
    tokenized = pairs(12)
    collect(tmp_path / "one", tokenized, two(), EvidenceRequest(max_pairs=7))
    for shard in (0, 1):
        collect(tmp_path / "two", tokenized, two(), EvidenceRequest(max_pairs=7), shard=(shard, 2))
    assert bytes_of(tmp_path / "two") == bytes_of(tmp_path / "one")


def test_evidence_added_later_is_the_same_up_to_rounding_and_scores_stay(tmp_path):
    tokenized = pairs(12)
    collect(tmp_path / "later", tokenized, two(), parse_evidence_request("none"))
    before = bytes_of(tmp_path / "later")
    later, once = collect(tmp_path / "later", tokenized, two()), collect(tmp_path / "once", tokenized, two())
    assert {name: bytes_of(later.path)[name] for name in before if name != "manifest.json"} == {
        name: data for name, data in before.items() if name != "manifest.json"
    }
    for own, other in zip(
        later.evidence("kl", POLICY).to_pylist(), once.evidence("kl", POLICY).to_pylist(), strict=True
    ):
        assert own["kl_reference_policy"] == pytest.approx(other["kl_reference_policy"], abs=1e-5)


def test_a_finished_run_that_lost_evidence_gets_it_again(tmp_path):
    run = collect(tmp_path / "run", pairs(9), two())
    path = run.path / kinds.evidence_path("topk", POLICY, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert [line for line in verify_run(run.path) if "topk" in line]
    run = collect(run.path, pairs(9), two())
    assert (verify_run(run.path), len(ids(run, "topk"))) == ([], 9)
    assert ["damaged"] == [event["event"] for event in run.log() if event.get("path", "").startswith("evidence")][:1]


# what cannot be had


def test_another_vocabulary_has_ches_and_one_note_instead_of_divergences(tmp_path):
    run = collect(tmp_path / "run", pairs(9), Two(llama(1, vocab_size=VOCABULARY + 8), llama(0)))
    assert [len(ids(run, kind)) for kind in kinds.EVIDENCE_KINDS] == [0, 0, 9]
    (note,) = [line for line in notes(run) if line.startswith("no evidence")]
    assert "(topk, kl) of s/checkpoint-1: its vocabulary has 48 entries, the reference's 40" in note
    assert verify_run(run.path) == []


def test_models_that_do_not_come_apart_have_none_and_say_so_once(tmp_path):
    run = collect(tmp_path / "policy", pairs(9), Two(llama(1, Doubled), llama(0)))
    assert [len(ids(run, kind)) for kind in kinds.EVIDENCE_KINDS] == [0, 0, 0]
    assert len([line for line in notes(run) if "trunk and head do not come apart" in line]) == 1
    run = collect(tmp_path / "reference", pairs(9), Two(llama(1), llama(0, Doubled)))
    assert [len(ids(run, kind)) for kind in kinds.EVIDENCE_KINDS] == [0, 0, 9]


def test_without_memory_for_two_distributions_the_scores_stand_and_the_evidence_is_null(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(part_collector, "compare_distributions", full)
    run = collect(tmp_path / "run", pairs(9), two())
    assert (run.evidence("kl", POLICY)["null_variance"].null_count, verify_run(run.path)) == (18, [])
    assert run.scores(POLICY)["logp"].null_count == 0


def test_states_beyond_memory_go_to_files_that_nobody_sees_and_too_many_are_refused(tmp_path, monkeypatch):
    collect(tmp_path / "memory", pairs(9), two())
    monkeypatch.setattr(reference_states, "MAX_MEMORY_BYTES", 0)
    seen = []
    collect(tmp_path / "disk", pairs(9), two(), report=lambda progress: seen.extend(tmp_path.rglob("*.tmp")))
    assert (seen, bytes_of(tmp_path / "disk")) == ([], bytes_of(tmp_path / "memory"))
    monkeypatch.setattr(reference_states, "MAX_BYTES", 0)
    with pytest.raises(InputError, match="pass a smaller --evidence-pairs"):
        collect(tmp_path / "large", pairs(9), two())


# cost, reading, checking


class Counting(Two):
    """Knows how often each model was opened."""

    def sources(self, models):
        self.opened = []
        return [Counted(source, self.opened) for source in super().sources(models)]


class Counted:
    def __init__(self, source, opened):
        self.model, self._source, self._opened = source.model, source, opened

    def open(self):
        self._opened.append(self.model.key)
        return self._source.open()


def test_the_reference_is_opened_no_oftener_for_five_policies_than_for_one(tmp_path):
    models = [REFERENCE, *(Model("s", f"checkpoint-{n}", n, "loaded", "policy", f"{n}" * 64) for n in range(1, 6))]
    counts = {}
    for number in (1, 5):
        counting = Counting(llama(1), llama(0))
        collect(tmp_path / f"run-{number}", pairs(9), counting, models=models[: number + 1])
        counts[number] = counting.opened.count("reference")
    assert counts == {1: 4, 5: 4}, "twice to score it, as ever, and once after each for its states"
    counting = Counting(llama(1), llama(0))
    collect(tmp_path / "later", pairs(9), two(), parse_evidence_request("none"), models=models)
    collect(tmp_path / "later", pairs(9), counting, parse_evidence_request("topk,kl"), models=models)
    assert counting.opened.count("reference") == 1


def test_the_cost_is_told_in_seconds_and_as_a_share(tmp_path):
    (note,) = notes(collect(tmp_path / "run", pairs(9), two()))
    assert note.startswith("evidence (topk, kl, hidden) of 9 pairs: ")
    assert note.endswith("% of the time; --evidence none leaves it out")


def test_verify_sees_evidence_that_is_not_of_these_responses(tmp_path):
    run = collect(tmp_path / "run", pairs(9), two())
    path = kinds.evidence_path("kl", POLICY, 0)
    table = run.evidence("kl", POLICY, 0)
    short = table.set_column(5, table.schema.field(5), pa.array([[1.0]] * len(table), pa.list_(pa.float32())))
    with open_writer(run.path, pairs(9)) as writer:
        writer.write_addition(path, short, kinds.evidence_label("kl", POLICY) | {"part": "0"})
        writer.finish()
    assert [line for line in verify_run(run.path) if "null_variance has not one value for each token" in line]


def test_an_unknown_kind_is_refused(tmp_path):
    run = collect(tmp_path / "run", pairs(3), two(), parse_evidence_request("none"))
    with pytest.raises(InputError, match="no evidence 'gradients': there is topk, kl, hidden"):
        run.evidence("gradients", POLICY)
