"""The commands that import, read or show a run folder, and the demo."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from dpo_analysis.cli.announce import announce_torch
from dpo_analysis.errors import InputError, StorageError, counted

RunPath = Annotated[Path, typer.Argument(help="A run folder, made by score, import or demo.")]
FirstPort = "The port of the page.  [default: 8501, or the next free one]"


def import_sums(
    out: Annotated[Path, typer.Option(help="The run folder to make, or to add to.")],
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TABLE",
            show_default=False,
            help="[SPLIT=]FILE. A .parquet, .csv or .jsonl file has a row for each response, with pair_id (or row), "
            "model (or step), side and logps. An .npz file has two arrays, chosen and rejected, of shape (checkpoints, "
            "pairs).",
        ),
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SERIES=]PATH",
            help="A training log, or a folder that holds it: trainer_state.json, TensorBoard, W&B (offline or CSV), "
            "trackio, logging.jsonl, trainer_log.jsonl. Repeat for more. Without tables the run has the curves alone.",
        ),
    ] = None,
    beta: Annotated[float | None, typer.Option(help="The beta of the training.  [default: 0.1]")] = None,
    loss_type: Annotated[str | None, typer.Option(help="The loss_type of the training.  [default: sigmoid]")] = None,
    series: Annotated[str, typer.Option(help="The name of the training run, for rows that name no series.")] = "policy",
    reference_checkpoint: Annotated[
        str | None,
        typer.Option(help="The checkpoint that is the reference: its step or its name.  [default: 'reference']"),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(help="The preference pairs, so that pages can show texts: [SPLIT=]SOURCE. Repeat for more."),
    ] = None,
) -> None:
    """Make a run folder from log-probs or training logs that you already have.

    Tables hold one sum per response, so the run has no tokens. Logs hold curves, so the run has no pairs either.
    """
    from dpo_analysis.cli.run_notes import imported_lines
    from dpo_analysis.diagnosis import save_diagnoses
    from dpo_analysis.imported import import_run
    from dpo_analysis.runs import stored_series

    known = stored_series(out)
    run = import_run(
        *(tables or ()),
        out=out,
        beta=beta,
        loss_type=loss_type,
        series=series,
        reference_checkpoint=reference_checkpoint,
        pairs=list(pairs or ()),
        logs=list(log or ()),
    )
    if run.has_pairs:
        save_diagnoses(run)
    typer.echo("\n".join(imported_lines(run, beta, known)))


def diagnose(
    run: RunPath,
    series: Annotated[
        str | None,
        typer.Option(help="The training run to show.  [default: all; the one with the lowest chosen reward first]"),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="The split of the pairs to look at.  [default: eval, else the first]")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The checkpoint to look at; later checkpoints are left out.  [default: the last]")
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="Show rewards with this beta instead of the beta of the training.")
    ] = None,
    loss_type: Annotated[str | None, typer.Option(help="Show this loss instead of the loss of the training.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of sentences.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print all series, all causes and everything that was measured.")
    ] = False,
    lang: Annotated[str, typer.Option(help="The language: en or zh.")] = "en",
) -> None:
    """Say why the chosen reward fell.

    The answer comes first, then what happened and the evidence for each cause.
    """
    import json

    from dpo_analysis.cli.console import terminal_width
    from dpo_analysis.cli.diagnosis_lines import all_lines, verbose_lines
    from dpo_analysis.cli.run_notes import missing_lines
    from dpo_analysis.diagnosis import diagnose, diagnose_all
    from dpo_analysis.diagnosis.diagnosis_text import diagnoses_as_json
    from dpo_analysis.runs import open_run
    from dpo_analysis.words import LANGUAGES

    if lang not in LANGUAGES:
        raise InputError(f"no language {lang!r} in this tool: it has {', '.join(LANGUAGES)}; give one of these")
    opened = open_run(run)
    if series or model:
        diagnoses = [diagnose(opened, series=series, split=split, model=model, beta=beta, loss_type=loss_type)]
    else:
        diagnoses = diagnose_all(opened, split=split, beta=beta, loss_type=loss_type)
    for line in missing_lines(opened, series=series):
        typer.echo(line, err=True)
    if as_json:
        typer.echo(json.dumps(diagnoses_as_json(diagnoses, lang), ensure_ascii=False, allow_nan=False, indent=1))
    elif verbose:
        typer.echo("\n".join(verbose_lines(diagnoses, width=terminal_width(), lang=lang)))
    else:
        typer.echo("\n".join(all_lines(diagnoses, run, width=terminal_width(), lang=lang)))


def export(
    run: RunPath,
    table: Annotated[
        str,
        typer.Option(
            help="token, response, step or position; pair: numbers, a row per pair and policy; pairs: the rows of your "
            "data, unchanged, without those that --without names."
        ),
    ],
    to: Annotated[
        Path, typer.Option(help="The file to write: FILE.parquet, FILE.csv or FILE.jsonl; FILE.jsonl for pairs.")
    ],
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="Of pairs: leave out rows. ids:FILE (a pair_id a line, or a column pair_id), finding:CAUSE (the pairs "
            "whose texts a cause of diagnose blames), or where:EXPR over the columns of pair, such as 'where:margin < "
            "-2 and chosen_n_tokens > 512'. Repeat for more.",
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of pairs: the split.  [default: the only one]")] = None,
    beta: Annotated[float | None, typer.Option(help="Use this beta instead of the beta of the training.")] = None,
    loss_type: Annotated[str | None, typer.Option(help="Use this loss instead of the loss of the training.")] = None,
    series: Annotated[
        str | None,
        typer.Option(help="Only this training run. Of pairs: for finding: and where:  [default: as in diagnose]"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Only this checkpoint. Of pairs: for finding: and where:  [default: the last]"),
    ] = None,
    pair: Annotated[str | None, typer.Option(help="Only this pair_id.")] = None,
) -> None:
    """Write a table to a file for your own analysis, or your data without some pairs.

    For pairs, FILE.removed.jsonl lists every row that was left out, and why.
    """
    from dpo_analysis.cli.run_notes import missing_lines
    from dpo_analysis.runs import open_run
    from dpo_analysis.tables.export import SOURCE_ROWS, export_run

    opened = open_run(run)
    if table == SOURCE_ROWS:
        from dpo_analysis.cleaning import export_pairs

        if pair is not None:
            raise InputError("no --pair for the pairs table: it has every row that --without keeps; leave it out")
        options = {"split": split, "series": series, "model": model, "beta": beta, "loss_type": loss_type}
        lines = export_pairs(opened, to, without or (), **options)
    else:
        for name, value in {"without": without, "split": split}.items():
            if value:
                raise InputError(f"no --{name} for the {table} table: it is for --table {SOURCE_ROWS}; leave it out")
        rows = export_run(opened, table, to, beta=beta, loss_type=loss_type, series=series, model=model, pair_id=pair)
        lines = [f"{counted(rows, 'row')} of the {table} table in {to}"]
    if opened.has_pairs and (without or table != SOURCE_ROWS):
        for line in missing_lines(opened, series=series, model=model):
            typer.echo(line, err=True)
    typer.echo("\n".join(lines))


def report(
    run: RunPath,
    to: Annotated[
        Path, typer.Option(help="The file to write, FILE.html. An older report is replaced; any other file is kept.")
    ],
    series: Annotated[str | None, typer.Option(help="Only this training run.")] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="A pair_id to show; repeat for more.  [default: the pairs that fell most]")
    ] = None,
    pairs: Annotated[int, typer.Option(help="How many of the pairs that fell most to show.")] = 4,
    beta: Annotated[float | None, typer.Option(help="Use this beta instead of the beta of the training.")] = None,
    lang: Annotated[str, typer.Option(help="The language: en or zh.")] = "en",
) -> None:
    """Write one HTML page to send to somebody.

    It holds the answer, curves, checks and single pairs, and works offline.
    """
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
    weights: Annotated[
        bool, typer.Option("--weights", help="Also check that the models' weights are still the same (slow).")
    ] = False,
) -> None:
    """Check that a run folder is whole.

    All of it must come from the same inputs. The exit code is 3 if there is a problem.
    """
    from dpo_analysis.cli.repeated import together
    from dpo_analysis.runs import open_run, verify_run
    from dpo_analysis.scoring.models.preflight import model_sha256

    problems = verify_run(run, weights=model_sha256 if weights else None)
    for line in together(problems, least=4):
        typer.echo(line)
    if problems:
        advice = "repair the files that it names"
        if any(problem.startswith(("missing", "unfinished")) for problem in problems):
            advice = "run the same score command again"
        if any(problem.startswith("damaged") for problem in problems):
            advice = "delete the damaged files, then run the same score command: it makes them again"
        if any(problem.startswith("not enough memory") for problem in problems):
            advice = "verify it again with more memory before you delete anything"
        raise StorageError(f"{counted(len(problems), 'problem')} in {run}, listed above; {advice}")
    opened = open_run(run)
    policies = counted(len(opened.models), "policy")
    scores = f"{counted(opened.n_parts, 'part')}, the reference and {policies}"
    typer.echo(f"whole: {scores if opened.has_pairs else 'a training log, no scores'} in {run}")


def open_app(
    run: Annotated[Path | None, typer.Argument(help="A run folder, or a folder that holds run folders.")] = None,
    port: Annotated[int | None, typer.Option(help=FirstPort)] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser window, or only print the address.")
    ] = True,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A host name under which your proxy serves the page. Repeat for more.")
    ] = None,
) -> None:
    """Open the pages of a run in your browser.

    Only this machine (127.0.0.1) can read them.
    """
    from dpo_analysis.cli.launcher import launch

    launch(run, port=port, browser=browser, allow_hosts=tuple(allow_host or ()))


def demo(
    out: Annotated[Path, typer.Option(help="The run folder to make.")] = Path("runs/demo"),
    show: Annotated[
        bool, typer.Option("--app/--no-app", help="Open the pages at the end, or stop after printing the answer.")
    ] = True,
    port: Annotated[int | None, typer.Option(help=FirstPort)] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser window, or only print the address.")
    ] = True,
) -> None:
    """Try the tool on its sample.

    It scores fifteen checkpoints, prints why the rewards fell, and opens the pages.
    """
    if importlib.util.find_spec("torch"):
        announce_torch()
    from dpo_analysis.cli.demo import run_demo
    from dpo_analysis.cli.launcher import free_port, launch

    if show:
        free_port(port)
    folder = run_demo(out)
    if show:
        launch(folder, port=port, browser=browser)
