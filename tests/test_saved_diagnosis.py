"""Diagnoses in a run folder: the same as made anew, read only while they are of what is there."""

import json
import math
import shutil

import pytest

from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.diagnosis import diagnose, load_or_diagnose, save_diagnoses, saved_diagnosis, thresholds
from dpo_analysis.diagnosis.causes import every_cause
from dpo_analysis.runs import open_run
from dpo_analysis.runs.summaries.saved_json import with_checksum
from dpo_analysis.runs.verify import verify_run
from tests.app import synthetic

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = synthetic.build(tmp_path_factory.mktemp("saved") / "run", evident=6)
    save_diagnoses(open_run(path))
    return path


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def same(one, other):
    """Equal where numbers that are not there count as equal."""
    return json.dumps(one.to_json()) == json.dumps(other.to_json()) and repr(one) == repr(other)


def forbid(monkeypatch):
    def made(*_, **__):
        raise AssertionError("made anew")

    monkeypatch.setattr(saved_diagnosis, "diagnose", made)


@pytest.mark.parametrize("series", ["gentle", "strong"])
@pytest.mark.parametrize("split", ["eval", "train"])
def test_what_is_saved_is_what_would_be_made(folder, series, split, monkeypatch):
    run = open_run(folder)
    anew = diagnose(run, series=series, split=split)
    forbid(monkeypatch)
    assert same(load_or_diagnose(run, series=series, split=split), anew)


def test_another_beta_changes_the_numbers_at_the_end_alone(folder, monkeypatch):
    run = open_run(folder)
    anew = diagnose(run, series="strong", split="eval", beta=0.5)
    forbid(monkeypatch)
    assert same(load_or_diagnose(run, series="strong", split="eval", beta=0.5), anew)


def test_the_last_checkpoint_is_read_and_another_one_diagnosed_now(folder, monkeypatch):
    run = open_run(folder)
    first, *_, last = [model.key for model in run.models if model.series == "strong"]
    assert load_or_diagnose(run, series="strong", split="eval", model=first).checkpoint_shown == first
    forbid(monkeypatch)
    assert load_or_diagnose(run, series="strong", split="eval", model=last).checkpoint_shown == last
    with pytest.raises(AssertionError, match="made anew"):
        load_or_diagnose(run, series="strong", split="eval", model=first)


def test_what_is_not_a_number_is_not_a_number_again(folder):
    found = load_or_diagnose(open_run(folder), series="gentle", split="eval")
    assert any(math.isnan(one.share) for one in found.findings)


def test_commands_name_the_folder_where_it_lies_now(folder, monkeypatch):
    (folder / saved_diagnosis.FILE).unlink()
    monkeypatch.chdir(folder)
    save_diagnoses(open_run("."))
    forbid(monkeypatch)
    here, there = (load_or_diagnose(open_run(path), series="gentle", split="eval").open for path in (".", folder))
    assert [one.command.replace(str(folder), ".") for one in there] == [one.command for one in here]
    assert all("..." in one.command for one in here if one.command)


def test_a_diagnosis_of_other_files_is_not_read(folder, monkeypatch):
    manifest = folder / "manifest.json"
    forbid(monkeypatch)
    assert load_or_diagnose(open_run(folder), series="gentle", split="eval")
    manifest.write_text(manifest.read_text() + " ")
    with pytest.raises(AssertionError, match="made anew"):
        load_or_diagnose(open_run(folder), series="gentle", split="eval")


def test_a_diagnosis_by_other_rules_is_not_read(folder, monkeypatch):
    forbid(monkeypatch)
    monkeypatch.setattr(thresholds, "RULES_VERSION", thresholds.RULES_VERSION + 1)
    with pytest.raises(AssertionError, match="made anew"):
        load_or_diagnose(open_run(folder), series="gentle", split="eval")


def test_a_diagnosis_by_other_causes_is_not_read(folder, monkeypatch):
    forbid(monkeypatch)
    fewer = dict(list(every_cause().items())[1:])
    monkeypatch.setattr(saved_diagnosis, "every_cause", lambda: fewer)
    with pytest.raises(AssertionError, match="made anew"):
        load_or_diagnose(open_run(folder), series="gentle", split="eval")


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"of": 1, "diagnoses": 3}'])
def test_a_damaged_file_is_no_file(folder, text):
    (folder / saved_diagnosis.FILE).write_text(text)
    run = open_run(folder)
    assert same(load_or_diagnose(run, series="gentle", split="eval"), diagnose(run, series="gentle", split="eval"))


def changed(folder, change, *, sealed=True):
    """Change what is saved, with a checksum that fits or the old one."""
    data = json.loads((folder / saved_diagnosis.FILE).read_text())
    checksum = data.pop("checksum")
    for one in data["diagnoses"]:
        change(one)
    data = with_checksum(data) if sealed else {"checksum": checksum} | data
    (folder / saved_diagnosis.FILE).write_text(json.dumps(data, indent=1))


def test_a_diagnosis_that_lacks_a_field_is_made_anew(folder):
    changed(folder, lambda one: one["fall"].pop("drop"))
    assert load_or_diagnose(open_run(folder), series="gentle", split="eval").fall.n_pairs


def test_an_unfinished_run_saves_none(tmp_path):
    path = synthetic.build(tmp_path / "run", series=["gentle"], parts=1)
    save_diagnoses(open_run(path))
    assert not (path / saved_diagnosis.FILE).exists()


def test_saving_twice_changes_nothing(folder):
    before = (folder / saved_diagnosis.FILE).read_bytes()
    save_diagnoses(open_run(folder))
    assert (folder / saved_diagnosis.FILE).read_bytes() == before
    (folder / saved_diagnosis.FILE).unlink()
    save_diagnoses(open_run(folder))
    assert (folder / saved_diagnosis.FILE).read_bytes() == before


def test_a_changed_verdict_is_made_anew_and_told_by_verify(folder, monkeypatch):
    changed(folder, lambda one: one["fall"].update(share_of_pairs=8.4), sealed=False)
    run = open_run(folder)
    assert load_or_diagnose(run, series="gentle", split="eval").fall.share_of_pairs <= 1
    (line,) = verify_run(folder)
    assert line.startswith(f"damaged {folder / saved_diagnosis.FILE}: it does not match its own checksum; delete it")
    save_diagnoses(run)
    assert verify_run(folder) == []
    forbid(monkeypatch)
    assert load_or_diagnose(run, series="gentle", split="eval")


def test_a_file_of_an_earlier_version_is_not_trusted_and_the_folder_is_whole(folder):
    data = json.loads((folder / saved_diagnosis.FILE).read_text())
    del data["checksum"]
    data["diagnoses"][0]["fall"]["share_of_pairs"] = 8.4
    (folder / saved_diagnosis.FILE).write_text(json.dumps(data))
    run = open_run(folder)
    assert not saved_diagnosis.is_saved(run)
    assert load_or_diagnose(run, series=data["diagnoses"][0]["series"], split="eval").fall.share_of_pairs <= 1
    assert verify_run(folder) == []


def test_verify_finds_nothing_wrong_with_it(folder):
    assert verify_run(folder) == []


def test_the_sample_holds_the_diagnoses_that_would_be_made(tmp_path):
    # after a change of the rules: delete sample_data/run/summary, then save_diagnoses(open_run("sample_data/run"))
    folder = shutil.copytree(sample_run(), tmp_path / "run")
    shipped = json.loads((folder / saved_diagnosis.FILE).read_text())
    shutil.rmtree(folder / saved_diagnosis.FOLDER)
    save_diagnoses(open_run(folder))
    made = json.loads((folder / saved_diagnosis.FILE).read_text())
    del made["checksum"], shipped["checksum"]
    assert alike(made, shipped)


def alike(one, other):
    """Equal but for the last digits of numbers, which differ between machines."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == (pytest.approx(other, rel=1e-6, abs=1e-9) if isinstance(other, float) else other)


def test_a_diagnosis_whose_sentences_cannot_be_made_is_made_anew(folder):
    changed(folder, lambda one: one["answer"].update(values={}))
    found = load_or_diagnose(open_run(folder), series="gentle", split="eval")
    assert found.answer.sentence("en")
