"""The run folder: everything that scoring leaves behind, and all that the tables are made from.

``open_run`` reads one, ``RunWriter`` fills one, ``verify_run`` checks one. No torch here.
"""

from dpo_analysis.runs.parts import Part
from dpo_analysis.runs.records import Model, NoiseFloor, Series
from dpo_analysis.runs.run import Run, open_run
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
    "verify_run",
]
