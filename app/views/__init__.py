"""The pages of the app, found by their files.

A page is a module here, or the module named like its folder. It declares ``ORDER`` (its place in the navigation),
``ICON`` (a Material icon) and ``page(run)``, which draws it, and ``SHOWS_LOGS`` where it can also draw a run that holds
training logs alone. Its name is its URL path, and its words are in the tables
of this name in ``dpo_analysis/words``: nothing else lists it.
"""

import importlib
import pkgutil
from functools import cache
from types import ModuleType


@cache
def pages() -> dict[str, ModuleType]:
    """Return the module of every page by its name, in the order of the navigation; the first is the default page."""
    modules = {
        entry.name: importlib.import_module(f"{__name__}.{entry.name}" + f".{entry.name}" * entry.ispkg)
        for entry in pkgutil.iter_modules(__path__)
    }
    return dict(sorted(modules.items(), key=lambda item: item[1].ORDER))
