"""A small training_args.bin cannot keep the command busy: its values are counted, never compared or printed in full."""

import pickle
import resource
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpo_analysis.trainer.folder import TrainerFolder
from dpo_analysis.trainer.safe_pickle import InertObject, UnreadablePickle, read_pickle, read_torch_file
from dpo_analysis.trainer.training_args import loss_parameters, plain_value, read_training_arguments

KEY = b"X\x04\x00\x00\x00beta"
"""The text "beta" on the stack."""


def laughs(levels: int = 30) -> bytes:
    """A list that holds the list before it twice, and so on: a billion values in 300 bytes."""
    return b"]K\x01aq\x01" + b"0](h\x01h\x01eq\x01" * levels


def arguments(name: bytes, value: bytes) -> bytes:
    return b"\x80\x02}" + name + value + b"s."


def checkpoint(folder, data: bytes):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    with zipfile.ZipFile(folder / "training_args.bin", "w") as archive:
        archive.writestr("archive/data.pkl", data)


def test_a_list_of_a_billion_values_is_no_setting(tmp_path):
    for step, levels in ((10, 30), (20, 31)):
        checkpoint(tmp_path / f"checkpoint-{step}", arguments(KEY, laughs(levels)))
    folder = TrainerFolder.find(tmp_path)
    found = read_training_arguments(folder)
    assert found is not None
    assert found.values == {"beta": None}
    assert loss_parameters(found.values) == {}
    assert folder.notes == []


def test_an_object_is_shown_by_its_name_alone():
    value = read_pickle(b"\x80\x02cthis\nthat\n" + laughs() + b"\x85R.")
    assert isinstance(value, InertObject)
    assert repr(value) == "InertObject('this.that')"
    assert plain_value(value) is None


def test_copies_of_copies_are_counted():
    # 20,000 names into a dictionary, then that dictionary into an object, again and again.
    names = b"".join(b"X\x05\x00\x00\x00%05dK\x01" % number for number in range(20_000))
    data = b"\x80\x02cthis\nthat\n)R" + b"}(" + names + b"uq\x01b" + b"h\x01b" * 200_000 + b"."
    with pytest.raises(UnreadablePickle, match="moves more than 2,000,000 values"):
        read_pickle(data)


def test_the_largest_honest_pickle_is_read():
    value = {f"name{number}": [number, "text", None] for number in range(25_000)}
    assert read_pickle(pickle.dumps(value)) == value


def test_a_bomb_in_the_archive_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "training_args.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(200 * 2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnreadablePickle, match="larger than 1 MiB"):
        read_torch_file(tmp_path / "training_args.bin")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


def test_two_long_lists_differ_in_a_short_note(tmp_path):
    for step, name in ((10, "a"), (20, "b")):
        values = {"beta": 0.1, "loss_type": [name * 4000] * 60}
        checkpoint(tmp_path / f"checkpoint-{step}", pickle.dumps(values, protocol=2))
    folder = TrainerFolder.find(tmp_path)
    read_training_arguments(folder)
    (note,) = folder.notes
    assert "loss_type differs" in note
    assert len(note) < 300 + 2 * len(str(tmp_path))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_opcodes_end_in_a_value_or_in_a_reason(data):
    honest = pickle.dumps({"beta": 0.1, "a": [1, ("x", None)], "b": {"c": True}}, protocol=data.draw(st.integers(0, 5)))
    content = bytearray(honest)
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content += data.draw(st.binary(max_size=30))
    try:
        value = read_pickle(bytes(content))
    except UnreadablePickle:
        return
    plain_value(value)
