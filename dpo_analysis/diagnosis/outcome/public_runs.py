"""How public DPO runs ended, so that a reader sees what is normal.

``public_runs.csv`` holds the last evaluation that the model cards of 20 TRL DPO runs on the Hugging Face Hub state,
with their addresses: 0.5B to 8B parameters, full and LoRA. It is a convenience sample: the cards that a search found,
not a random draw. One row is from a training log and not from an evaluation, and most cards do not state beta.
"""

import csv
import statistics
from functools import cache
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("public_runs.csv")


class PublicRuns(NamedTuple):
    """What the table of public runs shows.

    Attributes:
        n_runs: number of runs.
        n_below: runs that end with the chosen reward below 0, the reference's.
        median_ratio: in those, the median of chosen reward over rejected reward: how far the chosen response falls for
            each unit that the rejected response falls.
    """

    n_runs: int
    n_below: int
    median_ratio: float


@cache
def public_runs() -> PublicRuns:
    """Return how many public runs end with the chosen reward below the reference, and how far it falls in them."""
    with TABLE.open(encoding="utf-8", newline="") as lines:
        ends = [(float(row["chosen_reward"]), float(row["rejected_reward"])) for row in csv.DictReader(lines)]
    ratios = [chosen / rejected for chosen, rejected in ends if chosen < 0]
    return PublicRuns(len(ends), len(ratios), statistics.median(ratios))
