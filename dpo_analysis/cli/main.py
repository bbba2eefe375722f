"""``dpo-analysis``: a thin skin, one function per command; everything heavy is imported inside its command."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dpo_analysis import __version__
from dpo_analysis.errors import DPOAnalysisError, InputError, Interrupted, StorageError, counted

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
Evidence = Annotated[
    str, typer.Option(help="Some of topk, kl, hidden; or none; or fallen: fallen pairs and like ones.")
]
Beta = Annotated[float | None, typer.Option(help="The trainer's beta.  [default: found, else 0.1]")]
Loss = Annotated[str | None, typer.Option(help="The trainer's loss_type.  [default: found, else sigmoid]")]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dpo-analysis {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Why did the chosen reward fall? Score DPO checkpoints per token, keep the numbers, look at them."""


@app.command()
def check(
    pairs: Pairs,
    tokenizer: Annotated[str | None, typer.Option(help="A model folder or hub id whose tokenizer to use.")] = None,
    max_length: MaxLength = 1024,
    truncation: Truncation = "keep_start",
    tokenization: Tokenization = "trl",
    chat_template: Template = None,
    rows: Annotated[int, typer.Option(min=0, help="How many rows to print token by token.")] = 3,
) -> None:
    """Show how rows become tokens, and every complaint about them, before a GPU is paid for."""
    from dpo_analysis.cli.console import bad_row_lines, console
    from dpo_analysis.data.check_output import render_check, render_rows
    from dpo_analysis.data.pairs import read_pairs

    loaded, bad = read_pairs(*pairs)
    if len(bad) > 1:
        lines = bad_row_lines(bad)
        typer.echo("\n".join(lines))
        n_rows = len(loaded) + len(bad)
        raise InputError(f"{len(bad)} of {n_rows} rows cannot be read: {lines[0][:200]} ...; mend or remove them")
    if bad:
        raise bad[0]
    if tokenizer is None:
        console().print(*render_rows(loaded, rows), sep="\n")
        return
    models = _needs_score("check --tokenizer")
    from dpo_analysis.data.tokenization import tokenize_pairs
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
    numerics: Annotated[str, typer.Option(help="default, or trainer: as bf16 training computed its log.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    device_map: Annotated[str | None, typer.Option(help="auto: one model over all GPUs of this machine.")] = None,
    limit: Limit = None,
    evidence: Evidence = "topk,kl,hidden",
    evidence_pairs: Annotated[str, typer.Option(help="Pairs of each split to collect it of, or all.")] = "512",
    batch_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of one forward pass.")] = None,
    part_size: Annotated[int, typer.Option(min=1, help="Rows of one part.")] = 512,
    shard: Annotated[str | None, typer.Option(help="I/N: this worker's share.  [default: its rank]")] = None,
    ray: Annotated[str | None, typer.Option(help="Run on Ray: HOST:PORT, local, or nothing for a running one.")] = None,
    ray_workers: Annotated[int | None, typer.Option(min=1, help="[default: one per GPU, else per core]")] = None,
    probes: Annotated[
        bool, typer.Option("--probes", help="Then draw samples and greedy answers, and score them under every model.")
    ] = False,
    probe_prompts: Annotated[int, typer.Option(min=1, help="Prompts of --probes.")] = 32,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Then ask whose gradients push the fallen tokens down; needs train=PAIRS.")
    ] = False,
) -> None:
    """Score the reference and every policy on the pairs, per token, into a run folder; run again to go on."""
    from dpo_analysis.scoring.workers.ranks import own_rank, own_share

    share, rank = own_share(shard), own_rank()
    scoring = _needs_score("score", module="dpo_analysis.scoring.run_score")
    from dpo_analysis.cli.console import Reporter, scored_lines
    from dpo_analysis.diagnosis import keep
    from dpo_analysis.diagnosis.influence_groups import ask
    from dpo_analysis.scoring.interrupts import stop_signals

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
            numerics=numerics,
            device=device,
            device_map=device_map,
            limit=limit,
            evidence=evidence,
            evidence_pairs=evidence_pairs,
            batch_tokens=batch_tokens,
            part_size=part_size,
            shard=share,
            ray=ray,
            ray_workers=ray_workers,
            probes=probe_prompts if probes else 0,
            confirm=ask if confirm else None,
            report=None if rank.index else Reporter(),
        )
    keep(run)
    if rank.index == 0:
        state, *notes = scored_lines(run, beta, ranks=rank.count)
        look = f"look at it: dpo-analysis app {run.path}"
        typer.echo("\n".join([state, *notes, look] if run.is_complete else [*notes, look, state]))


@app.command(name="import")
def import_sums(
    tables: Annotated[
        list[str],
        typer.Argument(
            metavar="TABLE...",
            help="[SPLIT=]FILE: rows of pair_id (or row), model (or step), side, logps in .parquet, .csv or .jsonl; or "
            "an .npz with chosen and rejected of shape (checkpoints, pairs).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The run folder to make or to add to.")],
    beta: Annotated[float | None, typer.Option(help="The training's beta.  [default: 0.1]")] = None,
    loss_type: Annotated[str | None, typer.Option(help="The training's loss_type.  [default: sigmoid]")] = None,
    series: Annotated[str, typer.Option(help="The training run that rows without a series belong to.")] = "policy",
    reference_checkpoint: Annotated[
        str | None, typer.Option(help="Step or name of the checkpoint that is the reference.  [default: 'reference']")
    ] = None,
    pairs: Annotated[
        list[str] | None, typer.Option(help="The preference pairs, for their texts: [SPLIT=]SOURCE; repeatable.")
    ] = None,
) -> None:
    """Make a run folder, without tokens, from log-probs that were summed over responses elsewhere."""
    from dpo_analysis.cli.console import imported_lines
    from dpo_analysis.diagnosis import keep
    from dpo_analysis.imported import import_run

    run = import_run(
        *tables,
        out=out,
        beta=beta,
        loss_type=loss_type,
        series=series,
        reference_checkpoint=reference_checkpoint,
        pairs=list(pairs or ()),
    )
    keep(run)
    typer.echo("\n".join(imported_lines(run, beta)))


@app.command()
def diagnose(
    run: RunPath,
    series: Annotated[str | None, typer.Option(help="Only this series.  [default: all, the lowest first]")] = None,
    split: Annotated[str | None, typer.Option(help="Pairs to look at.  [default: eval, else the first]")] = None,
    beta: Annotated[float | None, typer.Option(help="For the rewards shown, instead of each series' own.")] = None,
    loss_type: Annotated[str | None, typer.Option(help="For the loss shown, instead of each series' own.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of sentences.")] = False,
    lang: Annotated[str, typer.Option(help="en or zh.")] = "en",
) -> None:
    """Why did the chosen reward fall? What goes with it, what speaks against it, and what stays open."""
    from dpo_analysis.cli.console import missing_lines
    from dpo_analysis.diagnosis import diagnose, diagnose_all
    from dpo_analysis.diagnosis.diagnosis_text import as_object, lines
    from dpo_analysis.runs import open_run
    from dpo_analysis.words import LANGUAGES

    if lang not in LANGUAGES:
        raise InputError(f"no language {lang!r} in this tool: it speaks {', '.join(LANGUAGES)}; give one of these")
    opened, asked = open_run(run), {"split": split, "beta": beta, "loss_type": loss_type}
    found = [diagnose(opened, series=series, **asked)] if series else diagnose_all(opened, **asked)
    for line in missing_lines(opened, series=series):
        typer.echo(line, err=True)
    if as_json:
        typer.echo(json.dumps(as_object(found, lang), ensure_ascii=False, allow_nan=False, indent=1))
    else:
        typer.echo("\n\n".join("\n".join(lines(one, lang)) for one in found))


@app.command()
def export(
    run: RunPath,
    table: Annotated[str, typer.Option(help="token, response, pair, step or position.")],
    to: Annotated[Path, typer.Option(help="FILE.parquet, FILE.csv or FILE.jsonl.")],
    beta: Annotated[float | None, typer.Option(help="Instead of each series' own.")] = None,
    loss_type: Annotated[str | None, typer.Option(help="Instead of each series' own.")] = None,
    series: Annotated[str | None, typer.Option(help="Only this series.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this checkpoint.")] = None,
    pair: Annotated[str | None, typer.Option(help="Only this pair_id.")] = None,
) -> None:
    """Write one of the tables to a file."""
    from dpo_analysis.cli.console import missing_lines
    from dpo_analysis.runs import open_run
    from dpo_analysis.tables.export import export_run

    opened = open_run(run)
    rows = export_run(opened, table, to, beta=beta, loss_type=loss_type, series=series, model=model, pair_id=pair)
    for line in missing_lines(opened, series=series, model=model):
        typer.echo(line, err=True)
    typer.echo(f"{counted(rows, 'row')} of the {table} table in {to}")


@app.command()
def report(
    run: RunPath,
    to: Annotated[Path, typer.Option(help="FILE.html; a report that is there is replaced, nothing else is.")],
    series: Annotated[str | None, typer.Option(help="Only this series.")] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="Show this pair_id, repeatable; else those that fell most.")
    ] = None,
    pairs: Annotated[int, typer.Option(help="How many of those that fell most.")] = 6,
    beta: Annotated[float | None, typer.Option(help="Instead of each series' own.")] = None,
    lang: Annotated[str, typer.Option(help="en or zh.")] = "en",
) -> None:
    """Write one HTML page to send to somebody: verdict, curves, checks, pairs token by token; it works offline."""
    from dpo_analysis.report.report import Asked, write_report
    from dpo_analysis.runs import open_run
    from dpo_analysis.words import LANGUAGES

    if lang not in LANGUAGES:
        raise InputError(f"no language {lang!r} for a report: it can be {', '.join(LANGUAGES)}; give one of these")
    asked = Asked(series=series, pair_ids=tuple(pair or ()), pairs=pairs, beta=beta, lang=lang)
    size = write_report(open_run(run), to, asked)
    typer.echo(f"report in {to} ({size / 1000:,.0f} kB): open it in any browser")


@app.command()
def verify(
    run: RunPath,
    weights: Annotated[bool, typer.Option("--weights", help="Hash the models' weights again, too.")] = False,
) -> None:
    """Is every part whole and from the same inputs? Exit 3 and one line per problem where not."""
    from dpo_analysis.runs import open_run, verify_run
    from dpo_analysis.scoring.models.preflight import model_sha256

    problems = verify_run(run, weights=model_sha256 if weights else None)
    for problem in problems:
        typer.echo(problem)
    if problems:
        advice = "mend what it names"
        if any(problem.startswith(("missing", "unfinished")) for problem in problems):
            advice = "run the same score command again"
        if any(problem.startswith("damaged") for problem in problems):
            advice = "delete what is damaged, then the same score command makes it again"
        raise StorageError(f"{counted(len(problems), 'problem')} in {run}: see above; {advice}")
    opened = open_run(run)
    policies = counted(len(opened.models), "policy")
    typer.echo(f"whole: {counted(opened.n_parts, 'part')}, the reference and {policies} in {run}")


@app.command(name="app")
def open_app(
    run: Annotated[Path | None, typer.Argument(help="A run folder, or a folder of run folders.")] = None,
    port: Annotated[int | None, typer.Option(help="[default: 8501 or the next free one]")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
    allow_host: Annotated[list[str] | None, typer.Option(help="A host name a proxy serves this under.")] = None,
) -> None:
    """Open the dashboard on 127.0.0.1."""
    from dpo_analysis.cli.launcher import launch

    launch(run, port=port, browser=browser, allow_hosts=tuple(allow_host or ()))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where to put the scored run.")] = Path("runs/demo"),
    show: Annotated[bool, typer.Option("--app/--no-app", help="Open the app at the end.")] = True,
    port: Annotated[int | None, typer.Option(help="[default: 8501 or the next free one]")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
) -> None:
    """The main job on the shipped sample: score fifteen checkpoints, print what they show, open the app."""
    from dpo_analysis.cli.demo import run_demo
    from dpo_analysis.cli.launcher import free_port, launch

    if show:
        free_port(port)
    folder = run_demo(out)
    if show:
        launch(folder, port=port, browser=browser)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; a mendable error is one line on standard error and its exit code."""
    try:
        given = _with_ray_address(list(sys.argv[1:] if argv is None else argv))
        code = app(given or ["--help"], prog_name="dpo-analysis", standalone_mode=False)
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


def _with_ray_address(argv: list[str]) -> list[str]:
    """``--ray`` with nothing that could be an address behind it means a running cluster, else one of this machine."""
    if "--ray" not in argv or "--" in argv[: argv.index("--ray")]:
        return argv
    from dpo_analysis.scoring.workers.ranks import RAY_ADDRESS

    place = argv.index("--ray")
    following = argv[place + 1 : place + 2]
    address = following if RAY_ADDRESS.fullmatch("".join(following)) else []
    return [*argv[:place], f"--ray={(address or ['auto'])[0]}", *argv[place + 1 + len(address) :]]


def _fail(message: str, code: int) -> None:
    """Tell what went wrong and leave: each of several ranks its own trouble, and the first that it was stopped."""
    from dpo_analysis.scoring.workers.ranks import own_rank

    try:
        label = own_rank().label
    except InputError:
        label = ""
    if not label or code != Interrupted.exit_code:
        print(f"error: {label}{' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _needs_score(command: str, module: str = "dpo_analysis.scoring.models.loading"):
    import importlib
    import importlib.util

    missing = [name for name in ("torch", "transformers", "peft") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"no {missing[0]} in this environment: {command} runs models; pip install 'dpo-analysis[score]'"
        )
    return importlib.import_module(module)
