"""``dpo-analysis``: the commands, and how errors are printed. Everything heavy is imported inside its command."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from dpo_analysis import __version__
from dpo_analysis.cli import model_info, run_commands, scoring_commands
from dpo_analysis.errors import DPOAnalysisError, InputError, Interrupted

app = typer.Typer(
    help="Why did the chosen reward fall in DPO training? Score the checkpoints, then read the answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(is_set: bool) -> None:
    if is_set:
        typer.echo(f"dpo-analysis {__version__}")
        raise typer.Exit


@app.callback()
def common_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Why did the chosen reward fall in DPO training? Score the checkpoints, then read the answer."""


app.command()(scoring_commands.check)
app.command()(scoring_commands.score)
app.command()(model_info.info)
app.command(name="import")(run_commands.import_sums)
app.command()(run_commands.diagnose)
app.command()(run_commands.export)
app.command()(run_commands.report)
app.command()(run_commands.verify)
app.command(name="app")(run_commands.open_app)
app.command()(run_commands.demo)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; an error that a user can mend is printed as one line, and the exit code is that of the error."""
    try:
        arguments = _with_ray_address(list(sys.argv[1:] if argv is None else argv))
        code = app(arguments or ["--help"], prog_name="dpo-analysis", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except typer.TyperException as error:
        _fail(f"usage: {error.format_message()}; see dpo-analysis --help", 2)
    except DPOAnalysisError as error:
        _fail(str(error), error.exit_code)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted: finished parts are kept; run the same command again to go on", Interrupted.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _with_ray_address(argv: list[str]) -> list[str]:
    """Return the arguments with ``--ray=auto``, a running cluster or one on this machine, where no address follows."""
    if "--ray" not in argv or "--" in argv[: argv.index("--ray")]:
        return argv
    from dpo_analysis.scoring.workers.ranks import RAY_ADDRESS

    index = argv.index("--ray")
    following = argv[index + 1 : index + 2]
    address = following if RAY_ADDRESS.fullmatch("".join(following)) else []
    return [*argv[:index], f"--ray={(address or ['auto'])[0]}", *argv[index + 1 + len(address) :]]


def _fail(message: str, code: int) -> None:
    """Print what went wrong and exit; every rank prints its errors, but only the first rank that it was interrupted."""
    from dpo_analysis.scoring.workers.ranks import current_rank

    try:
        label = current_rank().label
    except InputError:
        label = ""
    if not label or code != Interrupted.exit_code:
        print(f"error: {label}{' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
