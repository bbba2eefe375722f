"""The run folder written: planned once, added to, refused when it is another's, finished when whole."""

import errno
import os
import socket
from pathlib import Path

import pyarrow as pa
import pytest

from dpo_analysis import schema
from dpo_analysis.errors import InputError, PartialResult, RunBusy, StorageError
from dpo_analysis.runs import Model, Series, atomic_file, atomic_write, locks, open_run, verify_run
from dpo_analysis.runs.manifest import merge_models
from dpo_analysis.scoring.loop import score_parts
from tests.faults import fakes

GENTLE = "scores/gentle/checkpoint-10"


def stamps(path):
    """Inode and time of every file but the locks, into which each worker writes its name."""
    files = [f for f in path.rglob("*") if f.is_file() and not f.name.startswith("lock.")]
    return {str(f.relative_to(path)): (f.stat().st_ino, f.stat().st_mtime_ns) for f in files}


# resuming


def test_with_nothing_left_to_do_no_file_is_touched(folder):
    before = stamps(folder)
    fakes.score_run(folder)
    assert stamps(folder) == before


def test_with_one_part_left_only_that_one_is_scored(folder):
    whole = fakes.bytes_of(folder)
    (folder / GENTLE / "part-00001.parquet").unlink()
    with fakes.open_writer(folder) as writer:
        assert {m.key: [p.index for p in writer.missing_parts(m)] for m in writer.models} == {
            "reference": [], "gentle/checkpoint-10": [1], "strong/checkpoint-10": [],
        }  # fmt: skip
    fakes.score_run(folder)
    assert fakes.bytes_of(folder) == whole


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no parquet at all, but long enough for a footer PAR1"])
def test_a_damaged_part_is_scored_again(folder, damage):
    whole = fakes.bytes_of(folder)
    (folder / GENTLE / "part-00001.parquet").write_bytes(damage)
    fakes.score_run(folder)
    assert fakes.bytes_of(folder) == whole
    assert "damaged" in [event["event"] for event in open_run(folder).log()]


def test_a_lost_manifest_is_made_anew_and_the_parts_are_kept(folder):
    whole, before = fakes.bytes_of(folder), stamps(folder)
    (folder / "manifest.json").unlink()
    fakes.score_run(folder)
    assert fakes.bytes_of(folder) == whole
    assert stamps(folder)[f"{GENTLE}/part-00000.parquet"] == before[f"{GENTLE}/part-00000.parquet"]


def test_a_link_in_place_of_a_part_is_refused(folder, tmp_path):
    part = folder / GENTLE / "part-00000.parquet"
    part.rename(tmp_path / "elsewhere")
    part.symlink_to(tmp_path / "elsewhere")
    fakes.score_run(folder)
    assert not part.is_symlink(), "the link is replaced by a file, never written through"
    part.parent.rename(tmp_path / "folder")
    part.parent.symlink_to(tmp_path / "folder")
    with pytest.raises(StorageError, match="link or a special file"):
        fakes.score_run(folder)


# additions


def test_a_policy_added_later_gives_the_bytes_of_both_at_once(folder, tmp_path):
    other = tmp_path / "other"
    fakes.score_run(other, policies=fakes.POLICIES[1:], series=fakes.SERIES[1:])
    fakes.score_run(other, policies=fakes.POLICIES[:1], series=fakes.SERIES[:1])
    assert fakes.bytes_of(other) == fakes.bytes_of(folder)


def test_curves_of_a_series_are_replaced_and_those_of_others_stay(folder):
    added = fakes.CURVES.set_column(0, "series", pa.array(["strong"])).append_column("more", pa.array([1]))
    with fakes.open_writer(folder) as writer:
        writer.write_curves(added.select(schema.CURVES_SCHEMA.names))
        assert not [r for r in open_run(folder).manifest["parts"] if r["path"].startswith("training")]
        writer.write_curves(fakes.CURVES.set_column(5, "value", pa.array([0.5])))
        writer.finish()
    curves = open_run(folder).curves()
    assert list(zip(curves["series"].to_pylist(), curves["value"].to_pylist(), strict=True)) == [
        ("gentle", 0.5), ("strong", 0.69),
    ]  # fmt: skip
    assert verify_run(folder) == []


def test_another_source_of_the_same_weights_changes_nothing(folder):
    whole = fakes.bytes_of(folder)
    moved = Model("gentle", "checkpoint-10", 10, "fake", "elsewhere/checkpoint-10", fakes.POLICIES[0].weights)
    fakes.score_run(folder, policies=[moved])
    assert fakes.bytes_of(folder) == whole


# refusals


def refused(folder, match, error=InputError, **changes):
    before = fakes.bytes_of(folder)
    with pytest.raises(error, match=match):
        fakes.open_writer(folder, **changes)
    assert fakes.bytes_of(folder) == before
    assert locks.held_shards(folder) == []


def test_another_identity_is_refused_with_the_difference(folder):
    other = fakes.IDENTITY | {"max_length": 128, "tokenizer": fakes.IDENTITY["tokenizer"] | {"vocab": "w" * 64}}
    said = r'max_length was 64, is 128 now, tokenizer.vocab was "v{12}...", is "w{12}..." now'
    refused(folder, said, identity=other)
    refused(folder, "template was absent", identity=fakes.IDENTITY | {"template": "t"})


def test_another_plan_under_the_same_identity_is_refused(folder):
    refused(folder, "n_parts was 3, is 5 now, part_size was 4, is 2 now", part_size=2)
    refused(folder, "n_pairs was 10, is 9 now", tokenized=fakes.pairs(9))


def test_the_same_name_with_other_weights_is_refused(folder):
    other = Model("gentle", "checkpoint-10", 10, "fake", "models/g/checkpoint-10", fakes.sha("other"))
    refused(folder, "gentle/checkpoint-10 has different weights in this run", models=[fakes.REFERENCE, other])


def test_another_reference_is_refused(folder):
    other = Model.reference(source="models/sft", weights=fakes.sha("other"))
    refused(folder, "reference has different weights in this run", models=[other, *fakes.POLICIES])


def test_a_series_with_another_beta_is_refused_with_what_to_do(folder):
    said = "series 'gentle' has different parameters in this run: beta was 0.1, is 0.2 now.*tables take --beta"
    refused(folder, said, series=[Series("gentle", beta=0.2), fakes.SERIES[1]])


def test_what_the_user_gave_corrects_a_stored_series_and_touches_nothing_else(folder):
    before = fakes.bytes_of(folder)
    series = [Series("gentle", beta=0.05), Series("strong", beta=0.05, loss_type="ipo")]
    with fakes.open_writer(folder, series=series, explicit={"beta"}) as writer:
        assert writer.corrected == ["beta of series gentle: 0.1 -> 0.05", "beta of series strong: 0.5 -> 0.05"]
        writer.finish()
    assert {name: one.beta for name, one in open_run(folder).series.items()} == {"gentle": 0.05, "strong": 0.05}
    assert open_run(folder).series["strong"].loss_type == "ipo"
    after = fakes.bytes_of(folder)
    assert {name for name in before if before[name] != after[name]} == {"manifest.json"}
    with fakes.open_writer(folder, series=series, explicit={"beta"}) as writer:
        assert writer.corrected == []


def test_what_the_user_did_not_give_is_still_refused(folder):
    with pytest.raises(InputError, match=r"loss_type was .*give --beta or --loss-type"):
        fakes.open_writer(folder, series=[Series("gentle", loss_type="ipo"), fakes.SERIES[1]], explicit={"beta"})


def test_one_name_for_two_models_is_refused(folder):
    refused(folder, "gentle/checkpoint-10 is given twice", models=[*fakes.MODELS, fakes.POLICIES[0]])


def test_no_pairs_are_refused_and_no_folder_is_made(tmp_path):
    with pytest.raises(InputError, match="no pairs to score"):
        fakes.open_writer(tmp_path / "run", tokenized=[])
    assert not (tmp_path / "run").exists()


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(InputError, match=r"no run folder and holds 'thesis.tex'"):
        fakes.open_writer(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="it is a file"):
        fakes.open_writer(tmp_path / "thesis.tex")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="failed making"):
        fakes.open_writer(tmp_path / "file" / "run")


def test_a_part_of_another_run_in_the_folder_is_refused(folder, tmp_path):
    fakes.score_run(tmp_path / "other", identity=fakes.IDENTITY | {"max_length": 32})
    (folder / GENTLE / "part-00000.parquet").write_bytes(
        (tmp_path / "other" / GENTLE / "part-00000.parquet").read_bytes()
    )
    with pytest.raises(StorageError, match="does not belong here: its identity is"):
        fakes.open_writer(folder)


# workers


def test_the_same_shard_twice_is_busy_and_another_count_is_refused(tmp_path):
    with fakes.open_writer(tmp_path / "run", shard=(0, 2)):
        with pytest.raises(RunBusy, match=rf"shard 0 of 2 is held by process {os.getpid()} on host "):
            fakes.open_writer(tmp_path / "run", shard=(0, 2))
        with pytest.raises(InputError, match=r"scored by 2 workers .*not 3: .*--shard I/2"):
            fakes.open_writer(tmp_path / "run", shard=(1, 3))
        with fakes.open_writer(tmp_path / "run", shard=(1, 2)) as other:
            assert [part.index for part in other.missing_parts(fakes.REFERENCE)] == [1]
    with fakes.open_writer(tmp_path / "run", shard=(2, 3)) as later:
        assert [part.index for part in later.missing_parts(fakes.REFERENCE)] == [2]


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_not_taken_for_one(tmp_path, monkeypatch):
    opened, real = [], os.open

    def open_and_lose(path, *arguments, **options):
        handle = real(path, *arguments, **options)
        if not opened:
            os.unlink(path)
        opened.append(handle)
        return handle

    monkeypatch.setattr(os, "open", open_and_lose)
    with locks.guard(tmp_path):
        assert len(opened) == 2, "the first file has no name any more: another process could lock its successor"
        assert (tmp_path / locks.MANIFEST_LOCK).exists()


@pytest.mark.parametrize("shard", [(2, 2), (-1, 1), (0, 0)])
def test_a_shard_that_cannot_be_is_refused(tmp_path, shard):
    with pytest.raises(InputError, match="bad shard"):
        fakes.open_writer(tmp_path / "run", shard=shard)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_shards_give_the_folder_of_one_process(folder, tmp_path, order):
    for shard in order:
        fakes.score_run(tmp_path / "other", shard=(shard, 2))
    assert fakes.bytes_of(tmp_path / "other") == fakes.bytes_of(folder)


def test_temporary_files_of_the_dead_are_swept_and_those_of_the_living_stay(tmp_path):
    run, hexes = tmp_path / "run", "0" * 32
    with fakes.open_writer(run, shard=(0, 2)):
        (run / f".vocab.parquet.0of2.{hexes}.tmp").write_text("the living one's")
        (run / f".vocab.parquet.1of2.{hexes}.tmp").write_text("a dead one's")
        (run / f".vocab.parquet.0of7.{hexes}.tmp").write_text("a dead one's")
        with fakes.open_writer(run, shard=(1, 2)):
            assert [path.name for path in run.glob(".*.tmp")] == [f".vocab.parquet.0of2.{hexes}.tmp"]


# finishing


def test_finish_names_what_is_missing(tmp_path):
    with fakes.open_writer(tmp_path / "run") as writer:
        with pytest.raises(PartialResult, match=r"missing pairs \(3 of 3 parts\), responses .*run the same command"):
            writer.finish()
        writer.write_inputs()
        with pytest.raises(PartialResult, match=r"missing reference \(3 of 3 parts\), gentle/checkpoint-10"):
            writer.finish()


def test_a_worker_that_did_its_share_may_leave_before_the_others(tmp_path):
    with fakes.open_writer(tmp_path / "run", shard=(0, 2)) as writer:
        score_parts(writer, fakes.sources(), batch_tokens=64, report=lambda progress: None)
        assert writer.finish() is False
    assert open_run(tmp_path / "run").manifest["parts"] == []


def test_finish_twice_does_no_harm(folder):
    before = stamps(folder)
    with fakes.open_writer(folder) as writer:
        assert (writer.finish(), writer.finish()) == (True, True)
    assert stamps(folder) == before


def test_finish_does_not_bless_a_file_that_changed_since(folder):
    part = folder / GENTLE / "part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[50] ^= 1
    part.write_bytes(data)
    fakes.score_run(folder)
    assert [line for line in verify_run(folder) if "sha256" in line]


def test_the_manifest_holds_no_clock_host_or_process(folder):
    text = (folder / "manifest.json").read_text()
    assert socket.gethostname() not in text
    assert not {"time", "host", "pid", "seconds", "duration"} & set(text.replace('"', " ").split())


def test_the_log_tells_time_process_and_speed(folder):
    event = next(event for event in open_run(folder).log() if event["event"] == "part")
    assert event["pid"] == os.getpid()
    assert {"time", "host", "shard", "model", "part", "tokens", "seconds"} <= event.keys()


# one file


def fail_halfway(path):
    with atomic_file(path) as handle:
        handle.write(b"half")
        raise ZeroDivisionError


def test_an_atomic_file_is_whole_or_not_there(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fail_halfway(tmp_path / "table.csv")
    assert list(tmp_path.iterdir()) == []
    atomic_write(tmp_path / "table.csv", b"one")
    atomic_write(tmp_path / "table.csv", b"two")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("table.csv", b"two")]


def test_the_file_is_synced_before_it_is_renamed_and_its_folder_after(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("rename"), replace(*names)))
    atomic_write(tmp_path / "file", b"data")
    assert calls == ["fsync", "rename", "fsync"]


def test_a_folder_that_is_gone_is_one_line(tmp_path):
    with pytest.raises(StorageError, match=r"failed writing .*nothing/file: .*; check the disk and the permissions"):
        atomic_write(tmp_path / "nothing" / "file", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission_is_one_line(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(StorageError, match=r"failed (locking|writing)"):
        fakes.open_writer(tmp_path / "closed")


def test_texts_that_are_no_unicode_and_numbers_that_are_none_are_stored_all_the_same(tmp_path):
    odd = fakes.pair(0, status="bad_text")
    object.__setattr__(odd, "prompt", "lone \ud800")
    object.__setattr__(odd.pair, "source", {"prompt": "lone \ud800", "score": float("nan"), "when": object})
    with fakes.open_writer(tmp_path / "run", tokenized=[odd, fakes.pair(1)]) as writer:
        writer.write_inputs()
    pairs = open_run(tmp_path / "run").pairs()
    assert pairs["prompt"][0].as_py() == "lone \ufffd"
    assert '"lone \\ud800", "score": null' in pairs["source"][0].as_py()


def test_a_checkpoint_without_scores_may_be_mended():
    broken, mended = Model("s", "one", 1, "full", "a", "0" * 64), Model("s", "one", 1, "full", "a", "1" * 64)
    stored = [broken.to_json()]
    assert merge_models(stored, [mended], scored=lambda model: False) == [mended.to_json()]
    with pytest.raises(InputError, match="different weights"):
        merge_models(stored, [mended], scored=lambda model: True)
    assert merge_models(stored, [], scored=lambda model: False) == stored


def test_a_file_system_that_refuses_the_clean_up_too_is_one_line(tmp_path, monkeypatch):
    def refuse(*args, **rest):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(StorageError), atomic_file(tmp_path / "x.csv"):
        pass
