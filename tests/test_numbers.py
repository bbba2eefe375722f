"""Numbers as a person reads them."""

import math

import pytest

from dpo_analysis.text.numbers import (
    decimal,
    distinct,
    fixed,
    percent,
    signed,
    signed_fixed,
    signed_significant,
    significant,
    whole_percent,
    with_minus_signs,
)


@pytest.mark.parametrize(
    ("write", "value", "written"),
    [
        (signed, 0.3, "+0.30"),
        (signed, -0.004, "\u22120.004"),
        (signed, 5e-11, "+5e\u221211"),
        (signed, 0, "0"),
        (decimal, 0.3, "0.30"),
        (decimal, -0.000006318, "\u22126e\u22126"),
        (decimal, -0.0, "0"),
        (significant, -0.000006318, "\u22126.318e\u22126"),
        (significant, 0.25, "0.25"),
        (signed_fixed, 0.3, "+0.30"),
        (signed_fixed, -0.004, "0.00"),
        (fixed, 0.3, "0.30"),
        (fixed, -0.3, "\u22120.30"),
        (signed_significant, 0.6, "+0.6"),
        (signed_significant, -0.12345, "\u22120.1235"),
        (signed_significant, 1e-6, "+1e\u22126"),
        (signed_significant, 0, "0"),
        (percent, 0.25, "25%"),
        (percent, 0.031, "3.1%"),
        (percent, 1, "100%"),
        (whole_percent, 0.031, "3%"),
    ],
)
def test_a_number_is_written_as_its_docstring_says(write, value, written):
    assert write(value) == written


@pytest.mark.parametrize("write", [signed, signed_fixed, fixed, signed_significant, percent, whole_percent])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_undefined_or_infinite_number_is_a_dash(write, value):
    assert write(value) == "–"


def test_only_hyphens_before_a_number_become_minus_signs():
    assert with_minus_signs("end-of-text, -0.5 to 1e-06") == "end-of-text, \u22120.5 to 1e\u221206"


def test_equal_numbers_are_listed_once():
    assert distinct([0.1, 0.5, 0.10]) == "0.1, 0.5"
