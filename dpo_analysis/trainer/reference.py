"""The reference of a training run: the model that its files name as the start, where it is on this machine."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from dpo_analysis.trainer.folder import TrainerFolder, is_folder, is_regular, read_json_object
from dpo_analysis.trainer.training import Fact, Facts

ASK_REFERENCE = "give what training started from as --reference MODEL"
"""Ending of the notes about a missing reference, by which they are dropped when the user gave a reference."""
MAX_CANDIDATES = 4
MAX_NAME = 1000
"""Characters of a model's path or hub id; a longer text in a file is none."""
MAX_SHOWN = 100
"""Characters of a name that a note shows."""
MAX_LEVELS = 3
"""Folders above the output folder in which a model of the recorded name is looked for, as a candidate only."""


@dataclass(slots=True)
class FoundReference:
    """The reference that files name.

    Attributes:
        fact: its path or hub id and the file that says so; None where no file names a model on this machine.
        candidates: models that are named and not found, or found beside the folder under the recorded name.
        notes: what to tell the user.
    """

    fact: Fact | None = None
    candidates: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_reference(folder: TrainerFolder, facts: Facts) -> FoundReference:
    """Return the reference of a run: a saved ``ref/`` adapter, an adapter's base, or the start that a file names.

    Args:
        folder: the output folder.
        facts: what the trainer's files say; ``start`` names the model that training started from.
    """
    newest = folder.newest
    if (newest / "ref" / "adapter_config.json").is_file():
        return FoundReference(Fact(str(newest / "ref"), f"{newest.name}/ref, the adapter that training began with"))
    if (newest / "adapter_config.json").is_file():
        return _adapter_base(folder, facts)
    named = _named_starts(folder, facts)
    for start in named:
        if is_folder(start.value):
            return FoundReference(start)
    found = FoundReference(candidates=_candidates(folder, named))
    if not named:
        found.notes.append(f"{folder.root} does not say what its reference was; {ASK_REFERENCE}")
    else:
        # A name that is no folder may be a hub id, but also a path on another machine; guessing could score against a
        # wrong reference.
        shown = ", ".join(f"{_shown(start.value)} ({start.source})" for start in named[:2])
        found.notes.append(
            f"{folder.root} names {shown} as the model it started from, and that is not a folder here; {ASK_REFERENCE}"
        )
    return found


def _named_starts(folder: TrainerFolder, facts: Facts) -> list[Fact]:
    """Return the models that files name as the start of a full fine-tuning, each once, the surest first."""
    starts = [facts["start"]] if "start" in facts else []
    for path in (folder.newest, folder.root):
        name = read_json_object(path / "config.json").get("_name_or_path")
        # A model that was loaded again and saved names its folder, which is not what it started from.
        if _is_name(name) and not _is_itself(name, folder):
            starts.append(Fact(name, f"{'config.json' if path == folder.root else f'{path.name}/config.json'}"))
    if folder.card.base_model:
        starts.append(Fact(folder.card.base_model, "README.md base_model"))
    usable = [start for start in starts if _is_name(start.value)]
    return list({start.value: start for start in reversed(usable)}.values())[::-1]


def _is_name(value: object) -> TypeGuard[str]:
    """Return whether a value in a file can name a model; control characters could forge lines of the terminal."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def _shown(name: str) -> str:
    return name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}..."


def _is_itself(name: str, folder: TrainerFolder) -> bool:
    return is_folder(name) and Path(name).resolve() in (folder.newest.resolve(), folder.root.resolve())


def _candidates(folder: TrainerFolder, named: list[Fact]) -> list[str]:
    """Return the named models that are missing, and models of the same name near the output folder."""
    found = [f"{_shown(start.value)} ({start.source}, not found on this machine)" for start in named]
    names = {Path(start.value).name for start in named} - {"", ".."}
    above = [folder.root.resolve(), *folder.root.resolve().parents][: MAX_LEVELS + 1]
    for place in above[1:]:
        for name in sorted(names):
            if is_regular(place / name / "config.json"):
                found.append(f"{place / name} (a model of that name above the folder)")
    return found[:MAX_CANDIDATES]


def _adapter_base(folder: TrainerFolder, facts: Facts) -> FoundReference:
    """Return the base model that the adapter names.

    A relative path was relative to the folder in which training was started, which is not recorded, so it is tried from
    every folder above the adapter.
    """
    adapter = folder.newest
    name = read_json_object(adapter / "adapter_config.json").get("base_model_name_or_path")
    if not _is_name(name):
        return FoundReference(notes=[f"{adapter} names no base model; give it as --base MODEL"])
    source = f"{adapter.name}/adapter_config.json, the base with the adapter off"
    above = adapter.resolve()
    places = [Path(name), *(parent / name for parent in [above, *above.parents])]
    base = next((place for place in places if is_folder(place)), None)
    if base is not None:
        return FoundReference(Fact(str(base), source))
    missing = f"the base model {_shown(name)} of {adapter} is not on this machine"
    note = f"{missing}; a full model given as --reference is its base"
    return FoundReference(Fact(name, source), _candidates(folder, [Fact(name, source)]), [note])
