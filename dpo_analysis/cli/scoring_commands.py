"""The commands that need a tokenizer or a model: ``check`` and ``score``.

The options of ``score`` are made from ``scoring.arguments.ScoreArguments``, so that command and function agree.
"""

import dataclasses
import importlib
import importlib.util
import inspect
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from dpo_analysis.cli.announce import announce, announce_torch
from dpo_analysis.errors import InputError
from dpo_analysis.scoring.arguments import CommandOption, ScoreArguments

ARGUMENTS = {field.name: field for field in dataclasses.fields(ScoreArguments) if "options" in field.metadata}
"""The arguments of ``score`` that the command line sets, by name."""


def _help(name: str) -> str:
    """Return what ``score --help`` says of an argument, for another command with the same option."""
    return ARGUMENTS[name].metadata["options"][0].help


def check(
    pairs: Annotated[list[str], typer.Argument(help=_help("pairs"))],
    tokenizer: Annotated[
        str | None, typer.Option(help="The model whose tokenizer to use: a folder or a hub id.")
    ] = None,
    max_length: Annotated[
        int, typer.Option(help="The trainer's max_length: tokens of the longest prompt + response.")
    ] = 1024,
    truncation: Annotated[
        str, typer.Option(help="The trainer's truncation_mode: keep_start or keep_end.")
    ] = "keep_start",
    tokenization: Annotated[str, typer.Option(help=_help("tokenization"))] = "trl",
    chat_template: Annotated[Path | None, typer.Option(help=_help("chat_template"))] = None,
    rows: Annotated[int, typer.Option(min=0, help="How many pairs to print token by token.")] = 3,
) -> None:
    """Show how your pairs become tokens, and their problems.

    Run it before you pay for a GPU.
    """
    from dpo_analysis.cli.console import bad_row_lines, console
    from dpo_analysis.data.check_output import render_check, render_rows
    from dpo_analysis.data.pairs import read_pairs
    from dpo_analysis.data.understood import understood_line

    loaded, bad = read_pairs(*pairs)
    if loaded:
        typer.echo(understood_line(loaded, tokenizer=tokenizer or "", chat_template=str(chat_template or "")))
    if len(bad) > 1:
        lines = bad_row_lines(bad)
        typer.echo("\n".join(lines))
        n_rows = len(loaded) + len(bad)
        raise InputError(f"{len(bad)} of {n_rows} rows cannot be read: {lines[0][:200]} ...; correct or remove them")
    if bad:
        raise bad[0]
    if tokenizer is None:
        console().print(*render_rows(loaded, rows), sep="\n")
        return
    models = import_scoring("check --tokenizer", "dpo_analysis.scoring.models.tokenizer")
    from dpo_analysis.data.tokenization import tokenize_pairs
    from dpo_analysis.data.vocab import vocabulary

    encoder = models.load_tokenizer(tokenizer, chat_template=chat_template)
    tokenized = tokenize_pairs(loaded, encoder, tokenization=tokenization, max_length=max_length, truncation=truncation)
    console().print(*render_check(tokenized, vocabulary(encoder), rows=rows), sep="\n")


def score(**options: Any) -> None:
    """Compute the log-prob of every token, into a run folder.

    The reference and every checkpoint are scored. After an interruption, run the same command again: it continues.
    """
    from dpo_analysis.scoring.workers.ranks import current_rank, worker_share

    share, rank = worker_share(options["shard"]), current_rank()
    scoring = import_scoring("score", "dpo_analysis.scoring.run_score", quiet=rank.index > 0)
    from dpo_analysis.cli.console import Reporter
    from dpo_analysis.cli.ending import ending
    from dpo_analysis.cli.run_notes import scored_lines
    from dpo_analysis.diagnosis import save_diagnoses
    from dpo_analysis.diagnosis.influence_groups import choose_questions
    from dpo_analysis.scoring.interrupts import stop_signals

    arguments = score_arguments(options) | {
        "shard": share,
        "confirm": choose_questions if options["confirm"] else None,
        "report": None if rank.index else Reporter(),
    }
    is_first = rank.index == 0
    if is_first:
        announce("reading pairs and models")
    with stop_signals():
        run = scoring.score(**arguments)
    if is_first and run.is_complete:
        announce("looking for the causes")
    save_diagnoses(run)
    if is_first:
        state, *notes = scored_lines(run, ranks=rank.count)
        typer.echo(
            "\n".join(
                [state, *notes, *ending(run)]
                if run.is_complete
                else [*notes, f"look at it: dpo-analysis app {run.path}", state]
            )
        )


def score_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``scoring.score`` that the options of the command give, by name."""
    given = {name: options[field.metadata["options"][0].name or name] for name, field in ARGUMENTS.items()}
    return given | {
        "policies": given["policies"] or (),
        "trainer_outputs": given["trainer_outputs"] or (),
        "probes": options["probe_prompts"] if given["probes"] else 0,
    }


def _parameter(field: "dataclasses.Field[Any]", option: CommandOption) -> inspect.Parameter:
    """Return the parameter from which typer makes an option, or the command's argument."""
    name, kind = option.name or field.name, option.type or field.type
    if not field.kw_only:
        info = typer.Argument(help=option.help)
    elif kind is bool:
        info = typer.Option(f"--{name}", help=option.help)
    else:
        info = typer.Option(help=option.help, min=option.min)
    default = field.default if option.default is ... else option.default
    default = inspect.Parameter.empty if default is dataclasses.MISSING else default
    annotation = Annotated[kind, info]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


score.__dict__["__signature__"] = inspect.Signature(
    [_parameter(field, option) for field in ARGUMENTS.values() for option in field.metadata["options"]]
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
