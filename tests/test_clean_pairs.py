"""Cleaned data: the rows of the file as they were, without exactly the pairs that were meant, and a reason for each."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dpo_analysis as dpo
from dpo_analysis.cleaning import clean_pairs, cleaned_jsonl, export_pairs, rules
from dpo_analysis.cli.main import main
from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.diagnosis import load_or_diagnose
from dpo_analysis.diagnosis.findings import Finding
from dpo_analysis.errors import InputError, StorageError
from dpo_analysis.runs import open_run
from tests.data_runs import data_run

SAMPLE = Path(__file__).resolve().parent.parent / "sample_data"
RANKED = {"instruction": "Why?", "generations": ["best", "middle", "worst"], "ratings": [5, 3, 1]}


def row(number, **more):
    return {"prompt": f"Question {number}?", "chosen": f"Yes {number}.", "rejected": f"No {number}.", **more}


def written(path, rows):
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), "utf-8")
    return path


def read(path):
    """The rows of a file as (key, value) lists, so that the order of keys counts."""
    return [json.loads(line, object_pairs_hook=list) for line in Path(path).read_text("utf-8").splitlines()]


def command(*arguments):
    """The exit code of the command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def removed(path):
    return [json.loads(line) for line in path.with_name(f"{path.stem}.removed.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture
def data(tmp_path):
    rows = [row(number, score=number / 4, tags=["a", {"z": 1, "b": None}]) for number in range(10)]
    return written(tmp_path / "data.jsonl", rows)


@pytest.fixture
def run(tmp_path, data):
    return data_run(tmp_path / "run", str(data), margins=[*range(-5, 5)], statuses={9: "too_long"})


@pytest.fixture
def sample(tmp_path):
    shutil.copytree(SAMPLE / "run", tmp_path / "sample")
    return open_run(tmp_path / "sample")


def test_without_rules_all_rows_come_back_as_they_were(run, data, tmp_path):
    lines = export_pairs(run, tmp_path / "all.jsonl")
    assert read(tmp_path / "all.jsonl") == read(data)
    assert lines[0] == f"10 of the run's 10 rows of eval in {tmp_path / 'all.jsonl'}"
    assert removed(tmp_path / "all.jsonl") == []


def test_a_cleaned_file_has_exactly_the_other_pairs_and_the_list_says_why(run, data, tmp_path):
    ids = [pair.pair_id for pair in load_pairs(str(data))]
    (tmp_path / "bad.txt").write_text(f"# by hand\n\n{ids[7]}\n {ids[0]}\r\n")
    given = [f"ids:{tmp_path / 'bad.txt'}", "where:margin < -0.25", "where:status != 'ok'"]
    lines = export_pairs(run, tmp_path / "clean.jsonl", given)
    kept = [pair.pair_id for pair in load_pairs(str(tmp_path / "clean.jsonl"))]
    assert kept == [ids[number] for number in (3, 4, 5, 6, 8)]
    assert read(tmp_path / "clean.jsonl") == [read(data)[number] for number in (3, 4, 5, 6, 8)]
    found = {record["pair_id"]: record for record in removed(tmp_path / "clean.jsonl")}
    assert list(found) == [ids[number] for number in (0, 1, 2, 7, 9)]
    assert [reason["without"] for reason in found[ids[0]]["reasons"]] == given[:2]
    assert found[ids[0]]["reasons"][1]["values"] == {"margin": pytest.approx(-0.5)}
    assert (found[ids[9]]["split"], found[ids[9]]["row"]) == ("eval", 9)
    assert [line.partition(" ")[0] for line in lines] == ["5", "2", "3", "1", "5"]
    again = export_pairs(run, tmp_path / "again.jsonl", [f"ids:{tmp_path / 'clean.removed.jsonl'}"])
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "clean.jsonl").read_bytes()
    assert again[0].startswith("5 of the run's 10 rows")


def test_pairs_that_were_never_scored_are_kept_unless_they_are_named(run, tmp_path):
    """A missing number is neither below nor above anything."""
    for condition in ("margin != 99", "not margin == 99", "margin < 99"):
        export_pairs(run, tmp_path / "t.jsonl", [f"where:{condition}"])
        assert len(read(tmp_path / "t.jsonl")) == 1


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_the_exported_pair_table_is_a_list_of_ids(run, tmp_path, ending):
    table = tmp_path / f"t.{ending}"
    command("export", run.path, "--table", "pair", "--to", table, "--pair", dpo.pair_table(run).pair_id[3])
    export_pairs(run, tmp_path / "clean.jsonl", [f"ids:{table}"])
    assert len(read(tmp_path / "clean.jsonl")) == 9


def test_json_lists_are_lists_of_ids(run, tmp_path):
    ids = dpo.pair_table(run).pair_id[:2].tolist()
    for content in (ids, {"pair_ids": ids}, [{"pair_id": one} for one in ids]):
        (tmp_path / "ids.json").write_text(json.dumps(content))
        assert clean_pairs(run, [f"ids:{tmp_path / 'ids.json'}"]).removed.tolist() == [True, True, *[False] * 8]


@pytest.mark.parametrize("pairing", ["all", "best-rest", "best-worst"])
def test_a_row_that_made_several_pairs_is_written_once_and_removed_whole(tmp_path, pairing):
    rows = [row(1), RANKED, row(2), RANKED, row(1)]
    data = written(tmp_path / "ranked.jsonl", rows)
    run = data_run(tmp_path / "run", str(data), pairing=pairing)
    n_pairs = {"all": 3, "best-rest": 2, "best-worst": 1}[pairing]
    assert run.n_pairs == 3 + 2 * n_pairs
    lines = export_pairs(run, tmp_path / "all.jsonl")
    assert sorted(map(str, read(tmp_path / "all.jsonl"))) == sorted(map(str, read(data)))
    assert any("same prompt stand together" in line for line in lines)
    assert any("made 9 pairs" in line for line in lines) == (pairing == "all")
    pairs = load_pairs(str(data), pairing=pairing)
    (tmp_path / "one.txt").write_text([pair.pair_id for pair in pairs if "instruction" in pair.source][-1])
    export_pairs(run, tmp_path / "clean.jsonl", [f"ids:{tmp_path / 'one.txt'}"])
    assert sorted(map(str, read(tmp_path / "clean.jsonl"))) == sorted(map(str, [*read(data)[:3], read(data)[4]]))
    (record,) = removed(tmp_path / "clean.jsonl")
    assert len(record.get("pair_ids", [0])) == n_pairs


def test_equal_rows_are_rows_of_their_own(tmp_path):
    data = written(tmp_path / "twice.jsonl", [row(1), row(1), row(2), row(1)])
    run = data_run(tmp_path / "run", str(data))
    ids = [pair.pair_id for pair in load_pairs(str(data))]
    assert ids[3].endswith("-3")
    (tmp_path / "ids.txt").write_text(f"{ids[1]}\n{ids[3]}\n")
    lines = export_pairs(run, tmp_path / "clean.jsonl", [f"ids:{tmp_path / 'ids.txt'}"])
    assert read(tmp_path / "clean.jsonl") == [read(data)[0], read(data)[2]]
    assert not any("made" in line for line in lines)


def test_values_that_json_does_not_have_are_said_to_be_changed(tmp_path):
    frame = pd.DataFrame(
        [row(n, made=pd.Timestamp("2024-01-02"), blob=b"abc", score=[0.5, None][n % 2]) for n in (1, 2)]
    )
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "data.parquet")
    run = data_run(tmp_path / "run", str(tmp_path / "data.parquet"))
    note = export_pairs(run, tmp_path / "t.jsonl")[1]
    assert "dates as text in `made`" in note
    assert "bytes as their length in 2 rows" in note
    assert "null among the numbers of `score`" in note
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(json.dumps(row(1, chosen="half \ud800")).encode() + b"\n" + json.dumps(row(2)).encode() + b"\n")
    run = data_run(tmp_path / "other", str(broken), statuses={0: "bad_text"})
    assert "broken Unicode in 1 row:" in export_pairs(run, tmp_path / "t.jsonl")[1]
    assert len(read(tmp_path / "t.jsonl")) == 2


def test_a_run_with_a_limit_says_how_much_of_the_data_it_holds(tmp_path, data):
    run = data_run(tmp_path / "run", str(data), limit=3)
    lines = export_pairs(run, tmp_path / "t.jsonl")
    assert any("the run holds 3 of 10 pairs of eval: it was scored with --limit 3" in line for line in lines)
    assert all(one in read(data) for one in read(tmp_path / "t.jsonl"))


def test_splits_are_never_mixed(tmp_path, data):
    other = written(tmp_path / "train.jsonl", [row(number) for number in (3, 20, 21)])
    run = data_run(tmp_path / "run", str(data), f"train={other}")
    with pytest.raises(InputError, match=r"several splits .*: eval, train; .*--split train"):
        export_pairs(run, tmp_path / "t.jsonl")
    export_pairs(run, tmp_path / "t.jsonl", split="train")
    assert read(tmp_path / "t.jsonl") == read(other)
    (tmp_path / "ids.txt").write_text(load_pairs(str(data))[0].pair_id)
    lines = export_pairs(run, tmp_path / "t.jsonl", [f"ids:{tmp_path / 'ids.txt'}"], split="train")
    assert "1 of its 1 pair_ids are of other splits" in lines[1]
    assert read(tmp_path / "t.jsonl") == read(other)


def test_the_sample_comes_back_and_the_pairs_that_its_finding_blames_are_those_with_the_phrase(sample, tmp_path):
    """The sample was scored with --limit, and its log is not shipped."""
    notes = export_pairs(sample, tmp_path / "all.jsonl", split="train")
    assert any("does not say how many rows its data had" in note for note in notes)
    whole = read(SAMPLE / "pairs" / "train.jsonl")
    assert read(tmp_path / "all.jsonl") == [one for one in whole if one in read(tmp_path / "all.jsonl")]
    export_pairs(sample, tmp_path / "eval.jsonl", split="eval")
    assert read(tmp_path / "eval.jsonl") == read(SAMPLE / "pairs" / "eval.jsonl")
    lines = export_pairs(sample, tmp_path / "clean.jsonl", ["finding:collision"], split="train")
    phrase = "Is there anything else I can help you with?"

    def has(record, side):
        return phrase in str(record[side])

    wanted = load_pairs(str(tmp_path / "all.jsonl"))
    blamed = [one for one in wanted if has(one.source, "rejected") and not has(one.source, "chosen")]
    kept = [one.pair_id for one in load_pairs(str(tmp_path / "clean.jsonl"))]
    assert kept == [one.pair_id for one in wanted if one not in blamed]
    assert [record["pair_id"] for record in removed(tmp_path / "clean.jsonl")] == [one.pair_id for one in blamed]
    reason = removed(tmp_path / "clean.jsonl")[0]["reasons"][0]
    assert (reason["cause"], reason["side"], reason["phrase"]) == ("collision", "rejected", phrase)
    assert lines[1].startswith(f"{len(blamed)} rows removed by finding:collision (strong/checkpoint-150")
    assert cleaned_jsonl(sample, [one.pair_id for one in blamed], "train") == (tmp_path / "clean.jsonl").read_bytes()


def test_of_labels_that_look_flipped_it_is_said_how_many_right_ones_are_marked(sample, tmp_path, monkeypatch):
    values = {"opposed_right": "16%"}
    finding = Finding("contradiction", "possible", "association", key="diagnosis.contradiction.flipped", values=values)
    found = replace(load_or_diagnose(sample, series="strong"), findings=[finding])
    monkeypatch.setattr(rules, "load_or_diagnose", lambda *arguments, **more: found)
    lines = export_pairs(sample, tmp_path / "t.jsonl", ["finding:contradiction"], split="eval")
    assert "this test marks 16% of the pairs that the policy orders right, too" in lines[1]
    assert "other pairs oppose its label" in removed(tmp_path / "t.jsonl")[0]["reasons"][0]["why"]


@pytest.mark.parametrize(
    ("rule", "options", "why"),
    [
        (
            "finding:generic_drift",
            {},
            r"no finding 'generic_drift' for strong/checkpoint-150 .*; give collision or near",
        ),
        ("finding:collision", {"series": "gentle"}, r"for gentle/checkpoint-300 .*no cause; name pairs by where:"),
        (
            "finding:reference_effect",
            {"series": "lora"},
            "no property of single pairs; give collision or near_identical",
        ),
        ("where:margin < 0", {"model": "checkpoint-150"}, "no model 'checkpoint-150' .*give one of these"),
        ("where:margin < 0", {"series": "x"}, "no series 'x'"),
        ("where:margins < 0", {}, "no column 'margins': did you mean margin"),
        ("where:n_chosen_tokens > 5", {}, "did you mean chosen_n_tokens"),
        ("ids:nowhere.txt", {}, "there is no such file"),
        ("where:", {}, "no rule 'where:'"),
        ("margin < 0", {}, "it is ids:FILE, finding:CAUSE or where:EXPR"),
        ("where:margin < 0", {"loss_type": "aot"}, "sorts a whole batch"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(sample, tmp_path, rule, options, why):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=why):
        export_pairs(sample, tmp_path / "t.jsonl", [rule], split="train", **options)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"nope\nnone\n0\n1\n", r"4 of 4 are not in run .* \(nope, none, 0, ...\)"),
        (b"# nothing\n\n", "it is empty"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_list_of_ids_that_is_none_is_refused(run, tmp_path, content, why):
    (tmp_path / "ids.txt").write_bytes(content)
    with pytest.raises(InputError, match=why):
        export_pairs(run, tmp_path / "t.jsonl", [f"ids:{tmp_path / 'ids.txt'}"])
    assert not (tmp_path / "t.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("t.csv", "a,b\n1,2\n", r"no pair_id in .*t.csv:2"),
        ("t.jsonl", '{"pair_id": 3}\n', r"no pair_id in .*t.jsonl:1"),
        ("t.json", '{"a": 1}', "no pair_id"),
        ("t.json", "[[]", "broken JSON"),
        ("t.parquet", "x", "unreadable Parquet"),
    ],
)
def test_a_table_without_ids_is_refused(run, tmp_path, name, content, why):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=why):
        export_pairs(run, tmp_path / "out.jsonl", [f"ids:{tmp_path / name}"])


def test_a_list_of_ids_is_bounded(run, tmp_path, monkeypatch):
    (tmp_path / "ids.txt").write_text("a" * 100)
    monkeypatch.setattr("dpo_analysis.cleaning.id_files.MAX_TEXT_BYTES", 50)
    with pytest.raises(InputError, match="file too large"):
        export_pairs(run, tmp_path / "out.jsonl", [f"ids:{tmp_path / 'ids.txt'}"])


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("t.csv", {}, r"ends in \.jsonl"),
        ("none/t.jsonl", {}, "there is no folder"),
        ("t.jsonl", {"split": "x"}, "no split 'x'"),
        ("t.jsonl", {"series": "gentle"}, "nothing to do for --series"),
        ("t.jsonl", {"beta": 0.1}, "nothing to do for --beta"),
    ],
)
def test_files_and_options_that_do_not_fit_are_refused(run, tmp_path, name, options, why):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=why):
        export_pairs(run, tmp_path / name, **options)
    assert sorted(tmp_path.iterdir()) == before


def test_the_list_that_is_read_is_never_replaced(run, tmp_path):
    ids = tmp_path / "t.removed.jsonl"
    ids.write_text(json.dumps({"pair_id": dpo.pair_table(run).pair_id[0]}) + "\n")
    with pytest.raises(InputError, match="would be replaced"):
        export_pairs(run, tmp_path / "t.jsonl", [f"ids:{ids}"])
    assert ids.read_text().startswith('{"pair_id"')


def test_a_run_of_sums_has_source_rows_only_where_pairs_were_given(tmp_path, data):
    sums = tmp_path / "sums.csv"
    lines = ["row,model,side,logps"]
    for number in range(10):
        lines += [
            f"{number},{name},{side},-{number + 1}.5" for name in ("reference", "a") for side in ("chosen", "rejected")
        ]
    sums.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"no source rows .*imported from sums without pairs"):
        export_pairs(dpo.import_run(sums, out=tmp_path / "bare"), tmp_path / "t.jsonl")
    (tmp_path / "asked.csv").write_text(
        "pair_id,model,side,logps,prompt\n"
        + "".join(f"p,{name},{side},-1.5,Why?\n" for name in ("reference", "a") for side in ("chosen", "rejected"))
    )
    with pytest.raises(InputError, match=r"no source rows .*imported from sums without pairs"):
        export_pairs(dpo.import_run(tmp_path / "asked.csv", out=tmp_path / "asked"), tmp_path / "t.jsonl")
    export_pairs(dpo.import_run(sums, out=tmp_path / "run", pairs=str(data)), tmp_path / "t.jsonl")
    assert read(tmp_path / "t.jsonl") == read(data)


def test_a_damaged_or_unfinished_run_leaves_the_old_files(tmp_path, run):
    (tmp_path / "t.jsonl").write_text("old")
    part = run.path / "pairs" / "part-00001.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:-9] + b"123456789")
    with pytest.raises(StorageError, match="damaged"):
        export_pairs(open_run(run.path), tmp_path / "t.jsonl")
    part.unlink()
    with pytest.raises(StorageError, match=r"missing .*pairs"):
        export_pairs(open_run(run.path), tmp_path / "t.jsonl")
    assert (tmp_path / "t.jsonl").read_text() == "old"
    assert not (tmp_path / "t.removed.jsonl").exists()


def test_the_command_prints_counts_and_files_and_refuses_in_one_line(run, tmp_path, capsys):
    out = tmp_path / "clean.jsonl"
    export = ["export", run.path, "--to", out, "--table"]
    assert command(*export, "pairs", "--without", "where:margin < 0", "--without", "where:status != 'ok'") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"4 of the run's 10 rows of eval in {out}"
    assert said[-1] == f"6 rows removed in all, with the reasons in {tmp_path / 'clean.removed.jsonl'}"
    for arguments in (["pairs", "--pair", "x"], ["pair", "--split", "eval"], ["pair", "--without", "where:margin<0"]):
        assert command(*export, *arguments) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert command(*export, "pears") == 2
    assert "pairs, the rows of your data" in capsys.readouterr().err
