"""Whatever goes wrong, the command line prints one line; what no command expects has code 70 and a file of details."""

import errno
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from dpo_analysis.cli import main as main_module
from dpo_analysis.cli import unexpected
from dpo_analysis.cli.main import main
from dpo_analysis.errors import StorageError
from dpo_analysis.runs import open_run
from dpo_analysis.runs.manifest import load_manifest, manifest_bytes
from dpo_analysis.tables.steps import step_table
from dpo_analysis.trainer.folder import expanded
from tests.faults import fakes

LONG = "n" * 300
SIDES = ("chosen", "rejected")
IMPOSSIBLE = ({"n_parts": 10**9, "n_pairs": 10**9, "splits": {"eval": 10**9}}, {"n_parts": 11}, {"splits": {"a": -1}})


class PanicException(BaseException):  # the name that pyo3 gives it
    """A panic of a library in Rust, which is no Exception."""

    __module__ = "pyo3_runtime"


def surrogate() -> UnicodeEncodeError:
    return UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")


KINDS = {
    "a bug": (
        KeyError("rejected"),
        70,
        "unexpected KeyError: 'rejected'; this is a fault of dpo-analysis, ",
    ),
    "no message": (AssertionError(), 70, "unexpected AssertionError: no message"),
    "memory": (MemoryError(), 70, "out of memory: "),
    "depth": (RecursionError("maximum recursion depth exceeded"), 70, "nested too deep: "),
    "arrow": (pa.ArrowInvalid("bad\nfooter"), 70, "unreadable file: ArrowInvalid: bad footer; "),
    "zip": (zipfile.BadZipFile("no zip"), 70, "unreadable file: BadZipFile: no zip; "),
    "a panic": (PanicException("index out of range"), 70, "unexpected PanicException: index out of range; "),
    "disk": (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 3, "disk full at /x/y: No space left"),
    "rights": (
        PermissionError(errno.EACCES, "Permission denied", "/x/y"),
        3,
        "failed to read or write /x/y: P",
    ),
    "a long name": (OSError(errno.ENAMETOOLONG, "File name too long", LONG), 2, "name too long for the file system: "),
    "half of a character": (surrogate(), 2, "half of a character in a name or a text: "),
    "a secret": (RuntimeError("token hf_abcdefghijkl"), 70, "unexpected RuntimeError"),
    "signs of a terminal": (RuntimeError("a\x1b[31mred\x07"), 70, r"a\x1b[31mred\x07; "),
    "a long message": (RuntimeError("word " * 10_000), 70, "unexpected RuntimeError: word word"),
}


def failing(error: BaseException):
    def fails(*_: object, **__: object) -> None:
        raise error

    return fails


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "dpo-analysis"


def run(argv, capsys) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    code = stopped.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_one_line_with_its_code(kind, state, monkeypatch, capsys):
    error, code, says = KINDS[kind]
    monkeypatch.setattr(main_module, "app", failing(error))
    found, said = run(["verify", "x"], capsys)
    assert found == code
    assert said.startswith("error: ")
    assert says in said
    assert said.count("\n") == 1
    assert len(said) <= main_module.MAX_LINE + len("error: \n")
    assert "Traceback" not in said
    logs = list(state.glob("*.log"))
    assert len(logs) == (0 if code == 2 else 1)
    if logs:
        assert str(logs[0]) in said
        text = logs[0].read_text()
        assert text.count("Traceback") == 1
        assert "hf_abc" not in text
        assert logs[0].stat().st_mode & 0o077 == 0


def test_without_a_state_folder_the_details_are_a_temporary_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(unexpected.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setattr(main_module, "app", failing(KeyError("x")))
    _, said = run(["verify", "x"], capsys)
    (log,) = (tmp_path / "temporary").glob("*.log")
    assert f"the details are in {log}" in said


def test_where_nothing_can_be_written_the_line_stands_alone(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(unexpected.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    monkeypatch.setattr(main_module, "app", failing(KeyError("x")))
    code, said = run(["verify", "x"], capsys)
    assert code == 70
    assert "details" not in said


def test_old_files_of_details_are_removed(state, monkeypatch, capsys):
    monkeypatch.setattr(main_module, "app", failing(KeyError("x")))
    monkeypatch.setattr(unexpected, "MAX_LOGS", 3)
    for _ in range(5):
        run(["verify", "x"], capsys)
    assert len(list(state.glob("*.log"))) == 3


def test_the_run_folder_takes_no_details(tmp_path, state, monkeypatch, capsys):
    fakes.score_run(tmp_path / "run")
    before = fakes.bytes_of(tmp_path / "run")
    monkeypatch.setattr("dpo_analysis.runs.verify_run", failing(KeyError("x")))
    code, _ = run(["verify", str(tmp_path / "run")], capsys)
    assert code == 70
    assert fakes.bytes_of(tmp_path / "run") == before


def test_a_stop_by_the_user_stays_what_it_was(state, monkeypatch, capsys):
    monkeypatch.setattr(main_module, "app", failing(KeyboardInterrupt()))
    code, said = run(["verify", "x"], capsys)
    assert (code, "interrupted" in said) == (130, True)
    assert not state.exists()


def test_a_closed_pipe_stays_silent(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    argv, environment = [sys.executable, "-m", "dpo_analysis", "--help"], os.environ | {"XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(argv, stdout=writer, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argv", [["check", LONG], ["verify", LONG], ["import", f"{LONG}.csv", "--out", "x"]])
def test_a_name_of_300_letters_is_a_line(argv, tmp_path, state, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, said = run(argv, capsys)
    assert code == 2
    assert said.count("\n") == 1


def test_a_folder_of_300_letters_to_write_into_is_a_line(tmp_path, state, capsys):
    rows = [f"a,{model},{side},-1" for model in ("reference", "1") for side in SIDES]
    (tmp_path / "t.csv").write_text("\n".join(["pair_id,model,side,logps", *rows]))
    code, said = run(["import", str(tmp_path / "t.csv"), "--out", str(tmp_path / LONG)], capsys)
    assert code in (2, 3)
    assert "File name too long" in said or "name too long" in said


@pytest.mark.parametrize("table", ["token", "response", "pair", "step", "position"])
@pytest.mark.parametrize("missing", ["pairs", "responses"])
def test_a_missing_part_of_pairs_is_named(tmp_path, state, capsys, table, missing):
    fakes.score_run(tmp_path / "run")
    (tmp_path / "run" / missing / "part-00001.parquet").unlink()
    code, said = run(["export", str(tmp_path / "run"), "--table", table, "--to", str(tmp_path / "t.csv")], capsys)
    assert code == 3
    assert f"missing {tmp_path / 'run' / missing / 'part-00001.parquet'}: the manifest lists it" in said
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("missing", ["pairs", "responses"])
def test_a_missing_part_of_a_run_that_is_being_scored_is_named_where_its_scores_are_there(tmp_path, missing):
    fakes.score_run(tmp_path / "run")
    content = load_manifest(tmp_path / "run") | {"parts": []}
    (tmp_path / "run" / "manifest.json").write_bytes(manifest_bytes(content))
    (tmp_path / "run" / missing / "part-00001.parquet").unlink()
    with pytest.raises(StorageError, match=f"missing .*{missing}/part-00001.parquet: its scores are there"):
        step_table(open_run(tmp_path / "run"))


def test_a_manifest_that_promises_a_billion_parts_is_refused(tmp_path, state, capsys):
    fakes.score_run(tmp_path / "run")
    content = load_manifest(tmp_path / "run")
    for change in IMPOSSIBLE:
        (tmp_path / "run" / "manifest.json").write_bytes(manifest_bytes(content | change))
        code, said = run(["export", str(tmp_path / "run"), "--table", "step", "--to", str(tmp_path / "t.csv")], capsys)
        assert code == 3
        assert f"damaged {tmp_path / 'run' / 'manifest.json'}: " in said


def test_a_manifest_that_promises_a_million_parts_costs_nothing(tmp_path):
    fakes.score_run(tmp_path / "run")
    counts = {"n_parts": 10**6, "n_pairs": 10**6, "splits": {"eval": 10**6}, "parts": []}
    (tmp_path / "run" / "manifest.json").write_bytes(manifest_bytes(load_manifest(tmp_path / "run") | counts))
    run = open_run(tmp_path / "run")
    assert run.present_parts == [0, 1, 2]
    assert len(step_table(run)) > 0
    assert not run.is_complete


def command(argv: list[str], tmp_path: Path, **limits: int) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limits["memory"], limits["memory"]))

    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path / "state"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "dpo_analysis", *argv],
        capture_output=True, text=True, env=environment, preexec_fn=limit if limits else None, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_too_little_memory_is_a_line(tmp_path):
    big = tmp_path / "big.jsonl"
    big.write_text('{"prompt": "' + "a" * (12 * 2**20) + '", "chosen": "b", "rejected": "c"}\n')
    rows = "".join(big.read_text() for _ in range(60))
    big.write_text(rows)
    done = command(["import", str(big), "--out", str(tmp_path / "run")], tmp_path, memory=3 * 2**30)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")


def test_finishing_a_run_asks_for_no_more_memory_than_its_files_have(tmp_path):
    fakes.score_run(tmp_path / "run")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        open_run(tmp_path / "run").log()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


def test_a_terminal_without_a_letter_shows_it_by_its_number():
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    code = "from dpo_analysis.cli import main as m; m._show_what_cannot_be_encoded(); print('\\ud800ä')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, r"\ud800\xe4")


@pytest.mark.parametrize("option", ["--policy", "--reference", "--config", "--trainer-output"])
def test_a_home_folder_of_nobody_is_a_folder_that_is_not_there(option, tmp_path, state, monkeypatch, capsys):
    (tmp_path / "p.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    monkeypatch.setattr("dpo_analysis.cli.scoring_commands.announce_torch", lambda *_, **__: None, raising=False)
    code, said = run(
        ["score", str(tmp_path / "p.jsonl"), option, "~nobody-here/x", "--out", str(tmp_path / "run")], capsys
    )
    assert (code, "unexpected" in said) == (2, False)
    assert expanded("~nobody-here/x") == Path("~nobody-here/x")


def test_without_memory_for_the_details_the_line_still_comes(state, monkeypatch, capsys):
    monkeypatch.setattr(main_module, "app", failing(MemoryError()))
    monkeypatch.setattr(unexpected, "describe", failing(MemoryError()))
    code, said = run(["verify", "x"], capsys)
    assert code == 70
    assert said.startswith("error: unexpected MemoryError")
