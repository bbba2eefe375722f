"""What the comparison with chance costs in a diagnosis of 60,000 pairs: CPU seconds by part, memory.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.diagnosis_cost

Makes the run of ``bigrun`` with three checkpoints in a temporary folder (two minutes), or reads ``--folder``. A process
of its own diagnoses it. The diagnosis must cost at most twice what it costs without the comparison.
"""

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path

from dpo_analysis import open_run
from dpo_analysis.diagnosis import fall_statistics, series_diagnosis
from tests.benchmarks.bigrun import make_run
from tests.benchmarks.phases import Phases

COMPARISONS = {"chance_shares": "labels", "read_unfallen_gains": "gains", "find_reversed_labels": "reversed labels"}
"""Functions that compare with chance, and their phases."""
TIMES = 2.0
"""What the diagnosis may cost, as a multiple of its cost without them."""


def measure(folder: Path) -> dict[str, float]:
    """Return CPU seconds by part, the multiple, and the peak memory in megabytes."""
    run = open_run(folder)
    phases = Phases(whole="none")
    for name, phase in COMPARISONS.items():
        phases.watch(fall_statistics, name, phase)
    phases.watch(series_diagnosis, "read_ledger", "ledger")
    series_diagnosis.diagnose(run, checks=[])
    seconds = phases.stop()
    compared = sum(seconds.get(phase, 0.0) for phase in COMPARISONS.values())
    total = sum(seconds.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**seconds, "total": total, "times": total / (total - compared), "peak_mb": peak}


def main() -> int:
    """Measure and print; 1 where the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="a run that was made before")
    parser.add_argument("--pairs", type=int, default=60_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(given.folder or make_run(Path(scratch) / "run", pairs=given.pairs, checkpoints=3))
    print(json.dumps({name: round(value, 2) for name, value in found.items()}, indent=1))
    return int(found["times"] > TIMES)


if __name__ == "__main__":
    sys.exit(main())
