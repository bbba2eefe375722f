"""Training logs become curves of a run folder: alone, beside tables, or added to a run that is there."""

import json

import pyarrow as pa
import pytest

import dpo_analysis as dpo
from dpo_analysis.cli.main import main
from dpo_analysis.errors import InputError
from dpo_analysis.runs import verify_run
from dpo_analysis.schema import CURVES_SCHEMA
from dpo_analysis.tables.trainer_log import trainer_log_table
from dpo_analysis.trainer.logs import read_log
from tests.handmade import make_run
from tests.log_files import LOGS

SUMS = [
    {"pair_id": "q", "series": "gentle", "step": step, "side": side, "logps": logps}
    for step, sums in {0: (-10.0, -8.0), 40: (-9.0, -12.0)}.items()
    for side, logps in zip(("chosen", "rejected"), sums, strict=True)
]


SCORES = {"reference": [([-1.0, -2.0], [-1.5])], "gentle/checkpoint-40": [([-1.5, -2.0], [-2.5])]}


@pytest.fixture
def sums(tmp_path):
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in SUMS))
    return path


def run_command(*arguments):
    """Run a command and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def curves(run):
    return {name: run.curves().filter(pa.compute.equal(run.curves()["series"], name)).num_rows for name in run.series}


def test_logs_alone_make_a_run_of_curves(tmp_path, capsys):
    code = run_command("import", "--log", LOGS / "trl", "--log", f"mine={LOGS / 'trackio'}", "--out", tmp_path / "run")
    said = capsys.readouterr().out
    assert code == 0
    assert (
        f"log of trl: 142 values up to step 40, from trainer_state.json {LOGS / 'trl' / 'trainer_state.json'}" in said
    )
    assert "note: training log dpo.db: 1 value NaN" in said
    assert "note: training log dpo.db: 1 value infinite" in said
    assert "dpo-analysis score PAIRS --trainer-output FOLDER --out NEW" in said
    run = dpo.open_run(tmp_path / "run")
    assert curves(run) == {"trl": 142, "mine": 144}
    assert (run.n_pairs, run.models, run.splits, run.has_pairs, run.has_tokens) == (0, [], [], False, False)
    assert (run.series["trl"].beta, run.series["mine"].beta) == (0.2, 0.2)
    expected = read_log(LOGS / "trl" / "trainer_state.json", series="trl")
    stored = run.curves().filter(pa.compute.equal(run.curves()["series"], "trl"))
    assert stored.equals(expected.cast(CURVES_SCHEMA))
    assert verify_run(tmp_path / "run") == []


@pytest.mark.parametrize(
    "command",
    [
        ("diagnose",),
        ("diagnose", "--series", "trl"),
        ("diagnose", "--json"),
        *(("export", "--to", "t.csv", "--table", table) for table in ("token", "response", "pair", "step", "position")),
        ("report", "--to", "r.html"),
    ],
)
def test_commands_that_need_pairs_say_what_would_add_them(command, tmp_path, capsys):
    dpo.import_run(logs=[LOGS / "trl"], out=tmp_path / "run")
    options = [tmp_path / name if name in ("t.csv", "r.html") else name for name in command[1:]]
    assert run_command(command[0], tmp_path / "run", *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"nothing to {command[0]} in" in line
    assert "dpo-analysis score PAIRS --trainer-output FOLDER --out NEW" in line
    assert not (tmp_path / "t.csv").exists()
    assert not (tmp_path / "r.html").exists()


def test_verify_tells_what_the_run_is(tmp_path, capsys):
    dpo.import_run(logs=[LOGS / "trl"], out=tmp_path / "run")
    assert run_command("verify", tmp_path / "run") == 0
    assert "whole: a training log, no scores" in capsys.readouterr().out
    (tmp_path / "run" / "training" / "curves.parquet").write_bytes(b"x")
    assert run_command("verify", tmp_path / "run") == 3


def test_the_same_import_again_changes_no_byte_and_a_later_log_replaces_its_series(tmp_path):
    logs = [f"s={LOGS / 'swift' / 'logging.jsonl'}", f"t={LOGS / 'trl'}"]
    written = []
    for _ in range(2):
        dpo.import_run(logs=logs, out=tmp_path / "run")
        written.append(
            [(tmp_path / "run" / name).read_bytes() for name in ("manifest.json", "training/curves.parquet")]
        )
    assert written[0] == written[1]
    run = dpo.import_run(logs=[f"s={LOGS / 'llamafactory' / 'trainer_log.jsonl'}"], out=tmp_path / "run")
    assert curves(run) == {"s": 26, "t": 142}
    assert verify_run(tmp_path / "run") == []


def test_a_log_beside_tables_is_that_of_their_series(tmp_path, sums, capsys):
    code = run_command("import", sums, "--reference-checkpoint", "0", "--log", LOGS / "trl", "--out", tmp_path / "run")
    assert code == 0
    said = capsys.readouterr().out
    assert "imported: 1 policy and the reference, 1 pair" in said
    assert "log of gentle: 142 values up to step 40" in said
    run = dpo.open_run(tmp_path / "run")
    assert curves(run) == {"gentle": 142}
    assert verify_run(tmp_path / "run") == []
    table = trainer_log_table(run)
    logged = table.set_index("metric")["logged"]
    assert logged["chosen_reward"] == pytest.approx(0.03191773717602094)


def test_a_log_is_added_to_a_run_that_was_scored(tmp_path):
    make_run(tmp_path / "run", SCORES)
    run = dpo.import_run(logs=[LOGS / "trl"], out=tmp_path / "run")
    assert curves(run) == {"gentle": 142}
    assert verify_run(tmp_path / "run") == []
    assert (run.n_pairs, len(run.models)) == (1, 1)


def test_a_run_that_is_still_being_scored_stays_unfinished(tmp_path):
    make_run(tmp_path / "run", SCORES, missing=(("gentle/checkpoint-40", 0),))
    run = dpo.import_run(logs=[LOGS / "trl"], out=tmp_path / "run")
    assert curves(run) == {"gentle": 142}
    assert [line.partition(" ")[0] for line in verify_run(tmp_path / "run")] == ["missing"]
    assert run.manifest["parts"] == []


def test_a_log_of_a_series_that_the_run_has_not_is_refused(tmp_path, sums):
    dpo.import_run(sums, reference_checkpoint=0, out=tmp_path / "run")
    with pytest.raises(InputError, match=r"no series 'x' in run .*: it has gentle; say whose log it is"):
        dpo.import_run(logs=[f"x={LOGS / 'trl'}"], out=tmp_path / "run")


def test_two_logs_of_a_series_are_refused(tmp_path):
    with pytest.raises(InputError, match="two logs of series 'trl'"):
        dpo.import_run(logs=[LOGS / "trl", LOGS / "trl" / "wandb"], out=tmp_path / "run")


@pytest.mark.parametrize("log", ["none", "x=none", "=none"])
def test_a_log_that_cannot_be_read_leaves_no_folder(log, tmp_path):
    with pytest.raises(InputError, match="unreadable training log"):
        dpo.import_run(logs=[log], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_to_import_is_said(tmp_path, capsys):
    assert run_command("import", "--out", tmp_path / "run") == 2
    assert "give at least one FILE, or a --log" in capsys.readouterr().err


def test_a_folder_of_a_log_takes_no_scores(tmp_path, sums):
    dpo.import_run(logs=[LOGS / "trl"], out=tmp_path / "run")
    with pytest.raises(InputError, match="holds a different run"):
        dpo.import_run(sums, reference_checkpoint=0, out=tmp_path / "run")


def test_settings_that_are_given_count_before_those_of_the_log(tmp_path):
    run = dpo.import_run(logs=[LOGS / "trl"], out=tmp_path / "run", beta=0.5, loss_type="ipo")
    assert (run.series["trl"].beta, run.series["trl"].loss_type) == (0.5, "ipo")
