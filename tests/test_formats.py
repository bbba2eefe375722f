"""Rows come out of every kind of source alike, and a broken source is refused by file and line."""

import contextlib
import json
import os
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpo_analysis.data import file_formats
from dpo_analysis.data.sources import read_rows
from dpo_analysis.errors import InputError

ROWS = [
    {"prompt": "Why?", "chosen": "Because,\nyes.", "rejected": "天空"},
    {"prompt": "How?", "chosen": 'With "care".', "rejected": "🙂"},
]


def values(source, split=None):
    return [row.values for row in read_rows(source, split)]


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def as_jsonl(rows):
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def test_a_line_is_named_as_it_stands_in_the_file(tmp_path):
    path = write(tmp_path / "p.jsonl", '\n{"a": 1}\n\n  \n{"a": 2}')
    assert [(row.where, row.values) for row in read_rows(path)] == [(f"{path}:2", {"a": 1}), (f"{path}:5", {"a": 2})]


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "json", "csv", "tsv", "parquet", "array.json", "columns.json"])
def test_every_file_kind_gives_the_same_rows(tmp_path, suffix):
    path = tmp_path / f"p.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif suffix in ("csv", "tsv"):
        pd.DataFrame(ROWS).to_csv(path, index=False, sep="," if suffix == "csv" else "\t")
    elif suffix == "array.json":
        write(path, json.dumps(ROWS))
    elif suffix == "columns.json":
        write(path, json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]}))
    else:
        write(path, as_jsonl(ROWS))
    assert values(path) == ROWS


def test_every_object_gives_the_same_rows(tmp_path):
    import datasets

    dataset = datasets.Dataset.from_list(ROWS)
    dataset.save_to_disk(tmp_path / "saved")
    sources = [ROWS, iter(ROWS), pd.DataFrame(ROWS), dataset, dataset.to_iterable_dataset(), tmp_path / "saved"]
    assert all(values(source) == ROWS for source in sources)


def test_splits_keep_their_names_until_one_is_asked_for(tmp_path):
    import datasets

    both = datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS)})
    both.save_to_disk(tmp_path / "saved")
    for source in (both, tmp_path / "saved", {"train": ROWS, "test": ROWS}):
        assert [row.split for row in read_rows(source)] == ["train", "train", "test", "test"]
        assert [row.split for row in read_rows(source, "test")] == ["test", "test"]
    with pytest.raises(InputError, match=r"no split 'eval' in .*: it has train, test; write eval=SOURCE:SPLIT"):
        values(both, "eval")
    assert [row.split for row in read_rows({"only": ROWS}, "eval")] == ["eval", "eval"]


def test_a_lone_object_of_messages_is_one_row(tmp_path):
    row = {"chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "user", "content": "b"}]}
    assert values(write(tmp_path / "one.json", json.dumps(row, indent=1))) == [row]


def test_byte_order_mark_and_windows_line_ends_are_fine(tmp_path):
    assert values(write(tmp_path / "p.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}\r\n')) == [{"a": 1}, {"a": 2}]


def test_not_a_number_is_read_as_null(tmp_path):
    assert values(write(tmp_path / "p.jsonl", '{"a": NaN, "b": -Infinity}')) == [{"a": None, "b": None}]


def test_a_csv_cell_stays_a_string_and_a_record_is_named_by_its_first_line(tmp_path):
    path = write(tmp_path / "p.csv", 'a,b\n"1\n2",3\n4,5\n')
    assert [(row.where, row.values) for row in read_rows(path)] == [
        (f"{path}:2", {"a": "1\n2", "b": "3"}),
        (f"{path}:4", {"a": "4", "b": "5"}),
    ]


@settings(deadline=None)
@given(rows=st.lists(st.dictionaries(st.text(), st.text(st.characters(codec="utf-8")), max_size=3), min_size=1))
def test_any_text_survives_a_jsonl_file(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "p.jsonl"
    assert values(write(path, "\n".join(json.dumps(row) for row in rows))) == rows


BROKEN = {
    "truncated line": (
        "p.jsonl",
        '{"a": 1}\n{"a": "x',
        r"broken JSON in .*p\.jsonl:2: Unterminated string starting at column 7",
    ),
    "line cut off": ("p.jsonl", '{"a": 1}\n{"a": \n', r"broken JSON in .*p\.jsonl:2: it ends too early"),
    "broken in the third line": ("p.json", '[\n{"a": 1,\n "b" 2}]', r"p\.json: Expecting ':' .* at line 3, column 6;"),
    "two values": ("p.jsonl", '{"a": 1} {"a": 2}', r".*p\.jsonl:1: Extra data"),
    "not an object": ("p.jsonl", '{"a": 1}\n[1]', r"no row in .*p\.jsonl:2: found a list"),
    "key twice": ("p.jsonl", '{"a": 1, "a": 2}', r".*p\.jsonl:1: the key 'a' is given twice"),
    "not utf-8": ("p.jsonl", b'{"a": 1}\n{"a": "\xe4"}', r"bad text in .*p\.jsonl:2: not UTF-8 at byte 7"),
    "too deep": ("p.jsonl", "[" * 200_000, r".*p\.jsonl:1: nested deeper than 100 levels"),
    "endless number": ("p.jsonl", '{"a": ' + "1" * 5000 + "}", r".*p\.jsonl:1: a number of 5000 digits"),
    "empty": ("p.jsonl", "", r"no rows in .*p\.jsonl: it is empty"),
    "only blank lines": ("p.jsonl", "\n \n", "no rows in"),
    "empty json": ("p.json", " ", "no rows in"),
    "broken json": ("p.json", "[1,", r"broken JSON in .*p\.json: it ends too early"),
    "json of a number": ("p.json", "3", r"no row in .*p\.json\[0\]: found a int"),
    "uneven columns": ("p.json", '{"chosen": ["a"], "rejected": []}', "uneven columns in .*p.json"),
    "csv with an extra cell": (
        "p.csv",
        "a,b\n1,2\n1,2,3\n",
        r"broken CSV in .*p\.csv:3: 3 cells under 2",
    ),
    "csv with an open quote": ("p.csv", 'a,b\n"1,2\n', r"broken CSV in .*p\.csv:2"),
    "csv not utf-8": ("p.csv", b"a,b\n1,\xe4\n", r"bad text in .*p\.csv:\d: not UTF-8"),
    "empty csv": ("p.csv", "", "no rows in"),
    "head alone": ("p.csv", "a,b\n", "no rows in"),
    "no parquet": ("p.parquet", "PAR1", r"unreadable Parquet in .*p\.parquet"),
    "empty parquet": ("p.parquet", "", r"unreadable Parquet in .*p\.parquet"),
    "unknown suffix": ("p.xlsx", "x", r"unknown kind of file in .*p\.xlsx"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_source_is_one_line_that_names_the_place(tmp_path, case):
    name, data, message = BROKEN[case]
    with pytest.raises(InputError, match=message) as caught:
        values(write(tmp_path / name, data))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 300


def test_a_line_over_the_cap_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(file_formats, "MAX_LINE_BYTES", 2**20)
    path = write(tmp_path / "p.jsonl", '{"a": 1}\n{"a": "' + "x" * 2**20 + '"}')
    with pytest.raises(InputError, match=r"line too long in .*p\.jsonl:2: over 1 MiB"):
        list(file_formats.read_jsonl(path))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.jsonl", r"no pairs in nowhere\.jsonl: no such file"),
        ("./no/where", r"no pairs in \./no/where: no such file or folder"),
        (3, "no pairs in a int"),
        (b"bytes", "no pairs in a bytes"),
        ([], "no rows in list"),
        ([1], r"no row in list\[0\]: found a int"),
    ],
)
def test_what_is_no_source_is_refused(source, message):
    with pytest.raises(InputError, match=message):
        values(source)


def test_a_folder_without_a_data_set_and_a_pipe_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no data set in .*: the folder has neither state\.json"):
        values(tmp_path)
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(InputError, match="it is neither a file nor a folder"):
        values(tmp_path / "pipe.jsonl")


def test_a_damaged_data_set_folder_is_refused_in_one_line(tmp_path):
    write(tmp_path / "state.json", "{}")
    with pytest.raises(InputError, match=r"unreadable data set in .*; save it again"):
        values(tmp_path)


def test_a_hub_id_that_cannot_be_had_is_refused_in_one_line(monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"no pairs in no-such-org/no-such-set: .* as hub id: .*; check"):
        values("no-such-org/no-such-set")


def test_without_the_datasets_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"needs the datasets library; pip install 'dpo-analysis\[score\]'"):
        values("org/name")


def test_two_columns_of_one_name_in_a_dataframe_are_refused():
    frame = pd.DataFrame([["a", "b", "c", "d"]], columns=["prompt", "chosen", "rejected", "chosen"])
    with pytest.raises(InputError, match="two columns 'chosen' in dataframe"):
        values(frame)


@pytest.mark.parametrize("name", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"_data_files": 3}', b"\xff\xfe", b"[" * 5000])
def test_a_saved_data_set_with_a_file_of_something_else_is_a_line(tmp_path, name, content):
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "saved" / name).write_bytes(content)
    with contextlib.suppress(InputError):
        values(tmp_path / "saved")
