"""An edited byte in any file of a run folder: the command that reads it says so, or nothing that is shown changes."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import dpo_analysis as dpo
from dpo_analysis import schema
from dpo_analysis.diagnosis import load_or_diagnose, run_checks, save_diagnoses
from dpo_analysis.errors import DPOAnalysisError, StorageError
from dpo_analysis.runs import Run, open_run, verify_run
from dpo_analysis.runs.checksums import with_all_files
from dpo_analysis.runs.evidence import influence, probes
from dpo_analysis.runs.log import append_event
from dpo_analysis.runs.manifest import load_manifest, manifest_bytes
from dpo_analysis.runs.parquet import parquet_bytes
from dpo_analysis.runs.parts import scores_folder
from dpo_analysis.runs.summaries import store
from dpo_analysis.schema import SIDES
from tests.app import synthetic

SEED, BYTES_OF_A_FILE = 20261130, 4
FIT = {
    "series": "gentle",
    "outcome": "fits",
    "setting": "beta",
    "option": "--beta 0.2",
    "n_tried": 12,
    "logged": [-5.0, -5.0],
}
FIT |= {"recomputed": [-5.0, -6.0]}


class Hand:
    """A finished run folder into which further files are put, with their checksums."""

    def __init__(self, path: Path) -> None:
        self.path, self.identity_hash = path, open_run(path).identity_hash

    def log(self, event: str, **facts: object) -> None:
        append_event(self.path, event, facts)

    def write_addition(self, path: str, table: pa.Table, label: dict) -> None:
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_bytes(parquet_bytes(table, {**label, "identity": self.identity_hash}).to_pybytes())


def add_everything_else(path: Path) -> None:
    """Put probes, influence, a log and the saved diagnosis into a run folder."""
    run, hand = open_run(path), Hand(path)
    policy = run.models[-1]
    responses, scores = run.responses(0).slice(0, 2), run.scores(policy, 0).slice(0, 2)
    probes.store_responses(hand, probes.GREEDY, policy, responses, {"seed": "1"})
    probes.store_scores(hand, probes.GREEDY, policy, policy, scores)
    row = int(responses["row"][0].as_py())
    question = influence.Question(policy.key, "eval", {"near": [row]}, [(row, [0])])
    tables = {kind: invented(table, row) for kind, table in schema.INFLUENCE_SCHEMAS.items()}
    influence.store_influence(hand, policy, question, tables)
    (path / "manifest.json").write_bytes(manifest_bytes(with_all_files(path, load_manifest(path), [])))
    for event, facts in (("start", {"command": ["score", "pairs"]}), ("log_fit", FIT), ("note", {"text": "a note"})):
        hand.log(event, **facts)
    save_diagnoses(open_run(path))


def invented(table_schema: pa.Schema, row: int) -> pa.Table:
    """A row of any table for each side."""
    usual = {pa.string(): "near", pa.float64(): 0.5, pa.float32(): 0.5}
    return pa.Table.from_pylist(
        [
            {f.name: {"row": row, "side": side}.get(f.name, usual.get(f.type, 0)) for f in table_schema}
            for side in SIDES
        ],
        table_schema,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = synthetic.build(tmp_path_factory.mktemp("edited") / "run", series=["gentle"], steps=(60, 120), evident=3)
    add_everything_else(path)
    assert verify_run(path) == []
    return path


def shown(run: Run) -> str:
    """Everything that tables, pages and reports are made of, as text."""
    models = [run.reference, *run.models]
    found: list[object] = [run.identity, run.series, models, run.splits, run.n_pairs, run.progress(), run.is_complete]
    found += [run.pairs(), run.responses(), run.vocab(), run.curves(), run.noise_floor]
    found += [event | {"time": "", "pid": 0} for event in run.log()]
    for model in models:
        found += [run.scores(model), *(run.evidence(kind, model) for kind in schema.EVIDENCE_SCHEMAS)]
        found += [store.read_summary(run, kind, model) for kind in store.MODEL_SUMMARIES]
    found += [store.read_pair_index(run), store.read_pair_facts(run)]
    for name, maker, scorer in probes.possible_scores(run):
        found += [probes.read_responses(run, name, maker), probes.read_scores(run, name, maker, scorer)]
    for model in run.models:
        for split in run.splits:
            found.append(influence.answered_question(run, model, split))
            found += [influence.read_influence(run, kind, model, split) for kind in schema.INFLUENCE_SCHEMAS]
    found += [load_or_diagnose(run, series=name, split=split) for name in run.series for split in run.splits]
    found += run_checks(run)
    return "\n".join(str(item.to_pylist()) if isinstance(item, pa.Table) else repr(item) for item in found)


def files_of(path: Path) -> list[str]:
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())


def edited(folder: Path, name: str, place: int, sign: int) -> None:
    data = bytearray((folder / name).read_bytes())
    data[place % len(data)] ^= sign
    (folder / name).write_bytes(data)


def test_the_folder_holds_every_kind_of_file(whole):
    tops = {name.partition("/")[0] for name in files_of(whole)}
    assert tops >= {"evidence", "pairs", "probes", "responses", "scores", "summary", "training", "manifest.json"}
    assert {"log.jsonl", "vocab.parquet", "noise.json", "summary/diagnosis.json"} <= set(files_of(whole))


@pytest.mark.slow
def test_a_random_byte_of_every_file_is_told_or_changes_nothing(whole, tmp_path):
    before = shown(open_run(shutil.copytree(whole, tmp_path / "before"))).replace(str(tmp_path / "before"), "RUN")
    random_numbers, silent = random.Random(SEED), []
    names = [name for name in files_of(whole) if not name.startswith("lock.")]
    for number, name in enumerate(names * BYTES_OF_A_FILE):
        folder = shutil.copytree(whole, tmp_path / str(number))
        place, sign = random_numbers.randrange((whole / name).stat().st_size), random_numbers.randrange(1, 256)
        edited(folder, name, place, sign)
        try:
            now = shown(open_run(folder)).replace(str(folder), "RUN")
        except DPOAnalysisError as error:
            now = f"told: {error}"
        found = problems_of(folder)
        if not (now == before or (now.startswith("told: ") and found)):
            silent.append((name, place, sign, found))
        if name not in ("log.jsonl", "summary/diagnosis.json"):
            assert any(name in line or "newer version" in line for line in found), (name, place, sign, found)
        shutil.rmtree(folder)
    assert silent == []


def problems_of(folder: Path) -> list[str]:
    try:
        return verify_run(folder)
    except DPOAnalysisError as error:
        return [str(error)]


@pytest.mark.parametrize("kind", ["pairs", "responses", "scores", "evidence", "probes", "training"])
def test_an_edited_footer_stops_the_reader(whole, tmp_path, kind):
    folder = shutil.copytree(whole, tmp_path / "run")
    name = next(name for name in files_of(whole) if name.startswith(kind) and name.endswith(".parquet"))
    # Eight bytes of length and magic end the file; before them is the footer, which no checksum of a page covers.
    edited(folder, name, (folder / name).stat().st_size - 40, 1)
    with pytest.raises(StorageError, match=f"damaged .*{name}: its sha256 is not the manifest's"):
        shown(open_run(folder))


def test_an_edited_summary_is_made_again_from_the_parts(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    path = f"{scores_folder(open_run(folder).models[-1]).replace('scores', 'summary/sums')}.parquet"
    before = dpo.step_table(open_run(whole))
    table = store.read_summary(open_run(folder), store.PAIR_SUMS, open_run(folder).models[-1])
    doubled = table.set_column(
        table.column_names.index("chosen_logps"), "chosen_logps", pa.array(table["chosen_logps"].to_numpy() * 2)
    )
    label = {key.decode(): value.decode() for key, value in pa.parquet.read_schema(folder / path).metadata.items()}
    (folder / path).write_bytes(parquet_bytes(doubled, label).to_pybytes())
    assert np.array_equal(dpo.step_table(open_run(folder))["chosen_reward"], before["chosen_reward"])
    assert any(path in line for line in verify_run(folder))


LOG_EDITS = {
    "a number": lambda line: line.replace(b'"n_tried": 12', b'"n_tried": 13'),
    "a name of a field": lambda line: line.replace(b"n_tried", b"n_trieb"),
    "no JSON any more": lambda line: line.replace(b'"option"', b'"option'),
    "the checksum": lambda line: line[:-3] + (b"0" if line[-3:-2] != b"0" else b"1") + line[-2:],
    "the name of the checksum": lambda line: line.replace(b"checksum", b"checksuM"),
    "the last sign": lambda line: line[:-1] + b"|",
    "something behind it": lambda line: line + b" ",
    "a line end less": lambda line: line + b"#" + line,
}


@pytest.mark.parametrize("edit", LOG_EDITS)
def test_an_edited_line_of_the_log_is_told_by_its_number(tmp_path, edit):
    for event in ("start", "log_fit", "note"):
        append_event(tmp_path, event, FIT)
    lines = (tmp_path / "log.jsonl").read_bytes().splitlines()
    lines[1] = LOG_EDITS[edit](lines[1])
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(StorageError, match=r"damaged .*log.jsonl: line 2 is not as it was written"):
        events_of(tmp_path)


def events_of(path: Path) -> list[dict]:
    from dpo_analysis.runs.log import read_events

    return read_events(path)


def test_lines_of_earlier_versions_and_torn_lines_stay_as_they_were(tmp_path):
    old = {"time": "t", "event": "start", "pid": 1, "nested": {"a": 1}}
    (tmp_path / "log.jsonl").write_text(json.dumps(old) + "\nno json\n")
    append_event(tmp_path, "note", {"text": "ä\u2028\n"})
    whole_line = (tmp_path / "log.jsonl").read_bytes().splitlines()[-1]
    for length in range(0, len(whole_line) - 3, 7):
        (tmp_path / "log.jsonl").write_bytes(json.dumps(old).encode() + b"\n" + whole_line[:length])
        append_event(tmp_path, "note", {"text": "ä\u2028\n"})
        found = events_of(tmp_path)
        assert found[0] == old
        assert [event["text"] for event in found[1:]] == ["ä\u2028\n"]
        assert "checksum" not in found[-1]
