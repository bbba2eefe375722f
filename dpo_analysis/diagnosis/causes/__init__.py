"""The causes, one file each: a file here with ``RANK`` and ``find`` is a cause, and taking one away takes it alone.

``find(case)`` gives the findings of one cause, none where it has nothing to say; ``RANK`` orders the equally likely.
"""

import importlib
import pkgutil
from collections.abc import Callable

from dpo_analysis.diagnosis.findings import Finding
from dpo_analysis.diagnosis.symptoms import Case


def every_cause() -> dict[str, Callable[[Case], list[Finding]]]:
    """The causes that are there, by name, in their rank's order."""
    names = [one.name for one in pkgutil.iter_modules(__path__)]
    found = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name: found[name].find for name in sorted(names, key=lambda name: found[name].RANK)}
