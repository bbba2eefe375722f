"""Figures as SVG: the numbers are where they belong, text is text, and what cannot be drawn is refused."""

import math
import re
import xml.etree.ElementTree as ET

import plotly.graph_objects as go
import pytest

import dpo_analysis as dpo
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.errors import InputError
from dpo_analysis.figures.scales import nice_step
from dpo_analysis.figures.static_svg import svg
from dpo_analysis.tables.decompositions import decomposition_table

NAME = {"svg": "http://www.w3.org/2000/svg"}


@pytest.fixture(scope="module")
def run():
    return dpo.open_run(sample_run())


def line():
    """A line from (0, 0) to (10, 1) in a figure of 400 x 200 pixels with margins of 50."""
    figure = go.Figure(go.Scatter(x=[0, 10], y=[0, 1], mode="lines", line={"color": "#117733"}))
    figure.update_layout(
        height=200,
        margin={"l": 50, "r": 50, "t": 50, "b": 50},
        paper_bgcolor="#fff",
        font={"size": 12, "color": "#000"},
    )
    return figure.update_xaxes(range=[0, 10], anchor="y", domain=[0, 1]).update_yaxes(range=[0, 1], domain=[0, 1])


def tags(figure, name):
    return ET.fromstring(svg(figure, title="t")).findall(f".//svg:{name}", NAME)


def test_a_number_lies_at_its_pixel():
    root = ET.fromstring(svg(line(), title="t", width=400))
    points = root.find("svg:polyline", NAME).get("points")
    assert points == "50.0,150.0 350.0,50.0"


def test_a_gap_parts_a_line():
    figure = line()
    figure.data[0].update(x=[0, 1, 2, 3, 4], y=[0, 1, math.nan, 1, 0])
    assert len(tags(figure, "polyline")) == 2


def test_every_figure_of_lines_or_bars_is_drawn_in_both_themes(run):
    steps = dpo.step_table(run, split="eval")
    rows = decomposition_table(run, model="strong/checkpoint-150").query("by == 'place'")
    for theme in ("light", "dark"):
        for figure in (
            dpo.figures.reward_curves(steps, theme=theme),
            dpo.figures.logp_curves(steps, theme=theme),
            dpo.figures.accuracy_curves(steps, layout="together", theme=theme),
            dpo.figures.reward_curves(steps.drop_duplicates("series"), theme=theme),
            dpo.figures.split_bars(rows, theme=theme),
        ):
            drawn = svg(figure, title="t")
            assert "nan" not in drawn
            assert len(ET.fromstring(drawn)) > 20


def test_nothing_lies_outside_the_picture(run):
    for rect in tags(dpo.figures.reward_curves(dpo.step_table(run, split="eval")), "polygon"):
        for x, y in (map(float, point.split(",")) for point in rect.get("points").split()):
            assert 0 <= x <= 1000
            assert 0 <= y <= 350


def test_text_is_escaped_and_only_line_breaks_and_bold_are_obeyed():
    figure = line()
    figure.add_annotation(text="<b>name</b><br>&lt;script&gt;alert(1)&lt;/script&gt;", x=5, y=0.5, showarrow=False)
    drawn = svg(figure, title='"><script>')
    assert "<script" not in drawn
    assert [text.text for text in tags(figure, "text")][-2:] == ["name", "<script>alert(1)</script>"]
    assert 'font-weight="600"' in drawn


@pytest.mark.parametrize(("least", "step"), [(0.3, 0.5), (1.0, 1.0), (1.2, 2.0), (6.0, 10.0), (0.02, 0.02)])
def test_ticks_are_round(least, step):
    assert nice_step(least) == pytest.approx(step)


def test_a_heat_map_is_refused_with_what_to_do():
    with pytest.raises(InputError, match=r"no SVG of a heatmap: .*camera"):
        svg(go.Figure(go.Heatmap(z=[[1]])), title="t")


def test_the_same_figure_is_the_same_text(run):
    steps = dpo.step_table(run, split="eval")
    assert svg(dpo.figures.reward_curves(steps), title="t") == svg(dpo.figures.reward_curves(steps), title="t")
    assert re.match(r"<svg [^>]*role=\"img\" aria-label=\"t\"", svg(dpo.figures.reward_curves(steps), title="t"))
