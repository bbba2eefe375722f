"""What cannot be imported is refused before memory is asked for it, in one line, and leaves no folder."""

import io
import json
import resource
import zipfile
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dpo_analysis as dpo
from dpo_analysis.errors import InputError, StorageError
from dpo_analysis.imported import npz
from dpo_analysis.imported.npz import read_npz
from dpo_analysis.runs import RunWriter

SUMS = [(model, side, -5.0) for model in ("reference", "1") for side in ("chosen", "rejected")]
ROWS = [{"pair_id": "a", "model": model, "side": side, "logps": logps} for model, side, logps in SUMS]


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """The bytes of an array with this header."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little") + text + data


def archive(path, members: dict[str, bytes], compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def header(shape: str, kind: str = "<f8") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


SIDE = npy(header("(1, 2)"), np.full(2, -1.0).tobytes())
BAD_MEMBERS = {
    "a shape of gigabytes": (npy(header("(30000, 30000)")), "has 6,866 MiB, more than 512 MiB; import fewer"),
    "texts of gigabytes": (npy(header("(2,)", "<U400000000")), "MiB, more than 512 MiB"),
    "a truth value as a length": (npy(header("(True, 2)"), bytes(16)), "no array of numbers"),
    "a length below 0": (npy(header("(-1, 2)"), bytes(16)), "no array of numbers"),
    "fewer bytes than promised": (npy(header("(1, 2)"), bytes(8)), "another length"),
    "more bytes than promised": (npy(header("(1, 2)"), bytes(24)), "another length"),
    "objects": (npy(header("(1, 2)", "|O"), bytes(16)), "no array of numbers"),
    "no array": (b"hello", "magic string"),
    "another version": (npy(header("(1, 2)"), bytes(16), b"\x03\x00"), "version"),
    "a header that is no header": (npy("[" * 90, bytes(16)), "unreadable arrays"),
}


@pytest.mark.parametrize("name", BAD_MEMBERS)
def test_an_array_is_judged_by_its_header(tmp_path, name):
    data, why = BAD_MEMBERS[name]
    file = archive(tmp_path / "a.npz", {"chosen.npy": data, "rejected.npy": SIDE})
    with pytest.raises(InputError, match=why) as refused:
        dpo.import_run(file, out=tmp_path / "run", reference_checkpoint=0)
    assert len(str(refused.value)) < 300
    assert not (tmp_path / "run").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    zeros = npy(header("(67108865,)", "<f8"), bytes(100 * 2**20))
    file = archive(tmp_path / "a.npz", {"chosen.npy": zeros, "rejected.npy": SIDE}, zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < 2**20
    with pytest.raises(InputError, match="512 MiB"):
        read_npz(file, ("chosen",))


def test_a_bomb_that_promises_little_gives_no_more_than_that(tmp_path):
    file = archive(tmp_path / "a.npz", {"chosen.npy": npy(header("(2,)")) + bytes(50 * 2**20)}, zipfile.ZIP_DEFLATED)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="another length"):
        read_npz(file, ("chosen",))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


def test_an_array_that_stands_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("chosen.npy", SIDE)
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("chosen.npy", SIDE)
    with pytest.raises(InputError, match="twice"):
        read_npz(tmp_path / "a.npz", ("chosen",))


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((3, 2))), np.array(["ä", "b"])]
)
def test_what_numpy_wrote_is_read_as_it_was(tmp_path, array):
    np.savez_compressed(tmp_path / "a.npz", chosen=array, other=np.zeros(3))
    arrays, others = read_npz(tmp_path / "a.npz", ("chosen",))
    assert arrays["chosen"].tolist() == array.tolist()
    assert others == ["other"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_changed_byte_ends_in_a_line_or_in_arrays(data):
    buffer = io.BytesIO()
    np.savez(buffer, chosen=np.full((2, 3), -1.0), rejected=np.full((2, 3), -2.0), steps=np.arange(2))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InputError):
        read_npz(io.BytesIO(bytes(content)), ("chosen", "rejected", "steps"))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"steps": np.array([0, 2**63], dtype=np.uint64)}, "different whole numbers"),
        ({"pair_id": np.array(["\ud800", "b"])}, "no text"),
        ({"pair_id": np.array([b"\xff", b"b"])}, "no text"),
        ({"pair_id": np.array([1.5, 2.5])}, "no text"),
    ],
)
def test_steps_and_ids_that_cannot_be_stored_are_refused(tmp_path, more, why):
    np.savez(tmp_path / "a.npz", chosen=np.full((2, 2), -1.0), rejected=np.full((2, 2), -2.0), **more)
    with pytest.raises(InputError, match=why):
        dpo.import_run(tmp_path / "a.npz", out=tmp_path / "run", reference_checkpoint=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"logps": False}, "logps is 'False'"),
        ({"logps": "-1_0"}, "logps is '-1_0'"),
        ({"logps": "-１"}, "logps is '-１'"),
        ({"step": True}, "step is 'True'"),
        ({"step": 2**53}, "step is '9007199254740992'"),
        ({"row": "1_0", "pair_id": None}, "row is '1_0'"),
        ({"series": "\ud800"}, "series holds half of a character"),
        ({"model": "a\udfff"}, "model holds half"),
        ({"pair_id": "\ud800"}, "pair_id holds half"),
        ({"split": "\ud800"}, "split holds half"),
        ({"reference_logps": 10**400}, "reference_logps is '1000"),
    ],
)
def test_what_is_no_number_and_no_name_is_refused_by_its_row(tmp_path, change, why):
    with pytest.raises(InputError, match=why):
        dpo.import_run([*ROWS[:2], ROWS[2] | change, ROWS[3]], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_text_with_half_a_character_is_shown_without_it(tmp_path):
    run = dpo.import_run([row | {"prompt": "a\ud800b"} for row in ROWS], out=tmp_path / "run")
    assert run.pairs()["prompt"].to_pylist() == ["a\ufffdb"]


def test_a_sparse_table_is_refused_without_a_place_for_every_sum(tmp_path):
    n = 60_000
    rows = {"pair_id": [f"p{i}" for i in range(n)], "model": [f"m{i}" for i in range(n)], "side": "chosen", "logps": -1}
    pd.DataFrame(rows).to_parquet(tmp_path / "sparse.parquet")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="stand nowhere and 7199939999 more values"):
        dpo.import_run(tmp_path / "sparse.parquet", out=tmp_path / "run", reference_checkpoint="m0")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


def test_a_row_twice_and_a_row_missing_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="rejected logps of pair 'a' under reference stand twice; "):
        dpo.import_run([*ROWS, ROWS[1]], out=tmp_path / "run")
    with pytest.raises(InputError, match="rejected logps of pair 'a' under reference stand nowhere; "):
        dpo.import_run([ROWS[0], *ROWS[2:]], out=tmp_path / "run")


@pytest.mark.parametrize("error", [StorageError("disk full"), RuntimeError("a bug"), MemoryError()])
def test_an_import_that_fails_half_way_leaves_no_folder(tmp_path, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(RunWriter, "finish", fails)
    with pytest.raises(type(error)):
        dpo.import_run(ROWS, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_import_that_fails_keeps_what_was_there(tmp_path, monkeypatch):
    dpo.import_run(ROWS, out=tmp_path / "run")
    there = sorted(path.name for path in (tmp_path / "run").rglob("*.parquet"))
    more = [row | {"model": "2"} if row["model"] == "1" else row for row in ROWS]

    def fails(*_):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "finish", fails)
        with pytest.raises(RuntimeError):
            dpo.import_run(more, out=tmp_path / "run")
    assert set(there) <= {path.name for path in (tmp_path / "run").rglob("*.parquet")}
    assert len(dpo.import_run(more, out=tmp_path / "run").models) == 2


def test_a_log_that_does_not_fit_leaves_no_folder_of_the_tables(tmp_path):
    state = {"log_history": [{"step": 1, "loss": 0.5}], "global_step": 1}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="series"):
        dpo.import_run(ROWS, out=tmp_path / "run", logs=[f"other={tmp_path / 'trainer_state.json'}"])
    assert not (tmp_path / "run").exists()


def test_the_bound_of_an_array_is_what_the_message_says():
    assert npz.MAX_ARRAY_BYTES == 512 * 2**20
