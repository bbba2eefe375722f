"""docs/live.md names options, arguments and logged values that exist, and both READMEs link to it."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from dpo_analysis.cli.scoring_commands import score

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/live.md").read_text("utf-8")


def test_the_option_of_the_page_exists():
    options = re.findall(r"--([a-z-]+)", "".join(re.findall(r"^dpo-analysis .+$", PAGE, re.MULTILINE)))
    assert "watch" in options
    assert set(options) <= {name.replace("_", "-") for name in inspect.signature(score).parameters}


def test_the_arguments_of_the_page_are_those_of_the_callback():
    pytest.importorskip("torch")
    from dpo_analysis.scoring import LogTokenRewardsCallback
    from dpo_analysis.scoring.live.step_means import step_means

    names = list(inspect.signature(LogTokenRewardsCallback.__init__).parameters)
    assert names == ["self", "trainer", "num_pairs", "freq", "output_dir"]
    assert "LogTokenRewardsCallback(trainer=trainer, num_pairs=64)" in PAGE
    for name in ("num_pairs", "freq", "OUTPUT_DIR/dpo_analysis", "_dpo_analysis"):
        assert name in PAGE
    for name in step_means(*[np.zeros(2)] * 2, 1.0):
        assert name.split("/")[-1] in PAGE, name


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_readmes_link_to_the_page(readme):
    assert (ROOT / readme).read_text("utf-8").count("docs/live.md") == 1
