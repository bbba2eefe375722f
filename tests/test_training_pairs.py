"""What the training pairs show by themselves: swapped columns, one rejected text for all, flipped labels."""

from dataclasses import replace

import numpy as np
import pytest

from dpo_analysis.diagnosis.causes import contradiction, same_rejected, swapped_columns
from dpo_analysis.diagnosis.outcome.training_pairs import TrainingPairs, count_repeated, read_training_pairs
from dpo_analysis.diagnosis.outcome.wrong_pairs import find_wrong_pairs
from dpo_analysis.diagnosis.series_diagnosis import read_symptoms
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.words import LANGUAGES
from tests import moved
from tests.test_answer import changes


@pytest.fixture(scope="module")
def symptoms(tmp_path_factory):
    """The symptoms of a run in which every pair loses one token of its chosen response."""
    texts = [(moved.text(n), moved.text(n, 500 + n)) for n in range(40)]
    moves = {(1000 + 100 * n + 11, 1000 + 100 * n + 12): (0.01, None) for n in range(40)}
    run = moved.make_run(tmp_path_factory.mktemp("symptoms") / "run", texts, moves)
    return read_symptoms(run, SeriesLogRatios(run, "s", "train"), "train", [])


def verdict(cause, given):
    (finding,) = cause.find(given)
    for lang in LANGUAGES:
        assert not set("{}") & set("".join([finding.sentence(lang), *finding.against(lang)]))
    return finding.verdict


def with_margins(symptoms, margins, *, chosen=-5.0, trained=True, groups=None):
    """The symptoms with training pairs of these margins, nats."""
    margins = np.asarray(margins, dtype=float)
    pairs = changes(chosen, chosen - margins, n=len(margins), spread=0.0)
    if groups is not None:
        pairs = replace(pairs, groups=np.asarray(groups))
    return replace(symptoms, training=TrainingPairs(pairs, trained))


def test_swapped_columns_do_not_depend_on_how_far_anything_fell(symptoms):
    for size in (0.3, 3.0, 300.0):
        margins = size * np.where(np.arange(150) < 10, 1.0, -1.0)
        assert verdict(swapped_columns, with_margins(symptoms, margins, chosen=-size)) == "likely"
        assert verdict(swapped_columns, with_margins(symptoms, -margins, chosen=-size)) == "unlikely"


@pytest.mark.parametrize(("won", "n", "expected"), [
    (0, 30, "likely"), (0, 29, "unlikely"), (8, 40, "possible"), (20, 40, "unlikely"), (380, 1000, "possible"),
    (450, 1000, "unlikely"),
])  # fmt: skip
def test_how_sure_a_swap_is_depends_on_the_interval(symptoms, won, n, expected):
    margins = np.where(np.arange(n) < won, 1.0, -1.0)
    assert verdict(swapped_columns, with_margins(symptoms, margins)) == expected


def test_pairs_of_one_prompt_are_one_witness(symptoms):
    margins = -np.ones(60)
    assert verdict(swapped_columns, with_margins(symptoms, margins)) == "likely"
    assert verdict(swapped_columns, with_margins(symptoms, margins, groups=np.arange(60) // 20)) == "unlikely"


def test_a_policy_that_did_not_move_has_no_swapped_columns(symptoms):
    given = with_margins(symptoms, np.full(60, -1e-4), chosen=0.0)
    assert swapped_columns.find(given) == []
    assert swapped_columns.find(replace(symptoms, training=None)) == []


def test_where_both_sides_gained_the_models_are_swapped(symptoms):
    (finding,) = swapped_columns.find(with_margins(symptoms, -np.ones(60), chosen=4.0))
    assert finding.key.endswith(".models")
    (finding,) = swapped_columns.find(with_margins(symptoms, -np.ones(60), chosen=-4.0, trained=False))
    assert (finding.key[-8:], finding.counter) == (".columns", ("diagnosis.swapped_columns.counter",))


def test_repeated_texts_are_counted_by_their_tokens():
    refusal = np.arange(20)
    begins = [np.concatenate([refusal[:8], [100 + n]]) for n in range(30)]
    differ = [np.array([200 + n, 1, 2, 3, 4, 5, 6, 7, 8]) for n in range(10)]
    found = count_repeated(range(60), [refusal] * 20 + begins + differ)
    assert (found.n_pairs, found.n_same, found.n_same_start) == (60, 20, 50)
    assert found.rows == tuple(range(20))
    assert count_repeated([], []).same == 0
    assert count_repeated(range(2), [refusal, np.zeros(0, int)]).same == 0


@pytest.mark.parametrize(
    ("same", "begins", "expected"), [(60, 0, "likely"), (10, 50, "possible"), (10, 10, "unlikely")]
)
def test_one_rejected_text_is_likely_from_half_of_the_pairs_on(symptoms, same, begins, expected):
    refusal = np.arange(20)
    texts = [refusal] * same + [np.concatenate([refusal[:8], [100 + n]]) for n in range(begins)]
    texts += [np.array([200 + n, 1, 2]) for n in range(100 - len(texts))]
    training = replace(symptoms.training, rejected=count_repeated(range(100), texts))
    assert verdict(same_rejected, replace(symptoms, training=training)) == expected
    assert same_rejected.find(replace(symptoms, training=training, statistics=None)) == []


def flipped(n, share, seed=0):
    """Token ids of pairs that prefer 50 to 60 in the same context, a share of them the other way round."""
    flips = np.random.default_rng(seed).random(n) < share
    one = [np.array([1000 + 10 * k, 7, 50, 9]) for k in range(n)]
    other = [np.array([1000 + 10 * k, 7, 60, 9]) for k in range(n)]
    sides = [(b, a) if flip else (a, b) for a, b, flip in zip(one, other, flips, strict=True)]
    return flips, ([a for a, _ in sides], [b for _, b in sides])


def test_flipped_labels_are_possible_where_other_pairs_oppose_what_the_policy_orders_wrongly(symptoms):
    flips, responses = flipped(200, 0.3)
    learned = with_margins(symptoms, np.where(flips, -2.0, 2.0))
    wrong = find_wrong_pairs(learned.training.changes, responses)
    assert (wrong.opposed_wrong, wrong.opposed_right) == (1.0, 0.0)
    assert wrong.wrong.share == pytest.approx(flips.mean())
    given = replace(learned, training=replace(learned.training, wrong=wrong))
    (finding,) = contradiction.find(given)
    assert (finding.verdict, finding.key) == ("possible", "diagnosis.contradiction.flipped")
    assert verdict(contradiction, given) == "possible"


def test_a_policy_that_learned_little_has_no_flipped_labels(symptoms):
    _, responses = flipped(200, 0.0)
    margins = np.random.default_rng(1).normal(0.6, 1.0, 200)
    weak = with_margins(symptoms, margins)
    wrong = find_wrong_pairs(weak.training.changes, responses)
    assert wrong.wrong.low > 0.1, "as many are ordered wrongly with confidence"
    given = replace(weak, training=replace(weak.training, wrong=wrong))
    assert verdict(contradiction, given) == "unlikely"


def test_a_run_without_training_pairs_is_read_at_the_split_diagnosed(tmp_path):
    texts = [(moved.text(n), moved.text(n, 500 + n)) for n in range(30)]
    run = moved.make_run(tmp_path / "run", texts, {}, split="eval")
    found = read_training_pairs(run, run.models[-1], "eval")
    assert (found.trained, found.changes.split, found.changes.n_pairs) == (False, "eval", 30)
    assert found.rejected is not None
    assert found.rejected.same == 0
