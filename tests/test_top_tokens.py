"""Top tokens from stored evidence, against the distributions of both models."""

import numpy as np
import pandas as pd
import pytest
import torch

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.evidence.pair_sample import EvidenceRequest
from dpo_analysis.tables.top_tokens import ITSELF, REST, TOP, TOP_TOKEN_COLUMNS, top_tokens, without_fragments
from tests.collected import POLICY, Two, collect, distributions, pairs
from tests.test_evidence import llama

TOKENIZED = pairs(6)


@pytest.fixture(scope="module")
def two():
    return Two(llama(1), llama(0))


@pytest.fixture(scope="module")
def run(two, tmp_path_factory):
    torch.set_num_threads(1)
    return collect(tmp_path_factory.mktemp("top_tokens") / "run", TOKENIZED, two)


@pytest.mark.parametrize("position", [0, -1])
def test_probabilities_are_those_of_both_models_and_the_gains_add_up_to_zero(run, two, position):
    pair = TOKENIZED[1]
    response = pair.responses["rejected"]
    place = position % len(response.token_ids)
    p, q = (
        np.exp(distributions(m, response.prompt_token_ids, response.token_ids)[0][place])
        for m in (two.policy, two.reference)
    )
    found = top_tokens(run, pair_id=pair.pair.pair_id, side="rejected", position=place, model=POLICY)
    kept = found.table[found.table["kind"] != REST]
    assert list(found.table.columns) == TOP_TOKEN_COLUMNS
    assert np.allclose(kept["probability"], p[kept["token_id"]], atol=1e-5)
    assert np.allclose(kept["reference_probability"], q[kept["token_id"]], atol=1e-5)
    assert found.table["gain"].sum() == pytest.approx(0, abs=1e-12)
    assert found.moved == pytest.approx(np.maximum(p - q, 0).sum(), abs=1e-5)


def test_the_token_itself_is_named_and_the_largest_gain_comes_first(run):
    pair = TOKENIZED[2]
    table = top_tokens(run, pair_id=pair.pair.pair_id, side="chosen", position=0, model=POLICY.key).table
    own = table[table["kind"] == ITSELF]
    assert own["token_id"].tolist() == [pair.responses["chosen"].token_ids[0]]
    assert table["gain"][:-1].is_monotonic_decreasing
    assert table.iloc[-1][["kind", "token_id"]].tolist() == [REST, -1]
    assert table.iloc[-1]["reference_probability"] == pytest.approx(1 - table["reference_probability"][:-1].sum())


def test_parts_of_a_character_count_among_all_other_tokens():
    rows = [(ITSELF, b"\xe5", -0.5), (TOP, b"\xa5\xbd", 0.2), (TOP, "好".encode(), 0.25), (REST, None, 0.05)]
    table = pd.DataFrame(rows, columns=["kind", "token_bytes", "gain"]).assign(probability=0.2)
    found = without_fragments(table.assign(reference_probability=0.1))
    assert found["kind"].tolist() == [ITSELF, TOP, REST]
    assert found["gain"].tolist() == pytest.approx([-0.5, 0.25, 0.25])
    assert found["probability"].tolist() == pytest.approx([0.2, 0.2, 0.4])


def test_without_evidence_there_is_none(two, tmp_path):
    bare = collect(tmp_path / "run", TOKENIZED, two, EvidenceRequest(kinds=("kl",), max_pairs=None))
    assert top_tokens(bare, pair_id=TOKENIZED[0].pair.pair_id, side="chosen", position=0, model=POLICY) is None


@pytest.mark.parametrize("position", [-1, 99])
def test_a_position_that_the_response_has_not_is_refused(run, position):
    with pytest.raises(InputError, match=rf"no position {position} in the chosen response of pair"):
        top_tokens(run, pair_id=TOKENIZED[0].pair.pair_id, side="chosen", position=position, model=POLICY)
