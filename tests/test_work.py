"""The loop over parts and models: its order, what it does without memory or with a bad model, and what it tells."""

import gc
import os
import signal
import weakref

import numpy as np
import pytest

from dpo_analysis.errors import InputError, Interrupted, PartialResult, StorageError
from dpo_analysis.runs import open_run, verify_run
from dpo_analysis.scoring.interrupts import stop_signals
from dpo_analysis.scoring.loop import score_parts
from dpo_analysis.scoring.oom_retry import score_with_oom_retry
from dpo_analysis.scoring.requests import Request
from tests.faults import fakes
from tests.faults.fakes import FakeScorer, FakeSource

GENTLE, STRONG = "gentle/checkpoint-10", "strong/checkpoint-10"


def work(path, sources=None, *, batch_tokens=64, report=lambda progress: None, **changes):
    with fakes.open_writer(path, **changes) as writer:
        score_parts(writer, sources or fakes.sources(), batch_tokens=batch_tokens, report=report)
    return open_run(path)


# order and progress


def test_the_first_part_of_every_model_comes_before_the_second_of_any(tmp_path):
    steps = []
    work(tmp_path / "run", report=lambda progress: steps.append((progress.model, progress.part)))
    assert steps[:3] == [("reference", 0), (GENTLE, 0), (STRONG, 0)]
    assert steps[3:] == [(model, part) for model in ("reference", GENTLE, STRONG) for part in (1, 2)]


def test_progress_counts_every_token_once_and_ends_at_the_total(tmp_path):
    seen = []
    work(tmp_path / "run", report=seen.append)
    scored = [pair for pair in fakes.pairs() if pair.responses]
    tokens = sum(
        len(response.prompt_token_ids) + len(response.token_ids)
        for pair in scored
        for side, response in pair.responses.items()
        if side == "chosen" or pair.status != "identical"
    )
    assert [one.total_tokens for one in seen] == [3 * tokens] * 9
    assert seen[-1].done_tokens == 3 * tokens
    assert (seen[-1].seconds_left, seen[-1].model, seen[-1].part) == (0.0, STRONG, 2)
    assert all(one.tokens_per_second > 0 for one in seen)


def test_models_with_nothing_left_are_not_opened(tmp_path):
    work(tmp_path / "run")
    (tmp_path / "run/scores/gentle/checkpoint-10/part-00002.parquet").unlink()
    again = fakes.sources()
    work(tmp_path / "run", again)
    assert [source.opened for source in again] == [0, 1, 0]


def test_the_run_is_finished_at_the_end(tmp_path):
    run = work(tmp_path / "run")
    assert run.is_complete
    assert verify_run(run.path) == []


def test_a_lost_noise_floor_is_measured_again_and_nothing_else(tmp_path):
    run = work(tmp_path / "run")
    before = fakes.bytes_of(run.path)
    (run.path / "noise.json").unlink()
    again = fakes.sources()
    work(tmp_path / "run", again)
    assert [source.opened for source in again] == [1, 0, 0]
    assert fakes.bytes_of(run.path) == before


# statuses


def test_the_margin_of_an_identical_pair_is_exactly_zero_and_it_is_scored_once(tmp_path):
    run = work(tmp_path / "run")
    table = run.scores(GENTLE).to_pylist()
    sides = [row for row in table if row["status"] == "identical"]
    assert [row["side"] for row in sides] == ["chosen", "rejected"]
    assert sides[0]["logp"] == sides[1]["logp"]


def test_a_pair_with_an_infinite_logp_is_flagged_and_its_numbers_are_kept(tmp_path):
    clean = work(tmp_path / "clean").scores(GENTLE).to_pylist()
    bad = int(fakes.pairs()[3].responses["rejected"].token_ids[1])
    sources = fakes.sources()
    sources[1] = FakeSource(fakes.POLICIES[0], FakeScorer(fakes.POLICIES[0], infinite=bad))
    found = work(tmp_path / "run", sources).scores(GENTLE).to_pylist()
    flagged = {row["pair_id"] for row in found if row["status"] == "nonfinite"}
    hit = {pair.pair.pair_id for pair in fakes.pairs() for r in pair.responses.values() if bad in r.token_ids}
    assert flagged == hit
    assert [row for row in found if row["pair_id"] not in hit] == [row for row in clean if row["pair_id"] not in hit]
    assert any(-np.inf in row["logp"] for row in found if row["pair_id"] in hit)


# memory


def tight(memory):
    return [FakeSource(model, FakeScorer(model, memory=memory)) for model in fakes.MODELS]


def test_out_of_memory_halves_the_budget_and_changes_no_number(tmp_path):
    work(tmp_path / "wide")
    sources = tight(20)
    run = work(tmp_path / "tight", sources)
    assert fakes.bytes_of(tmp_path / "tight") == fakes.bytes_of(tmp_path / "wide")
    assert [budget for _, budget in sources[1].scorer.calls] == [64, 32, 16] * 3
    events = [event for event in run.log() if event["event"] == "memory"]
    assert {(event["batch_tokens"], event["pairs_lost"]) for event in events} == {(16, 0)}


def longest_response():
    return max(len(r.prompt_token_ids) + len(r.token_ids) for p in fakes.pairs() for r in p.responses.values())


def test_a_pair_that_does_not_fit_alone_is_marked_and_all_others_are_scored(tmp_path):
    wide = {row["row"]: row for row in work(tmp_path / "wide").scores(GENTLE).to_pylist() if row["side"] == "chosen"}
    limit = longest_response() - 1
    with pytest.raises(
        PartialResult, match=r"did not fit into memory and are marked oom .*log.jsonl names their parts"
    ):
        work(tmp_path / "run", tight(limit))
    run = open_run(tmp_path / "run")
    rows = run.scores(GENTLE).to_pylist()
    lost = {row["row"] for row in rows if row["status"] == "oom"}
    long = {
        row
        for row, p in enumerate(pairs_by_row())
        for r in p.responses.values()
        if len(r.prompt_token_ids) + len(r.token_ids) > limit
    }
    assert lost == long
    assert all(row["logp"] == wide[row["row"]]["logp"] for row in rows if row["side"] == "chosen" and row["logp"])
    assert {row["row"] for row in rows if row["logp"] is None} == long
    assert (run.is_complete, verify_run(run.path)) == (True, [])


def pairs_by_row():
    """The pairs in the order of their rows: the fifth and the seventh share a prompt."""
    order = [0, 1, 2, 3, 4, 6, 5, 7, 8, 9]
    return [fakes.pairs()[place] for place in order]


class Hoarder(FakeScorer):
    """Fails while something large lives in its frame, and watches whether that is gone when it is asked again."""

    def __init__(self):
        super().__init__(fakes.REFERENCE)
        self.large = None
        self.still_alive = []

    def score(self, requests, *, batch_tokens):
        if self.large is not None:
            self.still_alive.append(self.large() is not None)
        if batch_tokens > 16:
            batch = np.zeros(10)
            self.large = weakref.ref(batch)
            raise MemoryError
        return super().score(requests, batch_tokens=batch_tokens)


def test_what_filled_the_memory_is_gone_before_the_next_try():
    gc.disable()
    try:
        scorer = Hoarder()
        score_with_oom_retry(scorer, [Request(np.zeros(2, np.int32), np.zeros(3, np.int32))], 64)
    finally:
        gc.enable()
    assert scorer.still_alive == [False, False]


def test_fitting_halves_lists_until_only_the_misfit_is_left():
    sizes = [3, 4, 30, 5]
    requests = [Request(np.arange(2, dtype=np.int32), np.arange(size, dtype=np.int32)) for size in sizes]
    scores, fitted, budget = score_with_oom_retry(FakeScorer(fakes.REFERENCE, memory=20), requests, 100)
    assert fitted.tolist() == [True, True, False, True]
    assert np.diff(scores.offsets).tolist() == [3, 4, 0, 5]
    assert budget == 25


# bad models


def test_a_policy_that_cannot_be_used_is_told_at_the_end_and_the_others_finish(tmp_path):
    sources = fakes.sources()
    sources[1].error = InputError("missing keys in models/g/checkpoint-10")
    with pytest.raises(PartialResult, match=f"without 1 of 3 models: {GENTLE}: missing keys in models/g/checkpoint-10"):
        work(tmp_path / "run", sources)
    assert sources[1].opened == 1
    run = open_run(tmp_path / "run")
    assert run.progress() == {"reference": (3, 3), GENTLE: (0, 3), STRONG: (3, 3)}
    work(tmp_path / "run")
    assert verify_run(run.path) == []


def test_without_the_bad_policy_the_same_run_can_be_finished(tmp_path):
    sources = fakes.sources()
    sources[1].error = InputError("missing keys")
    with pytest.raises(PartialResult):
        work(tmp_path / "run", sources)
    run = work(tmp_path / "run", fakes.sources()[::2], models=fakes.MODELS[::2])
    assert run.manifest["parts"]


@pytest.mark.parametrize("error", [InputError("no such folder"), StorageError("disk full")])
def test_a_reference_that_cannot_be_used_stops_everything(tmp_path, error):
    sources = fakes.sources()
    sources[0].error = error
    with pytest.raises(type(error), match=str(error)):
        work(tmp_path / "run", sources)
    assert [source.opened for source in sources] == [1, 0, 0]


def test_a_model_too_large_to_load_is_told_with_what_to_do(tmp_path):
    sources = fakes.sources()
    sources[2].error = MemoryError()
    with pytest.raises(
        PartialResult, match=f"{STRONG} does not fit into memory; use a larger device or --dtype bfloat16"
    ):
        work(tmp_path / "run", sources)


def test_a_scorer_that_returns_too_few_numbers_is_our_own_mistake(tmp_path):
    class Short(FakeScorer):
        def score(self, requests, *, batch_tokens):
            return super().score(requests[:-1] + requests[:1], batch_tokens=batch_tokens)

    sources = fakes.sources()
    sources[0] = FakeSource(fakes.REFERENCE, Short(fakes.REFERENCE))
    with pytest.raises(AssertionError, match="scores for"):
        work(tmp_path / "run", sources)


# signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_and_the_handlers_are_put_back(tmp_path, number):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(
        Interrupted, match=r"interrupted .*: 1 of 9 score parts are saved; the same command goes on"
    ) as e:
        work(tmp_path / "run", report=lambda progress: os.kill(os.getpid(), number))
    assert e.value.exit_code == 130
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert open_run(tmp_path / "run").progress()["reference"] == (1, 3)


@stop_signals()
def terminated():
    os.kill(os.getpid(), signal.SIGTERM)
    return "went on"


def test_sigterm_interrupts_any_block_that_asks_for_it():
    with pytest.raises(KeyboardInterrupt):
        terminated()
