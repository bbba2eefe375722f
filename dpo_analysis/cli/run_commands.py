"""The commands that import, read or show a run folder, and the demo."""

from pathlib import Path
from typing import Annotated

import typer

from dpo_analysis.errors import InputError, StorageError, counted

RunPath = Annotated[Path, typer.Argument(help="A run folder.")]


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
    from dpo_analysis.diagnosis import save_diagnoses
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
    save_diagnoses(run)
    typer.echo("\n".join(imported_lines(run, beta)))


def diagnose(
    run: RunPath,
    series: Annotated[str | None, typer.Option(help="Only this series.  [default: all, the lowest first]")] = None,
    split: Annotated[str | None, typer.Option(help="Pairs to look at.  [default: eval, else the first]")] = None,
    model: Annotated[
        str | None, typer.Option(help="Checkpoint to look at, and none after it.  [default: the last]")
    ] = None,
    beta: Annotated[float | None, typer.Option(help="For the rewards shown, instead of each series' own.")] = None,
    loss_type: Annotated[str | None, typer.Option(help="For the loss shown, instead of each series' own.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of sentences.")] = False,
    lang: Annotated[str, typer.Option(help="en or zh.")] = "en",
) -> None:
    """Why did the chosen reward fall? What goes with it, what speaks against it, and what stays open."""
    import json

    from dpo_analysis.cli.console import missing_lines
    from dpo_analysis.diagnosis import diagnose, diagnose_all
    from dpo_analysis.diagnosis.diagnosis_text import diagnoses_as_json, diagnosis_lines
    from dpo_analysis.runs import open_run
    from dpo_analysis.words import LANGUAGES

    if lang not in LANGUAGES:
        raise InputError(f"no language {lang!r} in this tool: it speaks {', '.join(LANGUAGES)}; give one of these")
    opened = open_run(run)
    if series or model:
        diagnoses = [diagnose(opened, series=series, split=split, model=model, beta=beta, loss_type=loss_type)]
    else:
        diagnoses = diagnose_all(opened, split=split, beta=beta, loss_type=loss_type)
    for line in missing_lines(opened, series=series):
        typer.echo(line, err=True)
    if as_json:
        typer.echo(json.dumps(diagnoses_as_json(diagnoses, lang), ensure_ascii=False, allow_nan=False, indent=1))
    else:
        typer.echo("\n\n".join("\n".join(diagnosis_lines(diagnosis, lang)) for diagnosis in diagnoses))


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
    from dpo_analysis.report.report import ReportOptions, write_report
    from dpo_analysis.runs import open_run
    from dpo_analysis.words import LANGUAGES

    if lang not in LANGUAGES:
        raise InputError(f"no language {lang!r} for a report: it can be {', '.join(LANGUAGES)}; give one of these")
    options = ReportOptions(series=series, pair_ids=tuple(pair or ()), pairs=pairs, beta=beta, lang=lang)
    size = write_report(open_run(run), to, options)
    typer.echo(f"report in {to} ({size / 1000:,.0f} kB): open it in any browser")


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


def open_app(
    run: Annotated[Path | None, typer.Argument(help="A run folder, or a folder of run folders.")] = None,
    port: Annotated[int | None, typer.Option(help="[default: 8501 or the next free one]")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
    allow_host: Annotated[list[str] | None, typer.Option(help="A host name a proxy serves this under.")] = None,
) -> None:
    """Open the dashboard on 127.0.0.1."""
    from dpo_analysis.cli.launcher import launch

    launch(run, port=port, browser=browser, allow_hosts=tuple(allow_host or ()))


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
