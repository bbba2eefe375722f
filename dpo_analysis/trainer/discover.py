"""Find checkpoints, reference, beta, loss, tokenization and log in the output folder of a trainer."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.trainer.axolotl import axolotl_facts
from dpo_analysis.trainer.beta import beta_of_log
from dpo_analysis.trainer.folder import TrainerFolder, is_regular, saved_dtype
from dpo_analysis.trainer.llamafactory import llamafactory_facts
from dpo_analysis.trainer.logs import FoundLog, find_logs, global_step, logged_config, read_log
from dpo_analysis.trainer.ms_swift import ms_swift_facts
from dpo_analysis.trainer.openrlhf import openrlhf_facts
from dpo_analysis.trainer.reference import find_reference
from dpo_analysis.trainer.training import Fact, Facts, Training, merged_facts, source_text
from dpo_analysis.trainer.training_args import TrainingArguments, loss_parameters, read_training_arguments, valid_beta
from dpo_analysis.trainer.trl import trl_facts

STATE = "trainer_state.json"
SETTINGS = (
    "beta",
    "loss_type",
    "tokenization",
    "template",
    "max_length",
    "truncation",
    "max_prompt_length",
    "max_completion_length",
    "logged_logps",
    "bf16",
)
"""Attributes of ``Training`` that are facts of the same name."""


def find_training(folder: str | Path, config: Mapping[str, Fact] | None = None) -> Training:
    """Return what a trainer's output folder, or one of its checkpoints, says of the training; nothing is executed.

    Args:
        folder: the output folder of TRL, LLaMA-Factory, ms-swift, Axolotl or OpenRLHF.
        config: facts of a config of the training, which count before those of the folder.

    Raises:
        InputError: no such folder, no checkpoint in it, or rewards that cannot be computed from checkpoints (a moving
            reference, a training without a reference).
    """
    found = TrainerFolder.find(folder)
    arguments = read_training_arguments(found)
    logs = find_logs(found.root, [path for _, path in found.checkpoints])
    log = str(logs[0].path) if logs else None
    from_log = _log_facts(logs)
    from_trainer = _trainer_facts(found, arguments, from_log.pop("trl_version", None))
    facts = merged_facts(config or {}, from_trainer, from_log)
    if "beta" not in facts:
        facts |= _solved_beta(log)
    reference = find_reference(found, facts)
    parameters = dict(facts["parameters"].value) if "parameters" in facts else {}
    parameters = (loss_parameters(arguments.values) if arguments is not None else {}) | parameters
    dtype = saved_dtype(found.newest)
    if dtype is not None:
        parameters["saved_dtype"] = dtype
    sources = {name: source_text(fact) for name, fact in facts.items() if name in (*SETTINGS, "trainer")}
    if "quantization" in parameters:
        sources["quantization"] = facts["parameters"].source
    if reference.fact is not None:
        sources["reference"] = source_text(reference.fact)
    return Training(
        series=found.series,
        checkpoints=[(step, str(path)) for step, path in found.checkpoints],
        folder=str(found.root),
        trainer=facts["trainer"].value if "trainer" in facts else "",
        reference=reference.fact.value if reference.fact is not None else None,
        parameters=parameters,
        settings_path=str(arguments.path) if arguments is not None and "beta" in arguments.values else None,
        log_path=log,
        sources=sources,
        candidates=reference.candidates,
        notes=[*found.notes, *reference.notes, *_missing_notes(found, facts, log)],
        **{name: facts[name].value for name in SETTINGS if name in facts},
    )


def _trainer_facts(folder: TrainerFolder, arguments: TrainingArguments | None, trl_version: Fact | None) -> Facts:
    """Return what the trainer that wrote the folder says; its classes derive from TRL's, so TRL is asked last."""
    for read in (llamafactory_facts, ms_swift_facts, axolotl_facts, partial(trl_facts, logged_version=trl_version)):
        facts = read(folder, arguments)
        if facts is not None:
            return facts
    facts = openrlhf_facts(folder)
    if facts is not None:
        return facts
    return {"tokenization": Fact("trl", "no file says which trainer wrote the folder", assumed=True)}


def _log_facts(logs: Sequence[FoundLog]) -> Facts:
    """Return beta, start and TRL's version as the configs of the logs have them (W&B, trackio, TensorBoard)."""
    facts: Facts = {}
    for log in logs:
        config: dict[str, Any] = logged_config(log)
        values = {"beta": valid_beta(config.get("beta")), "start": config.get("model")}
        values["trl_version"] = config.get("trl_version")
        for name, value in values.items():
            if value is not None:
                facts.setdefault(name, Fact(value, f"{log.kind} ({log.paths[-1].name})"))
    return facts


def _solved_beta(log: str | None) -> Facts:
    """Return the beta by which the logged rewards follow the logged log-probs; empty where the log cannot tell."""
    if log is None:
        return {}
    try:
        beta = beta_of_log(read_log(log))
    except InputError:
        return {}
    return {} if beta is None else {"beta": Fact(beta.value, f"the log: {beta.reason}")}


def _missing_notes(folder: TrainerFolder, facts: Facts, log: str | None) -> list[str]:
    """Return sentences about a log that is missing or damaged."""
    if log is None:
        return [f"{folder.root} has no training log: there are no logged curves to lay over the recomputed ones"]
    state = folder.newest / STATE
    if Path(log).name == STATE or not is_regular(state):
        return []
    try:
        global_step(state)
    except InputError as error:
        return [f"{error}; {Path(log).name} is read instead"]
    return []
