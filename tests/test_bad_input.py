"""Bad input through the real command: one line, the right exit code, no traceback, nothing half-written.

Each case names what is wrong, the command to type, the exit code, and what the line must say.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import dpo_analysis
from dpo_analysis.cli.main import main

SAMPLE = Path(__file__).resolve().parent.parent / "sample_data"
SFT, CHECKPOINT, ADAPTER = SAMPLE / "sft", SAMPLE / "gentle" / "checkpoint-60", None
GOOD = {"prompt": "Say it.", "chosen": "Yes.", "rejected": "No."}
CHAT = {
    "prompt": [{"role": "user", "content": "Say it."}],
    "chosen": [{"role": "assistant", "content": "Yes."}],
    "rejected": [{"role": "assistant", "content": "No."}],
}


def adapter() -> Path:
    return sorted((SAMPLE / "lora").glob("checkpoint-*"))[0]


def lines(path: Path, *rows: object) -> Path:
    """A JSONL file of ``rows``; a str is written as it is."""
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_bytes((text + "\n").encode("utf-8", "surrogatepass"))
    return path


def model(tmp: Path, *, source: Path = SFT, name: str = "model", drop: str = "", **changed: object) -> Path:
    """A copy of a sample model, without the file ``drop`` and with ``changed`` keys of its config."""
    folder = tmp / name
    shutil.copytree(source, folder)
    if drop:
        (folder / drop).unlink()
    if changed:
        config = folder / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | changed))
    return folder


def weights(folder: Path, change, file: str = "model.safetensors") -> Path:
    """``folder`` with its tensors put through ``change``."""
    tensors = {name: np.array(value) for name, value in load_file(folder / file).items()}
    change(tensors)
    save_file(tensors, folder / file, metadata={"format": "pt"})
    return folder


def score(tmp: Path, pairs: object = None, *, reference: object = SFT, policy: object = CHECKPOINT, more: tuple = ()):
    pairs = pairs or lines(tmp / "pairs.jsonl", CHAT)
    return [
        "score",
        str(pairs),
        "--reference",
        str(reference),
        "--policy",
        str(policy),
        "--out",
        str(tmp / "run"),
        *more,
    ]


def check(tmp: Path, *rows: object, name: str = "pairs.jsonl", more: tuple = ()):
    return ["check", str(lines(tmp / name, *rows)), *more]


def with_nan(tensors):
    for value in tensors.values():
        value[...] = np.nan


def without_a_layer(tensors):
    del tensors[next(name for name in tensors if "layers.0" in name)]


def renamed(tensors):
    for name in list(tensors):
        tensors[name.replace("layers.0", "layers.7")] = tensors.pop(name)


def swapped_tokenizer(tmp: Path) -> Path:
    folder = model(tmp, source=CHECKPOINT, name="swapped")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    first, second = list(vocabulary)[300:302]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(content), "utf-8")
    return folder


def pickle_only(tmp: Path) -> Path:
    folder = model(tmp, drop="model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    return folder


def truncated(tmp: Path) -> Path:
    folder = model(tmp)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    return folder


def no_template(tmp: Path) -> Path:
    folder = model(tmp, name="plain")
    for path in folder.glob("chat_template*"):
        path.unlink()
    config = folder / "tokenizer_config.json"
    content = json.loads(config.read_text("utf-8"))
    content.pop("chat_template", None)
    config.write_text(json.dumps(content), "utf-8")
    return folder


def foreign_base(tmp: Path) -> Path:
    folder = model(tmp, source=adapter(), name="foreign")
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "/not/here/base"}))
    return folder


def renamed_adapter(tmp: Path) -> Path:
    return weights(model(tmp, source=adapter(), name="renamed"), renamed, "adapter_model.safetensors")


def encoder_decoder(tmp: Path) -> Path:
    return model(tmp, model_type="t5", architectures=["T5ForConditionalGeneration"], is_encoder_decoder=True)


def run_folder(tmp: Path) -> Path:
    folder = tmp / "run"
    shutil.copytree(Path(__file__).parent / "golden" / "schema-1", folder)
    return folder


def newer(tmp: Path) -> Path:
    path = run_folder(tmp) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    return path.parent


def broken_manifest(tmp: Path) -> Path:
    path = run_folder(tmp) / "manifest.json"
    path.write_text(path.read_text()[:100])
    return path.parent


def damaged_part(tmp: Path) -> Path:
    folder = run_folder(tmp)
    path = sorted((folder / "scores" / "reference").glob("*.parquet"))[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    return folder


def flipped(tmp: Path, name: str) -> Path:
    folder = run_folder(tmp)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    return folder


def missing_part(tmp: Path) -> Path:
    folder = run_folder(tmp)
    sorted((folder / "scores" / "reference").glob("*.parquet"))[0].unlink()
    return folder


def written(tmp: Path, name: str, content: bytes) -> Path:
    path = tmp / name
    path.write_bytes(content)
    return path


def empty_dir(tmp: Path) -> Path:
    (tmp / "empty").mkdir()
    return tmp / "empty"


@dataclass(frozen=True)
class Case:
    name: str
    argv: object
    code: int
    says: tuple[str, ...]


CASES = [
    Case("broken JSON", lambda t: check(t, GOOD, '{"prompt": '), 2, ("pairs.jsonl", ".jsonl:2")),
    Case("a number instead of a row", lambda t: check(t, GOOD, "17"), 2, (".jsonl:2",)),
    Case("missing field", lambda t: check(t, {"prompt": "x", "chosen": "y"}), 2, (".jsonl:1", "rejected")),
    Case(
        "second row lacks a field",
        lambda t: check(t, GOOD, {"prompt": "x", "rejected": "y"}),
        2,
        (".jsonl:2", "chosen"),
    ),
    Case("unknown columns", lambda t: check(t, {"question": "x", "a": "y", "b": "z"}), 2, ("question", "chosen")),
    Case("chosen is a number", lambda t: check(t, GOOD | {"chosen": 5}), 2, (".jsonl:1", "chosen")),
    Case(
        "message without content",
        lambda t: check(t, CHAT | {"chosen": [{"role": "assistant"}]}),
        2,
        (".jsonl:1", "content"),
    ),
    Case("chosen is a list of numbers", lambda t: check(t, CHAT | {"chosen": [1]}), 2, (".jsonl:1",)),
    Case("empty file", lambda t: ["check", str(written(t, "pairs.jsonl", b""))], 2, ("pairs.jsonl",)),
    Case("only blank lines", lambda t: ["check", str(written(t, "pairs.jsonl", b"\n \n\n"))], 2, ("pairs.jsonl",)),
    Case(
        "not UTF-8",
        lambda t: ["check", str(written(t, "p.jsonl", b'{"prompt": "\xff\xfe"}\n'))],
        2,
        ("p.jsonl", ".jsonl:1"),
    ),
    Case("deep nesting", lambda t: check(t, "[" * 5000 + "]" * 5000), 2, (".jsonl:1",)),
    Case("a line of 20 MiB", lambda t: check(t, GOOD | {"chosen": "x" * (20 << 20)}), 2, (".jsonl:1",)),
    Case("no such pairs file", lambda t: ["check", str(t / "absent.jsonl")], 2, ("absent.jsonl",)),
    Case("unknown kind of file", lambda t: ["check", str(written(t, "pairs.docx", b"x"))], 2, ("pairs.docx",)),
    Case("a folder that is no dataset", lambda t: ["check", str(empty_dir(t))], 2, ("empty",)),
    Case("damaged Parquet", lambda t: ["check", str(written(t, "p.parquet", b"PAR1nonsense"))], 2, ("p.parquet",)),
    Case("CSV without columns", lambda t: ["check", str(written(t, "p.csv", b"a,b\n1,2\n"))], 2, ("p.csv", "chosen")),
    Case("JSON that is a string", lambda t: ["check", str(written(t, "p.json", b'"x"'))], 2, ("p.json",)),
    Case("broken JSON file", lambda t: ["check", str(written(t, "p.json", b'[{"prompt": '))], 2, ("p.json",)),
    Case(
        "cut-off JSON file",
        lambda t: ["check", str(written(t, "p.json", b'[\n{"prompt": "a",\n'))],
        2,
        ("p.json", "cut off"),
    ),
    Case("cut-off JSON line", lambda t: check(t, GOOD, '{"prompt": '), 2, (".jsonl:2", "cut off")),
    Case(
        "JSON broken in line 3",
        lambda t: ["check", str(written(t, "p.json", b'[\n{"prompt":\n"a" 1}]'))],
        2,
        ("p.json", "line 3"),
    ),
    Case("chosen is null", lambda t: check(t, GOOD | {"chosen": None}), 2, (".jsonl:1", "'chosen' is empty (null")),
    Case(
        "chosen is not a number",
        lambda t: check(t, '{"prompt": "x", "chosen": NaN, "rejected": "y"}'),
        2,
        (".jsonl:1", "'chosen' is empty"),
    ),
    Case("several bad rows", lambda t: check(t, GOOD, GOOD | {"chosen": None}, "17"), 2, ("2 of 3 rows", ".jsonl:2")),
    Case("fewer than no rows", lambda t: check(t, GOOD, more=("--rows", "-1")), 2, ("usage", "--rows")),
    Case("no pairs", lambda t: ["check"], 2, ("usage", "pairs")),
    Case("unknown command", lambda t: ["socre"], 2, ("usage", "socre")),
    Case("unknown option", lambda t: ["check", "x", "--tokeniser", "y"], 2, ("usage", "--tokeniser")),
    Case("unknown preset", lambda t: score(t, more=("--tokenization", "trl0")), 2, ("trl0",)),
    Case("unknown truncation", lambda t: score(t, more=("--truncation", "middle")), 2, ("middle",)),
    Case("unknown dtype", lambda t: score(t, more=("--dtype", "int3")), 2, ("int3",)),
    Case("unknown device", lambda t: score(t, more=("--device", "abacus")), 2, ("abacus",)),
    Case("no such GPU", lambda t: score(t, more=("--device", "mps")), 2, ("mps",)),
    Case("bad shard", lambda t: score(t, more=("--shard", "2/2")), 2, ("2/2",)),
    Case("negative limit", lambda t: score(t, more=("--limit", "-1")), 2, ("usage", "--limit")),
    Case("beta of 0", lambda t: score(t, more=("--beta", "0")), 2, ("beta",)),
    Case("beta is not a number", lambda t: score(t, more=("--beta", "nan")), 2, ("beta",)),
    Case("reference-free loss", lambda t: score(t, more=("--loss-type", "simpo")), 2, ("simpo",)),
    Case("batch-dependent loss", lambda t: score(t, more=("--loss-type", "aot")), 2, ("aot",)),
    Case("unknown loss", lambda t: score(t, more=("--loss-type", "sigmod")), 2, ("sigmod",)),
    Case("no reference", lambda t: [*score(t)[:2], *score(t)[4:]], 2, ("--reference",)),
    Case("no policy", lambda t: [*score(t)[:4], *score(t)[6:]], 2, ("policy",)),
    Case(
        "a policy given twice",
        lambda t: [*score(t, policy=f"a={CHECKPOINT}"), "--policy", f"a={CHECKPOINT}"],
        2,
        ("policies named", "/a", "same model"),
    ),
    Case(
        "two policies of one name",
        lambda t: [*score(t, policy=f"x/a={CHECKPOINT}"), "--policy", f"x/a={SFT}"],
        2,
        ("policies named", "x/a", "sft"),
    ),
    Case("unknown model folder", lambda t: score(t, policy=t / "absent"), 2, ("absent",)),
    Case("a folder without a model", lambda t: score(t, policy=empty_dir(t)), 2, ("empty",)),
    Case("pickle-only checkpoint", lambda t: score(t, policy=pickle_only(t)), 2, ("safetensors",)),
    Case("truncated weights", lambda t: score(t, policy=truncated(t)), 2, ("model.safetensors",)),
    Case("missing weight", lambda t: score(t, policy=weights(model(t), without_a_layer)), 4, ("layers.0",)),
    Case("NaN weights in the reference", lambda t: score(t, reference=weights(model(t), with_nan)), 2, ("NaN",)),
    Case("NaN weights in the only policy", lambda t: score(t, policy=weights(model(t), with_nan)), 4, ("NaN",)),
    Case("config that does not fit the weights", lambda t: score(t, policy=model(t, hidden_size=32)), 2, ("model",)),
    Case(
        "remote code", lambda t: score(t, policy=model(t, model_type="x", auto_map={"AutoConfig": "c.C"})), 2, ("code",)
    ),
    Case("encoder-decoder", lambda t: score(t, policy=encoder_decoder(t)), 2, ("encoder-decoder",)),
    Case("no config", lambda t: score(t, policy=model(t, drop="config.json")), 2, ("config.json",)),
    Case("tokenizers differ", lambda t: score(t, policy=swapped_tokenizer(t)), 2, ("tokenizer",)),
    Case("no chat template", lambda t: score(t, policy=no_template(t)), 2, ("--chat-template",)),
    Case("adapter whose base is not here", lambda t: score(t, policy=foreign_base(t)), 2, ("--base",)),
    Case(
        "adapter of another model",
        lambda t: score(t, policy=renamed_adapter(t), more=("--base", str(SFT))),
        2,
        ("adapter",),
    ),
    Case("all prompts too long", lambda t: score(t, more=("--max-length", "4")), 2, ("max", "length")),
    Case("bad series name", lambda t: score(t, policy=f"a/b/c={CHECKPOINT}"), 2, ("a/b/c",)),
    Case("trainer folder that is not there", lambda t: [*score(t), "--trainer-output", str(t / "gone")], 2, ("gone",)),
    Case("no such run", lambda t: ["verify", str(t / "nothing")], 2, ("nothing",)),
    Case("not a run", lambda t: ["verify", str(empty_dir(t))], 2, ("empty",)),
    Case("newer schema", lambda t: ["verify", str(newer(t))], 2, ("newer",)),
    Case("broken manifest", lambda t: ["verify", str(broken_manifest(t))], 3, ("problem",)),
    Case("damaged part", lambda t: ["verify", str(damaged_part(t))], 3, ("problem",)),
    Case("missing part", lambda t: ["verify", str(missing_part(t))], 3, ("problem",)),
    Case(
        "damaged part in a table",
        lambda t: ["export", str(damaged_part(t)), "--table", "step", "--to", str(t / "x.csv")],
        3,
        ("part-",),
    ),
    Case(
        "unknown table",
        lambda t: ["export", str(run_folder(t)), "--table", "rows", "--to", str(t / "x.csv")],
        2,
        ("rows", "pair"),
    ),
    Case(
        "unknown export format",
        lambda t: ["export", str(run_folder(t)), "--table", "pair", "--to", str(t / "x.xls")],
        2,
        ("x.xls",),
    ),
    Case(
        "unknown series",
        lambda t: ["export", str(run_folder(t)), "--table", "pair", "--to", str(t / "x.csv"), "--series", "zz"],
        2,
        ("zz",),
    ),
    Case(
        "unknown pair",
        lambda t: ["export", str(run_folder(t)), "--table", "token", "--to", str(t / "x.csv"), "--pair", "zz"],
        2,
        ("zz",),
    ),
    Case(
        "export into a folder that is not there",
        lambda t: ["export", str(run_folder(t)), "--table", "pair", "--to", str(t / "no" / "x.csv")],
        2,
        ("x.csv",),
    ),
    Case(
        "a file in place of a run",
        lambda t: ["export", str(written(t, "r.txt", b"x")), "--table", "pair", "--to", str(t / "x.csv")],
        2,
        ("r.txt", "it is a file"),
    ),
    Case(
        "unknown model",
        lambda t: ["export", str(run_folder(t)), "--table", "pair", "--to", str(t / "x.csv"), "--model", "nope"],
        2,
        ("nope", "it has gentle/checkpoint-10, strong/"),
    ),
    Case(
        "damaged vocabulary in a table",
        lambda t: ["export", str(flipped(t, "vocab.parquet")), "--table", "token", "--to", str(t / "x.csv")],
        3,
        ("vocab.parquet",),
    ),
    Case(
        "damaged noise floor in a table",
        lambda t: ["export", str(flipped(t, "noise.json")), "--table", "step", "--to", str(t / "x.csv")],
        3,
        ("noise.json",),
    ),
    Case(
        "weights that are gone",
        lambda t: ["verify", str(run_folder(t)), "--weights"],
        3,
        ("3 problems", "repair the files that it names"),
    ),
    Case(
        "app on a file", lambda t: ["app", str(written(t, "r.txt", b"x")), "--no-browser"], 2, ("r.txt", "it is a file")
    ),
    Case(
        "app on a folder without runs", lambda t: ["app", str(empty_dir(t)), "--no-browser"], 2, ("no run in", "empty")
    ),
    Case("app on no port", lambda t: ["app", str(run_folder(t)), "--port", "99999"], 2, ("99999", "65535")),
    Case(
        "app for a name that is no host",
        lambda t: ["app", str(run_folder(t)), "--allow-host", "a b"],
        2,
        ("--allow-host", "a b"),
    ),
    Case("app on nothing", lambda t: ["app", str(t / "nothing"), "--no-browser"], 2, ("nothing",)),
]


def snapshot(tmp: Path) -> set[str]:
    return {str(path.relative_to(tmp)) for path in tmp.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line(case, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    argv = case.argv(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    error = capsys.readouterr().err.strip()
    assert stopped.value.code == case.code, error
    last = error.splitlines()[-1]
    assert last.startswith("error: ")
    assert len(last) <= 400
    assert "Traceback" not in error
    assert [word for word in case.says if word not in last] == []


REFUSED_EARLY = [case for case in CASES if case.argv.__code__.co_names[:1] == ("score",) and case.code == 2]


@pytest.mark.parametrize("case", REFUSED_EARLY[:12], ids=lambda case: case.name)
def test_a_refused_score_leaves_nothing_behind(case, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(SystemExit):
        main(case.argv(tmp_path))
    assert [name for name in snapshot(tmp_path) if name.startswith("run/")] == []


def test_a_surrogate_is_a_status_and_is_counted(tmp_path, capsys):
    rows = '{"prompt": "a", "chosen": "\\ud800", "rejected": "c"}'
    with pytest.raises(SystemExit) as stopped:
        main(check(tmp_path, GOOD, rows, more=("--tokenizer", str(SFT))))
    assert stopped.value.code == 0
    assert "bad_t" in capsys.readouterr().out


def test_several_bad_rows_are_counted_with_examples(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(check(tmp_path, GOOD, *[{"prompt": "x"}] * 25))
    listed = capsys.readouterr().out.splitlines()
    assert listed[0].startswith("1 pair of eval, prompt from `prompt`, plain text")
    assert ".jsonl:2:" in listed[1]
    assert ".jsonl:3, " in listed[1]
    assert "(25 in all; " in listed[1]
    assert len(listed) == 2


def test_a_table_of_an_unfinished_run_is_written_and_what_is_missing_told(tmp_path, capsys):
    argv = ["export", str(missing_part(tmp_path)), "--table", "step", "--to", str(tmp_path / "x.csv")]
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 0
    assert "not scored yet" in capsys.readouterr().err


def test_a_diagnosis_of_an_unfinished_run_tells_what_is_missing(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["diagnose", str(missing_part(tmp_path))])
    assert stopped.value.code == 0
    assert "not scored yet" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert (stopped.value.code, capsys.readouterr().out) == (0, f"dpo-analysis {dpo_analysis.__version__}\n")


def test_a_wrong_beta_is_corrected_by_scoring_again_and_stays_corrected(tmp_path, capsys):
    pairs = lines(tmp_path / "pairs.jsonl", CHAT)
    for more, beta, said in ((), 0.1, ""), (("--beta", "0.05"), 0.05, "0.1 -> 0.05"), ((), 0.05, ""):
        with pytest.raises(SystemExit) as stopped:
            main(score(tmp_path, pairs, policy=f"s/one={CHECKPOINT}", more=more))
        assert stopped.value.code == 0
        assert said in capsys.readouterr().out
        assert dpo_analysis.open_run(tmp_path / "run").series["s"].beta == beta


def test_an_identity_that_differs_is_refused_with_the_difference(tmp_path, capsys):
    pairs = lines(tmp_path / "pairs.jsonl", CHAT)
    with pytest.raises(SystemExit) as first:
        main(score(tmp_path, pairs))
    assert first.value.code == 0
    with pytest.raises(SystemExit) as second:
        main(score(tmp_path, pairs, more=("--max-length", "77")))
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert second.value.code == 2
    assert "max_length" in error
    assert "77" in error
    assert "1024" in error


def test_other_weights_under_the_same_name_are_refused(tmp_path, capsys):
    pairs = lines(tmp_path / "pairs.jsonl", CHAT)
    for source, code in ((CHECKPOINT, 0), (SAMPLE / "strong" / CHECKPOINT.name, 2)):
        found = source if source.exists() else sorted((SAMPLE / "strong").glob("checkpoint-*"))[0]
        with pytest.raises(SystemExit) as stopped:
            main(score(tmp_path, pairs, policy=f"s/one={found}"))
        assert stopped.value.code == code
    assert "s/one" in capsys.readouterr().err.strip().splitlines()[-1]
