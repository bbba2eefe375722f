"""Training logs that are cut off, damaged or made to harm: what can be read is read, or a line says what is wrong."""

import json
import os
import random
import shutil
import sqlite3
import struct
import time

import pytest

from dpo_analysis.errors import InputError
from dpo_analysis.trainer.logs import find_logs, logged_config, read_log
from dpo_analysis.trainer.logs.crc32c import masked_crcs
from tests.log_files import LOGS, counts, event, framed, values

FILES = {
    "trainer_state.json": LOGS / "trl" / "trainer_state.json",
    "logging.jsonl": LOGS / "swift" / "logging.jsonl",
    "trainer_log.jsonl": LOGS / "llamafactory" / "trainer_log.jsonl",
    "export.csv": LOGS / "csv" / "wandb_export.csv",
    "project.db": LOGS / "trackio" / "dpo.db",
    "events.out.tfevents.1": next((LOGS / "swift" / "runs").iterdir()),
    "run-z36o8o7e.wandb": next((LOGS / "trl" / "wandb").glob("*/*.wandb")),
}
CHECKED = ("events.out.tfevents.1", "run-z36o8o7e.wandb")
"""Kinds of files that have checksums."""


def read(path):
    """Return the table and None, or None and the message, within a second."""
    begin = time.monotonic()
    try:
        table, message = read_log(path), None
    except InputError as error:
        table, message = None, str(error)
    logged_config(path)
    assert time.monotonic() - begin < 1.0
    assert message is None or ("\n" not in message and len(message) < 400)
    return table, message


@pytest.mark.parametrize("name", FILES)
def test_a_log_that_is_cut_off_is_read_as_far_as_it_goes(name, tmp_path):
    data, whole = FILES[name].read_bytes(), values(read_log(FILES[name]))
    path, longest = tmp_path / name, 0
    for part in range(20):
        path.write_bytes(data[: len(data) * part // 20])
        table, message = read(path)
        assert (table is None) == (message is not None)
        if table is None:
            continue
        found = values(table)
        longest = max(longest, len(found))
        if name != "export.csv":  # a number of a CSV file can be cut in its middle
            assert found.items() <= whole.items()
    if name not in ("trainer_state.json", "project.db"):
        assert longest > 0.8 * len(whole)


@pytest.mark.parametrize("name", FILES)
def test_flipped_bytes_end_in_a_line_or_in_a_table(name, tmp_path):
    data, whole = FILES[name].read_bytes(), values(read_log(FILES[name]))
    rng, path = random.Random(name), tmp_path / name
    for _ in range(40):
        damaged = bytearray(data)
        for place in (rng.randrange(len(data)) for _ in range(rng.choice((1, 3, 30)))):
            damaged[place] = rng.randrange(256)
        path.write_bytes(damaged)
        table, _ = read(path)
        if table is not None and name in CHECKED:
            assert values(table).items() <= whole.items()


@pytest.mark.parametrize("name", CHECKED)
def test_a_damaged_value_is_counted_and_not_read(name, tmp_path):
    data = bytearray(FILES[name].read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data)
    assert counts(read_log(tmp_path / name))["damaged"] >= 1


@pytest.mark.parametrize("length", [2**60, 2**63 - 1, 2**64 - 1])
def test_a_record_that_claims_to_be_huge_ends_the_file(length, tmp_path):
    raw = struct.pack("<Q", length)
    (crc,) = masked_crcs([raw])
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(framed(event("train/loss", 1, 2.0)) + raw + struct.pack("<I", int(crc)) + b"x" * 50)
    table, _ = read(path)
    assert values(table) == {("train", "loss", 1): 2.0}
    assert counts(table) == {"damaged": 1, "lost_bytes": 62}


@pytest.mark.parametrize(
    "payload",
    [
        b"\x2a" + b"\xff" * 9 + b"\x0f",  # a summary of 2**60 bytes
        b"\xff" * 40,
        b"\x0b" * 1000,  # groups in groups
        b"\x2a\x05\x0a\x03\x42\x7f\x08",  # a tensor that is cut off
        b"\x2a\x08\x0a\x06\x42\x04\x08\x03\x3a\x00",  # an integer without bytes
        b"\x10" + b"\x80" * 30,
    ],
)
def test_malformed_messages_are_counted_or_passed_over(payload, tmp_path):
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(framed(payload, event("train/loss", 1, 2.0)))
    assert values(read(path)[0]) == {("train", "loss", 1): 2.0}


@pytest.mark.parametrize("name", ["trainer_state.json", "logging.jsonl"])
@pytest.mark.parametrize("deep", ["[", '{"log_history":'])
def test_nesting_ends_in_a_line(name, deep, tmp_path):
    (tmp_path / name).write_text(deep * 200_000)
    table, message = read(tmp_path / name)
    assert table is None
    assert "training log" in message


def test_values_that_are_no_numbers_are_passed_over(tmp_path):
    record = {"step": 3, "a": "x" * 10**6, "b": [1], "c": {"d": 1}, "e": True, "f": None, "loss": 1.0, "g": -(10**400)}
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": [record]}))
    table, _ = read(tmp_path)
    assert values(table) == {("train", "loss", 3): 1.0, ("train", "g", 3): None}
    assert counts(table) == {"infinite": 1, "nulls": 1}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", FILES)
def test_a_pipe_is_no_log(name, tmp_path):
    os.mkfifo(tmp_path / name)
    table, message = read(tmp_path / name)
    assert table is None
    assert "no plain file" in message
    assert find_logs(tmp_path) == []
    assert "no training log" in read(tmp_path)[1]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("project.db", b"SQLite format 3\0" + b"\0" * 4000, "training log"),
        ("model.bin", b"\x80\x02}q\x00.", "its bytes are those of none of"),
        ("empty.csv", b"", "no steps"),
        ("pairs.csv", b"prompt,chosen,rejected\na,b,c\n", "no column is called"),
        ("table.csv", b"pair_id,step,chosen_reward\na,1,0.5\nb,1,0.7\n", "a table of pairs or checkpoints"),
        ("state.json", b"[1]", "no JSON object"),
        ("run-x.wandb", b":W&B\xe1\xbe\x00", "no values"),
        ("x.jsonl", b'{"a": 1}\n', "no values"),
        ("nul.csv", b"step,loss\n\0\0\0,\0\n", "no values"),
    ],
)
def test_files_that_are_no_logs_are_refused(name, content, why, tmp_path):
    (tmp_path / name).write_bytes(content)
    table, message = read(tmp_path / name)
    assert table is None
    assert why in message


def test_a_missing_log_is_named(tmp_path):
    assert "No such file" in read(tmp_path / "none")[1]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW metrics AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id FROM n) "
        "SELECT id, 'r' AS run_name, 1 AS step, '{}' AS metrics FROM n",
        "CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_name TEXT, step INTEGER)",
        "CREATE TABLE other (id INTEGER)",
    ],
)
def test_databases_of_other_programs_are_refused(statement, tmp_path):
    with sqlite3.connect(tmp_path / "p.db") as connection:
        connection.execute(statement)
    connection.close()
    table, message = read(tmp_path / "p.db")
    assert table is None
    assert "no database of trackio" in message


def test_a_query_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("dpo_analysis.trainer.logs.trackio.MAX_SECONDS", 0.1)
    monkeypatch.setattr("dpo_analysis.trainer.logs.trackio.INSTRUCTIONS", 1000)
    with sqlite3.connect(tmp_path / "p.db") as connection:
        connection.execute("CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_name TEXT, step INTEGER, metrics TEXT)")
        rows = ((number, "r", number, "{}") for number in range(300_000))
        connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?)", rows)
    connection.close()
    assert "interrupted" in read(tmp_path / "p.db")[1]


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree(LOGS / "swift" / "runs", outside)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "runs").symlink_to(outside)
    (inside / "events.out.tfevents.1").symlink_to(next(outside.iterdir()))
    (inside / "loop").symlink_to(inside)
    assert find_logs(inside) == []


def test_a_huge_folder_is_not_searched_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("dpo_analysis.trainer.logs.found.MAX_ENTRIES", 50)
    for number in range(100):
        (tmp_path / f"{number:03d}").mkdir()
        (tmp_path / f"{number:03d}" / "events.out.tfevents.1").touch()
    assert len(find_logs(tmp_path)) < 50
    deep = tmp_path / "a"
    for _ in range(8):
        deep = deep / "b"
    deep.mkdir(parents=True)
    (deep / "logging.jsonl").touch()
    assert all(log.kind != "JSON Lines" for log in find_logs(tmp_path))


def test_too_many_metrics_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("dpo_analysis.trainer.logs.curves.MAX_CURVES", 10)
    record = {f"m{number}": 1.0 for number in range(11)}
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": [record | {"step": 1}]}))
    assert "more than 10 metrics" in read(tmp_path)[1]
