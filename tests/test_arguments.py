"""The arguments of ``score``: one class from which the function's keywords and the command's options are made."""

import dataclasses
import inspect

import pytest
import typer
from typer.testing import CliRunner

from dpo_analysis.cli import scoring_commands
from dpo_analysis.cli.main import app
from dpo_analysis.runs.evidence import kinds
from dpo_analysis.scoring import score
from dpo_analysis.scoring.arguments import ScoreArguments, argument_docs
from dpo_analysis.scoring.evidence.pair_sample import parse_evidence_request

FIELDS = {field.name: field for field in dataclasses.fields(ScoreArguments)}
ONLY_IN_PYTHON = {"parameters", "report"}


def given_by(*options):
    """The arguments of ``score`` that a command line gives."""
    seen = {}
    command = typer.Typer()

    @command.command()
    def run(**values):
        seen.update(scoring_commands.score_arguments(values))

    run.__dict__["__signature__"] = inspect.signature(scoring_commands.score)
    done = CliRunner().invoke(command, ["pairs.jsonl", "--out", "run", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return seen


def test_score_has_the_keywords_and_defaults_of_its_arguments():
    parameters = inspect.signature(score).parameters
    assert list(parameters) == list(FIELDS)
    assert [name for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty] == [
        "pairs",
        "out",
    ]
    assert [name for name, parameter in parameters.items() if parameter.kind is not parameter.KEYWORD_ONLY] == ["pairs"]


def test_every_argument_is_documented_and_the_help_of_score_shows_it():
    docs = argument_docs()
    assert list(docs) == list(FIELDS)
    for name, text in docs.items():
        assert f"\n    {name}: {text.split()[0]}" in score.__doc__
    assert "Raises:" in score.__doc__


@pytest.mark.parametrize("wrong", [{"polcies": []}, {}, {"out": "run", "pairs": "twice"}])
def test_unknown_missing_and_repeated_arguments_are_type_errors(wrong):
    with pytest.raises(TypeError):
        score("pairs.jsonl", **wrong)


def test_every_argument_is_an_option_of_the_command_or_named_here():
    assert FIELDS.keys() - scoring_commands.ARGUMENTS.keys() == ONLY_IN_PYTHON


def test_a_command_without_options_gives_the_defaults_of_score():
    given = given_by()
    assert given.pop("evidence_pairs") == str(FIELDS["evidence_pairs"].default), "an option may be the word all"
    assert given.pop("shard") is None, "the command takes the rank of its process"
    assert (given.pop("pairs"), str(given.pop("out"))) == (["pairs.jsonl"], "run")
    assert not given.pop("confirm"), "the command passes the questions of the diagnosis"
    assert given == {name: FIELDS[name].default for name in given}


def test_options_become_arguments():
    given = given_by("--policy", "a=x", "--policy", "y", "--trainer-output", "t", "--probes", "--probe-prompts", "4")
    assert given["policies"] == ["a=x", "y"]
    assert [str(folder) for folder in given["trainer_outputs"]] == ["t"]
    assert given["probes"] == 4
    assert given_by("--probe-prompts", "4")["probes"] == 0


def test_a_number_below_the_smallest_is_refused():
    done = CliRunner().invoke(app, ["score", "pairs.jsonl", "--out", "run", "--limit", "0"])
    assert done.exit_code != 0
    assert "Invalid value for '--limit'" in done.output


def test_the_default_evidence_is_every_kind_of_the_default_sample():
    wanted = parse_evidence_request(FIELDS["evidence"].default, FIELDS["evidence_pairs"].default)
    assert wanted == parse_evidence_request()
    assert wanted.kinds == tuple(kinds.EVIDENCE_SCHEMAS)
