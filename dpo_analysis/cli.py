"""``dpo-analysis``: a thin skin, one function per command; everything heavy is imported inside its command."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dpo_analysis.errors import DPOAnalysisError, InputError, Interrupted, StorageError

app = typer.Typer(
    help="Why did the chosen reward fall? Score DPO checkpoints per token, keep the numbers, look at them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Pairs = Annotated[list[str], typer.Argument(help="Preference pairs: [SPLIT=]FILE, FOLDER or hub id; repeatable.")]
RunPath = Annotated[Path, typer.Argument(help="A run folder.")]
MaxLength = Annotated[int, typer.Option(help="Longest prompt + response in tokens, as the trainer's max_length.")]
Truncation = Annotated[str, typer.Option(help="keep_start or keep_end, as the trainer's truncation_mode.")]
Tokenization = Annotated[str, typer.Option(help="How rows become tokens: trl (exactly TRL 1.16).")]
Template = Annotated[Path | None, typer.Option(help="A chat template file, where the tokenizer has none.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the N smallest group hashes of each split.")]
Beta = Annotated[float | None, typer.Option(help="The trainer's beta.  [default: found, else 0.1]")]
Loss = Annotated[str | None, typer.Option(help="The trainer's loss_type.  [default: found, else sigmoid]")]


@app.command()
def check(
    pairs: Pairs,
    tokenizer: Annotated[str | None, typer.Option(help="A model folder or hub id whose tokenizer to use.")] = None,
    max_length: MaxLength = 1024,
    truncation: Truncation = "keep_start",
    tokenization: Tokenization = "trl",
    chat_template: Template = None,
    rows: Annotated[int, typer.Option(help="How many rows to print token by token.")] = 3,
) -> None:
    """Show how rows become tokens, and every complaint about them, before a GPU is paid for."""
    from dpo_analysis.console import console
    from dpo_analysis.data.checks import render_check, render_rows
    from dpo_analysis.data.pairs import load_pairs

    loaded = load_pairs(*pairs)
    if tokenizer is None:
        console().print(*render_rows(loaded), sep="\n")
        return
    models = _needs_score("check --tokenizer")
    from dpo_analysis.data.tokens import tokenize_pairs
    from dpo_analysis.data.vocab import vocabulary

    encoder = models.load_tokenizer(tokenizer, chat_template=chat_template)
    tokenized = tokenize_pairs(loaded, encoder, tokenization=tokenization, max_length=max_length, truncation=truncation)
    console().print(*render_check(tokenized, vocabulary(encoder), rows=rows), sep="\n")


@app.command()
def score(
    pairs: Pairs,
    out: Annotated[Path, typer.Option(help="The run folder to make or to go on with.")],
    reference: Annotated[str | None, typer.Option(help="The reference: a folder or hub id.")] = None,
    policy: Annotated[list[str] | None, typer.Option(help="[[SERIES/]NAME=]MODEL; repeatable.")] = None,
    trainer_output: Annotated[list[Path] | None, typer.Option(help="A trainer's output folder; repeatable.")] = None,
    beta: Beta = None,
    loss_type: Loss = None,
    tokenizer: Annotated[str | None, typer.Option(help="Tokenizer folder.  [default: the first policy's]")] = None,
    max_length: Annotated[int | None, typer.Option(help="As the trainer's.  [default: found, else 1024]")] = None,
    truncation: Annotated[str | None, typer.Option(help="keep_start or keep_end.  [default: found]")] = None,
    tokenization: Tokenization = "trl",
    chat_template: Template = None,
    base: Annotated[str | None, typer.Option(help="Base model of adapters whose recorded path is gone.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.  [default: by size]")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    limit: Limit = None,
    batch_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of one forward pass.")] = None,
    part_size: Annotated[int, typer.Option(min=1, help="Rows of one part.")] = 512,
    shard: Annotated[str | None, typer.Option(help="I/N: this worker's share.  [default: RANK, WORLD_SIZE]")] = None,
) -> None:
    """Score the reference and every policy on the pairs, per token, into a run folder; run again to go on."""
    scoring = _needs_score("score", module="dpo_analysis.scoring.score")
    from dpo_analysis.console import Reporter, scored_lines
    from dpo_analysis.scoring.work import stop_signals

    with stop_signals():
        run = scoring.score(
            pairs,
            reference=reference,
            policies=list(policy or ()),
            trainer_outputs=list(trainer_output or ()),
            out=out,
            beta=beta,
            loss_type=loss_type,
            tokenizer=tokenizer,
            max_length=max_length,
            truncation=truncation,
            tokenization=tokenization,
            chat_template=chat_template,
            base=base,
            dtype=dtype,
            device=device,
            limit=limit,
            batch_tokens=batch_tokens,
            part_size=part_size,
            shard=_shard(shard),
            report=Reporter(),
        )
    for line in scored_lines(run, beta):
        typer.echo(line)
    typer.echo(f"look at it: dpo-analysis app {run.path}")


@app.command()
def export(
    run: RunPath,
    table: Annotated[str, typer.Option(help="token, response, pair or step.")],
    to: Annotated[Path, typer.Option(help="FILE.parquet, FILE.csv or FILE.jsonl.")],
    beta: Annotated[float | None, typer.Option(help="Instead of each series' own.")] = None,
    loss_type: Annotated[str | None, typer.Option(help="Instead of each series' own.")] = None,
    series: Annotated[str | None, typer.Option(help="Only this series.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this checkpoint.")] = None,
    pair: Annotated[str | None, typer.Option(help="Only this pair_id.")] = None,
) -> None:
    """Write one of the tables to a file."""
    from dpo_analysis.export import export_run
    from dpo_analysis.runs import open_run

    rows = export_run(
        open_run(run), table, to, beta=beta, loss_type=loss_type, series=series, model=model, pair_id=pair
    )
    typer.echo(f"{rows} rows of the {table} table in {to}")


@app.command()
def verify(
    run: RunPath,
    weights: Annotated[bool, typer.Option("--weights", help="Hash the models' weights again, too.")] = False,
) -> None:
    """Is every part whole and from the same inputs? Exit 3 and one line per problem where not."""
    from dpo_analysis.runs import open_run, verify_run
    from dpo_analysis.scoring.preflight import model_sha256

    problems = verify_run(run, weights=model_sha256 if weights else None)
    for problem in problems:
        typer.echo(problem)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise StorageError(
            f"{count} in {run}: see above; delete what is damaged, then the same score command makes it again"
        )
    opened = open_run(run)
    typer.echo(f"whole: {opened.n_parts} parts, the reference and {len(opened.models)} policies in {run}")


@app.command(name="app")
def open_app(
    run: Annotated[Path | None, typer.Argument(help="A run folder, or a folder of run folders.")] = None,
    port: Annotated[int | None, typer.Option(help="[default: 8501 or the next free one]")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
    allow_host: Annotated[list[str] | None, typer.Option(help="A host name a proxy serves this under.")] = None,
) -> None:
    """Open the dashboard on 127.0.0.1."""
    from dpo_analysis.launcher import launch

    launch(run, port=port, browser=browser, allow_hosts=tuple(allow_host or ()))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where to put the scored run.")] = Path("runs/demo"),
    show: Annotated[bool, typer.Option("--app/--no-app", help="Open the app at the end.")] = True,
    port: Annotated[int | None, typer.Option(help="[default: 8501 or the next free one]")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
) -> None:
    """The main job on the shipped sample: score fifteen checkpoints, print what they show, open the app."""
    from dpo_analysis.demo import run_demo
    from dpo_analysis.launcher import launch

    folder = run_demo(out)
    if show:
        launch(folder, port=port, browser=browser)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; a mendable error is one line on standard error and its exit code."""
    try:
        code = app(
            list(sys.argv[1:] if argv is None else argv) or ["--help"], prog_name="dpo-analysis", standalone_mode=False
        )
        sys.exit(code if isinstance(code, int) else 0)
    except typer.TyperException as error:
        _fail(f"usage: {error.format_message()}; see dpo-analysis --help", 2)
    except DPOAnalysisError as error:
        _fail(str(error), error.exit_code)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted: what was finished is kept; the same command goes on", Interrupted.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _fail(message: str, code: int) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _needs_score(command: str, module: str = "dpo_analysis.scoring.models"):
    import importlib
    import importlib.util

    missing = [name for name in ("torch", "transformers", "peft") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"no {missing[0]} in this environment: {command} runs models; pip install 'dpo-analysis[score]'"
        )
    return importlib.import_module(module)


def _shard(text: str | None) -> tuple[int, int]:
    if text is None:
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise InputError(f"bad --shard {text!r}: it is I/N with 0 <= I < N; write 0/2 and 1/2 for two workers")
    return int(index), int(count)
