"""Confirmation: groups by hand, questions that are not asked, answers stored whole, and what may be said of them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from dpo_analysis.diagnosis import influence_groups
from dpo_analysis.diagnosis.influence_verdict import EFFECT_COLUMNS, effect_table, read_influence_verdict
from dpo_analysis.errors import InputError, StorageError
from dpo_analysis.runs import open_run, verify_run
from dpo_analysis.runs.evidence import influence as stored
from dpo_analysis.runs.evidence.influence import EFFECTS, GROUPS, Question, Questions
from dpo_analysis.runs.parquet import parquet_bytes
from dpo_analysis.schema import EFFECTS_SCHEMA, GROUPS_SCHEMA, SIDES
from dpo_analysis.scoring import score
from dpo_analysis.scoring.evidence.collector import score_with_evidence
from dpo_analysis.scoring.evidence.influence import TargetTokens, WeightedPair, group_effects
from dpo_analysis.scoring.evidence.influence_run import answer_questions
from dpo_analysis.scoring.evidence.pair_sample import EvidenceRequest
from dpo_analysis.scoring.requests import Request
from dpo_analysis.words import LANGUAGES
from tests import collected, moved
from tests.test_influence import llama

pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).resolve().parent.parent / "sample_data"
HIT, GAIN = (50, 51), (50, 52)
NO_EVIDENCE = EvidenceRequest((), None)


def texts(own=10, pushers=20, pullers=12, rest=9):
    """Pairs that choose HIT, that reject it, that choose what gained in its place, and others; in this order."""
    kinds = [HIT] * own, [None] * pushers, [GAIN] * pullers, [None] * rest
    chosen = [one for kind in kinds for one in kind]
    rejected = [None] * own + [HIT] * pushers + [None] * (pullers + rest)
    return [
        (moved.text(n, *(one or ())), moved.text(100 + n, *(other or ())))
        for n, (one, other) in enumerate(zip(chosen, rejected, strict=True))
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """HIT loses nearly everything to GAIN, from the second of three checkpoints on."""
    return moved.make_run(tmp_path_factory.mktemp("run") / "run", texts(), {HIT: (0.01, GAIN[1])})


def test_groups_are_formed_by_what_lost_and_what_gained(run):
    early, last = influence_groups.choose_questions(run, "s", "train").questions
    assert (early.model, last.model) == ("s/checkpoint-20", "s/checkpoint-40")
    assert {name: len(rows) for name, rows in last.groups.items()} == {
        "own": 10, "rejected_has_lost": 20, "chosen_has_gained": 12, "rest": 9,
    }  # fmt: skip
    assert sorted(last.groups["own"]) == list(range(10))
    assert sorted(last.groups["rejected_has_lost"]) == list(range(10, 30))
    assert early.groups == last.groups
    assert early.digest == last.digest
    assert sorted(last.targets) == [(row, (11,)) for row in range(10)], "the second token of HIT, behind ten others"


def test_a_group_of_a_few_pairs_is_left_out_and_a_large_one_is_drawn(tmp_path):
    run = moved.make_run(tmp_path / "run", texts(own=9, pushers=60, pullers=7, rest=8), {HIT: (0.01, GAIN[1])})
    (*_, last) = influence_groups.choose_questions(run, "s", "train").questions
    assert {name: len(rows) for name, rows in last.groups.items()} == {"own": 9, "rejected_has_lost": 48, "rest": 8}


def test_nothing_is_asked_without_training_pairs_or_a_decline_or_evidence(tmp_path):
    facts = {"moves": {HIT: (0.01, GAIN[1])}}
    cases = {
        "no split 'train'": {"split": "eval"},
        "no decline": {"strengths": (0, 0, 0.01)},
        "no evidence topk": {"collected": False},
    }
    for number, (why, change) in enumerate(cases.items()):
        made = moved.make_run(tmp_path / str(number), texts(), **(facts | change))
        asked = influence_groups.choose_questions(made, "s", made.splits[0])
        assert not asked.questions
        assert why in asked.notes[0]


def test_nothing_is_asked_where_the_loss_is_spread(tmp_path):
    spread = {(1000 + 100 * n + 3, 1000 + 100 * n + 4): (0.01, None) for n in range(40)}
    run = moved.make_run(tmp_path / "run", texts(), spread)
    asked = influence_groups.choose_questions(run, "s", "train")
    assert not asked.questions
    assert "spread over many word pairs" in asked.notes[0]


class Hand:
    """A run folder written by hand: the three things that storing an answer asks of its writer."""

    def __init__(self, run):
        self.path, self.identity_hash = run.path, run.identity_hash

    def write_addition(self, path, table, label):
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(parquet_bytes(table, {**label, "identity": self.identity_hash}))


def put(run, nets, *, error=0.0, targets=4):
    """Store an answer of every checkpoint named: {step: {group: net}}, half of it from either side."""
    for step, own in nets.items():
        model = run.model(f"s/checkpoint-{step}")
        asked = Question(model.key, "train", dict.fromkeys(own, (0,)), [(row, (1,)) for row in range(targets)])
        rows = [
            {"group": name, "side": side, "row": row, "pair_id": f"{row:016x}", "n_target_tokens": 1,
             "effect": net / 2 + (row - 1.5) * 0.01, "effect_error": error / 2, "n_group_pairs": 1, "step_length": 1e-3}
            for name, net in own.items() for side in SIDES for row in range(targets)
        ]  # fmt: skip
        members = [{"group": name, "row": 0, "pair_id": "0", "gradient_weight": 0.5} for name in own]
        tables = {EFFECTS: pa.Table.from_pylist(rows, schema=EFFECTS_SCHEMA),
                  GROUPS: pa.Table.from_pylist(members, schema=GROUPS_SCHEMA)}  # fmt: skip
        stored.store_influence(Hand(run), model, asked, tables)


GUILTY = {"own": 0.5, "rejected_has_lost": -2.0, "rest": 0.1}
ANSWERS = {
    "one group at both checkpoints": ({20: GUILTY, 40: GUILTY}, 0.0, "rejected_has_lost", "confirmed"),
    "at one of them only": ({40: GUILTY}, 0.0, "", "one_checkpoint"),
    "at one of the two": ({20: GUILTY | {"rejected_has_lost": -1.4}, 40: GUILTY}, 0.0, "", "none"),
    "another one is near": ({20: GUILTY, 40: GUILTY | {"rest": -1.2}}, 0.0, "", "none"),
    "each time another one": ({20: GUILTY, 40: {"own": -3.0, "rejected_has_lost": 0.0, "rest": 0.0}}, 0.0, "", "none"),
    "no exact effect": ({20: GUILTY, 40: GUILTY}, 0.6, "", "inexact"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_group_is_confirmed_alone_at_both_checkpoints_or_not_at_all(tmp_path, name):
    nets, error, group, why = ANSWERS[name]
    run = moved.make_run(tmp_path / "run", texts(), {HIT: (0.01, GAIN[1])})
    assert read_influence_verdict(run, "s") is None
    put(run, nets, error=error)
    found = read_influence_verdict(run, "s")
    assert found is not None
    assert (found.group, found.key) == (group, f"confirmation.{why}")
    assert found.confirms("collision") == (group == "rejected_has_lost")
    assert not found.confirms("style_drift")
    for lang in LANGUAGES:
        assert "nats" in found.sentence(lang)
    assert "−" in found.sentence()


def test_the_net_effect_is_the_mean_over_targets_of_both_halves_with_its_interval(tmp_path):
    run = moved.make_run(tmp_path / "run", texts(), {HIT: (0.01, GAIN[1])})
    put(run, {20: GUILTY, 40: GUILTY})
    table = effect_table(run, "s", "train")
    assert list(table.columns) == EFFECT_COLUMNS
    row = table[(table["step"] == 40) & (table["group"] == "rejected_has_lost")].iloc[0]
    assert row["net"] == pytest.approx(-2.0)
    assert (row["chosen"], row["rejected"]) == pytest.approx((-1.0, -1.0))
    assert -2.03 <= row["low"] < row["net"] < row["high"] <= -1.97
    assert effect_table(run, "s", "other").empty


def test_an_answer_to_an_older_question_does_not_count(tmp_path):
    run = moved.make_run(tmp_path / "run", texts(), {HIT: (0.01, GAIN[1])})
    put(run, {20: GUILTY}, targets=3)
    put(run, {40: GUILTY}, targets=4)
    assert list(effect_table(run, "s", "train")["step"].unique()) == [40]
    assert read_influence_verdict(run, "s").key == "confirmation.one_checkpoint"


def test_a_damaged_answer_is_named_and_an_impossible_one_found(tmp_path):
    run = moved.make_run(tmp_path / "run", texts(), {HIT: (0.01, GAIN[1])})
    put(run, {40: GUILTY})
    file = run.path / stored.influence_path(EFFECTS, run.model("s/checkpoint-40"), "train")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match="effects-train"):
        read_influence_verdict(run, "s")
    assert any("effects-train" in line for line in verify_run(run.path))
    bad = pa.Table.from_pylist(
        [{"group": "rest", "row": 10**6, "pair_id": "0", "gradient_weight": 0.5}], schema=GROUPS_SCHEMA
    )
    assert stored.influence_problem(GROUPS, bad, 512) == "its rows are not those of the run"


@pytest.fixture
def scored(tmp_path):
    """Twelve pairs scored by two tiny models, the writer still open."""
    torch_models = collected.Two(llama(), llama(initializer_range=0.12))
    with collected.open_writer(tmp_path / "run", collected.pairs(12)) as writer:
        sources = torch_models.sources(writer.models)
        score_with_evidence(writer, sources, NO_EVIDENCE, batch_tokens=64, report=lambda progress: None)
        yield SimpleNamespace(writer=writer, sources=sources, two=torch_models)


def asking(run, model=None):
    rows = sorted(run.pairs()["row"].to_pylist())
    return Question(model or collected.POLICY.key, "eval", {"first": rows[:4], "rest": rows[4:]}, [(rows[0], (0,))])


def test_an_answer_is_the_models_own_effects_with_dpos_weights(scored):
    answer_questions(scored.writer, scored.sources, lambda run: Questions((asking(run),)), batch_tokens=64)
    run = open_run(scored.writer.path)
    assert verify_run(run.path) == []
    effects = stored.read_influence(run, EFFECTS, run.models[0], "eval").to_pandas()
    members = stored.read_influence(run, GROUPS, run.models[0], "eval").to_pandas().set_index("row")
    responses = run.responses().to_pandas().set_index(["row", "side"])

    def request(row, side):
        ids = [responses.loc[(row, side), name] for name in ("prompt_token_ids", "token_ids")]
        return Request(*(np.array(one, dtype=np.int32) for one in ids))

    import dpo_analysis as dpo

    weights = dpo.pair_table(run).set_index("pair_id")["gradient_weight"]
    assert members["gradient_weight"].to_list() == pytest.approx([weights[one] for one in members["pair_id"]], rel=1e-4)
    question = asking(run)
    pairs = {
        name: [
            WeightedPair((request(row, "chosen"), request(row, "rejected")), 0.5 * members.loc[row, "gradient_weight"])
            for row in rows
        ]
        for name, rows in question.groups.items()
    }
    target = [TargetTokens(request(question.targets[0][0], "chosen"), np.array([0]))]
    wanted = group_effects(scored.two.policy, pairs, target, batch_tokens=64)
    assert effects["effect"].to_list() == pytest.approx([one.change[0] for one in wanted], rel=1e-4, abs=1e-6)


def test_the_same_question_is_answered_once_and_another_one_anew(scored):
    path = scored.writer.path / stored.influence_path(EFFECTS, collected.POLICY, "eval")
    answer_questions(scored.writer, scored.sources, lambda run: Questions((asking(run),)), batch_tokens=64)
    first = path.stat().st_mtime_ns
    answer_questions(scored.writer, scored.sources, lambda run: Questions((asking(run),)), batch_tokens=64)
    assert path.stat().st_mtime_ns == first
    other = Question(collected.POLICY.key, "eval", {"all": tuple(range(4))}, [(0, (0,))])
    answer_questions(scored.writer, scored.sources, lambda run: Questions((other,)), batch_tokens=64)
    assert path.stat().st_mtime_ns > first
    assert verify_run(scored.writer.path) == []


def test_what_cannot_be_asked_is_a_note(scored):
    asked = Questions((asking(open_run(scored.writer.path), "s/gone"),), ("nothing to confirm of series t: why",))
    answer_questions(scored.writer, scored.sources, lambda run: asked, batch_tokens=64)
    notes = [event["text"] for event in open_run(scored.writer.path).log() if event["event"] == "note"]
    assert notes[-2] == "nothing to confirm of series t: why"
    assert "s/gone not asked: this command was not given it" in notes[-1]


def test_an_unfinished_run_is_not_asked(tmp_path):
    two = collected.Two(llama(), llama())
    with collected.open_writer(tmp_path / "run", collected.pairs(12), shard=(0, 2)) as writer:
        sources = two.sources(writer.models)
        score_with_evidence(writer, sources, NO_EVIDENCE, batch_tokens=64, report=lambda progress: None)
        answer_questions(writer, sources, lambda run: pytest.fail("asked"), batch_tokens=64)
        assert "nothing confirmed yet" in open_run(writer.path).log()[-1]["text"]


def test_ray_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="--confirm beside --ray"):
        score([], out=tmp_path / "run", confirm=lambda run: Questions(), ray="local")
    assert not (tmp_path / "run").exists()


def test_on_the_sample_the_planted_closings_of_others_are_confirmed(tmp_path):
    run = score(
        [f"eval={SAMPLE / 'pairs' / 'eval.jsonl'}", f"train={SAMPLE / 'pairs' / 'train.jsonl'}"],
        reference=str(SAMPLE / "sft"),
        policies=[f"strong/{step}={SAMPLE / 'strong' / f'checkpoint-{step}'}" for step in (30, 150)],
        out=tmp_path / "run",
        confirm=influence_groups.choose_questions,
    )
    found = read_influence_verdict(run, "strong")
    assert found is not None
    assert found.group == "rejected_has_lost"
    assert found.confirms("collision")
    assert verify_run(run.path) == []
