"""What the terminal says after scoring: readable in 80 columns, silent about nothing assumed or left out."""

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

import dpo_analysis as dpo
from dpo_analysis.cli.console import bad_row_lines, duration, missing_lines, number, scored_lines, step_table
from dpo_analysis.errors import counted
from tests.faults import fakes

SAMPLE = Path(__file__).resolve().parent.parent / "sample_data" / "run"


def printed(table, width):
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(table)
    return out.getvalue()


@pytest.fixture(scope="module")
def steps():
    return dpo.step_table(dpo.open_run(SAMPLE))


def test_the_step_table_is_whole_in_80_columns(steps):
    text = printed(step_table(steps), 80)
    assert "…" not in text
    assert "gentle 60 " in text
    assert "strong 150 " in text
    assert len([line for line in text.splitlines() if line.startswith(("gentle", "lora", "strong"))]) == len(steps)


def test_pairs_that_do_not_count_show_beside_all(steps):
    some = steps.head(1).assign(n_used=120)
    assert "120 / 150" in printed(step_table(some), 100)


def test_numbers_in_cells_by_hand():
    assert (number(0.5, "accuracy"), number(-0.04567, "margin")) == ("50.0%", "-0.046")
    assert number(float("nan"), "margin") == "-"
    assert (duration(59.4), duration(75), duration(3700)) == ("59 s", "1 min 15 s", "1 h 1 min")


def test_a_finished_run_says_so_and_a_guessed_beta_is_told():
    run = dpo.open_run(SAMPLE)
    assert scored_lines(run, 0.1) == [f"scored: 15 policies and the reference in {SAMPLE}"]
    (_, note) = scored_lines(run, None)
    assert "assumed" in note
    assert "strong 0.1" in note


def test_a_share_of_the_work_is_not_called_the_whole(tmp_path):
    fakes.score_run(tmp_path / "run", shard=(0, 2))
    line = scored_lines(dpo.open_run(tmp_path / "run"), 0.1)[0]
    assert "remain" in line
    assert "scored:" not in line


def test_a_table_of_a_run_that_is_not_finished_says_what_is_missing(tmp_path):
    fakes.score_run(tmp_path / "run", shard=(0, 2))
    run = dpo.open_run(tmp_path / "run")
    (line,) = missing_lines(run, series="gentle")
    assert "reference (1 of 3 parts), gentle/checkpoint-10 (1 of 3 parts);" in line
    assert "strong" not in line
    assert missing_lines(dpo.open_run(SAMPLE)) == []


def test_bad_rows_are_listed_up_to_twenty_and_then_counted():
    bad = [ValueError(f"bad row in p.jsonl:{n}: why; what to do") for n in range(1, 22)]
    assert bad_row_lines(bad[:2]) == ["bad row in p.jsonl:1: why", "bad row in p.jsonl:2: why"]
    assert bad_row_lines(bad)[19:] == ["bad row in p.jsonl:20: why", "and 1 more row"]


def test_one_is_not_many():
    assert [counted(1, "policy"), counted(2, "policy"), counted(0, "part")] == ["1 policy", "2 policies", "0 parts"]


def test_left_out_pairs_are_counted():
    class Left:
        path, models, series, identity, noise_floor = Path("r"), [1], {}, {}, None

        def progress(self):
            return {"reference": (1, 1)}

        def pairs(self, columns):
            return pd.DataFrame({"status": ["ok", "too_long", "too_long", "empty"]}).pipe(Table)

        def log(self):
            return [{"event": "note", "text": "old"}, {"event": "start"}, {"event": "note", "text": "new"}]

    assert scored_lines(Left(), 0.1)[1:] == ["note: 3 of 4 pairs were not scored: 1 empty, 2 too_long", "note: new"]


class Table(dict):
    """A frame that answers as an Arrow table does, as far as the summary asks."""

    def __getitem__(self, name):
        column = super().__getitem__(name)
        return type("Column", (), {"to_pylist": staticmethod(column.tolist)})
