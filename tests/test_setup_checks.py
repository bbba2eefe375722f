"""The checks of the setup: the trainer's log, its reference and beta, the chat template; each guilty and innocent."""

from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pytest

from dpo_analysis.diagnosis.causes import artefact
from dpo_analysis.diagnosis.setup_checks import trainer_log
from dpo_analysis.diagnosis.setup_checks.check import Check
from dpo_analysis.diagnosis.setup_checks.logging_window import logging_window
from dpo_analysis.diagnosis.setup_checks.template import check_template
from dpo_analysis.diagnosis.setup_checks.trainer_log import check_logged, compare_with_log
from dpo_analysis.diagnosis.setup_checks.trainer_reference import check_same_reference
from dpo_analysis.errors import InputError
from dpo_analysis.figures.check_texts import answer
from dpo_analysis.runs import Model, Series
from dpo_analysis.runs.manifest import merge_models, merge_series
from dpo_analysis.schema import CURVES_SCHEMA, VOCAB_SCHEMA
from dpo_analysis.text.numbers import fixed
from dpo_analysis.trainer.evaluations import evaluated_pairs
from dpo_analysis.words import text
from tests import handmade
from tests.handmade import make_run

SETTINGS = {"logging_steps": 4, "per_device_train_batch_size": 5, "gradient_accumulation_steps": 2}
CHOSEN, REJECTED = (-20.0, -24.0, -22.0), (-30.0, -38.0, -34.0)
"""Log-probs of the first chosen and rejected response: under the reference and at two checkpoints, nats."""


class FakeRun:
    """A run of one series without a measured noise floor."""

    noise_floor = None

    def __init__(self, **parameters):
        self.series = {"s": Series("s", parameters=parameters)}


def values(recomputed, logged, *, split="eval", metric="margin", width=0.2, n=20, steps=None):
    """Ten recomputed values with an interval, beside logged ones."""
    table = pd.DataFrame({"recomputed": recomputed, "logged": logged}, index=range(10))
    table = table.assign(series="s", split="eval", metric=metric, n_pairs=n, n_used=n, logged_split=split)
    table = table.assign(
        step=range(1, 11) if steps is None else steps, difference=table["recomputed"] - table["logged"]
    )
    return table.assign(low=table["recomputed"] - width / 2, high=table["recomputed"] + width / 2)


def log(split="eval", **metrics):
    """What the trainer logged of one set at ten steps."""
    rows = [("s", split, step, name, value) for name, value in metrics.items() for step in range(1, 11)]
    frame = pd.DataFrame(rows, columns=["series", "logged_split", "step", "metric", "value"])
    return frame.assign(split="eval")


TWENTY = {"runtime": 0.4, "samples_per_second": 50.0}
"""An evaluation of twenty pairs, as transformers times it."""


@pytest.mark.parametrize(("logged", "verdict"), [(0.29, "pass"), (0.31, "warn")])
def test_an_evaluation_of_the_same_pairs_may_lie_three_half_widths_off(logged, verdict):
    assert compare_with_log(FakeRun(), values(0.0, logged), log(**TWENTY)).verdict == verdict


def test_an_answer_prints_what_was_logged_and_recomputed_their_difference_and_its_error():
    found = compare_with_log(FakeRun(), values(0.0, 9.0), log(**TWENTY))
    said = answer(found, "en")
    assert all(part in said for part in ("logged 9.000", "recomputed 0.000", "−9.000", "up to 0.300"))


def test_an_evaluation_of_another_number_of_pairs_is_skipped():
    found = compare_with_log(
        FakeRun(), values(0.0, 9.0, metric="chosen_logps"), log(runtime=0.4, samples_per_second=70.0)
    )
    assert (found.verdict, found.values["n_logged"], found.values["n_pairs"]) == ("unknown", 28, 20)
    assert found.key == "checks.logged.others"
    assert "28 pairs" in answer(found, "en")


def test_rewards_that_differ_in_a_sample_of_the_pairs_leave_two_readings():
    found = compare_with_log(FakeRun(), values(0.0, 9.0), log(runtime=0.4, samples_per_second=70.0))
    assert (found.verdict, found.key) == ("warn", "checks.logged.undecided")


def test_without_a_number_of_pairs_both_readings_are_named_and_the_artefact_is_possible_at_most():
    found = compare_with_log(FakeRun(), values(0.0, 9.0), log())
    assert found.key == "checks.logged.undecided"
    assert "pairs, or the setup" in answer(found, "en")
    assert artefact._doubt(found, 20) == "possible"


@pytest.mark.parametrize(
    ("logged", "same"),
    [
        ({"runtime": 0.4063, "samples_per_second": 49.225}, True),  # 20.0001 pairs
        ({"runtime": 0.4063, "samples_per_second": 51.685}, False),  # 21 pairs
        ({"accuracy_trl": 0.95}, True),  # 19 of 20
        ({"accuracy_trl": 0.96}, None),  # of 25, or of batches that are not equal
        ({"accuracy_trl": 1.0}, None),  # of any number
        ({}, None),
    ],
)
def test_the_log_says_how_many_pairs_were_evaluated(logged, same):
    assert evaluated_pairs(log(**logged, loss=0.5), 20, 20).same is same


def test_pairs_that_could_not_be_scored_may_have_been_evaluated():
    assert evaluated_pairs(log(runtime=1.0, samples_per_second=22.0), 20, 22).same
    assert evaluated_pairs(log(runtime=1.0, samples_per_second=23.0), 20, 22).same is False


@pytest.mark.parametrize(
    ("settings", "steps", "window"),
    [
        (SETTINGS, [4, 8], (40, True)),
        (SETTINGS | {"n_devices": 2}, [4, 8], (80, True)),
        ({"per_device_train_batch_size": 8}, [5, 10, 15], (40, True)),
        ({}, [5, 10, 15], (5, False)),
        ({}, [], (1, False)),
    ],
)
def test_a_window_holds_the_pairs_of_all_its_batches(settings, steps, window):
    assert logging_window(Series("s", parameters=settings), pd.Series(steps, dtype=int)) == window


def test_a_training_value_may_lie_off_by_the_chance_of_its_window_and_the_change_since_the_checkpoint_before():
    steps = log("train", loss=0.5)
    # half-width .1 for 80 pairs: .1 sqrt(1 + 80 / 40) for a window of 40, three times, and .5 for the lag
    allowed = 3 * 0.1 * 3**0.5 + 0.5
    rising = [0.5 * number for number in range(1, 11)]
    for off, verdict in ((allowed - 0.01, "pass"), (allowed + 0.01, "note")):
        table = values(rising, [value - off for value in rising], split="train", n=80)
        found = compare_with_log(FakeRun(**SETTINGS), table, steps)
        assert (found.verdict, found.values["window"]) == (verdict, 40)
        assert "40 pairs" in answer(found, "en")


def test_values_logged_while_training_accuse_nobody_and_say_what_is_not_known():
    found = compare_with_log(FakeRun(), values(0.0, 99.0, split="train"), log("train", loss=0.5))
    assert (found.verdict, found.values["far"], found.values["n"]) == ("note", 10, 10)
    assert "batch size is not known" in answer(found, "en")


def test_where_there_are_evaluations_the_training_values_are_not_compared():
    table = values(0.0, [9.0] * 9 + [0.0]).assign(logged_split=["train"] * 9 + ["eval"])
    found = compare_with_log(FakeRun(), table, log(**TWENTY))
    assert (found.verdict, found.values) == ("pass", {"n": 1})


def test_rounding_is_no_difference_where_an_interval_has_no_width():
    for off, verdict in ((9e-7, "pass"), (2e-6, "warn")):
        assert compare_with_log(FakeRun(), values(0.0, off, width=0.0), log(**TWENTY)).verdict == verdict


def test_a_share_of_all_pairs_may_be_a_little_less_in_others():
    assert compare_with_log(FakeRun(), values(1.0, 0.9, metric="accuracy_trl", width=0.0), log()).verdict == "pass"


def curves(*, beta=0.1, reference=(0.0, 0.0), **more):
    """The log of an evaluation of one pair at two checkpoints, by a trainer with this beta, reference shifted, nats."""
    rows = []
    for number, step in enumerate((1, 2), start=1):
        for side, logps, shift in zip(("chosen", "rejected"), (CHOSEN, REJECTED), reference, strict=True):
            rows.append((step, f"{side}_logps", logps[number]))
            rows.append((step, f"{side}_reward", beta * (logps[number] - logps[0] - shift)))
        rows += [(step, name, value) for name, value in more.items()]
    table = [
        {"series": "s", "split": "eval", "step": step, "epoch": 0.5, "metric": name, "value": value}
        for step, name, value in rows
    ]
    return pa.Table.from_pylist(table, schema=CURVES_SCHEMA)


def trained(path, logged, *, beta=0.1):
    """A run of two pairs that are alike, so that every mean is known."""
    scores = {
        key: [([CHOSEN[number]], [REJECTED[number]])] * 2 for number, key in enumerate(("reference", "s/m-1", "s/m-2"))
    }
    return make_run(path, scores, curves=logged, series=[Series("s", beta=beta)])


@pytest.mark.parametrize(("reference", "verdict"), [((0.0, 0.0), "pass"), ((2.0, 0.0), "fail")])
def test_another_reference_is_told_by_rewards_that_differ_where_log_probs_agree(tmp_path, reference, verdict):
    assert check_same_reference(trained(tmp_path / "run", curves(reference=reference))).verdict == verdict


def test_a_constant_ratio_of_rewards_says_which_beta_would_fit(tmp_path):
    run = trained(tmp_path / "run", curves(beta=0.5))
    found = check_same_reference(run)
    assert (found.verdict, found.values["ratio"], found.values["fitted"]) == ("warn", "5", "0.5")
    assert "5 times" in answer(found, "en")
    assert check_logged(run).verdict == "pass", "a beta that explains the rewards leaves nothing to complain about"


def test_beta_0_beside_logged_rewards_says_which_beta_would_fit(tmp_path):
    found = check_same_reference(trained(tmp_path / "run", curves(), beta=0.0))
    assert (found.key, found.values["fitted"]) == ("checks.same_reference.beta_zero", "0.1")


def test_values_that_are_not_finite_are_counted(tmp_path):
    found = check_logged(trained(tmp_path / "run", curves(loss=None)))
    assert (found.verdict, found.values["not_finite"]) == ("note", 2)
    assert text("checks.logged.not_finite", not_finite=2) in answer(found, "en")


def test_a_log_of_infinities_alone_is_not_dropped_in_silence(tmp_path, monkeypatch):
    run = trained(tmp_path / "run", curves(loss=None))
    monkeypatch.setattr(trainer_log, "trainer_log_table", lambda run: values(0.0, 0.0).head(0))
    assert "2 logged values" in answer(check_logged(run), "en")


MARKS = pa.table(
    {"token_id": list(range(20)), "bytes": [b"x"] * 20, "special": [number == 3 for number in range(20)]},
    schema=VOCAB_SCHEMA,
)
"""Twenty tokens, so that a token drawn at random costs 3.0 nats; 3 is the end of text, as the fourth token is."""
KNOWN, UNKNOWN = [-1.0, -0.5, -0.5, -0.1], [-9.0, -0.5, -0.5, -0.1]
"""A response whose first token the reference expects, or not."""


def templates(path, logp, monkeypatch, *, rendered="", beside="", end=-0.1):
    """A run whose pairs were rendered with one template, with another beside the policy."""
    own = handmade.model

    def model(key):
        found = own(key)
        return type(found).from_json(found.to_json() | {"template": beside}) if not found.is_reference else found

    monkeypatch.setattr(handmade, "model", model)
    sides = ([*logp[:3], end], [*logp[:3], end])
    run = make_run(path, {"reference": [sides] * 3, "s/m-1": [sides] * 3}, vocab=MARKS)
    run.identity["template"] = rendered or None
    return run


@pytest.mark.parametrize(
    ("logp", "facts", "verdict", "key"),
    [
        (KNOWN, {"rendered": "a", "beside": "a"}, "pass", ""),
        (KNOWN, {"rendered": "a", "beside": "b"}, "warn", "checks.template.differs"),
        (UNKNOWN, {"rendered": "a", "beside": "b"}, "fail", ""),
        (UNKNOWN, {"rendered": "a", "beside": "a"}, "warn", ""),
        (UNKNOWN, {"rendered": "a", "beside": "a", "end": -9.0}, "fail", ""),
        (KNOWN, {"beside": "a"}, "pass", ""),
        (KNOWN, {"beside": "a", "end": -9.0}, "warn", "checks.template.raw"),
        (KNOWN, {}, "pass", ""),
    ],
)
def test_a_template_that_the_reference_does_not_know_is_told(tmp_path, monkeypatch, logp, facts, verdict, key):
    found = check_template(templates(tmp_path / "run", logp, monkeypatch, **facts))
    assert (found.verdict, found.key) == (verdict, key)
    for lang in ("en", "zh"):
        assert "{" not in answer(found, lang)
    if found.verdict == "fail":
        assert fixed(-logp[0]) in answer(found, "en")


@pytest.mark.parametrize(
    ("check", "doubt"),
    [
        (Check("truncated", "warn", {"n": 5, "of": 10, "share": "50%"}), "likely"),
        (Check("truncated", "warn", {"n": 1, "of": 10, "share": "10%"}), "possible"),
        (Check("truncated", "warn", {"n": 9, "of": 100, "share": "9%"}), "unlikely"),
        (Check("template", "warn", key="checks.template.differs"), "possible"),
        (Check("template", "fail"), "likely"),
        (Check("logged", "note", {"far": 9, "n": 10}), "unlikely"),
        (Check("logged", "unknown", key="checks.logged.others"), "unlikely"),
        (Check("same_reference", "warn", key="checks.same_reference.beta"), "possible"),
    ],
)
def test_what_one_check_leads_to(check, doubt):
    assert artefact._doubt(check, 10) == doubt


def test_foreign_pairs_surprise_a_reference_under_any_template():
    others = Check("logged", "unknown", key="checks.logged.others")
    surprised = Check("template", "fail", dict.fromkeys(("first", "end", "chance"), "1.00"))
    differs = Check("template", "fail", surprised.values, notes=("checks.template.differs",))
    symptoms = [
        SimpleNamespace(
            log_ratios=SimpleNamespace(rows=range(10)),
            checks=checks,
            fall=SimpleNamespace(kind="below_start"),
            statistics=object(),
        )
        for checks in ([surprised], [surprised, others], [differs, others])
    ]
    assert [artefact.find(given)[0].verdict for given in symptoms] == ["likely", "unlikely", "likely"]


@pytest.mark.parametrize(
    ("check", "fell", "verdict", "certainty"),
    [
        (Check("template", "fail", dict.fromkeys(("first", "end", "chance"), "1.00")), True, "likely", "comparison"),
        (Check("template", "fail", dict.fromkeys(("first", "end", "chance"), "1.00")), False, "possible", "comparison"),
        (Check("step0", "fail"), True, "likely", "identity"),
        (Check("step0", "fail"), False, "likely", "identity"),
        (Check("step0", "pass"), True, "unlikely", "comparison"),
    ],
)
def test_where_nothing_fell_only_arithmetic_accuses(check, fell, verdict, certainty):
    symptoms = SimpleNamespace(
        log_ratios=SimpleNamespace(rows=range(10)),
        checks=[check],
        fall=SimpleNamespace(kind="below_start" if fell else "none"),
        statistics=object() if fell else None,
    )
    (finding,) = artefact.find(symptoms)
    assert (finding.verdict, finding.certainty) == (verdict, certainty)
    assert all("{" not in finding.sentence(lang) for lang in ("en", "zh"))


BATCH = {"logging_steps": 5, "per_device_train_batch_size": 16}


@pytest.mark.parametrize(("stored", "added"), [({}, BATCH), (BATCH, {}), (BATCH, BATCH)])
def test_a_folder_made_before_batch_settings_were_kept_takes_them_and_refuses_nothing(stored, added):
    record = Series("s", parameters={"ld_alpha": 0.5} | stored).to_json()
    merged = merge_series({"s": record}, [Series("s", parameters={"ld_alpha": 0.5} | added)])
    assert merged["s"]["parameters"] == {"ld_alpha": 0.5} | BATCH


def test_other_batch_settings_are_another_training():
    with pytest.raises(InputError, match="different parameters"):
        merge_series({"s": Series("s", parameters=BATCH).to_json()}, [Series("s", parameters={"logging_steps": 9})])


def test_a_model_without_a_known_template_is_stored_as_before_and_takes_it_later():
    old, new = Model("s", "m", 1, weights="w"), Model("s", "m", 1, weights="w", template="t")
    assert "template" not in old.to_json()
    (merged,) = merge_models([old.to_json()], [new], scored=lambda model: True)
    assert Model.from_json(merged) == new
