"""JSON is parsed within bounds of depth, values and digits, by every reader, and a broken file is one line."""

import json
import math
import os
import resource

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpo_analysis.data.file_formats import parse_json as parse_row
from dpo_analysis.data.pairs import read_pairs
from dpo_analysis.data.sources import read_rows
from dpo_analysis.errors import InputError, StorageError
from dpo_analysis.runs.manifest import read_json
from dpo_analysis.runs.parts import source_row
from dpo_analysis.scoring.models.preflight import read_json as read_config
from dpo_analysis.scoring.models.weight_files import DamagedWeights, safetensors_header
from dpo_analysis.text.bounded_json import is_deeper, parse_json, read_at_most
from dpo_analysis.trainer.folder import read_json_object
from dpo_analysis.trainer.training_args import valid_beta
from dpo_analysis.trainer.yaml_file import read_yaml_object

BROKEN = {
    "nested": ("[" * 600 + "]" * 600, "nested deeper than 100 levels"),
    "nested beyond the stack": ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested deeper"),
    "digits": ("9" * 400, "a number of 400 digits"),
    "negative digits": (f"[-{'9' * 400}]", "a number of 400 digits"),
    "empty lists": ("[" + "[]," * 300_000 + "[]]", None),
    "values": ("[" + "1," * 9_000_000 + "1]", "more than 8,000,000 values"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_beyond_a_bound_is_a_value_error(name):
    text, why = BROKEN[name]
    if why is None:
        assert len(parse_json(text)) == 300_001
        return
    with pytest.raises(ValueError, match=why):
        parse_json(text)


@pytest.mark.parametrize("value", [{"a": [1, -2.5, None, True, "[[["]}, [], "a", 10**299, -(2**63), 0.1])
def test_what_is_within_bounds_is_what_json_gives(value):
    assert parse_json(json.dumps(value)) == parse_json(json.dumps(value).encode()) == value


def test_infinities_are_refused_where_numbers_must_be_finite():
    assert parse_json("1e999") == math.inf
    with pytest.raises(ValueError, match="1e999 is too large"):
        parse_json('{"a": 1e999}', finite=True)


def test_the_depth_of_a_value_that_holds_itself_is_found():
    endless: list = [1]
    endless.append(endless)
    assert is_deeper(endless)
    assert not is_deeper([[[{"a": (1, [2])}]]])


def test_a_file_is_read_without_asking_for_more_memory_than_it_has(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open(tmp_path / "a", "rb") as handle:
        assert read_at_most(handle, 2**33) == b"12345"
    with open(tmp_path / "a", "rb") as handle:
        assert read_at_most(handle, 3) == b"1234"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10 * 1024


@pytest.mark.parametrize("name", ["nested", "digits", "nested beyond the stack"])
def test_every_reader_of_json_says_so_in_a_line(name, tmp_path):
    text, why = BROKEN[name]
    row = f'{{"prompt": "a", "chosen": "b", "rejected": "c", "m": {text}}}'
    (tmp_path / "p.jsonl").write_text(row)
    with pytest.raises(InputError, match=why):
        list(read_rows(tmp_path / "p.jsonl"))
    with pytest.raises(InputError, match=why):
        parse_row(row.encode(), "p.jsonl:1")
    (tmp_path / "a.json").write_text(f'{{"beta": {text}}}')
    with pytest.raises(StorageError, match=why):
        read_json(tmp_path, "a.json")
    with pytest.raises(InputError, match=why):
        read_config(tmp_path / "a.json", missing="")
    assert read_json_object(tmp_path / "a.json") == {}
    with pytest.raises(StorageError, match=why):
        source_row(f'{{"a": {text}}}')
    header = f'{{"w": {text}}}'.encode()
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(DamagedWeights, match="not the JSON it should be"):
        safetensors_header(tmp_path / "w.safetensors")


def test_rows_in_memory_that_nest_too_deep_are_refused_by_their_place():
    deep: list = []
    for _ in range(2000):
        deep = [deep]
    good = {"prompt": "a", "chosen": "b", "rejected": "c"}
    pairs, errors = read_pairs([good, good | {"m": deep}])
    assert len(pairs) == 1
    assert "list[1]: nested deeper than 100 levels" in str(errors[0])


@pytest.mark.parametrize("number", ["1e999", str(2**63), "NaN", "9" * 19])
def test_a_number_that_no_column_holds_is_refused_in_a_run_folder(number, tmp_path):
    (tmp_path / "noise.json").write_text(f'{{"n_pairs": {number}}}')
    with pytest.raises(StorageError, match="unreadable"):
        read_json(tmp_path, "noise.json")


def test_a_hash_of_digits_alone_is_no_number(tmp_path):
    (tmp_path / "a.json").write_text(f'{{"sha256": "{"7" * 64}", "n": 12}}')
    assert read_json(tmp_path, "a.json") == {"sha256": "7" * 64, "n": 12}


def test_a_pipe_is_no_config(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(InputError, match="no plain file"):
        read_config(tmp_path / "config.json", missing="")


@pytest.mark.parametrize("value", [10**400, -1, True, math.inf, math.nan, "0.1", None])
def test_what_cannot_be_a_beta_is_none(value):
    assert valid_beta(value) is None


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_two_columns_of_one_name_are_refused(ending, tmp_path):
    path = tmp_path / f"p.{ending}"
    if ending == "parquet":
        columns = [pa.array([text]) for text in "abcd"]
        pq.write_table(pa.table(columns, names=["prompt", "chosen", "rejected", "chosen"]), path)
    else:
        comma = "," if ending == "csv" else "\t"
        path.write_text("\n".join(comma.join(cells) for cells in (["prompt", "chosen", "rejected", "chosen"], "abcd")))
    with pytest.raises(InputError, match=r"two columns 'chosen' in .*: which is meant is not clear"):
        list(read_rows(path))


TIMES = {"date32": (pa.int32(), pa.date32(), 2**30), "timestamp": (pa.int64(), pa.timestamp("us"), 2**62)}


@pytest.mark.parametrize("kind", TIMES)
def test_a_date_that_python_does_not_have_is_a_line(kind, tmp_path):
    stored, of_time, value = TIMES[kind]
    when = pa.array([value], stored).cast(of_time)
    pq.write_table(
        pa.table({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"], "when": when}), tmp_path / "p.parquet"
    )
    with pytest.raises(InputError, match="unreadable Parquet in"):
        list(read_rows(tmp_path / "p.parquet"))


def test_a_config_that_holds_itself_is_refused(tmp_path):
    (tmp_path / "c.yaml").write_text("a: &a [1, *a]\n")
    with pytest.raises(InputError, match="nested deeper than 100 levels"):
        read_yaml_object(tmp_path / "c.yaml")
