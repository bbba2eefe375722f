"""docs/data.md agrees with the registry of shapes: every example row, what it becomes, and every command that it names.

``python tests/test_docs_data.py`` writes the sections of the shapes anew.
"""

import json
import re
from pathlib import Path

import pytest

from dpo_analysis.cli.main import main
from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.shapes.columns import NAMES
from dpo_analysis.data.shapes.pairing import PAIRINGS
from dpo_analysis.data.shapes.refused import REFUSED
from dpo_analysis.data.shapes.registry import SHAPES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "data.md"
START, END = "<!-- written by tests/test_docs_data.py -->\n", "<!-- end -->\n"


def section(shape):
    (pair,) = load_pairs([dict(shape.example)])
    read = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
    users = f" Also: {shape.users}." if shape.users else ""
    row, becomes = (json.dumps(value, ensure_ascii=False) for value in (dict(shape.example), read))
    return f"### {shape.name}\n\n{shape.becomes}{users}\n\n```json\n{row}\n```\n\n```json\n{becomes}\n```\n"


def sections():
    refused = "".join(f"| {kind.name} | `{json.dumps(kind.example)}` | {kind.hint} |\n" for kind in REFUSED)
    table = f"## Rows that are refused\n\n| rows | example | what to do |\n|---|---|---|\n{refused}"
    return "\n".join([*map(section, SHAPES), table])


def test_the_page_holds_every_shape_as_the_registry_has_it():
    written = PAGE.read_text("utf-8").partition(START)[2].partition(END)[0]
    assert written == sections(), "run: python tests/test_docs_data.py"


def test_every_example_row_of_the_page_becomes_what_stands_below_it():
    blocks = re.findall(r"```json\n(.*?)\n```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 2 * len(SHAPES)
    for row, becomes in zip(blocks[::2], blocks[1::2], strict=True):
        (pair,) = load_pairs([json.loads(row)])
        assert {name: getattr(pair, name) for name in ("prompt", "chosen", "rejected")} == json.loads(becomes)


def test_the_page_names_every_column_and_every_pairing():
    text = PAGE.read_text("utf-8")
    assert [name for name in (*NAMES, *PAIRINGS) if f"`{name}`" not in text] == []


ROW = {
    "ask": "Why?",
    "sys": "Be brief.",
    "good": "Air.",
    "bad": "Sea.",
    "extra": {"turns": [{"role": "user", "content": "Why?"}]},
}
COMMANDS = re.findall(r"^dpo-analysis (check .*)$", PAGE.read_text("utf-8") if PAGE.exists() else "", re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_runs(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.jsonl").write_text(json.dumps(ROW))
    (tmp_path / "chat.jsonl").write_text(json.dumps({"prompt": "Why?", "chosen": "Air.", "rejected": "Sea."}))
    (tmp_path / "ranked.jsonl").write_text(
        json.dumps(dict(next(s for s in SHAPES if s.name == "UltraFeedback").example))
    )
    with pytest.raises(SystemExit) as stopped:
        main(command.split("#")[0].split())
    assert stopped.value.code == 0, capsys.readouterr().err


if __name__ == "__main__":
    before, _, rest = PAGE.read_text("utf-8").partition(START)
    PAGE.write_text(f"{before}{START}{sections()}{END}{rest.partition(END)[2]}", "utf-8")
