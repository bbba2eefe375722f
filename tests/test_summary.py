"""Summaries: the tables are the same with and without them, and one that is not of these bytes counts for nothing."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest

from dpo_analysis import position_table, step_table
from dpo_analysis.diagnosis.check_rows import rows_to_check
from dpo_analysis.runs import open_run, verify_run
from dpo_analysis.runs.parquet import parquet_bytes
from dpo_analysis.runs.summaries import store
from dpo_analysis.scoring.part_table import part_requests, part_table
from dpo_analysis.tables.decompositions import decomposition_table
from dpo_analysis.tables.pairs import pair_table
from dpo_analysis.tables.step_changes import largest_token_changes
from tests.faults import fakes

KEY = "gentle/checkpoint-10"
KINDS = ("cells", "entries", "profile", "sums")


def splits_of(run):
    return decomposition_table(run, model=KEY)


def token_movers_of(run):
    return largest_token_changes(run, series="gentle")


TABLES = (pair_table, step_table, position_table, splits_of, token_movers_of, rows_to_check)


def summaries(path):
    return sorted(str(file.relative_to(path)) for file in (path / "summary").rglob("*.parquet"))


def tables_of(path):
    run = open_run(path)
    return [make(run) for make in TABLES]


def test_a_finished_run_has_one_file_per_model_and_kind(folder):
    names = ["reference", "gentle/checkpoint-10", "strong/checkpoint-10"]
    wanted = [f"summary/{kind}/{name}.parquet" for kind in KINDS for name in names]
    assert summaries(folder) == sorted(["summary/inputs.parquet", "summary/facts.parquet", *wanted])
    assert verify_run(folder) == []


def test_tables_are_the_same_without_them(folder):
    with_them = tables_of(folder)
    shutil.rmtree(folder / "summary")
    shutil.copytree(folder, folder.parent / "bare")
    for one, other in zip(with_them, tables_of(folder.parent / "bare"), strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-12)


def test_a_run_still_being_scored_has_those_of_its_parts(tmp_path):
    with fakes.open_writer(tmp_path / "run") as writer:
        writer.write_inputs()
        requests, places = part_requests(writer.parts[0])
        for source in fakes.sources()[:2]:
            scores = fakes.FakeScorer(source.model).score(requests, batch_tokens=10**6)
            table = part_table(writer.parts[0], places, scores, np.ones(len(requests), dtype=bool))
            writer.write_scores(source.model, writer.parts[0], table)
    assert summaries(tmp_path / "run") == sorted(
        f"summary/{kind}/{name}/part-00000.parquet" for kind in KINDS for name in ("reference", KEY)
    )
    table = pair_table(open_run(tmp_path / "run"), model=KEY)
    assert 0 < table["margin"].notna().sum() < len(table)


def test_those_of_a_part_that_is_scored_anew_go_before_it(folder):
    before = fakes.bytes_of(folder)
    (folder / "scores" / KEY / "part-00001.parquet").unlink()
    with fakes.open_writer(folder):
        assert not [path for path in summaries(folder) if KEY in path]
        assert pair_table(open_run(folder), model=KEY)["margin"].isna().any()
    fakes.score_run(folder)
    assert fakes.bytes_of(folder) == before


@pytest.mark.parametrize("kind", [store.PAIR_SUMS, store.POSITION_SUMS])
def test_one_of_other_bytes_is_not_believed(folder, kind):
    run = open_run(folder)
    right = tables_of(folder)
    path = store.model_summary_path(kind, run.model(KEY))
    table = store.read_summary(run, kind, run.model(KEY))
    label = {"identity": run.identity_hash, "model": KEY, "weights": run.model(KEY).weights}
    index = table.schema.get_field_index("logp" if kind == store.POSITION_SUMS else "chosen_logps")
    wrong = table.set_column(index, table.field(index), pc.subtract(table.column(index), 1.0))
    copy = Path(shutil.copytree(folder, folder.parent / "other"))
    (copy / path).write_bytes(parquet_bytes(wrong, label | {"of": "0" * 64}))
    for one, other in zip(right, tables_of(copy), strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-12)
    assert verify_run(copy), "but verify tells of it"


def test_a_damaged_one_costs_time_alone(folder):
    right = tables_of(folder)
    copy = Path(shutil.copytree(folder, folder.parent / "other"))
    for path in summaries(copy):
        (copy / path).write_bytes(b"PAR1 not really PAR1")
    for one, other in zip(right, tables_of(copy), strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-12)
