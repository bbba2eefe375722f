"""The causes, one file each: a module here is a cause, and removing it removes that cause alone.

``find(symptoms)`` returns the findings of one cause, none where it has nothing to say. ``RANK`` orders causes that are
equally likely. The modules are listed rather than registered, since a table of functions would fail on import when one
of them is missing.
"""

import importlib
import pkgutil
from collections.abc import Callable

from dpo_analysis.diagnosis.findings import Finding
from dpo_analysis.diagnosis.symptoms import Symptoms


def every_cause() -> dict[str, Callable[[Symptoms], list[Finding]]]:
    """Return the ``find`` of every cause in this folder, by name, in the order of their ranks."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name: modules[name].find for name in sorted(names, key=lambda name: modules[name].RANK)}
