"""The commands that need a tokenizer or a model: ``check`` and ``score``.

The options of ``score`` are made from ``scoring.arguments.ScoreArguments``, so that command and function agree.
"""

import dataclasses
import importlib
import importlib.util
import inspect
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpo_analysis.cli.announce import announce, announce_torch
from dpo_analysis.errors import InputError
from dpo_analysis.scoring.arguments import CommandOption, ScoreArguments

if TYPE_CHECKING:
    from dpo_analysis.data.pairs import Pair
    from dpo_analysis.data.presets import PresetSettings
    from dpo_analysis.runs import Run
    from dpo_analysis.trainer import Training

ARGUMENTS = {field.name: field for field in dataclasses.fields(ScoreArguments) if "options" in field.metadata}
"""The arguments of ``score`` that the command line sets, by name."""


RUN_SCORE = "dpo_analysis.scoring.run_score"


def _help(name: str) -> str:
    """Return what ``score --help`` says of an argument, for another command with the same option."""
    return ARGUMENTS[name].metadata["options"][0].help


TRAINERS_DEFAULT = "  [default: that of the tokenization's trainer]"


def check(
    pairs: Annotated[list[str], typer.Argument(help=_help("pairs"))],
    tokenizer: Annotated[
        str | None, typer.Option(help="The model whose tokenizer to use: a folder or a hub id.")
    ] = None,
    tokenization: Annotated[str, typer.Option(help=_help("tokenization"))] = "trl",
    compare: Annotated[
        str | None, typer.Option(help="Two tokenizations or more, such as trl,trl-0.24: show what differs.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help=f"The trainer's max_length, in tokens.{TRAINERS_DEFAULT}")
    ] = None,
    truncation: Annotated[str | None, typer.Option(help=f"The trainer's truncation_mode.{TRAINERS_DEFAULT}")] = None,
    max_prompt_length: Annotated[
        int | None, typer.Option(help=f"The trainer's max_prompt_length, of TRL 0.28 and earlier.{TRAINERS_DEFAULT}")
    ] = None,
    max_completion_length: Annotated[
        int | None, typer.Option(help="The trainer's max_completion_length, of TRL 0.28 and earlier.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="The trainer's name of its chat template, for llamafactory and ms-swift.")
    ] = None,
    chat_template: Annotated[Path | None, typer.Option(help=_help("chat_template"))] = None,
    columns: Annotated[str | None, typer.Option(help=_help("columns"))] = None,
    pairing: Annotated[str, typer.Option(help=_help("pairing"))] = "best-worst",
    rows: Annotated[int, typer.Option(min=0, help="How many pairs to print token by token.")] = 3,
) -> None:
    """Show how your pairs become tokens, and their problems.

    Run it before you pay for a GPU.
    """
    from dpo_analysis.cli.console import console
    from dpo_analysis.data.check_output import render_check, render_rows
    from dpo_analysis.data.comparison.output import render_comparison
    from dpo_analysis.data.presets import with_defaults
    from dpo_analysis.data.tokenization import tokenize_pairs
    from dpo_analysis.data.vocab import vocabulary

    how = {"columns": columns, "pairing": pairing}
    loaded = _read_pairs(pairs, how, tokenizer=tokenizer or "", chat_template=str(chat_template or ""))
    if tokenizer is None:
        if compare is not None:
            raise InputError("--compare without --tokenizer: it compares tokens; give the model that has them")
        console().print(*render_rows(loaded, rows), sep="\n")
        return
    given = {
        "max_length": max_length,
        "truncation": truncation,
        "max_prompt_length": max_prompt_length,
        "max_completion_length": max_completion_length,
        "template": template,
    }
    settings = _preset_settings(compare, given) if compare else {tokenization: with_defaults(tokenization, **given)}
    models = import_scoring("check --tokenizer", "dpo_analysis.scoring.models.tokenizer")
    encoder = models.load_tokenizer(tokenizer, chat_template=chat_template)
    options = {name: chosen._asdict() for name, chosen in settings.items()}
    tokenized = {name: tokenize_pairs(loaded, encoder, tokenization=name, **one) for name, one in options.items()}
    vocab = vocabulary(encoder)
    shown = render_comparison(tokenized, vocab, rows) if compare else render_check(tokenized[tokenization], vocab, rows)
    console().print(*shown, sep="\n")


def _read_pairs(sources: list[str], how: dict[str, Any], *, tokenizer: str, chat_template: str) -> "list[Pair]":
    """Return the pairs after a line that says how they were understood.

    Args:
        sources: as for ``load_pairs``.
        how: its columns and pairing.
        tokenizer: the name of the tokenizer; empty for none.
        chat_template: the file of the chat template; empty for none.

    Raises:
        InputError: rows cannot be read; each is printed before.
    """
    from dpo_analysis.cli.console import bad_row_lines
    from dpo_analysis.data.pairs import Tie, read_pairs
    from dpo_analysis.data.understood import left_out_line, understood_line

    ties: list[Tie] = []
    loaded, bad = read_pairs(*sources, **how, ties=ties)
    if loaded:
        typer.echo(understood_line(loaded, tokenizer=tokenizer, chat_template=chat_template))
    if ties:
        typer.echo(left_out_line(ties))
    if len(bad) > 1:
        lines = bad_row_lines(bad)
        typer.echo("\n".join(lines))
        n_rows = len(loaded) + len(bad)
        raise InputError(f"{len(bad)} of {n_rows} rows cannot be read: {lines[0][:200]} ...; correct or remove them")
    if bad:
        raise bad[0]
    return loaded


def _preset_settings(presets: str, given: "dict[str, Any]") -> "dict[str, PresetSettings]":
    """Return the settings of each preset of ``--compare``: those that are given, else its trainer's defaults.

    Raises:
        InputError: there are not two presets, or a preset cannot be used with the settings.
    """
    from dpo_analysis.data.presets import TEMPLATES, with_defaults

    names = list(dict.fromkeys(name.strip() for name in presets.split(",")))
    if len(names) < 2:
        raise InputError(f"--compare {presets}: it takes two tokenizations or more; give such as trl,trl-0.24")
    # a template belongs to the trainers that have templates by name
    without_template = given | {"template": None}
    return {name: with_defaults(name, **(given if name in TEMPLATES else without_template)) for name in names}


def score(**options: Any) -> None:
    """Compute the log-prob of every token, into a run folder.

    The reference and every checkpoint are scored. After an interruption, run the same command again: it continues.
    """
    from dpo_analysis.cli.trainer_inputs import trainer_inputs
    from dpo_analysis.scoring.workers.ranks import current_rank

    if options["watch"] is not None:
        from dpo_analysis.cli.watch import watch_training

        watch_training(
            options,
            load_pairs=lambda: load_shown_pairs(options["pairs"], options, show=True),
            score=lambda pairs, training: score_trainings(options, pairs, [training]),
        )
        return
    rank = current_rank()
    given = trainer_inputs(options)
    if given.lines and rank.index == 0:
        typer.echo("\n".join(given.lines))
    import_scoring("score", RUN_SCORE, quiet=rank.index > 0)
    from dpo_analysis.cli.ending import ending
    from dpo_analysis.cli.run_notes import scored_lines

    pairs = load_shown_pairs(given.pairs, options, show=rank.index == 0)
    run = score_trainings(options, pairs, given.trainings)
    if rank.index == 0:
        state, *notes = scored_lines(run, ranks=rank.count)
        typer.echo(
            "\n".join(
                [state, *notes, *ending(run)]
                if run.is_complete
                else [*notes, f"look at it: dpo-analysis app {run.path}", state]
            )
        )


def score_trainings(options: dict[str, Any], pairs: "Sequence[Pair]", trainings: "Sequence[Training]") -> "Run":
    """Score pairs with the models that options and trainings name; return the run, with its diagnosis if it is whole.

    Args:
        options: the options of ``score``, by name.
        pairs: the pairs.
        trainings: the trainings whose checkpoints are scored.

    Raises:
        DPOAnalysisError: as ``scoring.score``.
    """
    scoring = import_scoring("score", RUN_SCORE, quiet=True)
    from dpo_analysis.cli.console import Reporter
    from dpo_analysis.diagnosis import save_diagnoses
    from dpo_analysis.diagnosis.influence_groups import choose_questions
    from dpo_analysis.scoring.interrupts import stop_signals
    from dpo_analysis.scoring.workers.ranks import current_rank, worker_share

    is_first = current_rank().index == 0
    arguments = score_arguments(options) | {
        "pairs": pairs,
        "trainer_outputs": trainings,
        "shard": worker_share(options["shard"]),
        "confirm": choose_questions if options["confirm"] else None,
        "report": Reporter() if is_first else None,
    }
    if is_first:
        announce("reading models")
    with stop_signals():
        run = scoring.score(**arguments)
    if is_first and run.is_complete:
        announce("looking for the causes")
    save_diagnoses(run)
    return run


def load_shown_pairs(given: Any, options: dict[str, Any], *, show: bool) -> "Sequence[Pair]":
    """Return the pairs to score, after a line that says how they were understood where ``show`` is set.

    Args:
        given: sources of pairs.
        options: the options of ``score``, by name.
        show: whether to print.
    """
    from dpo_analysis.data.compressed_pairs import load_compressed_pairs
    from dpo_analysis.data.pairs import Tie
    from dpo_analysis.data.understood import left_out_line, understood_line

    if show:
        announce("reading pairs")
    ties: list[Tie] = []
    sources = given if isinstance(given, list) else [given]
    pairs = load_compressed_pairs(*sources, columns=options["columns"], pairing=options["pairing"], ties=ties)
    if show:
        template = options["chat_template"] or options["template"] or options["tokenizer"] or "the first checkpoint"
        typer.echo(understood_line(pairs, tokenizer=str(template)))
    if show and ties:
        typer.echo(left_out_line(ties))
    return pairs


def score_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``scoring.score`` that the options of the command give, by name."""
    given = {name: options[field.metadata["options"][0].name or name] for name, field in ARGUMENTS.items()}
    return given | {
        "policies": given["policies"] or (),
        "trainer_outputs": given["trainer_outputs"] or (),
        "logs": given["logs"] or (),
        "probes": options["probe_prompts"] if given["probes"] else 0,
    }


def _parameter(field: "dataclasses.Field[Any]", option: CommandOption) -> inspect.Parameter:
    """Return the parameter from which typer makes an option, or the command's argument."""
    name, kind = option.name or field.name, option.type or field.type
    if not field.kw_only:
        # may be left out beside --config, which names pairs, too
        return _keyword(name, list[str] | None, typer.Argument(help=option.help))
    if kind is bool:
        return _keyword(name, kind, typer.Option(f"--{name}", help=option.help), default=False)
    default = field.default if option.default is ... else option.default
    default = inspect.Parameter.empty if default is dataclasses.MISSING else default
    return _keyword(name, kind, typer.Option(help=option.help, min=option.min), default=default)


def _keyword(name: str, kind: Any, info: Any, *, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])


CONFIG = typer.Option(help="The YAML file of a LLaMA-Factory or Axolotl training; its pairs and settings are used.")
WATCH = typer.Option(
    help="The output folder of a training that runs: score each checkpoint as soon as it is written, until the end."
)
score.__dict__["__signature__"] = inspect.Signature(
    [
        *(_parameter(field, option) for field in ARGUMENTS.values() for option in field.metadata["options"]),
        _keyword("config", Path | None, CONFIG),
        _keyword("watch", Path | None, WATCH),
    ]
)


def import_scoring(command: str, module: str, *, quiet: bool = False) -> ModuleType:
    """Import a module that needs torch, which takes seconds and is announced.

    Args:
        command: the command that needs it, for the message.
        module: its name.
        quiet: do not announce it.

    Raises:
        InputError: torch, transformers or peft is not installed.
    """
    missing = [name for name in ("torch", "transformers", "peft") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"no {missing[0]} in this environment: {command} runs models; pip install 'dpo-analysis[score]'"
        )
    if not quiet:
        announce_torch()
    return importlib.import_module(module)
