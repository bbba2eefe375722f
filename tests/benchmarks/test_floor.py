import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
FLOOR = 2.5


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A small run of the benchmark in a process of its own: one thread, and only its own CPU time counts."""
    written = tmp_path_factory.mktemp("benchmark") / "result.json"
    script = REPOSITORY / "tests" / "benchmarks" / "scoring.py"
    command = [sys.executable, str(script), "--quick", "--data", "lognormal", "--shape", "1M/4k", "--rounds", "3"]
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([*command, "--json", str(written)], check=True, env=environment, timeout=300)
    return json.loads(written.read_text())


def test_trl_evaluate_costs_two_and_a_half_times_ours(result):
    ratio = result["ratios"]["trl_evaluate default"]
    assert ratio["median"] >= FLOOR, f"TRL's evaluation cost {ratio['each']} times ours; the floor is {FLOOR}"


def test_speed_is_not_bought_with_precision(result):
    errors = result["errors"]
    assert errors["token_ours_vs_float64"] <= 1e-5
    assert errors["sum_ours_vs_trl"] <= 1e-5 * errors["mean_absolute_sum"]
