"""The wall: right of the run folder nothing loads torch or transformers."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "trl"}
PACKAGE = ROOT / "dpo_analysis"
ROOMS = sorted(p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file())
RIGHT = [f"dpo_analysis.{name}" for name in ROOMS if name not in ("__init__", "__main__", "scoring", "cli")]
LIGHT = ["dpo_analysis.cli.main", "dpo_analysis.cli.demo", "dpo_analysis.scoring", "dpo_analysis.scoring.loop"]


def modules(room: str) -> list[str]:
    """A room and every module in it, by dotted name."""
    path = ROOT / room.replace(".", "/")
    inside = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in sorted(path.rglob("*.py"))]
    return [room, *(name for name in inside if not name.endswith("__init__"))]


def heavy_after(code: str) -> set[str]:
    line = f"import sys\n{code}\nprint(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, cwd=ROOT, check=True)
    return HEAVY & set(done.stdout.split())


def test_importing_the_package_and_all_rooms_right_of_the_wall_loads_no_model_library():
    names = "\n".join(f"import {name}" for name in [*(m for room in RIGHT for m in modules(room)), *LIGHT])
    public = "import dpo_analysis\nfor name in dpo_analysis.__all__: getattr(dpo_analysis, name)"
    assert heavy_after(f"{names}\n{public}") == set()


def test_reading_a_run_loads_no_model_library():
    code = "import dpo_analysis as dpo\nrun = dpo.open_run('tests/golden/schema-1')\n"
    code += "dpo.step_table(run); pairs = dpo.pair_table(run); dpo.token_table(run, pair_id=pairs.pair_id[0])"
    assert heavy_after(code) == set()


def test_the_contract_on_torch_names_every_room_but_scoring_and_cli():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (contract,) = [one for one in contracts if one["name"] == "Only scoring touches torch"]
    assert contract["source_modules"] == RIGHT


def test_every_room_has_its_place_in_the_layers():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (contract,) = [one for one in contracts if one["type"] == "layers"]
    placed = [name for layer in contract["layers"] for name in layer.split(" | ")]
    assert sorted(placed) == [name for name in ROOMS if name not in ("__init__", "__main__")]


def test_the_check_itself_can_fail():
    assert heavy_after("import tokenizers") == {"tokenizers"}


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    plain = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return plain | {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}


@pytest.mark.parametrize("path", sorted((ROOT / "app").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_app_imports_neither_models_nor_the_write_tower(path):
    named = imports(path)
    assert {name.split(".")[0] for name in named} & HEAVY == set()
    assert [name for name in named if name.startswith(("dpo_analysis.scoring", "dpo_analysis.generation"))] == []
