"""Sums from elsewhere become a run folder without tokens; its numbers are those of the sums, and nothing is guessed."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import dpo_analysis as dpo
from dpo_analysis.cli.main import main
from dpo_analysis.cli.run_notes import imported_lines
from dpo_analysis.diagnosis import run_checks
from dpo_analysis.errors import InputError
from dpo_analysis.runs import verify_run
from dpo_analysis.tables.export import export_run
from tests.handmade import make_run

OUTSIDE = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
NUMBERS = OUTSIDE / "pythia410m-dpo-logps.npz"
PAIR_SUMS = {0: [(-10.0, -8.0), (-5.0, -6.0)], 4: [(-9.0, -9.0), (-6.0, -8.0)], 8: [(-11.0, -12.0), (-7.0, -10.0)]}


def long_rows(**more):
    """A long table of two pairs at steps 0, 4 and 8, by pair_id."""
    return [
        {"pair_id": f"q{pair}", "step": step, "side": side, "logps": sums[pair][place], **more}
        for step, sums in PAIR_SUMS.items()
        for pair in range(2)
        for place, side in enumerate(("chosen", "rejected"))
    ]


def written(path, rows):
    """The rows in a file of the kind that its name says."""
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def arrays(path, **more):
    """The same numbers as arrays of shape (checkpoints, pairs)."""
    values = np.array([PAIR_SUMS[step] for step in PAIR_SUMS])
    np.savez(path, chosen=values[:, :, 0], rejected=values[:, :, 1], **more)
    return path


def test_a_pair_has_the_numbers_of_its_row_by_hand(tmp_path):
    file = written(tmp_path / "sums.jsonl", long_rows())
    run = dpo.import_run(file, out=tmp_path / "run", beta=0.5, reference_checkpoint=0)
    pairs = dpo.pair_table(run).set_index(["model", "pair_id"])
    first, last = pairs.loc[("4", "q0")], pairs.loc[("8", "q1")]
    assert (first["chosen_log_ratio"], first["rejected_log_ratio"], first["margin"]) == (1.0, -1.0, 1.0)
    assert (last["chosen_reward"], last["rejected_reward"], last["margin"]) == (-1.0, -2.0, 1.0)
    assert pairs["chosen_n_tokens"].isna().all()
    assert dpo.response_table(run)["log_ratio_per_token"].isna().all()
    assert list(dpo.step_table(run)["step"]) == [4, 8]
    assert run.series["policy"].start == "reference"


@pytest.mark.parametrize("name", ["sums.jsonl", "sums.csv", "sums.parquet"])
def test_every_kind_of_file_gives_the_same_run(tmp_path, name):
    rows = dpo.import_run(written(tmp_path / name, long_rows()), out=tmp_path / "a", reference_checkpoint=0)
    ids = np.array(["q0", "q1"])
    same = dpo.import_run(arrays(tmp_path / "b.npz", steps=np.array([0, 4, 8]), pair_id=ids), out=tmp_path / "b",
                          reference_checkpoint=0)  # fmt: skip
    assert dpo.pair_table(rows).equals(dpo.pair_table(same))
    assert verify_run(rows.path) == []


def test_an_exported_response_table_comes_back_as_the_same_run(tmp_path):
    scores = {
        "reference": [([-1.0, -2.0], [-3.0]), ([-4.0], [-1.0, -0.5])],
        "gentle/checkpoint-10": [([-1.5, -2.5], [-4.0]), ([-3.0], [-2.0, -0.5])],
        "strong/checkpoint-10": [([-2.5, -2.5], [-9.0]), ([-3.5], [-7.0, -0.5])],
    }
    run = make_run(tmp_path / "run", scores)
    export_run(run, "response", tmp_path / "responses.csv")
    back = dpo.import_run(tmp_path / "responses.csv", out=tmp_path / "back")
    numbers = ["accuracy", "margin", "chosen_reward", "rejected_reward", "loss", "ranking_accuracy"]
    assert dpo.step_table(back)[["series", "model", "step", *numbers]].equals(
        dpo.step_table(run)[["series", "model", "step", *numbers]]
    )
    assert back.series["gentle"].start == "unknown"


def test_texts_come_from_the_rows_or_from_the_pairs_and_name_pairs_and_groups_alike(tmp_path):
    texts = [{"prompt": "x", "chosen": "a", "rejected": "b"}, {"prompt": "x", "chosen": "c", "rejected": "d"}]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in texts))
    rows = [by_number(row, texts) for row in long_rows()]
    own = dpo.import_run(rows, out=tmp_path / "own", reference_checkpoint="0")
    given = dpo.import_run(arrays(tmp_path / "s.npz"), out=tmp_path / "given", reference_checkpoint=0, pairs=str(file))
    expected = [pair.pair_id for pair in dpo.load_pairs(str(file))]
    for run in (own, given):
        pairs = run.pairs().to_pandas()
        assert list(pairs["pair_id"]) == expected
        assert list(pairs["chosen"]) == ["a", "c"]
        assert pairs["group_id"].nunique() == 1


def by_number(row, texts):
    number = int(row["pair_id"][1])
    return {name: value for name, value in row.items() if name != "pair_id"} | {"row": number} | texts[number]


def test_a_sum_that_is_unknown_is_flagged_and_not_counted(tmp_path):
    rows = long_rows()
    rows[-1]["logps"] = None
    run = dpo.import_run(rows, out=tmp_path / "run", reference_checkpoint=0)
    steps = dpo.step_table(run).set_index("step")
    assert list(steps["n_used"]) == [2, 1]
    assert verify_run(run.path) == []
    assert list(dpo.pair_table(run, model="8")["status"]) == ["ok", "nonfinite"]
    assert any("no number: policy/8 (1 pair)" in line for line in imported_lines(run, 0.1, {}))


def test_more_checkpoints_join_and_the_same_ones_change_nothing(tmp_path):
    early = [row for row in long_rows() if row["step"] < 8]
    for rows, count in ((early, 1), (long_rows(), 2), (long_rows(), 2)):
        run = dpo.import_run(rows, out=tmp_path / "run", reference_checkpoint=0)
        assert len(run.models) == count
        assert verify_run(run.path) == []
    changed = [row | {"logps": row["logps"] - (row["step"] == 8)} for row in long_rows()]
    with pytest.raises(InputError, match="has different weights"):
        dpo.import_run(changed, out=tmp_path / "run", reference_checkpoint=0)
    other = [row | {"logps": row["logps"] - (row["step"] == 0)} for row in long_rows()]
    with pytest.raises(InputError, match="holds a different run"):
        dpo.import_run(other, out=tmp_path / "run", reference_checkpoint=0)


def test_what_needs_tokens_says_that_there_are_none(tmp_path):
    run = dpo.import_run(long_rows(), out=tmp_path / "run", reference_checkpoint=0)
    assert not run.has_tokens
    assert make_run(tmp_path / "whole", {"reference": [([-1.0], [-1.0])], "s/1": [([-1.0], [-2.0])]}).has_tokens
    assert len(dpo.token_table(run)) == len(dpo.position_table(run)) == 0
    for table in ("token", "position"):
        with pytest.raises(InputError, match="it was imported from sums"):
            export_run(run, table, tmp_path / "t.csv")
    verdicts = {check.name: check.verdict for check in run_checks(run)}
    assert {verdicts[name] for name in ("double_bos", "double_eos", "no_eos", "truncated", "beginning")} == {"unknown"}


def test_a_diagnosis_without_tokens_names_no_cause_that_needs_them(tmp_path):
    deep = [row | {"logps": row["logps"] - 2 * row["step"]} for row in long_rows()]
    found = dpo.diagnose(dpo.import_run(deep, out=tmp_path / "run", reference_checkpoint=0))
    assert found.fall.drop == pytest.approx(-17.5)
    said = {one.cause for one in found}
    assert not said & {
        "near_identical",
        "contradiction",
        "collision",
        "style_drift",
        "competing_answer",
        "generic_drift",
    }
    assert [one.key for one in found.open] == ["diagnosis.open.tokens"]


NO_REFERENCE = [row for row in long_rows() if row["step"] != 0]
REFUSED = {
    "no reference": (NO_REFERENCE, {}, "no model is called 'reference'"),
    "no such reference": (long_rows(), {"reference_checkpoint": 3}, "no model is called '3'"),
    "only a reference": (long_rows()[:4], {"reference_checkpoint": 0}, "the reference is the only model"),
    "no rows": ([], {}, "no rows"),
    "no side": ([{"pair_id": "a", "step": 1, "logps": -1}], {}, r"rowlist|list\[0\]: side is None"),
    "another side": ([{"pair_id": "a", "step": 1, "side": "other", "logps": -1}], {}, "side is 'other'"),
    "no pair": ([{"step": 1, "side": "chosen", "logps": -1}], {}, "no pair_id and no row"),
    "no model": ([{"pair_id": "a", "side": "chosen", "logps": -1}], {}, "no model and no step"),
    "a word for a number": ([long_rows()[0] | {"logps": "low"}], {}, "logps is 'low'"),
    "tokens for a sum": ([long_rows()[0] | {"logps": [-1.0, -2.0]}], {}, "logps is a list"),
    "half a step": ([long_rows()[0] | {"step": 1.5}], {}, "step is '1.5'"),
    "a loss for a log-prob": ([row | {"logps": -row["logps"]} for row in long_rows()], {}, "stand above 0"),
    "a row twice": ([*long_rows(), long_rows()[5]], {}, "stand twice"),
    "a side missing": (long_rows()[:-1], {}, "stand nowhere"),
    "another text": ([long_rows()[0] | {"prompt": "a"}, long_rows()[1] | {"prompt": "b"}], {}, "different prompt"),
    "two references": ([row | {"reference_logps": row["logps"]} for row in long_rows()], {}, "one reference"),
    "a series with a slash": ([long_rows()[0] | {"series": "a/b"}], {}, "series is 'a/b'"),
    "pairs that do not fit": (
        long_rows(), {"reference_checkpoint": 0, "pairs": [[{"prompt": "x", "chosen": "a", "rejected": "b"}]]},
        "pair_id 'q0' is not among",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_run_is_refused_in_one_line_before_anything_is_written(tmp_path, name):
    rows, options, why = REFUSED[name]
    with pytest.raises(InputError, match=why) as refused:
        dpo.import_run(rows, out=tmp_path / "run", **options)
    assert "\n" not in str(refused.value)
    assert "; " in str(refused.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"chosen": np.zeros((2, 3))}, "no 'rejected'"),
        ({"chosen": np.zeros((2, 3)), "rejected": np.zeros((2, 4))}, "has shape"),
        ({"chosen": np.zeros(3), "rejected": np.zeros(3)}, "has shape"),
        ({"chosen": np.array([["a"]]), "rejected": np.array([["b"]])}, "has shape"),
        ({"chosen": np.zeros((2, 3)), "rejected": np.zeros((2, 3)), "steps": np.array([5, 5])}, "different whole"),
        ({"chosen": np.zeros((2, 3)), "rejected": np.zeros((2, 3)), "pair_id": np.array(["a"])}, "pair_id has shape"),
        ({"chosen": np.array([[None]], dtype=object), "rejected": np.zeros((1, 1))}, "unreadable arrays"),
    ],
)
def test_arrays_of_another_shape_and_pickles_are_refused(tmp_path, content, why):
    np.savez(tmp_path / "sums.npz", **content)
    with pytest.raises(InputError, match=why):
        dpo.import_run(tmp_path / "sums.npz", out=tmp_path / "run", reference_checkpoint=0)


def test_the_command_says_what_it_did_and_what_it_assumed(tmp_path, capsys):
    file = arrays(tmp_path / "sums.npz", other=np.zeros(3))
    with pytest.raises(SystemExit) as left:
        main(["import", str(file), "--out", str(tmp_path / "run"), "--reference-checkpoint", "0", "--series", "s"])
    said = capsys.readouterr().out
    assert left.value.code == 0
    assert "imported: 2 policies and the reference, 2 pairs" in said
    assert "beta 0.1 is assumed for s" in said
    assert "not read: other" in said


@pytest.mark.parametrize("file", ["none.npz", "none.csv", "bad.npz"])
def test_a_file_that_cannot_be_read_is_one_line_and_exit_code_2(tmp_path, capsys, file):
    (tmp_path / "bad.npz").write_bytes(b"PK no archive")
    with pytest.raises(SystemExit) as left:
        main(["import", str(tmp_path / file), "--out", str(tmp_path / "run")])
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A run of 500 pairs and 50 evaluations that somebody else trained and published."""
    if not NUMBERS.exists():
        pytest.skip("the published sums are not here")
    out = tmp_path_factory.mktemp("outside") / "run"
    return dpo.import_run(NUMBERS, out=out, beta=0.1, series="pythia410m", reference_checkpoint=0)


def test_a_published_run_shows_its_published_numbers(outside):
    steps = dpo.step_table(outside).set_index("step")
    assert steps.loc[1, "accuracy"] == pytest.approx(0.652, abs=5e-4)
    assert (steps.loc[[15, 20, 25, 30, 40, 49], "accuracy"] == 1).all()
    assert (steps.loc[15:, "accuracy"] > 0.997).all()
    assert steps.loc[1, "ranking_accuracy"] == pytest.approx(0.400, abs=5e-4)
    assert steps.loc[49, "ranking_accuracy"] == pytest.approx(0.742, abs=5e-4)
    assert steps.loc[49, "share_both_fell"] == pytest.approx(0.376, abs=5e-4)
    assert steps.loc[49, "loss"] == pytest.approx(0.0005, abs=5e-5)
    assert steps.loc[25, ["chosen_reward", "rejected_reward", "margin"]].tolist() == pytest.approx(
        [1.1751, -3.3364, 4.5115], abs=1e-4
    )


def test_both_sides_of_the_published_run_move_together(outside):
    last = dpo.pair_table(outside, model="49")
    assert np.corrcoef(last["chosen_log_ratio"], last["rejected_log_ratio"])[0, 1] == pytest.approx(0.905, abs=6e-4)


def test_the_published_run_falls_below_its_own_peak(outside):
    found = dpo.diagnose(outside)
    assert (found.fall.kind, found.fall.baseline_step, found.fall.from_step) == ("below_peak", 25, 25)
    assert found.fall.drop == pytest.approx(-6.11, abs=5e-3)
    assert found.fall.share_of_pairs == pytest.approx(0.69, abs=5e-3)
    assert found.named == [], "sums say nothing of where the probability went"


def test_the_reference_may_be_a_model_or_a_column(tmp_path):
    as_model = [row | {"model": "reference" if row["step"] == 0 else str(row["step"])} for row in long_rows()]
    as_model = [{name: value for name, value in row.items() if name != "step"} for row in as_model]
    base = {(row["pair_id"], row["side"]): row["logps"] for row in long_rows() if row["step"] == 0}
    as_column = [row | {"reference_logps": base[row["pair_id"], row["side"]]} for row in NO_REFERENCE]
    first, second = (
        dpo.import_run(rows, out=tmp_path / str(place)) for place, rows in enumerate((as_model, as_column))
    )
    assert dpo.pair_table(first).equals(dpo.pair_table(second))
    assert isinstance(first.scores("reference"), pa.Table)
