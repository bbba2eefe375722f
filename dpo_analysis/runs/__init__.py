"""The run folder: the result of scoring, and the only input of the tables.

``open_run`` reads a run folder, ``RunWriter`` fills it and ``verify_run`` checks it, all without torch.
"""

from dpo_analysis.runs.parts import Part
from dpo_analysis.runs.records import Model, NoiseFloor, Series
from dpo_analysis.runs.run import Run, open_run, stored_series
from dpo_analysis.runs.safe_files import atomic_file, atomic_write, decode_name, encode_name
from dpo_analysis.runs.verify import verify_run
from dpo_analysis.runs.writer import RunWriter

__all__ = [
    "Model",
    "NoiseFloor",
    "Part",
    "Run",
    "RunWriter",
    "Series",
    "atomic_file",
    "atomic_write",
    "decode_name",
    "encode_name",
    "open_run",
    "stored_series",
    "verify_run",
]
