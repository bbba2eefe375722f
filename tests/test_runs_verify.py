"""verify: every file there, every byte as written, every part from the same inputs; and the folder of schema 1."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpo_analysis.errors import InputError, StorageError
from dpo_analysis.runs import open_run, verify_run
from dpo_analysis.runs.manifest import load_manifest, manifest_bytes
from tests.faults import fakes

PART = "scores/gentle/checkpoint-10/part-00001.parquet"
GOLDEN = Path(__file__).parent / "golden" / "schema-1"
# Made once: python -c "from pathlib import Path; from tests.faults.fakes import golden_run; golden_run(Path('new'))"
# It is never made anew: a later version of the schema gets a folder of its own beside this one.


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Path(shutil.copytree(GOLDEN, tmp_path_factory.mktemp("small") / "run"))


def flip(path, place, bit=0):
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)


def test_a_finished_run_has_no_problems(whole):
    assert verify_run(whole) == []


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_flipped_bit_in_any_file_is_noticed(small, data):
    name = data.draw(st.sampled_from(["manifest.json", *sorted(set(fakes.bytes_of(small)) - {"manifest.json"})]))
    before = (small / name).read_bytes()
    try:
        flip(small / name, data.draw(st.integers(0, len(before) - 1)), data.draw(st.integers(0, 7)))
        found = verify_run(small)
    except InputError as error:
        found = [str(error)]
    finally:
        (small / name).write_bytes(before)
    assert any(name in line or "newer version" in line for line in found), found


def test_a_flipped_bit_in_a_part_is_named_and_readers_refuse_the_part(folder):
    chunk = pq.read_metadata(folder / PART).row_group(0).column(4)
    flip(folder / PART, chunk.data_page_offset + chunk.total_compressed_size - 3)
    assert verify_run(folder) == [f"damaged {folder / PART}: its sha256 is not the manifest's"]
    with pytest.raises(StorageError, match=rf"damaged {folder / PART}: .*run the same score command again"):
        open_run(folder).scores("gentle/checkpoint-10")


def test_every_flipped_bit_in_a_page_stops_a_reader_without_the_manifest(folder):
    (folder / "manifest.json").write_bytes(manifest_bytes(load_manifest(folder) | {"parts": []}))
    footer = pq.read_metadata(folder / PART).row_group(0)
    before, run = (folder / PART).read_bytes(), open_run(folder)
    for name in ("logp", "entropy", "rank"):
        column = next(footer.column(i) for i in range(10) if footer.column(i).path_in_schema.startswith(f"{name}."))
        end = column.data_page_offset + column.total_compressed_size
        for place in range(end - 24, end):
            (folder / PART).write_bytes(before)
            flip(folder / PART, place)
            with pytest.raises(StorageError, match="damaged"):
                run.scores("gentle/checkpoint-10", 1)
    assert [line for line in verify_run(folder) if PART in line and line.startswith("damaged")]


def test_a_manifest_with_other_blanks_is_noticed(folder):
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"\n ", b"  ", 1))
    assert verify_run(folder) == [f"damaged {path}: its bytes are not those that were written"]


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "scores/../../secret", "a\\..\\b", "C:/x", "nul\0", ""])
def test_a_path_that_would_leave_the_folder_is_a_problem_and_is_not_read(folder, path):
    (folder.parent / "secret").write_text("mine")
    manifest = load_manifest(folder)
    manifest["parts"].append({"path": path, "rows": None, "sha256": fakes.sha("mine")})
    (folder / "manifest.json").write_bytes(manifest_bytes(manifest))
    assert [line for line in verify_run(folder) if "unsafe path" in line]


def test_a_missing_file_is_named(folder):
    (folder / PART).unlink()
    found = verify_run(folder)
    assert found[0] == f"missing {folder / PART}: the manifest lists it"
    assert found[1] == f"missing {folder / PART} of 3: not scored yet"


def test_a_run_that_is_still_being_scored_is_not_whole(tmp_path):
    with fakes.open_writer(tmp_path / "run") as writer:
        writer.write_inputs()
    found = verify_run(tmp_path / "run")
    assert len(found) == 3
    assert all("not scored yet" in line for line in found)


def test_parts_without_checksums_are_told(folder):
    (folder / "manifest.json").write_bytes(manifest_bytes(load_manifest(folder) | {"parts": []}))
    assert [line[:10] for line in verify_run(folder)] == ["unfinished"]


def swap(folder, change):
    """Put another table into a part, with its own label and checksum, as a wrong writer would."""
    from dpo_analysis.runs.parquet import parquet_bytes
    from dpo_analysis.runs.safe_files import sha256_inside

    table = pq.read_table(folder / PART)
    label = {key.decode(): value.decode() for key, value in table.schema.metadata.items() if key != b"ARROW:schema"}
    (folder / PART).write_bytes(parquet_bytes(change(table), label))
    manifest = load_manifest(folder)
    for record in manifest["parts"]:
        if record["path"] == PART:
            record |= {"sha256": sha256_inside(folder, PART), "rows": pq.read_metadata(folder / PART).num_rows}
    (folder / "manifest.json").write_bytes(manifest_bytes(manifest))


def with_logp(table, row_of):
    return table.set_column(4, "logp", [[row_of(row) for row in table["logp"].to_pylist()]])


SWAPS = {
    "its rows are not those of the responses": lambda table: table.slice(1),
    "logp has not one value for each token": lambda table: with_logp(table, lambda row: [-1.0]),
    "a logp that is not finite and not flagged": lambda table: with_logp(table, lambda row: [float("nan")] * len(row)),
}


@pytest.mark.parametrize("said", SWAPS)
def test_scores_that_do_not_belong_to_the_responses_are_named(folder, said):
    swap(folder, SWAPS[said])
    assert verify_run(folder) == [f"damaged {folder / PART}: {said}"]


def test_changed_weights_are_named(whole):
    known = {model.key: model.weights for model in fakes.MODELS}
    assert verify_run(whole, weights=lambda model: known[model.key]) == []

    def changed(model):
        if model.is_reference:
            raise InputError("no such folder")
        return "0" * 64 if model.series == "strong" else known[model.key]

    found = verify_run(whole, weights=changed)
    assert found[0] == "cannot check weights of reference: no such folder"
    assert found[1].startswith("weights of strong/checkpoint-10 have changed: sha256 ")
    assert len(found) == 2


def test_a_relative_model_is_looked_for_from_where_it_was_scored(folder, monkeypatch):
    (folder.parent / "home" / "models" / "sft").mkdir(parents=True)
    (folder / "log.jsonl").write_text('{"event": "start", "scored_from": "../home"}\n')
    monkeypatch.chdir("/")
    asked = []
    verify_run(folder, weights=lambda model: asked.append(model.source) or model.weights)
    assert asked == [f"{folder}/../home/models/sft", "models/g/checkpoint-10", "models/s/checkpoint-10"]


@pytest.mark.parametrize("path", ["vocab.parquet", "noise.json", "training/curves.parquet"])
def test_a_reader_refuses_every_flipped_byte_of_the_small_files(folder, path):
    read = {
        "vocab.parquet": lambda run: run.vocab(),
        "noise.json": lambda run: run.noise_floor,
        "training/curves.parquet": lambda run: run.curves(),
    }[path]
    before = (folder / path).read_bytes()
    for place in range(0, len(before), max(1, len(before) // 40)):
        (folder / path).write_bytes(before)
        flip(folder / path, place)
        with pytest.raises(StorageError, match=f"damaged .*{path}"):
            read(open_run(folder))


def test_a_file_written_anew_since_the_run_was_opened_is_not_called_damaged(folder):
    run = open_run(folder)
    with fakes.open_writer(folder) as writer:
        writer.write_curves(fakes.CURVES.set_column(5, "value", [[0.5]]))
        assert run.curves()["value"].to_pylist() == [0.5]
        writer.finish()
    assert run.curves()["value"].to_pylist() == [0.5]


def test_a_damaged_manifest_is_one_problem(folder):
    (folder / "manifest.json").write_text("{")
    assert len(verify_run(folder)) == 1


# the golden folder


def test_the_folder_of_schema_1_opens_for_ever():
    run = open_run(GOLDEN)
    assert verify_run(GOLDEN) == []
    assert (run.n_pairs, run.n_parts, run.part_size, run.splits) == (4, 2, 3, ["eval"])
    assert run.progress() == {"reference": (2, 2), "gentle/checkpoint-10": (2, 2), "strong/last 检查点": (2, 2)}
    assert [model.step for model in run.models] == [10, None]
    assert run.pairs()["row"].to_pylist() == [0, 1, 3, 4]
    assert run.pairs()["status"].to_pylist() == ["truncated", "identical", "empty", "ok"]
    assert run.responses()["token_ids"][0].as_py() == [0, 7, 14]
    assert run.responses()["truncated"].to_pylist() == [True, False, False, False, False, False]


def test_the_numbers_of_schema_1_are_what_they_were():
    run = open_run(GOLDEN)
    first = run.scores("gentle/checkpoint-10").to_pylist()[0]
    assert first["logp"] == pytest.approx([-2.314, -3.25, -0.15], abs=1e-6)
    assert first["rank"] == [1, 3, 5]
    statuses = run.scores("strong/last 检查点")["status"].to_pylist()
    assert statuses == ["truncated", "truncated", "identical", "identical", "nonfinite", "nonfinite"]
    assert (run.noise_floor.n_pairs, run.series["strong"].beta) == (3, 0.5)
    assert run.vocab()["bytes"][7].as_py() == b"\x07"
    assert run.curves()["metric"].to_pylist() == ["loss"]


def test_a_run_made_today_is_read_as_the_folder_of_schema_1(tmp_path):
    fakes.golden_run(tmp_path / "run")
    made, golden = open_run(tmp_path / "run"), open_run(GOLDEN)
    assert made.manifest["identity"] == golden.manifest["identity"]
    assert made.scores("reference").equals(golden.scores("reference"))
