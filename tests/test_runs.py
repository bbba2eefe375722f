"""The run folder read: plan, names, what is refused in one line, and what a reader puts up with."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis import schema
from dpo_analysis.errors import DPOAnalysisError, InputError, StorageError
from dpo_analysis.runs import Model, NoiseFloor, Series, atomic_write, decode_name, encode_name, open_run, parquet
from dpo_analysis.runs import run as run_module
from dpo_analysis.runs.file_stamps import ABSENT, file_stamps
from dpo_analysis.runs.list_columns import flatten_lists, list_lengths
from dpo_analysis.runs.manifest import load_manifest, manifest_bytes
from dpo_analysis.runs.parquet import parquet_bytes
from dpo_analysis.runs.parts import plan_parts
from dpo_analysis.runs.safe_files import known_sha256
from dpo_analysis.runs.summaries.pair_rows import find_pair
from tests.faults import fakes

FIRST = "scores/gentle/checkpoint-10/part-00000.parquet"


# the plan


def test_a_group_moves_to_the_next_part_when_it_does_not_fit_and_leaves_a_gap():
    parts, size = plan_parts([fakes.pair(n, group="g" if n in (3, 5) else None) for n in range(7)], 4)
    assert size == 4
    assert [part.rows for part in parts] == [[0, 1, 2], [4, 5, 6, 7]]
    order = [int(pair.pair.where.split(":")[1]) - 1 for part in parts for pair in part.pairs]
    assert order == [0, 1, 2, 3, 5, 4, 6]


def test_a_group_larger_than_a_part_makes_larger_parts():
    parts, size = plan_parts([fakes.pair(n, group="one prompt") for n in range(5)], 2)
    assert (size, [part.rows for part in parts]) == (5, [[0, 1, 2, 3, 4]])


@given(groups=st.lists(st.integers(0, 6), min_size=1, max_size=40), part_size=st.integers(1, 9))
def test_every_pair_has_one_row_in_its_own_part_and_no_group_is_split(groups, part_size):
    pairs = [fakes.pair(n, group=f"g{group}") for n, group in enumerate(groups)]
    parts, size = plan_parts(pairs, part_size)
    assert sorted(p.pair.pair_id for part in parts for p in part.pairs) == sorted(p.pair.pair_id for p in pairs)
    assert all(row // size == part.index for part in parts for row in part.rows)
    homes = {(p.group_id, part.index) for part in parts for p in part.pairs}
    assert len(homes) == len(set(groups))


# names on disk


def test_names_are_percent_encoded_and_never_leave_their_folder():
    assert encode_name("org/sft v1") == "org%2Fsft%20v1"
    assert encode_name("..") == "%2E."
    assert encode_name("检查点") == "%E6%A3%80%E6%9F%A5%E7%82%B9"


@given(name=st.text(min_size=1, max_size=12))
def test_encoded_names_are_safe_and_can_be_decoded(name):
    encoded = encode_name(name)
    assert decode_name(encoded) == name
    assert not encoded.startswith(".")
    assert set(encoded) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-%")


@pytest.mark.parametrize(("series", "name"), [("", "policy"), ("a", ""), ("a/b", "c")])
def test_a_policy_without_series_or_name_is_refused(series, name):
    with pytest.raises(InputError, match="write SERIES/NAME=MODEL"):
        Model(series, name)


def test_a_name_too_long_for_a_folder_is_refused():
    with pytest.raises(InputError, match="longer than 200 bytes"):
        encode_name("检" * 80)


# reading


def test_what_was_scored_can_be_read(whole):
    run = open_run(whole)
    assert (run.n_pairs, run.n_parts, run.part_size, run.splits) == (10, 3, 4, ["eval", "train"])
    assert [model.key for model in run.models] == ["gentle/checkpoint-10", "strong/checkpoint-10"]
    assert (run.series["strong"].beta, run.series["strong"].loss_type) == (0.5, "ipo")
    assert run.noise_floor == NoiseFloor(0.0, 0.0, 9)
    assert run.is_complete
    pairs = run.pairs()
    assert pairs["row"].to_pylist() == list(range(10))
    assert pairs["status"].to_pylist().count("empty") == 1
    assert json.loads(pairs["source"][0].as_py()) == {"prompt": "问 0", "n": 0}
    assert run.vocab().num_rows == 97
    assert run.curves()["value"].to_pylist() == [0.69]


def test_the_noise_floor_is_hashed_once_and_damaged_bytes_are_refused(folder, monkeypatch):
    hashed = []
    monkeypatch.setattr(run_module, "known_sha256", lambda *path: hashed.append(path) or known_sha256(*path))
    run = open_run(folder)
    assert [run.noise_floor for _ in range(3)] == [NoiseFloor(0.0, 0.0, 9)] * 3
    assert len(hashed) == 1
    path = folder / "noise.json"
    path.write_bytes(path.read_bytes().replace(b"9", b"8"))
    assert run.noise_floor.n_pairs == 9, "read when the run was opened"
    damaged = open_run(folder)
    for _ in range(2):
        with pytest.raises(StorageError, match=r"damaged .*noise.json"):
            _ = damaged.noise_floor
    path.unlink()
    assert open_run(folder).noise_floor is None


def test_stamps_are_equal_until_a_file_changes(folder):
    first = file_stamps(open_run(folder), "pairs", "vocab.parquet", label="a")
    assert file_stamps(open_run(folder), "pairs", "vocab.parquet", label="a") == first
    assert file_stamps(open_run(folder), "pairs", "vocab.parquet", label="b") != first
    assert len({first, file_stamps(open_run(folder), "pairs", "vocab.parquet", label="a")}) == 1
    atomic_write(folder / "pairs" / "part-00000.parquet", (folder / "pairs" / "part-00000.parquet").read_bytes())
    second = file_stamps(open_run(folder), "pairs", "vocab.parquet", label="a")
    assert second.stamps[0] != first.stamps[0]
    assert second.stamps[1] == first.stamps[1]
    (folder / "vocab.parquet").unlink()
    assert file_stamps(open_run(folder), "vocab.parquet").stamps == (ABSENT,)


def test_lists_are_flattened_and_null_lists_counted_apart():
    column = pa.chunked_array([pa.array([[1.0, 2.0], None, []]), pa.array([[3.0]])])
    lengths, values = flatten_lists(column)
    assert lengths.tolist() == [2, 0, 0, 1]
    assert values.tolist() == [1, 2, 3]
    assert list_lengths(column).tolist() == [2, -1, 0, 1]


def test_scores_are_those_of_the_scorer(whole):
    table = open_run(whole).scores("gentle/checkpoint-10", columns=["side", "status", "logp", "logps", "rank"])
    pair = fakes.pairs()[0].responses["rejected"]
    expected = fakes.FakeScorer(fakes.POLICIES[0]).score(
        [fakes.Request(pair.prompt_token_ids, pair.token_ids)], batch_tokens=9
    )
    assert table.num_rows == 18
    row = table.slice(1, 1).to_pylist()[0]
    assert row == {
        "side": "rejected",
        "status": "ok",
        "logp": expected.logp.tolist(),
        "logps": None,
        "rank": expected.rank.tolist(),
    }


def test_files_are_float32_in_split_streams_without_dictionary(whole):
    footer = pq.read_metadata(whole / FIRST)
    chunks = {chunk.path_in_schema: chunk for chunk in map(footer.row_group(0).column, range(footer.num_columns))}
    assert "BYTE_STREAM_SPLIT" in chunks["logp.list.element"].encodings
    assert chunks["logp.list.element"].physical_type == "FLOAT"
    assert {chunk.compression for chunk in chunks.values()} == {"ZSTD"}
    assert not any("DICT" in encoding for chunk in chunks.values() for encoding in chunk.encodings)


def test_a_pair_is_found_by_its_row(whole):
    run = open_run(whole)
    wanted = fakes.pairs()[5].pair.pair_id
    part, row = find_pair(run, wanted)
    assert row // run.part_size == part
    table = run.pairs(part)
    assert table["pair_id"][table["row"].to_pylist().index(row)].as_py() == wanted
    with pytest.raises(InputError, match="no pair 'nobody'"):
        find_pair(run, "nobody")


def test_missing_parts_are_simply_absent(folder):
    (folder / FIRST).unlink()
    run = open_run(folder)
    assert run.parts_done("gentle/checkpoint-10") == [1, 2]
    assert run.progress()["gentle/checkpoint-10"] == (2, 3)
    assert run.scores("gentle/checkpoint-10", 0).num_rows == 0
    assert min(run.scores("gentle/checkpoint-10")["row"].to_pylist()) == 4
    assert not run.is_complete


def test_an_unknown_model_is_refused_with_the_known_names(whole):
    with pytest.raises(InputError, match=r"no model 'gentle/checkpoint-99'.* gentle/checkpoint-10, strong"):
        open_run(whole).scores("gentle/checkpoint-99")


def without_checksums(folder: Path) -> None:
    """Take the checksums out of the manifest, as while a run is scored: a file is then judged by itself."""
    (folder / "manifest.json").write_bytes(manifest_bytes(load_manifest(folder) | {"parts": []}))


def rewritten(path: Path, change) -> None:
    table = pq.read_table(path)
    label = {key.decode(): value.decode() for key, value in table.schema.metadata.items() if key != b"ARROW:schema"}
    path.write_bytes(parquet_bytes(change(table), label))


def test_unknown_columns_files_and_manifest_keys_are_ignored(folder):
    before = open_run(folder).scores("gentle/checkpoint-10")
    rewritten(folder / FIRST, lambda table: table.append_column("surprise", pa.array(range(table.num_rows))))
    (folder / "scores/gentle/checkpoint-10/notes.txt").write_text("mine")
    manifest = load_manifest(folder) | {"colour": "green", "parts": []}
    (folder / "manifest.json").write_bytes(manifest_bytes(manifest))
    assert open_run(folder).scores("gentle/checkpoint-10").equals(before)


def test_a_missing_optional_column_is_null_and_a_missing_needed_one_is_damage(folder):
    without_checksums(folder)
    rewritten(folder / FIRST, lambda table: table.drop_columns(["entropy"]))
    table = open_run(folder).scores("gentle/checkpoint-10", 0)
    assert table.schema.equals(schema.SCORES_SCHEMA)
    assert table["entropy"].null_count == table.num_rows
    rewritten(folder / FIRST, lambda table: table.drop_columns(["side"]))
    with pytest.raises(StorageError, match="no column 'side'"):
        open_run(folder).scores("gentle/checkpoint-10", 0)


def test_a_part_of_another_model_or_place_is_refused(folder):
    without_checksums(folder)
    other = folder / FIRST.replace("gentle", "strong")
    (folder / FIRST).write_bytes(other.read_bytes())
    with pytest.raises(StorageError, match=r"does not belong here: its model is 'strong"):
        open_run(folder).scores("gentle/checkpoint-10")
    other.write_bytes((folder / FIRST.replace("gentle", "strong").replace("00000", "00001")).read_bytes())
    with pytest.raises(StorageError, match="its part is '1', not '0'"):
        open_run(folder).scores("strong/checkpoint-10", 0)


def test_a_torn_last_line_of_the_log_is_left_out(folder):
    (folder / "log.jsonl").write_bytes(b'{"event": "part"}\nnot json\n[1]\n{"event": "pa')
    assert open_run(folder).log() == [{"event": "part"}]


# refusals


def deep(manifest: bytes) -> bytes:
    return b'{"schema_version": 1, "identity": ' + b"[" * 200_000


BROKEN = {
    "empty": (lambda data: b"", "unreadable"),
    "truncated": (lambda data: data[:100], "unreadable"),
    "no UTF-8": (lambda data: b"\xff" + data, "unreadable"),
    "NaN": (lambda data: data.replace(b'"n_pairs": 10', b'"n_pairs": NaN'), "NaN is no JSON number"),
    "nested": (deep, "unreadable"),
    "a list": (lambda data: b"[]", "no JSON object"),
    "no identity": (lambda data: data.replace(b'"identity"', b'"identify"'), "no field 'identity'"),
    "a text for a number": (lambda data: data.replace(b'"n_parts": 3', b'"n_parts": "3"'), "'n_parts' of type int"),
    "an edited beta": (lambda data: data.replace(b'"beta": 0.5', b'"beta": 0.6'), "its own checksum"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_manifest_is_one_line(folder, name):
    change, said = BROKEN[name]
    path = folder / "manifest.json"
    assert change(path.read_bytes()) != path.read_bytes()
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(StorageError, match=said) as caught:
        open_run(folder)
    assert len(str(caught.value)) < 400


def test_a_run_of_a_newer_version_is_refused(folder):
    manifest = load_manifest(folder) | {"schema_version": schema.SCHEMA_VERSION + 1}
    (folder / "manifest.json").write_bytes(manifest_bytes(manifest))
    with pytest.raises(InputError, match=r"newer version.*upgrade dpo-analysis"):
        open_run(folder)


def test_what_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_run(tmp_path / "nothing")
    with pytest.raises(InputError, match="it has no manifest"):
        open_run(tmp_path)


def test_links_and_pipes_are_refused_and_do_not_hang(folder, tmp_path):
    secret = tmp_path / "secret.parquet"
    secret.write_bytes((folder / FIRST).read_bytes())
    (folder / FIRST).unlink()
    (folder / FIRST).symlink_to(secret)
    with pytest.raises(StorageError, match="link or a special file"):
        open_run(folder).scores("gentle/checkpoint-10", 0)
    (folder / "vocab.parquet").unlink()
    os.mkfifo(folder / "vocab.parquet")
    with pytest.raises(StorageError, match="link or a special file"):
        open_run(folder).vocab()


def test_a_linked_folder_is_refused(folder, tmp_path):
    (folder / "scores/gentle").rename(tmp_path / "elsewhere")
    (folder / "scores/gentle").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="link or a special file"):
        open_run(folder).scores("gentle/checkpoint-10")


@pytest.mark.parametrize("series", ["..", "../..", "\0", "/etc"])
def test_names_in_a_manifest_never_leave_the_folder(folder, series):
    manifest = load_manifest(folder)
    manifest["models"][1] |= {"series": series, "name": "../../../outside"}
    (folder / "manifest.json").write_bytes(manifest_bytes(manifest))
    try:
        run = open_run(folder)
    except DPOAnalysisError:
        return
    assert all(run.scores(model).num_rows == 0 for model in run.models if model.series == series)


def test_a_model_of_the_wrong_type_in_a_manifest_is_one_line(folder):
    manifest = load_manifest(folder)
    manifest["models"][1]["step"] = "ten"
    (folder / "manifest.json").write_bytes(manifest_bytes(manifest))
    with pytest.raises(StorageError, match="'step' of model gentle/checkpoint-10 is str"):
        open_run(folder)


@pytest.mark.parametrize(
    "changes", [{"beta": -0.1}, {"beta": float("nan")}, {"start": "somewhere"}, {"logged_logps": "max"}]
)
def test_a_series_that_no_table_could_use_is_refused(changes):
    with pytest.raises(InputError):
        fakes.Series(**({"name": "gentle"} | changes))


@pytest.mark.parametrize("name", ["\udcff", "a\ud800"])
def test_a_name_that_is_not_utf_8_is_refused_in_a_line(name):
    with pytest.raises(InputError, match="it is not UTF-8; give another"):
        Series(name)
    with pytest.raises(InputError, match="it is not UTF-8; give another"):
        Model("gentle", name)


@pytest.mark.parametrize("error", [MemoryError(), pa.ArrowMemoryError("malloc"), pa.ArrowException(parquet.NO_THREAD)])
def test_a_file_for_which_memory_does_not_suffice_is_not_called_damaged(folder, monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(parquet.pq, "ParquetFile", fails)
    with pytest.raises(StorageError, match=r"not enough memory to read .*part-00000.parquet: close other programs"):
        open_run(folder).pairs()
