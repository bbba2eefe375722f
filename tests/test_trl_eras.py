"""The era of TRL from the fields of its DPOConfig, as the releases declare them."""

import json
from pathlib import Path

import pytest

from dpo_analysis.trainer.training_args import FILE_NAME, TrainingArguments
from dpo_analysis.trainer.trl import era_fact, era_facts, release_of

FIELDS = json.loads((Path(__file__).parent / "trainers/dpo_config_fields.json").read_text("utf-8"))
"""Release -> names of the fields that its DPOConfig declares, divided by spaces."""
PRESETS = {"0.9": "trl-0.9", "0.10": "trl-0.9", "0.11": "trl-0.9", "0.12": "trl-0.12", "0.13": "trl-0.12"}
PRESETS |= {"0.28": "trl-0.28", "0.29": "trl-0.29", "1.16": "trl"}
SAME_FIELDS = ("0.26", "0.27", "0.29", "1.16")
"""Releases whose fields are those of releases of another era."""


def fields(version):
    return dict.fromkeys(FIELDS[version].split())


def preset(version):
    if version == "0.27.2":
        return "trl-0.28"
    return PRESETS.get(version.rpartition(".")[0], "trl-0.24")


@pytest.mark.parametrize("version", FIELDS)
def test_fields_and_model_card_give_the_era(version):
    assert era_fact(fields(version), version)[::2] == (preset(version), False)


@pytest.mark.parametrize("version", [version for version in FIELDS if version.rpartition(".")[0] not in SAME_FIELDS])
def test_fields_alone_give_the_era(version):
    fact = era_fact(fields(version), "")
    assert (fact.value, fact.assumed) == (preset(version), False)
    assert fact.source.startswith(FILE_NAME)


@pytest.mark.parametrize("version", ["0.26.2", "0.27.0", "0.27.2"])
def test_0_26_and_0_27_are_an_assumption_without_a_model_card(version):
    fact = era_fact(fields(version), "")
    assert (fact.value, fact.assumed) == ("trl-0.24", True)
    assert "0.27.2 alone" in fact.source


@pytest.mark.parametrize("version", ["0.29.1", "1.16.0"])
def test_the_latest_era_is_an_assumption_without_a_model_card(version):
    assert era_fact(fields(version), "")[::2] == ("trl", True)


@pytest.mark.parametrize(("version", "era"), [("0.27.1", "trl-0.24"), ("0.27.2", "trl-0.28")])
def test_the_model_card_alone_tells_the_last_release_of_0_27(version, era):
    for values in (fields("0.27.0"), None):
        fact = era_fact(values, version)
        assert (fact.value, fact.source, fact.assumed) == (era, f"TRL {version} in README.md", False)


@pytest.mark.parametrize("version", FIELDS)
def test_a_model_card_alone_gives_the_era(version):
    assert era_fact(None, version).value == preset(version)


@pytest.mark.parametrize(
    ("version", "era"),
    [
        ("0.7.4", "trl-0.9"),
        ("0.13.0", "trl-0.12"),
        ("0.14.0", "trl-0.24"),
        ("0.28.0.dev0", "trl-0.28"),
        ("1.0.0.dev0", "trl-0.29"),
        ("1.14.2", "trl-0.29"),
        ("1.15.0", "trl"),
        ("2.0", "trl"),
    ],
)
def test_versions_between_and_beyond(version, era):
    assert era_fact({}, version).value == era


def test_a_model_card_that_contradicts_the_fields_is_not_followed():
    assert era_fact(fields("0.24.0"), "1.16.0").value == "trl-0.24"
    assert era_fact(fields("1.16.0"), "0.24.0").value == "trl"


@pytest.mark.parametrize(
    ("version", "numbers"), [("0.24", (0, 24, 0)), ("1.16.2", (1, 16, 2)), ("", None), ("x", None)]
)
def test_numbers_of_a_version(version, numbers):
    assert release_of(version) == numbers


def test_nothing_known_is_an_assumption():
    assert era_fact(None, "")[::2] == ("trl", True)


def arguments(tmp_path, version, **values):
    return TrainingArguments("trl.trainer.dpo_config.DPOConfig", fields(version) | values, tmp_path / FILE_NAME)


@pytest.mark.parametrize(
    ("version", "lost"), [("0.11.4", False), ("0.12.0", True), ("0.12.2", True), ("0.13.0", False)]
)
def test_only_0_12_loses_the_longest_end(tmp_path, version, lost):
    facts = era_facts(preset(version), arguments(tmp_path, version), None)
    assert ("parameters" in facts) is lost


def test_lengths_that_early_releases_put_in_are_named_as_such(tmp_path):
    facts = era_facts("trl-0.9", arguments(tmp_path, "0.9.6"), None)
    assert (facts["max_prompt_length"].value, facts["max_length"].value) == (128, 512)
    assert "where none is set" in facts["max_length"].source
    given = era_facts("trl-0.9", arguments(tmp_path, "0.9.6", max_prompt_length=77, max_length=300), None)
    assert given["max_prompt_length"].value == 77
    assert "max_length" not in given


@pytest.mark.parametrize(
    ("version", "averaged"), [("0.9.3", True), ("0.24.0", True), ("0.28.0", True), ("0.29.1", False)]
)
@pytest.mark.parametrize("loss_type", ["ipo", ["sigmoid", "ipo"], "sigmoid"])
def test_ipo_was_logged_as_averages_up_to_0_28(tmp_path, version, averaged, loss_type):
    from dpo_analysis.trainer.training import Fact

    facts = era_facts(preset(version), arguments(tmp_path, version), Fact(loss_type, FILE_NAME))
    assert ("logged_logps" in facts) is (averaged and "ipo" in loss_type)
