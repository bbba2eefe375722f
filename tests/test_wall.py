"""The wall: right of the run folder nothing loads torch or transformers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "trl"}
RIGHT = ["errors", "words", "schema", "rewards", "runs", "training", "data", "tables", "metrics", "intervals", "export"]
RIGHT += ["figures", "imported", "probes", "launcher", "console", "demo", "cli", "scoring", "scoring.work"]


def heavy_after(code: str) -> set[str]:
    line = f"import sys\n{code}\nprint(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, cwd=ROOT, check=True)
    return HEAVY & set(done.stdout.split())


def test_importing_the_package_and_all_rooms_right_of_the_wall_loads_no_model_library():
    names = "\n".join(f"import dpo_analysis.{name}" for name in RIGHT)
    public = "import dpo_analysis\nfor name in dpo_analysis.__all__: getattr(dpo_analysis, name)"
    assert heavy_after(f"{names}\n{public}") == set()


def test_reading_a_run_loads_no_model_library():
    code = "import dpo_analysis as dpo\nrun = dpo.open_run('tests/golden/schema-1')\n"
    code += "dpo.step_table(run); pairs = dpo.pair_table(run); dpo.token_table(run, pair_id=pairs.pair_id[0])"
    assert heavy_after(code) == set()


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
