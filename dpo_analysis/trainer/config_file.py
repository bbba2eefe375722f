"""The config of a training as an input: LLaMA-Factory's and Axolotl's YAML files."""

import os.path
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.trainer import axolotl, llamafactory
from dpo_analysis.trainer.folder import expanded, is_regular, read_json_object
from dpo_analysis.trainer.training import Facts
from dpo_analysis.trainer.yaml_file import read_yaml_object


@dataclass(frozen=True, slots=True)
class ConfigDataset:
    """A data set that a config names.

    Attributes:
        split: ``eval`` or ``train``.
        source: its file or folder, or its hub id.
        layout: how its rows are laid out: LLaMA-Factory's entry in dataset_info.json, or Axolotl's entry.
        trainer: ``LLaMA-Factory`` or ``Axolotl``, whose layout it is.
    """

    split: str
    source: str
    layout: Mapping[str, Any]
    trainer: str


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """The settings of a training, its data and its output folder.

    Attributes:
        facts: settings by the names of ``Training``'s attributes, and ``start``: the model that training started from.
        datasets: the preference pairs that it names.
        output: the output folder, as it is found on this machine; empty where the config names none.
        notes: sentences for the user.
    """

    facts: Facts
    datasets: list[ConfigDataset]
    output: str
    notes: list[str] = field(default_factory=list)


def read_config(path: str | Path, *, with_data: bool = True) -> TrainingConfig:
    """Return the settings, data sets and output folder of a LLaMA-Factory or Axolotl config.

    Relative paths in it are looked for in the working folder, then in the folder of the config and the folders above.

    Args:
        path: the YAML file.
        with_data: look for the data sets; without it there are none, and none can be missing.

    Raises:
        InputError: no such file, a config of another trainer, or a data set that is not here.
    """
    file = expanded(path)
    config = read_yaml_object(file)
    if "model_name_or_path" in config and ("stage" in config or "pref_beta" in config or "dataset_dir" in config):
        return _llamafactory(file, config, with_data)
    if "base_model" in config and ("rl" in config or "datasets" in config):
        return _axolotl(file, config, with_data)
    raise InputError(
        f"unknown config {path}: it has neither model_name_or_path and stage (LLaMA-Factory) nor base_model and rl "
        "(Axolotl); for TRL, ms-swift and OpenRLHF give --trainer-output DIR"
    )


def _llamafactory(file: Path, config: Mapping[str, Any], with_data: bool) -> TrainingConfig:
    facts = llamafactory.config_facts(config, file.name)
    if "start" in facts:
        facts["start"] = facts["start"]._replace(value=_found(file, str(facts["start"].value)))
    datasets = _llamafactory_datasets(file, config) if with_data else []
    notes: list[str] = []
    if config.get("val_size") and with_data:
        notes.append(
            f"{file.name} takes val_size {config['val_size']} of the training data for evaluation, by a random split: "
            "all its pairs are scored as train"
        )
    if config.get("create_new_adapter"):
        notes.append(f"{file.name} has create_new_adapter: the reference is the base with the earlier adapters merged")
    return TrainingConfig(facts, datasets, _output(file, config), notes)


def _llamafactory_datasets(file: Path, config: Mapping[str, Any]) -> list[ConfigDataset]:
    folder = _found(file, str(config.get("dataset_dir", "data")))
    info_file = Path(folder) / "dataset_info.json"
    info = read_json_object(info_file)
    datasets = []
    for key, split in (("dataset", "train"), ("eval_dataset", "eval")):
        for name in _names(config.get(key)):
            entry = info.get(name)
            if not is_regular(info_file):
                raise InputError(
                    f"no {info_file}, which describes the data set {name!r} of {file.name}; give the pairs as PAIRS "
                    "beside --config, or put dataset_dir right"
                )
            if not isinstance(entry, dict):
                raise InputError(
                    f"no data set {name!r} in {info_file}: {file.name} names it as {key}; "
                    "give the pairs as PAIRS beside --config, or put dataset_dir right"
                )
            datasets.append(ConfigDataset(split, _source_of(entry, Path(folder), info_file), entry, llamafactory.NAME))
    return datasets


def _source_of(entry: Mapping[str, Any], folder: Path, info_file: Path) -> str:
    name = entry.get("file_name")
    if isinstance(name, str) and name:
        path = folder / name
        if not _exists(path):
            raise InputError(f"no data file {path}: {info_file} names it; put it there, or give PAIRS beside --config")
        return str(path)
    hub = entry.get("hf_hub_url")
    if isinstance(hub, str) and hub:
        return f"{hub}:{entry.get('split') or 'train'}"
    raise InputError(f"no file_name in an entry of {info_file}: give the pairs as PAIRS beside --config")


def _axolotl(file: Path, config: Mapping[str, Any], with_data: bool) -> TrainingConfig:
    facts = axolotl.config_facts(config, file.name)
    if "start" in facts:
        facts["start"] = facts["start"]._replace(value=_found(file, str(facts["start"].value)))
    datasets = [
        ConfigDataset(split, _axolotl_source(file, entry), entry, axolotl.NAME)
        for key, split in (("datasets", "train"), ("test_datasets", "eval"))
        for entry in _objects(config.get(key))
        if with_data
    ]
    return TrainingConfig(facts, datasets, _output(file, config))


def _axolotl_source(file: Path, entry: Mapping[str, Any]) -> str:
    """Return the file or folder of a data set as it is found from here, else its hub id and split."""
    name = str(entry.get("path", ""))
    path = _found(file, name)
    is_hub_id = not _exists(path) and not Path(path).is_absolute() and not Path(name).suffix
    return f"{name}:{entry.get('split') or 'train'}" if is_hub_id else path


def _names(value: Any) -> list[str]:
    """Return the names in LLaMA-Factory's ``a,b`` or list."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return [str(part).strip() for part in parts if str(part).strip()]


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    return (entry for entry in (value if isinstance(value, list) else []) if isinstance(entry, dict))


def _output(file: Path, config: Mapping[str, Any]) -> str:
    name = config.get("output_dir")
    return _found(file, name) if isinstance(name, str) and name else ""


def _found(file: Path, name: str) -> str:
    """Return a path of the config as it is found from here; the name itself where it is not, as a hub id is not."""
    path = Path(os.path.expanduser(name))
    if path.is_absolute():
        return str(path)
    above = file.resolve().parent
    places = [Path.cwd(), above, *above.parents]
    return next((str(place / path) for place in places if _exists(place / path)), name)


def _exists(name: str | Path) -> bool:
    """Return whether ``name`` is a file or folder; a name that no file system can hold is none."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False
