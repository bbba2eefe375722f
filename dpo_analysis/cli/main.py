"""``dpo-analysis``: the commands, and how errors are printed. Everything heavy is imported inside its command."""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from dpo_analysis import __version__
from dpo_analysis.cli import model_info, run_commands, scoring_commands
from dpo_analysis.errors import DPOAnalysisError, InputError, Interrupted

MAX_LINE = 400
"""Letters of a line about an error: paths that it names may be long, and a file may name any text."""

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
    """Run a command; every error is printed as one line, with the exit code of its kind.

    What no command expects has exit code 70, and its traceback is in a file that the line names.
    """
    _show_what_cannot_be_encoded()
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
    except BaseException as error:
        # A library in Rust that panics raises no Exception.
        if not isinstance(error, Exception) and type(error).__module__ != "pyo3_runtime":
            raise
        _fail(*_described(error))


def _described(error: BaseException) -> tuple[str, int]:
    """Return the line and the exit code of an error that no command expects."""
    # The frames hold what the command had in memory, which may be all that there is.
    traceback.clear_frames(error.__traceback__)
    try:
        from dpo_analysis.cli.unexpected import describe

        return describe(error)
    except Exception:
        return f"unexpected {type(error).__name__}, and no memory to say more; give less at once", 70


def _show_what_cannot_be_encoded() -> None:
    r"""Make the terminal show letters that it has not, and halves of characters, as ``\u2500`` instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _as_line(message: str) -> str:
    """Return a message as a line of at most ``MAX_LINE`` letters, whose end, which says what to do, is kept."""
    line = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in " ".join(message.split()))
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE // 2]} ... {line[-MAX_LINE // 2 + 5 :]}"


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
        print(f"error: {label}{_as_line(message)}", file=sys.stderr)
    sys.exit(code)
