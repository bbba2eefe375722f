"""What a DPOTrainer must be like for its token rewards to be logged, and what a run folder says of it."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Series
from dpo_analysis.scoring.inputs import pairs_identity
from dpo_analysis.scoring.live.live_run import PART_SIZE
from dpo_analysis.scoring.models.series import check_objective
from dpo_analysis.trainer.folder import TrainerFolder
from dpo_analysis.trainer.training_args import loss_parameters

FOLDER, HIDDEN_FOLDER = "dpo_analysis", "_dpo_analysis"
"""Name of the run folder in the trainer's output folder; the second where the trainer uploads that folder to the Hub,
since it leaves out names that begin with ``_``: a run folder holds the texts of the pairs."""


def check_trainer(trainer: Any) -> None:
    """Check that every token of a trainer's pairs has an implicit reward during the training.

    Raises:
        InputError: ``trainer`` is no DPOTrainer, trains on images, or keeps no fixed reference; the message says what
            to change.
    """
    args = getattr(trainer, "args", None)
    if args is None or not hasattr(args, "beta") or not hasattr(trainer, "ref_model"):
        raise InputError(f"a {type(trainer).__name__} is no DPOTrainer of TRL: give one as trainer=")
    if getattr(trainer, "_is_vision_dataset", False):
        raise InputError("a data set with images: this callback reads texts only; train without it")
    if getattr(args, "sync_ref_model", False):
        raise InputError(
            "sync_ref_model=True: the reference moves, and rewards are measured against a fixed model; set "
            "sync_ref_model=False"
        )
    if getattr(args, "precompute_ref_log_probs", False):
        raise InputError(
            "precompute_ref_log_probs=True: the trainer keeps sums of the reference and no model that scores tokens; "
            "set precompute_ref_log_probs=False, or run dpo-analysis score --watch OUTPUT_DIR beside the training"
        )
    if trainer.ref_model is None and not hasattr(trainer.accelerator.unwrap_model(trainer.model), "peft_config"):
        raise InputError("no reference in this trainer: give it a ref_model")
    check_objective(training_series(trainer))


def training_series(trainer: Any) -> Series:
    """Return the series of a training, named after its output folder, with beta and loss of its arguments.

    Raises:
        InputError: beta is not above 0.
    """
    args = trainer.args
    names: Sequence[str] | str = getattr(args, "loss_type", "sigmoid")
    loss_type = str(names) if isinstance(names, str) else [str(name) for name in names]
    parameters = loss_parameters(vars(args)) | {
        name: True for name in ("reference_free",) if getattr(args, name, False)
    }
    return Series(
        TrainerFolder(Path(args.output_dir), []).series,
        beta=float(args.beta),
        loss_type=loss_type[0] if isinstance(loss_type, list) and len(loss_type) == 1 else loss_type,
        parameters=parameters,
    )


def training_facts(trainer: Any) -> dict[str, Any]:
    """Return what the log of a run folder says of a training: versions, device and number of processes."""
    return {
        "versions": {name: version(name) for name in ("trl", "transformers", "torch")},
        "device": str(trainer.accelerator.device),
        "processes": trainer.accelerator.num_processes,
    }


def run_folder(trainer: Any, output_dir: str | Path | None) -> Path:
    """Return the run folder: ``output_dir``, else ``FOLDER`` in the trainer's output folder."""
    if output_dir is not None:
        return Path(output_dir)
    return Path(trainer.args.output_dir) / (HIDDEN_FOLDER if trainer.args.push_to_hub else FOLDER)


def run_identity(trainer: Any, tokenized: Sequence[TokenizedPair], tokenizer: Any) -> Mapping[str, Any]:
    """Return the facts that decide every score of the run, but the reference."""
    args = trainer.args
    lengths = {"max_length": args.max_length, "truncation": args.truncation_mode} if args.max_length else {}
    dtype = str(trainer.accelerator.unwrap_model(trainer.model).dtype).removeprefix("torch.")
    numerics = {"dtype": dtype, "numerics": "trainer" if args.bf16 else "default", "part_size": PART_SIZE}
    return pairs_identity(tokenized, tokenizer) | {"tokenization": "trl"} | lengths | numerics
