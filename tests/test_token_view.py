"""The token view as data: units, marks, what carries a fall, scales, words; and the page that shows it."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis import figures
from dpo_analysis.errors import InputError
from dpo_analysis.figures import scales, theme
from dpo_analysis.figures.token_view import grid, number_codec, payload
from dpo_analysis.figures.token_view import page as token_page
from dpo_analysis.figures.token_view.colors import missing_colors
from dpo_analysis.runs import NoiseFloor
from dpo_analysis.words import LANGUAGES, text
from tests.token_rows import close, texts, token_rows, unpacked, values

WORDS = (b"The", b" sky", b" is", b" bl", b"ue.", b" Yes", b"!\n", b"<|im_end|>")


def test_one_scale_over_all_panels_is_the_99th_percentile():
    data = payload.payload(token_rows())
    assert data["scale"] == pytest.approx(np.quantile([0.1, 0.2, 0.2, 0.4, 0.1, 0.2], 0.99), rel=1e-3)


def test_bins_are_signed_symmetric_and_saturate():
    found = payload.shades(np.array([-9.0, -1.0, 0.0, 1.0, np.nan]), np.zeros(5, bool), 1.0)
    assert found == "00DX "
    assert chr(ord("0") + 20) == "D"


def test_noise_is_marked_and_never_coloured():
    data = payload.payload(token_rows(ratio=0.01), noise=NoiseFloor(token=0.015, response=0.1, n_pairs=4))
    assert data["sides"][0]["bins"][0][0] == payload.NOISE_SHADE
    assert payload.NOISE_SHADE not in data["sides"][0]["bins"][1]


def test_change_is_taken_from_the_first_panel():
    data = payload.payload(token_rows(), color="change")
    assert values(data) == [[0.0, 0.0], [-0.1, -0.2]]


def test_totals_are_the_rewards_of_the_responses():
    data = payload.payload(token_rows())
    assert data["sides"][0]["totals"] == ["reward −0.30", "reward −0.60"]


def test_more_than_four_checkpoints_become_first_middle_and_last():
    data = payload.payload(token_rows(models=[f"checkpoint-{n}" for n in range(1, 8)]))
    assert data["models"] == ["step 1", "step 4", "step 7"]


def test_a_checkpoint_that_lacks_the_pair_has_blanks():
    rows = token_rows()
    rows = rows[~((rows["model"] == "checkpoint-2") & (rows["side"] == "chosen"))]
    data = payload.payload(rows)
    assert values(data)[1] == [None, None]
    assert data["sides"][0]["bins"][1] == "  "


@pytest.mark.parametrize("color", figures.COLORS)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_colour_is_said_in_both_languages(color, lang):
    data = payload.payload(token_rows(), color=color, lang=lang)
    assert data["words"]["title"]
    json.dumps(data, allow_nan=False)


@pytest.mark.parametrize("wrong", [token_rows().drop(columns=["advantage", "position"]), "pairs", None, [1]])
def test_what_is_no_token_table_is_refused_with_what_to_give(wrong):
    with pytest.raises(InputError, match=r"no token table in this .*it has no .*token_table") as refusal:
        figures.token_view(wrong)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("rows", "color", "said"),
    [
        (token_rows(), "beauty", "unknown color 'beauty'"),
        (token_rows().head(0), "value", "no tokens to show"),
        (pd.concat([token_rows(), token_rows().assign(pair_id="q")]), "value", "tokens of several pairs"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(rows, color, said):
    with pytest.raises(InputError, match=said):
        figures.token_view(rows, color=color)


def test_the_page_is_self_contained_and_its_text_is_inert():
    page = figures.token_view(token_rows(chosen=(b"</script><script>alert(1)</script>", b"&amp;"))).html
    assert len(re.findall(r"<script", page)) == 2
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=", page.replace("default-src", ""))


def test_the_policy_names_exactly_the_pages_script_and_style():
    page = figures.token_view(token_rows()).html
    style, script = (
        re.search(r"<style>(.*?)</style>", page, re.S)[1],
        re.findall(r"<script>(.*?)</script>", page, re.S)[0],
    )
    assert token_page.policy_hash(style) in page
    assert token_page.policy_hash(script) in page


def test_a_notebook_gets_it_in_a_sandbox():
    shown = figures.token_view(token_rows(chosen=(b'"><img src=x>',)))._repr_html_()
    assert '<iframe class="dpo-analysis-token-view" sandbox="allow-scripts" srcdoc="' in shown
    assert "<img" not in shown
    assert "mountTokenView" in html.unescape(shown)


@pytest.mark.parametrize(
    ("unit", "shown", "first"),
    [
        ("token", ["The", " sky", " is", " bl", "ue.", " Yes", "!↵", "<|im_end|>"], [-0.1, -0.2, -0.3, -0.4, -0.5]),
        ("word", ["The", " sky", " is", " blue.", " Yes!↵", "<|im_end|>"], [-0.1, -0.2, -0.3, -0.9, -1.3]),
        ("sentence", ["The sky is blue.", " Yes!↵", "<|im_end|>"], [-1.5, -1.3, -0.8]),
        ("line", ["The sky is blue. Yes!↵", "<|im_end|>"], [-2.8, -0.8]),
    ],
)
def test_a_unit_has_the_sum_of_its_tokens(unit, shown, first):
    data = payload.payload(token_rows(chosen=WORDS), unit=unit)
    assert texts(data) == shown
    assert close(values(data)[0][: len(first)], first)


def test_the_value_of_a_unit_is_that_behind_its_last_token():
    data = payload.payload(token_rows(chosen=WORDS), color="value", unit="sentence")
    assert close(values(data)[0], [-1.5, -2.8, -3.6])
    assert data["words"]["summed"] == text("tokens.unit.last", unit=text("tokens.unit.sentence"))


def test_the_credit_of_a_unit_is_in_its_own_standard_deviations():
    data = payload.payload(token_rows(), color="credit_z", unit="line")
    assert close(values(data)[0], [(-0.3 + 2 * 0.025) / np.sqrt(2 * 0.01)])
    assert data["sides"][0]["totals"][0] == text("tokens.total.credit_z", value="−1.77")


@pytest.mark.parametrize("unit", figures.UNITS)
def test_units_add_up_to_the_response_in_every_size(unit):
    data = payload.payload(token_rows(chosen=WORDS), unit=unit)
    assert sum(values(data)[1]) == pytest.approx(-0.2 * 36, rel=1e-3)


def test_a_click_on_a_unit_means_its_first_token():
    side = payload.payload(token_rows(chosen=WORDS), unit="word")["sides"][0]
    assert (side["at"], side["count"]) == ([0, 1, 2, 3, 5, 7], 8)
    assert "at" not in payload.payload(token_rows())["sides"][0]


def test_a_unit_of_several_tokens_is_noise_below_the_floor_of_a_response():
    floor = NoiseFloor(token=0.001, response=1e9, n_pairs=4)
    assert payload.payload(token_rows(), unit="word", noise=floor)["sides"][0]["bins"] == ["~~", "~~"]
    assert "~" not in payload.payload(token_rows(), noise=floor)["sides"][0]["bins"][0]


def test_the_shared_beginning_and_what_differs_are_marked():
    data = payload.payload(token_rows(chosen=(b"a", b" b", b" d"), rejected=(b"a", b" c", b" d")), marks=True)
    assert [side["marks"] for side in data["sides"]] == ["=x-", "=x-"]
    assert {"same", "other"} <= data["words"].keys()
    assert "marks" not in payload.payload(token_rows())["sides"][0]


def test_a_unit_differs_where_one_of_its_tokens_does():
    rows = token_rows(chosen=(b"a", b" b", b"x"), rejected=(b"a", b" b", b"y"))
    assert [side["marks"] for side in payload.payload(rows, marks=True, unit="word")["sides"]] == ["=x", "=x"]


def test_only_what_carries_eighty_percent_of_the_fall_is_kept():
    side = payload.payload(token_rows(chosen=(b"a", b"b", b"c", b"d")), most=True)["sides"][0]
    assert side["kept"] == ["0111", "0111"]
    assert side["most"] == [text("tokens.most.some", kept=3, count=4)] * 2


def test_where_nothing_fell_nothing_is_dimmed_and_it_is_said():
    side = payload.payload(token_rows(ratio=-1.0), most=True)["sides"][0]
    assert (side["kept"], side["most"]) == (["", ""], [text("tokens.most.none")] * 2)
    first = payload.payload(token_rows(), color="change", most=True)["sides"][0]
    assert first["most"] == [text("tokens.most.none"), text("tokens.most.some", kept=2, count=2)]


def test_a_fall_below_the_noise_floor_is_none():
    floor = NoiseFloor(token=1.5, response=1.5, n_pairs=4)
    assert payload.payload(token_rows(), most=True, noise=floor)["sides"][0]["kept"] == ["01", "11"]


@pytest.mark.parametrize(("color", "ends"), [("entropy", ("0", "0.5")), ("kl_reference_policy", ("0", "0.25"))])
def test_what_has_no_sign_has_a_scale_from_zero_upwards(color, ends):
    data = payload.payload(token_rows(), color=color)
    assert (data["ramp"], data["words"]["low"], data["words"]["high"]) == ("amount", *ends)
    axis = figures.token_heatmap(token_rows(), color=color).layout.coloraxis
    assert (axis.cmin, axis.colorscale[0]) == (0, (0.0, theme.LIGHT.background))
    assert axis.colorbar.ticktext == ends


def test_a_colour_without_values_is_named_with_what_it_needs():
    bare = token_rows().assign(entropy=np.nan).drop(columns=["credit", "credit_z", "kl_reference_policy"])
    assert missing_colors(bare) == {"entropy": "entropy", "kl_reference_policy": "kl", "credit": "kl", "credit_z": "kl"}
    assert missing_colors(token_rows()) == {}
    with pytest.raises(InputError, match="no credit in these tokens: kl was not collected"):
        payload.payload(bare, color="credit")


def test_a_run_without_a_vocabulary_shows_what_stands_for_its_tokens():
    rows = token_rows().assign(token_bytes=None, text="[7]")
    assert texts(payload.payload(rows)) == ["[7]", "[7]"]


def test_a_scale_over_pairs_and_models_is_the_99th_percentile_of_their_units():
    rows = pd.concat([token_rows(), token_rows(ratio=2.0).assign(pair_id="q")])
    assert grid.color_scale(rows, "advantage", "token", "s/checkpoint-1") == scales.scale_of(rows["advantage"])
    words = [-0.3, -0.1, -0.6, -0.2, -0.6, -0.2, -1.2, -0.4]
    assert grid.color_scale(rows, "advantage", "line", "s/checkpoint-1") == scales.scale_of(np.array(words))
    changes = [0.0] * 6 + [-0.1, -0.2, -0.1, -0.2, -0.4, -0.2]
    assert grid.color_scale(rows, "change", "token", "s/checkpoint-1") == scales.scale_of(np.array(changes))


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1))
def test_packed_numbers_keep_four_digits(numbers):
    found = unpacked(number_codec.encode_numbers(np.array(numbers)))
    for value, back in zip(numbers, found, strict=True):
        if not np.isfinite(value):
            assert back is None
        elif abs(value) < 1e-17:
            assert back == 0
        elif abs(value) < 9e22:
            assert back == pytest.approx(value, rel=5.1e-4)


def test_packed_numbers_are_letters_that_json_and_html_leave_alone():
    text = number_codec.encode_numbers(np.array([0.1234, -99995.0, np.nan, 0.0]))
    assert json.dumps(text) == f'"{text}"'
    assert "<" not in text
    assert unpacked(text) == [0.1234, -100000.0, None, 0.0]


def test_an_unknown_unit_is_refused():
    with pytest.raises(InputError, match="unknown unit 'page' for the token view: it can be token, word"):
        figures.token_view(token_rows(), unit="page")


PAGES = {"light": ("#ffffff", "#31333f"), "dark": ("#0e1117", "#fafafa")}
"""Background and text of Streamlit's themes and of the page that stands alone."""


def pole(letter):
    return re.search(rf"--{letter}:(#[0-9a-f]{{6}})", token_page.style().replace(" ", ""))[1]


@pytest.mark.parametrize("scheme", PAGES)
@pytest.mark.parametrize("letter", token_page.POLES)
@pytest.mark.parametrize("step", token_page.STEPS)
def test_text_on_every_shade_has_contrast(scheme, letter, step):
    background, text = PAGES[scheme]
    share = re.search(rf"--{letter}{step}:color-mix\(in oklab,var\(--{letter}\) ([\d.]+)%", token_page.style())[1]
    assert contrast(linear(text), mixed(pole(letter), background, float(share) / 100)) >= 4.5


@pytest.mark.parametrize("scheme", PAGES)
def test_dimmed_and_small_text_has_contrast(scheme):
    background, text = PAGES[scheme]
    share = int(re.search(r"--soft: ?color-mix\(in srgb,var\(--ink\) (\d+)%", token_page.style())[1]) / 100
    soft = "#" + "".join(
        f"{round(share * a + (1 - share) * b):02x}" for a, b in zip(*map(levels, (text, background)), strict=True)
    )
    assert contrast(linear(soft), linear(background)) >= 4.5


def levels(code):
    return [int(code[place : place + 2], 16) for place in (1, 3, 5)]


def linear(code):
    parts = np.array(levels(code)) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
"""Linear sRGB to oklab (Ottosson 2020): a matrix, a cube root, a matrix."""


def mixed(first, second, share):
    """``color-mix(in oklab, first share, second)`` as linear sRGB."""
    lab = [LAB @ np.cbrt(LMS @ linear(code)) for code in (first, second)]
    mix = share * lab[0] + (1 - share) * lab[1]
    return np.clip(np.linalg.inv(LMS) @ (np.linalg.inv(LAB) @ mix) ** 3, 0, 1)


def contrast(first, second):
    light, dark = sorted((float(np.dot([0.2126, 0.7152, 0.0722], one)) for one in (first, second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("first", "second", "share", "seen"),
    [
        ("#0b62c4", "#ffffff", 0.5, [140, 178, 229]),
        ("#e66100", "#0e1117", 0.66, [150, 70, 32]),
        ("#8a4fc7", "#ffffff", 0.66, [176, 141, 221]),
    ],
)
def test_colours_are_mixed_as_chromium_mixes_them(first, second, share, seen):
    light = mixed(first, second, share)
    shown = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(255 * shown - seen).max() <= 1
