"""What the terminal says after scoring: readable in 80 columns, silent about nothing assumed or left out."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from rich.cells import cell_len

import dpo_analysis as dpo
from dpo_analysis.cli import announce, ending
from dpo_analysis.cli.console import bad_row_lines, duration, wrapped
from dpo_analysis.cli.diagnosis_lines import MAX_LINES, all_lines, short_lines, verbose_lines
from dpo_analysis.cli.repeated import together
from dpo_analysis.cli.run_notes import missing_lines, scored_lines
from dpo_analysis.diagnosis import diagnose_all
from dpo_analysis.errors import counted
from dpo_analysis.runs import Series
from dpo_analysis.scoring.models.series import beta_sources
from dpo_analysis.trainer import Training
from tests.faults import fakes

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "sample_data" / "run"


@pytest.fixture(scope="module")
def run():
    return dpo.open_run(SAMPLE)


@pytest.fixture(scope="module")
def diagnoses(run):
    return diagnose_all(run)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_end_is_at_most_twelve_lines_with_the_worst_series_first(run, width, lang):
    lines = ending.ending(run, width=width, lang=lang)
    assert len(lines) <= 12
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["strong", "checkpoint-150"],
        ["lora", "checkpoint-150"],
        ["gentle", "checkpoint-300"],
    ]
    assert lines[2].split()[2:] == ["−0.891", "−3.002", "+2.111", "93.3%"]
    assert f"dpo-analysis app {SAMPLE}" in lines[-1]
    assert max(map(cell_len, lines[:-1])) <= width


def test_the_end_says_why_for_each_series(run):
    text = "\n".join(ending.ending(run, width=200))
    assert [name for name in ("strong", "lora", "gentle") if f"\n{name}: " not in text] == []


def test_a_run_of_many_series_ends_in_twelve_lines_too(tmp_path):
    policies = [fakes.replace(fakes.POLICIES[0], series=f"run-{number}") for number in range(9)]
    fakes.score_run(tmp_path / "run", policies=policies, series=[Series(policy.series) for policy in policies])
    lines = ending.ending(dpo.open_run(tmp_path / "run"), width=80)
    assert len(lines) <= 12
    assert "and 4 more series" in lines
    assert re.search(r"the reasons for \d+ more series", lines[-1])


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [72, 100, 120])
def test_one_series_is_diagnosed_in_under_thirty_lines(diagnoses, width, lang):
    for diagnosis in diagnoses:
        lines = short_lines(diagnosis, SAMPLE, width=width, lang=lang)
        assert len(lines) <= MAX_LINES < 30
        assert all("{" not in line for line in lines)


def test_the_worst_series_is_shown_whole_and_the_others_in_a_sentence(diagnoses):
    lines = all_lines(diagnoses, SAMPLE, width=400)
    assert lines[0] == "strong · eval"
    assert lines[-3].startswith("More series of this run (to see one in full: dpo-analysis diagnose ")
    assert [line.split(":")[0] for line in lines[-2:]] == ["  lora", "  gentle"]
    everything = verbose_lines(diagnoses, width=100)
    assert len(everything) > 2 * len(lines)
    assert [line for line in everything if line.endswith(" · eval")] == [
        "strong · eval",
        "lora · eval",
        "gentle · eval",
    ]


def test_a_sentence_is_wrapped_between_words_and_between_chinese_letters():
    assert wrapped("a bb ccc dd", 6, indent=2) == ["a bb", "  ccc", "  dd"]
    assert wrapped("词元的奖励，下降了。", 10, indent=2) == ["词元的奖", "  励，下降", "  了。"]
    assert wrapped("奖励 −0.89，被拒", 10, indent=2) == ["奖励", "  −0.89，", "  被拒"]
    assert wrapped("", 10) == [""]


def test_times_in_words_by_hand():
    assert (duration(59.4), duration(75), duration(3700)) == ("59 s", "1 min 15 s", "1 h 1 min")


def test_a_finished_run_says_so(run):
    assert scored_lines(run) == [f"scored: 15 policies and the reference in {SAMPLE}"]


def test_a_beta_that_no_training_gives_names_its_source():
    trainings = [Training("strong", [], beta=0.1), Training("solved", [], log_path="log"), Training("lora", [])]
    names = ("strong", "solved", "lora", "new", "newer")
    series = [Series(name, beta=0.2 if name == "lora" else 0.1) for name in names]
    assert beta_sources(series, trainings, {"lora": series[2]}) == [
        "beta 0.2 of lora is the one that the run folder had before",
        "beta 0.1 is assumed for new, newer, DPO's default; give the trainer's as --beta",
    ]


def test_the_import_of_torch_is_announced_and_not_twice(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    announce.announce_torch()
    monkeypatch.setitem(sys.modules, "torch", sys)
    announce.announce_torch()
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "loading torch ...\n")


def test_a_slow_start_is_announced_within_two_seconds(tmp_path):
    """With a torch whose import takes half a minute: the line is there before the import is over."""
    for name in ("torch", "transformers", "peft"):
        (tmp_path / f"{name}.py").write_text("import time\ntime.sleep(30)\n")
    command = [sys.executable, "-m", "dpo_analysis", "score", "pairs.jsonl", "--out", str(tmp_path / "run")]
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""}
    begin = time.monotonic()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "loading torch ...\n"
            assert time.monotonic() - begin < 10  # five times the limit, for a machine that is busy
        finally:
            process.kill()


def test_a_share_of_the_work_is_not_called_the_whole(tmp_path):
    fakes.score_run(tmp_path / "run", shard=(0, 2))
    line = scored_lines(dpo.open_run(tmp_path / "run"))[0]
    assert "remain" in line
    assert "scored:" not in line


def test_a_table_of_a_run_that_is_not_finished_says_what_is_missing(tmp_path):
    fakes.score_run(tmp_path / "run", shard=(0, 2))
    run = dpo.open_run(tmp_path / "run")
    (line,) = missing_lines(run, series="gentle")
    assert "reference (1 of 3 parts), gentle/checkpoint-10 (1 of 3 parts);" in line
    assert "strong" not in line
    assert missing_lines(dpo.open_run(SAMPLE)) == []


def test_the_same_complaint_about_many_rows_is_one_with_its_number_and_three_examples():
    bad = [ValueError(f"bad row in p.jsonl:{n}: no field 'chosen'; what to do") for n in range(1, 21)]
    (line,) = bad_row_lines(bad)
    assert line == "bad row in p.jsonl:1: no field 'chosen' (20 in all; also p.jsonl:2, p.jsonl:3, ...)"


def test_different_complaints_about_rows_are_listed_up_to_twenty_and_then_counted():
    bad = [ValueError(f"bad row in p.jsonl:{n}: {'very ' * n}bad; what to do") for n in range(1, 23)]
    assert bad_row_lines(bad)[19:] == [f"bad row in p.jsonl:20: {'very ' * 20}bad", "and 2 more complaints"]


def test_lines_that_say_the_same_of_two_things_become_one():
    same = [f"{name} has no trainer_state.json: no curves" for name in ("out/a", "out/b", "out/a")]
    assert together([*same[:2], "something else entirely is said here"]) == [
        "out/a has no trainer_state.json: no curves (2 in all; also out/b)",
        "something else entirely is said here",
    ]
    assert together([same[0], same[2]]) == [f"{same[0]} (2 times)"]
    assert together(same, least=4) == same
    assert together(["one two", "one three"]) == ["one two", "one three"]


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

    assert scored_lines(Left())[1:] == ["note: 3 of 4 pairs were not scored: 1 empty, 2 too_long", "note: new"]


class Table(dict):
    """A frame that answers as an Arrow table does, as far as the summary asks."""

    def __getitem__(self, name):
        column = super().__getitem__(name)
        return type("Column", (), {"to_pylist": staticmethod(column.tolist)})
