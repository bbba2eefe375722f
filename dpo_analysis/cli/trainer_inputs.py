"""The trainings that ``score`` is pointed at, from ``--trainer-output`` and ``--config``, and the pairs of a config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpo_analysis.cli.found import found_lines, full_command
from dpo_analysis.data.config_rows import axolotl_rows, llamafactory_rows
from dpo_analysis.errors import InputError
from dpo_analysis.trainer import Training, find_training, read_config
from dpo_analysis.trainer.config_file import ConfigDataset
from dpo_analysis.trainer.folder import is_folder

ROWS = {"LLaMA-Factory": llamafactory_rows, "Axolotl": axolotl_rows}


@dataclass(frozen=True, slots=True)
class TrainerInputs:
    """What ``score`` takes from trainers' folders and configs.

    Attributes:
        pairs: the sources of the pairs that the caller gave, else the rows of the config's data sets by split.
        trainings: the trainings, one for each folder and config.
        lines: what was found, for the user.
    """

    pairs: list[str] | dict[str, list[dict[str, Any]]]
    trainings: list[Training]
    lines: list[str]


def trainer_inputs(options: Mapping[str, Any]) -> TrainerInputs:
    """Return pairs and trainings of a ``score`` command, by its options.

    Raises:
        InputError: there are no pairs, or a folder or config cannot be used.
    """
    pairs: list[str] | dict[str, list[dict[str, Any]]] = list(options["pairs"] or ())
    config, notes = options["config"], []
    trainings = [find_training(folder) for folder in options["trainer_output"] or ()]
    if config is not None:
        read = read_config(config, with_data=not pairs)
        training = find_training(_output(options, read.output, config), read.facts)
        trainings = [training, *trainings[1:]] if options["trainer_output"] else [training]
        notes = [f"note: {note}" for note in read.notes]
        pairs = pairs or rows_of(read.datasets)
    if not pairs:
        raise InputError(
            "no PAIRS: give the preference pairs, or a --config that names them; see dpo-analysis score --help"
        )
    lines = [line for training in trainings for line in found_lines(training, options)]
    if len(trainings) == 1:
        shown = pairs if isinstance(pairs, list) else [f"{split}=PAIRS" for split in pairs]
        lines += ["the same command in full:", f"  {full_command(shown, trainings[0], options, str(options['out']))}"]
    return TrainerInputs(pairs, trainings, [*lines, *notes])


def _output(options: Mapping[str, Any], output: str, config: Path) -> str:
    """Return the output folder: the caller's where there is one, since a folder may have moved since the training."""
    given: Sequence[Path] = options["trainer_output"] or ()
    if given:
        return str(given[0])
    if not output:
        raise InputError(f"no output_dir in {config}: give the folder of the checkpoints as --trainer-output DIR")
    if not is_folder(output):
        raise InputError(
            f"no output_dir {output}: {config} names it, and it is not here; give it as --trainer-output DIR"
        )
    return output


def rows_of(datasets: Sequence[ConfigDataset]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a config's data sets in TRL's format, by split."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for dataset in datasets:
        rows.setdefault(dataset.split, []).extend(ROWS[dataset.trainer](dataset.source, dataset.layout))
    return rows
