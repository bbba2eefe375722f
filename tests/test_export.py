"""Tables as files: what is written is what was there, and no text becomes a formula."""

import csv
import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dpo_analysis as dpo
from dpo_analysis.errors import InputError, StorageError
from dpo_analysis.runs import Series, open_run
from dpo_analysis.tables import export
from dpo_analysis.tables.export import csv_bytes, export_run, export_table
from dpo_analysis.text.spreadsheet_cells import harmless_cell
from tests.handmade import make_run

SCORES = {
    "reference": [([-1.0, -2.0], [-1.0, -3.0, -0.5]), ([-4.0], [-1.0])],
    "gentle/checkpoint-10": [([-1.5, -2.5], [-2.0, -4.0, -0.5]), ([-3.0], [-2.0])],
    "gentle/last": [([-1.5, -2.5], [-2.0, -4.0, -0.5]), "nonfinite"],
}


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", SCORES, part_size=1)


@pytest.mark.parametrize("table", ["pair", "response", "step", "token", "position"])
def test_parquet_holds_the_table(run, tmp_path, table):
    file = tmp_path / "t.parquet"
    made = getattr(dpo, f"{table}_table")(run)
    assert export_run(run, table, file) == len(made)
    back = pq.read_table(file)
    assert back.column_names == [*made, *export.ADDED_COLUMNS.get(table, ())]
    for name in made.columns:
        expected = [None if isinstance(v, float | type(pd.NA)) and pd.isna(v) else v for v in made[name].tolist()]
        assert back[name].to_pylist() == expected


def test_a_file_tells_what_its_numbers_were_made_with(tmp_path):
    series = [Series("gentle", beta=0.2, loss_type=["sigmoid", "sft"], parameters={"loss_weights": [1.0, 0.5]})]
    run = make_run(tmp_path / "run", SCORES, series=series, facts={1: {"source": {"id": "天", "n": 1}}})
    export_run(run, "pair", tmp_path / "t.parquet")
    row = pq.read_table(tmp_path / "t.parquet").to_pylist()[1]
    assert (row["beta"], row["loss_type"], row["row"]) == (0.2, '["sigmoid", "sft"]', 1)
    assert json.loads(row["source"]) == {"id": "天", "n": 1}
    export_run(run, "step", tmp_path / "t.csv", beta=1.0, loss_type="ipo")
    assert pd.read_csv(tmp_path / "t.csv")[["beta", "loss_type"]].values.tolist() == [[1.0, "ipo"]] * 2


@pytest.mark.parametrize(
    ("table", "file"),
    [
        ("token", "vocab.parquet"),
        ("step", "noise.json"),
        ("pair", "pairs/part-00000.parquet"),
        ("response", "responses/part-00001.parquet"),
        ("position", "scores/reference/part-00000.parquet"),
    ],
)
def test_no_flipped_byte_of_what_a_table_is_made_from_passes(tmp_path, table, file):
    run = make_run(tmp_path / "run", SCORES, part_size=1, noise=1e-4)
    data = (run.path / file).read_bytes()
    for place in range(0, len(data), max(1, len(data) // 25)):
        (run.path / file).write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with pytest.raises(StorageError, match=f"damaged .*{file}"):
            export_run(open_run(run.path), table, tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_csv_and_jsonl_hold_the_numbers(run, tmp_path):
    made = dpo.pair_table(run)
    assert export_run(run, "pair", tmp_path / "t.csv") == export_run(run, "pair", tmp_path / "t.jsonl") == len(made)
    back = pd.read_csv(tmp_path / "t.csv")
    assert back["margin"].to_numpy() == pytest.approx(made["margin"].to_numpy(), nan_ok=True, abs=1e-15)
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [row["margin"] for row in rows[:3]] == pytest.approx(made["margin"][:3].tolist())
    assert (rows[3]["margin"], rows[3]["step"], rows[0]["step"]) == (None, None, 10)


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "\rx"])
def test_text_that_begins_like_a_formula_is_quoted_in_csv(tmp_path, text):
    export_table(pd.DataFrame({"text": [text, "ok"], text: [-1.5, 2.0]}), tmp_path / "t.csv")
    back = pd.read_csv(tmp_path / "t.csv", lineterminator="\n")
    assert back["text"].tolist() == [f"'{text}", "ok"]
    assert back[f"'{text}"].tolist() == [-1.5, 2.0]


def test_text_is_untouched_elsewhere(tmp_path):
    frame = pd.DataFrame({"text": ["=1", 'a,"b"\nc', "\u202e天"]})
    export_table(frame, tmp_path / "t.jsonl")
    assert [json.loads(line)["text"] for line in open(tmp_path / "t.jsonl")] == frame["text"].tolist()
    export_table(frame, tmp_path / "t.csv")
    assert pd.read_csv(tmp_path / "t.csv")["text"].tolist() == ["'=1", *frame["text"][1:]]


def test_bytes_are_hexadecimal_outside_parquet(run, tmp_path):
    export_run(run, "token", tmp_path / "t.csv", pair_id="p0", model="last")
    back = pd.read_csv(tmp_path / "t.csv")
    assert back["token_bytes"].tolist()[:2] == ["0x20736b79", "0xe4b8"]
    assert len(back) == 5


def test_chosen_rows_only(run, tmp_path):
    assert export_run(run, "pair", tmp_path / "t.csv", pair_id="p1", model="checkpoint-10", beta=1.0) == 1
    assert pd.read_csv(tmp_path / "t.csv")["margin"].tolist() == [2.0]


def test_an_empty_table_keeps_its_columns(tmp_path):
    run = make_run(tmp_path / "run", {"reference": SCORES["reference"]})
    assert export_run(run, "token", tmp_path / "t.parquet") == 0
    assert pq.read_schema(tmp_path / "t.parquet").names == list(dpo.token_table(run))
    assert export_run(run, "token", tmp_path / "t.csv") == 0
    assert (tmp_path / "t.csv").read_text().startswith("pair_id,side,")


def test_a_large_table_is_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "CHUNK_ROWS", 3)
    frame = pd.DataFrame({"a": np.arange(10), "b": pd.array([1, None] * 5, dtype="Int64")})
    for ending in ("csv", "jsonl"):
        assert export_table(frame, tmp_path / f"t.{ending}") == 10
    assert pd.read_csv(tmp_path / "t.csv")["a"].tolist() == list(range(10))
    assert len((tmp_path / "t.jsonl").read_text().splitlines()) == 10


@pytest.mark.parametrize(
    ("table", "name", "options", "why"),
    [
        ("pair", "t.xlsx", {}, r"must end in \.parquet, \.csv, \.jsonl"),
        ("pair", "none/t.csv", {}, "there is no folder"),
        ("pairs", "t.csv", {}, "no table 'pairs'"),
        ("pair", "t.csv", {"pair_id": "x"}, "no pair 'x'"),
        ("step", "t.csv", {"pair_id": "p0"}, "means over pairs"),
        ("token", "t.csv", {"model": "x"}, "no model 'x'"),
        ("pair", "t.csv", {"loss_type": "aot"}, "sorts a whole batch"),
        ("token", "t.csv", {"beta": 0.0}, "bad beta"),
    ],
)
def test_refusals_leave_nothing_behind(run, tmp_path, table, name, options, why):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=why):
        export_run(run, table, tmp_path / name, **options)
    assert sorted(tmp_path.iterdir()) == before


def test_a_run_that_is_damaged_half_way_leaves_the_old_file(run, tmp_path):
    (tmp_path / "t.csv").write_text("old")
    (run.path / "scores" / "gentle" / "last" / "part-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(StorageError, match="damaged"):
        export_run(run, "token", tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "t.csv"]


def test_parquet_pieces_share_one_type_whatever_is_missing(run, tmp_path):
    export_run(run, "token", tmp_path / "t.parquet")
    assert pq.read_schema(tmp_path / "t.parquet").field("step").type == pa.int64()
    assert pq.read_schema(tmp_path / "t.parquet").field("token_bytes").type == pa.binary()


SIGNS = ("=1+1", "+x", "-x", "@x", "\t=1", "\r=1", "=cmd|' /C calc'!A0")
HOSTILE_CELLS = [
    *SIGNS,
    *(f"a{end}{sign}" for end in ("\r", "\n", "\r\n", "\r\r", "\n\n") for sign in SIGNS),
    *("a\r", "\r", "\n", 'say "=1"', '"=1', "a,=1", ";=1", "\0=1", "a\u2028=1", "\x0b=1", "\x85=1"),
    *(f"{sign}\r{sign}" for sign in SIGNS),
]
FORMULA_LINE = re.compile(r"(?:\A|[\r\n])[=+@\t-]")


@pytest.mark.parametrize("write", [export_table, lambda frame, path: path.write_bytes(csv_bytes(frame))])
def test_hostile_cells_come_back_as_the_same_rows_without_a_formula(tmp_path, write):
    assert len(HOSTILE_CELLS) >= 50
    frame = pd.DataFrame({"text": HOSTILE_CELLS, "after": range(len(HOSTILE_CELLS))})
    write(frame, tmp_path / "t.csv")
    expected = [harmless_cell(text) for text in HOSTILE_CELLS]
    with open(tmp_path / "t.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:]] == expected
    assert [row[1] for row in rows[1:]] == [str(number) for number in range(len(HOSTILE_CELLS))]
    back = pd.read_csv(tmp_path / "t.csv", keep_default_na=False)
    assert back["text"].tolist() == expected
    # A spreadsheet drops nothing but the quotes around a cell; a reader by lines takes each line for a cell.
    assert not [text for text in expected if FORMULA_LINE.search(text)]
    assert [text.replace("'", "") for text in expected] == [text.replace("'", "") for text in HOSTILE_CELLS]


@pytest.mark.parametrize("text", ["-1.5", "+3", "-1e-05", "- a", "a = b", "1-1"])
def test_numbers_and_signs_inside_a_text_stay_as_they_are(text):
    assert harmless_cell(text) == (f"'{text}" if text == "- a" else text)
