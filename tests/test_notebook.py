"""Figures and token view outside the app: from plain tables, without Streamlit ever being imported."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = """
import sys
import pandas as pd
import dpo_analysis as dpo
from dpo_analysis.tables.policy_pairs import compare_pairs, position_changes
from dpo_analysis.tables.decompositions import decomposition_table

run = dpo.open_run("sample_data/run")
plain = lambda frame: pd.DataFrame(frame.to_dict("list"))
steps = plain(dpo.step_table(run, split="eval"))
pairs = plain(dpo.pair_table(run, model="strong/checkpoint-150", split="eval"))
early = plain(dpo.pair_table(run, model="strong/checkpoint-30", split="eval"))
places = dpo.position_table(run, split="eval")
tokens = plain(dpo.token_table(run, pair_id=pairs.pair_id[0], series="strong"))
strong = places[places.series == "strong"]
one, other = (plain(strong[strong.model == name]) for name in ("checkpoint-30", "checkpoint-150"))
labels = pd.Series(pairs.pair_id.tolist(), index=pairs.pair_id)
both = compare_pairs(early, pairs).assign(outcome="both")
figures = dpo.figures
made = [
    figures.reward_curves(steps), figures.logp_curves(steps), figures.accuracy_curves(steps),
    figures.position_heatmap(places), figures.drop_scatter(pairs), figures.token_heatmap(tokens),
    figures.token_trajectory(tokens, side="chosen", position=0),
    figures.split_bars(decomposition_table(run, model="strong/checkpoint-150").query("by == 'place'")),
    figures.pair_changes(both, axis=("margin", "margin", "A", "B"), labels=labels),
    figures.position_change(position_changes(one, other)),
]
assert all(len(figure.data) for figure in made), made
view = figures.token_view(tokens)
assert "srcdoc" in view._repr_html_()
assert figures.svg(made[0], title="rewards").startswith("<svg")
assert len(figures.headline(steps)) == 3
print(" ".join(name for name in ("streamlit", "torch", "transformers") if name in sys.modules))
"""


def test_every_figure_is_made_from_plain_tables_without_streamlit():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
