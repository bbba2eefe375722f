"""Gains of responses that did not fall: 0 where only chance moves the tokens, the planted gain where there is one."""

import numpy as np
import pytest

from dpo_analysis.diagnosis.ledger.unfallen_gains import TokenChanges, read_unfallen_gains, unfallen_gains
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.text.regions import token_regions
from tests import moved

LIMIT = 0.3
"""What a response must lose to be fallen, nats."""


def noise(rng, responses=400, shift=0.0):
    """Responses of about 40 tokens, each of whose changes is drawn for itself; the closing gains ``shift`` a token."""
    lengths = rng.integers(20, 60, responses)
    region = token_regions(lengths, np.zeros(lengths.sum(), dtype=bool))
    change = rng.normal(0, 0.2, lengths.sum()) + shift * (region == 2)
    return TokenChanges(np.arange(responses), np.full(responses, LIMIT), lengths, region, change)


def same_tokens(changes):
    """The mean change of a token in responses that did not fall, selected and read by the same tokens."""
    response = np.repeat(np.arange(len(changes.lengths)), changes.lengths)
    kept = np.bincount(response, changes.change) >= -LIMIT
    return changes.change[kept[response]].mean()


def test_noise_gains_nothing_although_the_same_tokens_say_so():
    rng = np.random.default_rng(0)
    runs = [noise(rng) for _ in range(40)]
    naive = np.array([same_tokens(changes) for changes in runs])
    crossed = np.array([unfallen_gains(changes)[""].nats_per_token for changes in runs])
    error = crossed.std() / np.sqrt(len(crossed))
    assert abs(crossed.mean()) < 3 * error
    assert naive.mean() > 20 * error
    assert naive.min() > 0


def test_the_interval_holds_0_in_most_runs_of_noise():
    rng = np.random.default_rng(1)
    gains = [unfallen_gains(noise(rng))[""] for _ in range(40)]
    assert sum(gain.low <= 0 <= gain.high for gain in gains) >= 33


def test_a_planted_gain_is_found_where_it_is():
    gains = unfallen_gains(noise(np.random.default_rng(2), shift=0.1), lost_per_token=0.2)
    assert gains["closing"].low > 0.05
    assert gains["closing"].times == pytest.approx(0.5, abs=0.2)
    assert gains["core"].low < 0.01
    assert np.isnan(gains["end"].nats_per_token)


def test_every_token_is_measured_once_where_nothing_fell():
    changes = noise(np.random.default_rng(3), shift=5.0)
    gains = unfallen_gains(changes._replace(change=np.full(len(changes.change), 0.01)))
    assert gains[""].n_tokens == len(changes.change)
    assert gains[""].nats_per_token == pytest.approx(0.01)


def test_a_run_folder_gives_what_its_tokens_say(tmp_path):
    texts = [(moved.text(n, *((50, 51) if n < 4 else (60 + n,))), moved.text(n, 80 + n)) for n in range(12)]
    run = moved.make_run(tmp_path / "run", texts, {(50, 51): (0.1, None)})
    log_ratios = SeriesLogRatios(run, "s", "train")
    gains = read_unfallen_gains(run, log_ratios, 2)
    assert gains["opening"].nats_per_token == pytest.approx(0, abs=1e-6)
    # Token 11 lost; four responses that did not fall on their even tokens are measured on the odd ones.
    measured = sum(len(chosen) for chosen, _ in texts[4:]) + sum(len(chosen) // 2 for chosen, _ in texts[:4])
    assert gains[""].n_tokens == measured
    assert gains["core"].nats_per_token < 0
    assert gains["core"].times == pytest.approx(gains["core"].nats_per_token / (-np.log(0.1) / 26), rel=1e-4)
