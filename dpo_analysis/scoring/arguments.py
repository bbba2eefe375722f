"""The arguments of ``score``: name, type, default and documentation of each, and the option that sets it. Torch-free.

``scoring.score`` takes its keywords from ``ScoreArguments``, and ``dpo-analysis score`` its options.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from dpo_analysis.data.pairs import Pair
    from dpo_analysis.scoring.evidence.influence_run import QuestionSource
    from dpo_analysis.scoring.loop import Progress
    from dpo_analysis.trainer import Training

Keywords = ParamSpec("Keywords")
Result = TypeVar("Result")


class CommandOption(NamedTuple):
    """An option of ``dpo-analysis score``.

    Attributes:
        help: what ``--help`` says of it.
        type: type of its value; None for the type of the argument. A bool makes a flag.
        default: its default; ``...`` for the default of the argument.
        name: its name, with underscores; empty for the name of the argument.
        min: the smallest number that it takes; None for any.
    """

    help: str
    type: Any = None
    default: Any = ...
    name: str = ""
    min: int | None = None


def _option(*args: Any, **keywords: Any) -> dict[str, Any]:
    """Return the metadata of an argument that one ``CommandOption`` sets."""
    return {"options": (CommandOption(*args, **keywords),)}


@dataclass(frozen=True, slots=True, eq=False)
class ScoreArguments:
    """What ``score`` takes. Each argument is documented in the string below it, for ``help(score)``."""

    pairs: "Sequence[Pair] | Iterable[object] | str | Path" = field(
        metadata=_option(
            "The preference pairs: [SPLIT=]FILE, FOLDER or hub id. Give several, such as eval=A train=B.", list[str]
        )
    )
    """From ``load_pairs``, or sources for it."""
    _: KW_ONLY
    columns: "str | Mapping[str, str] | None" = field(
        default=None,
        metadata=_option(
            "The columns of PAIRS: NAME=COLUMN,... with the names prompt, chosen, rejected, system, and format=text or "
            "messages.  [default: by the shape of the rows, see docs/data.md]",
            str | None,
        ),
    )
    """The columns of the rows, such as ``prompt=question,chosen=good,rejected=bad``, as for ``load_pairs``; None: by
    their shape."""
    pairing: str = field(
        default="best-worst",
        metadata=_option("Which pairs more than two ranked responses make: best-worst, best-rest or all."),
    )
    """Which pairs more than two ranked responses to one prompt make, as for ``load_pairs``."""
    out: str | Path = field(metadata=_option("The run folder to make, or to go on with.", Path))
    """The run folder: new, unfinished, or finished and given further policies."""
    reference: object = field(
        default=None, metadata=_option("The model that training started from: a folder or hub id.", str | None)
    )
    """Path, hub id or loaded model. None: an adapter's saved ``ref/``, else its base; or the reference that a trainer's
    folder names."""
    policies: Mapping[str, object] | Iterable[object] = field(
        default=(),
        metadata=_option(
            "A trained model: [[SERIES/]NAME=]FOLDER or hub id. Repeat for more.",
            list[str] | None,
            default=None,
            name="policy",
        ),
    )
    """``{"[SERIES/]NAME": path, hub id or loaded model}``, or strings ``[[SERIES/]NAME=]MODEL``."""
    trainer_outputs: "Sequence[str | Path | Training]" = field(
        default=(),
        metadata=_option(
            "The output folder of TRL, LLaMA-Factory, ms-swift, Axolotl or OpenRLHF: all its checkpoints are scored. "
            "Repeat for more.",
            list[Path] | None,
            default=None,
            name="trainer_output",
        ),
    )
    """Output folders of trainers, or what ``trainer.find_training`` returns of them; their checkpoints are policies
    too, and their logs are imported."""
    logs: Sequence[str | Path] = field(
        default=(),
        metadata=_option(
            "A training log: [SERIES=]FILE or FOLDER of trainer_state.json, W&B, TensorBoard, trackio, JSONL or CSV. "
            "Repeat for more.",
            list[str] | None,
            default=None,
            name="log",
        ),
    )
    """Training logs to import, each ``[SERIES=]PATH``; without a series that of the only one."""
    beta: float | None = field(
        default=None,
        metadata=_option("The trainer's beta.  [default: as in the trainer's folder or log; for --policy 0.1]"),
    )
    """DPO's beta; None: the trainer's, else the run's, else 0.1 for policies without a trainer's folder. Rewards are
    computed later, from the run: a beta that is given replaces the one that an existing run has for these series."""
    loss_type: str | list[str] | None = field(
        default=None,
        metadata=_option("The trainer's loss_type.  [default: as in the trainer's folder, else sigmoid]", str | None),
    )
    """TRL's name of the loss, or several; None: the trainer's, else the run's, else sigmoid."""
    parameters: Mapping[str, Any] | None = None
    """Further parameters of the loss, such as label_smoothing."""
    tokenizer: object = field(
        default=None,
        metadata=_option("The tokenizer: a folder or hub id.  [default: that of the first checkpoint]", str | None),
    )
    """Path, hub id or tokenizer; None: that of the first policy."""
    max_length: int | None = field(
        default=None,
        metadata=_option(
            "The trainer's max_length, in tokens.  [default: as in the trainer's folder, else the trainer's default]"
        ),
    )
    """Tokens of the longest prompt + response; None: the trainer's, else the preset's default."""
    truncation: str | None = field(
        default=None,
        metadata=_option(
            "The trainer's truncation_mode: keep_start or keep_end; for ms-swift delete, left or right.  "
            "[default: as in the trainer's folder]"
        ),
    )
    """keep_start or keep_end, for ms-swift delete, left or right; None: the trainer's, else the preset's default."""
    tokenization: str | None = field(
        default=None,
        metadata=_option(
            "How pairs become tokens: trl (TRL 1.15 and later), trl-0.29 (to 1.14), trl-0.28, trl-0.24 (0.14 to 0.27), "
            "trl-0.12 (and 0.13), trl-0.9 (to 0.11), llamafactory, ms-swift, axolotl or openrlhf.  "
            "[default: as the trainer's folder says, else trl]"
        ),
    )
    """The preset of ``data.presets`` that turns rows into tokens; None: the trainer's, else ``trl``."""
    template: str | None = field(
        default=None,
        metadata=_option("The trainer's name of its chat template, for llamafactory and ms-swift, such as qwen."),
    )
    """The name of a chat template of LLaMA-Factory or ms-swift; None: the trainer's, else the tokenizer's template."""
    max_prompt_length: int | None = field(
        default=None, metadata=_option("The trainer's max_prompt_length, of TRL 0.28 and earlier.", min=1)
    )
    """Tokens of the prompt that TRL 0.28 and earlier keep; None: the trainer's."""
    max_completion_length: int | None = field(
        default=None, metadata=_option("The trainer's max_completion_length, of TRL 0.28 and earlier.", min=1)
    )
    """Tokens of a response that TRL 0.28 and earlier keep; None: the trainer's."""
    bos: str | None = field(
        default=None,
        metadata=_option("add or remove a begin-of-text token in front of every prompt, where the trainer did."),
    )
    """``add`` or ``remove``: a begin-of-text token in front of every prompt; None: as the preset does."""
    eos: str | None = field(
        default=None,
        metadata=_option("add or remove an end-of-text token at the end of every response, where the trainer did."),
    )
    """``add`` or ``remove``: an end-of-text token at the end of every response; None: as the preset does."""
    logged_logps: str | None = field(
        default=None,
        metadata=_option("sum or mean: whether the trainer logged log-probs and rewards as averages over tokens."),
    )
    """``sum`` or ``mean`` over the tokens of a response, as the trainer logged; None: as the trainer's folder says."""
    chat_template: str | Path | None = field(
        default=None,
        metadata=_option("A Jinja file to use as the chat template, instead of the tokenizer's own.", Path | None),
    )
    """A Jinja file that takes the place of the tokenizer's template."""
    base: str | Path | None = field(
        default=None,
        metadata=_option("The base model of adapters, if the path in their config no longer exists.", str | None),
    )
    """Base model of adapters whose recorded base is not on this machine."""
    dtype: str | None = field(
        default=None,
        metadata=_option("The type of the weights: float32, bfloat16 or float16.  [default: by model size]"),
    )
    """float32, bfloat16 or float16; None: float32, but bfloat16 above 3B parameters on CUDA."""
    numerics: str = field(
        default="default", metadata=_option("default, or trainer: compute log-probs exactly as a bf16 training did.")
    )
    """``default``, or ``trainer``: what TRL logs under bfloat16 autocast, from float32 weights."""
    device: str = field(default="auto", metadata=_option("Where to compute: auto, cpu, cuda or mps."))
    """Where to compute: auto, cpu, cuda or mps."""
    device_map: str | dict[str, str | int] | None = field(
        default=None, metadata=_option("auto spreads one model over all GPUs of this machine.", str | None)
    )
    """Spreads each model over the devices of this machine, as for transformers (``auto``, or a dict)."""
    limit: int | None = field(
        default=None, metadata=_option("Score only a fixed sample: the pairs of N prompts in each split.", min=1)
    )
    """Only the pairs of this many smallest group hashes of each split."""
    evidence: str | Iterable[str] = field(
        default="topk,kl,hidden",
        metadata=_option(
            "What to keep about each token: one or more of topk, kl and hidden, or none; or fallen, to keep it for the "
            "pairs that fell and similar pairs.",
            str,
        ),
    )
    """Kinds of evidence to collect of some pairs: topk, kl, hidden; or none; or fallen, for pairs whose chosen response
    fell under a policy, beside similar pairs whose response did not fall, once all is scored."""
    evidence_pairs: int | str = field(
        default=512,
        metadata=_option("Pairs of each split whose evidence is kept: a number, or all.", str, default="512"),
    )
    """Pairs of each split (fallen: of each policy) to collect evidence of, or all; 0 for none."""
    batch_tokens: int | None = field(
        default=None, metadata=_option("Most tokens in one forward pass; a smaller number needs less memory.", min=1)
    )
    """Padded tokens of one forward pass; None: by device."""
    part_size: int = field(default=512, metadata=_option("Pairs that are saved at a time.", min=1))
    """Pairs that are saved at a time."""
    shard: tuple[int, int] = field(
        default=(0, 1),
        metadata=_option(
            "I/N: score part I of N, to use several machines.  [default: by the launcher's rank]",
            str | None,
            default=None,
        ),
    )
    """Index of this worker and number of workers."""
    ray: str | None = field(
        default=None, metadata=_option("Use a Ray cluster: HOST:PORT or local; no value: a cluster that runs already.")
    )
    """Ray cluster that the models run on: HOST:PORT, ``local``, or ``auto`` for a running cluster, else ``local``."""
    ray_workers: int | None = field(
        default=None, metadata=_option("How many Ray workers to use.  [default: one per GPU, else one per core]", min=1)
    )
    """Workers to ask the cluster for; None: one per GPU of the cluster, else one per core."""
    probes: int = field(
        default=0,
        metadata={
            "options": (
                CommandOption("Also let every model write answers, and score them under all models.", bool, False),
                CommandOption("How many prompts --probes uses.", int, 32, "probe_prompts", 1),
            )
        },
    )
    """Prompts of which, once all is scored, samples and greedy continuations are drawn and scored under every model,
    and the chosen core is scored after the opening of each policy; the worker of shard 0 does it, in this process."""
    confirm: "QuestionSource | None" = field(
        default=None,
        metadata=_option("Also test the likely causes by moving the weights; needs train=PAIRS.", bool, default=False),
    )
    """Says, once all is scored, which groups of pairs to follow the gradients of, as
    ``diagnosis.influence_groups.choose_questions`` does; the worker of shard 0 does it, in this process."""
    report: "Callable[[Progress], None] | None" = None
    """Called after every part."""


def keywords_from(
    arguments: Callable[Keywords, ScoreArguments],
) -> Callable[[Callable[[ScoreArguments], Result]], Callable[Keywords, Result]]:
    """Turn a function of one ``ScoreArguments`` into a function of its fields, with their types and documentation."""

    def decorate(function: Callable[[ScoreArguments], Result]) -> Callable[Keywords, Result]:
        @functools.wraps(function, assigned=("__module__", "__name__", "__qualname__"))
        def call(*args: Keywords.args, **keywords: Keywords.kwargs) -> Result:
            return function(arguments(*args, **keywords))

        returned = inspect.signature(function).return_annotation
        call.__dict__["__signature__"] = inspect.signature(ScoreArguments).replace(return_annotation=returned)
        summary, _, sections = (inspect.getdoc(function) or "").partition("\n\n")
        call.__doc__ = "\n\n".join((summary, _args_section(), sections))
        return call

    return decorate


def _args_section() -> str:
    """Return the section of a docstring that documents every argument."""
    lines = [
        textwrap.fill(f"{name}: {text}", 116, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False)
        for name, text in argument_docs().items()
    ]
    return "\n".join(["Args:", *lines])


def argument_docs() -> dict[str, str]:
    """Return the documentation of every argument, by name; empty where the source of this module is not installed."""
    try:
        (definition,) = ast.parse(inspect.getsource(ScoreArguments)).body
    except OSError:
        return {}
    assert isinstance(definition, ast.ClassDef)
    docs = {}
    for statement, below in pairwise(definition.body):
        match statement, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[name] = " ".join(text.split())
    return docs
