"""Each kind of fall on a run that has it, with numbers by hand."""

import numpy as np
import pytest

from dpo_analysis.diagnosis.fall_detection import detect_fall
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.errors import InputError
from tests.handmade import make_run

PAIRS = 30


def run_of(path, *changes, noise=None, start=0):
    """Checkpoints of 10, 20, ... steps; each change is a mean per pair, spread by a tenth of a nat over the pairs."""
    spread = np.linspace(-0.1, 0.1, PAIRS)
    scores = {"reference": [([-20.0], [-20.0])] * PAIRS}
    for number, change in enumerate(changes, start=1):
        values = change + spread if np.isscalar(change) else change
        scores[f"s/m-{10 * number + start}"] = [([-20.0 + value], [-20.0]) for value in values]
    run = make_run(path, scores, noise=noise)
    return detect_fall(SeriesLogRatios(run, "s", "eval"))


@pytest.mark.parametrize(
    ("kind", "changes", "steps", "drop"),
    [
        ("below_start", (0.5, -1.0, -2.0), (0, 20), -2.0),
        ("below_peak", (1.0, 3.0, 2.0), (20, 20), -1.0),
        ("offset", (-2.0, -2.0, -1.9), (0, 10), -1.9),
        ("none", (0.5, 1.0, 1.5), (0, None), 1.5),
        ("below_start", (-1.0,), (0, 10), -1.0),
    ],
)
def test_each_kind_is_told_with_its_steps_and_size(tmp_path, kind, changes, steps, drop):
    fall = run_of(tmp_path / "run", *changes)
    assert (fall.kind, (fall.baseline_step, fall.from_step)) == (kind, steps)
    assert fall.drop == pytest.approx(drop)
    assert fall.low <= fall.drop <= fall.high


def test_what_lies_within_the_noise_floor_is_noise(tmp_path):
    assert run_of(tmp_path / "a", -0.4, noise=0.5).kind == "noise"
    assert run_of(tmp_path / "b", -0.4, noise=0.1).kind == "below_start"


def test_the_mean_does_not_hide_what_few_pairs_lose(tmp_path):
    change = np.where(np.arange(PAIRS) < 3, -8.0, 1.0)
    fall = run_of(tmp_path / "run", change)
    assert (fall.kind, fall.hidden) == ("below_start", True)
    assert (fall.lost, fall.worst_tenth, fall.share_of_pairs) == (pytest.approx(0.8), pytest.approx(1.0), 0.1)


@pytest.mark.parametrize(("n_tokens", "fallen"), [(30, 30), (120, 0)])
def test_what_a_pair_must_lose_to_be_fallen_grows_with_the_root_of_its_length(tmp_path, n_tokens, fallen):
    """0.35 nats are a fall of a response of 30 tokens (0.3 nats are), and none of 120 tokens (0.6 nats would be)."""
    reference = [([-1.0] * n_tokens, [-1.0])] * PAIRS
    lost = [([-1.0] * (n_tokens - 1) + [-1.35], [-1.0])] * PAIRS
    log_ratios = SeriesLogRatios(make_run(tmp_path / "run", {"reference": reference, "s/m-10": lost}), "s", "eval")
    assert log_ratios.fallen_limits == pytest.approx(0.3 * (n_tokens / 30) ** 0.5)
    assert log_ratios.fallen(0).sum() == fallen
    assert log_ratios.established == (n_tokens == 30)


def test_the_checkpoint_to_end_with_is_the_last_one(tmp_path):
    scores = {"reference": [([-20.0], [-20.0])] * PAIRS}
    scores |= {f"s/m-{step}": [([-20.0 - step], [-20.0])] * PAIRS for step in (1, 2, 3)}
    run = make_run(tmp_path / "run", scores)
    for name in ("m-2", "s/m-2"):
        log_ratios = SeriesLogRatios(run, "s", "eval", name)
        assert [model.step for model in log_ratios.models] == [1, 2]
        assert detect_fall(log_ratios).drop == pytest.approx(-2)
    with pytest.raises(InputError, match=r"no scored checkpoint 'm-4'.*m-1, m-2, m-3"):
        SeriesLogRatios(run, "s", "eval", "m-4")


def test_a_run_without_a_scored_checkpoint_has_no_fall_and_an_unknown_series_is_refused(tmp_path):
    run = make_run(
        tmp_path / "run", {"reference": [([-1.0], [-1.0])], "s/m-1": [([-1.0], [-1.0])]}, missing=(("s/m-1", 0),)
    )
    assert detect_fall(SeriesLogRatios(run, "s", "eval")).kind == "none"
    with pytest.raises(InputError, match=r"no series 'x'.*it has s"):
        SeriesLogRatios(run, "x", "eval")
