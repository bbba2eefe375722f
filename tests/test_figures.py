"""Figures from plain tables: what is drawn, on which scale, and nothing that obeys somebody's text."""

import re

import numpy as np
import pandas as pd
import pytest

from dpo_analysis import figures
from dpo_analysis.figures import labels, scales, theme
from dpo_analysis.figures.token_view.payload import payload
from dpo_analysis.tables.steps import series_by_severity, worst_series_first
from dpo_analysis.text import numbers
from dpo_analysis.words import LANGUAGES
from tests.token_rows import token_rows

METRICS = ["chosen_reward", "rejected_reward", "margin", "chosen_logps_per_token", "rejected_logps_per_token"]
METRICS += ["chosen_drift_per_token", "rejected_drift_per_token", "accuracy", "ranking_accuracy"]
METRICS += ["reference_ranking_accuracy", "share_chosen_fell", "chosen_drift", "rejected_drift"]


def steps(series=("gentle",), at=(60, 120), split="eval", **values):
    rows = []
    for name in series:
        for place, step in enumerate(at, start=1):
            row = {
                "series": name,
                "model": f"checkpoint-{step}",
                "step": step,
                "split": split,
                "n_pairs": 10,
                "n_used": 9,
            }
            numbers = dict.fromkeys(METRICS, -0.1 * place) | {"accuracy": 0.5, "ranking_accuracy": 0.4} | values
            for metric, value in numbers.items():
                row |= {metric: value, f"{metric}_low": value - 0.01, f"{metric}_high": value + 0.01}
                row |= {f"{metric}_p10": value - 1, f"{metric}_p90": value + 1}
            rows.append(row)
    return pd.DataFrame(rows)


def lines(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def notes(figure):
    return [note.text for note in figure.layout.annotations]


# curves


def test_reward_curves_draw_the_three_means():
    found = lines(figures.reward_curves(steps()))
    assert {name: list(trace.y) for name, trace in found.items()} == {
        "chosen": [-0.1, -0.2], "rejected": [-0.1, -0.2], "margin": [-0.1, -0.2],
    }  # fmt: skip


def test_rewards_start_at_zero_only_where_training_began_at_the_reference():
    table = steps(("a", "b"))
    figure = figures.reward_curves(table, from_reference=["a"])
    starts = [(trace.x[0], trace.y[0]) for trace in figure.data if trace.name == "chosen"]
    assert starts == [(0.0, 0.0), (60.0, -0.1)]


def test_log_probs_start_at_the_reference():
    table = steps(chosen_logps_per_token=-1.5, chosen_drift_per_token=-0.5)
    trace = lines(figures.logp_curves(table, from_reference=["gentle"]))["chosen"]
    assert list(trace.y) == [-1.0, -1.5, -1.5]


def test_the_axis_names_its_unit():
    assert figures.reward_curves(steps()).layout.yaxis.title.text == "implicit reward (β × nats)"
    assert figures.logp_curves(steps()).layout.yaxis.title.text == "log-prob (nats per token)"
    assert figures.reward_curves(steps(), lang="zh").layout.yaxis.title.text == "隐式奖励（β × nats）"


def test_every_panel_says_how_many_pairs_count():
    assert any("pairs counted: 9 of 10" in note for note in notes(figures.reward_curves(steps())))


def test_zero_is_always_in_sight():
    low, high = figures.reward_curves(steps(chosen_reward=-5, rejected_reward=-6, margin=1)).layout.yaxis.range
    assert low < -6 < 0 < 1 < high


def test_the_band_is_the_middle_eighty_percent_and_the_margin_has_none():
    bands = [trace for trace in figures.reward_curves(steps()).data if trace.fill == "toself"]
    assert len(bands) == 2
    assert sorted(set(np.round(bands[0].y, 6))) == [-1.2, -1.1, 0.8, 0.9]


def test_one_scale_for_all_panels_unless_asked():
    table = pd.concat([steps(("a",), margin=1.0), steps(("b",), margin=9.0)])
    same, own = (figures.reward_curves(table, layout=choice) for choice in ("series", "free"))
    assert same.layout.yaxis.range == same.layout.yaxis2.range
    assert own.layout.yaxis.range != own.layout.yaxis2.range


def test_all_series_in_one_panel_are_told_apart_without_colour():
    figure = figures.reward_curves(steps(("a", "b")), layout="together", from_reference=["a", "b"])
    chosen = [trace for trace in figure.data if trace.xaxis == "x"]
    assert [trace.name for trace in chosen] == ["a", "b"]
    assert len({(trace.line.dash, trace.marker.symbol) for trace in chosen}) == 2
    assert {"a −0.20", "b −0.20"} <= set(notes(figure))


def test_one_checkpoint_is_bars_not_an_empty_line():
    assert {trace.type for trace in figures.reward_curves(steps(at=(60,)), from_reference=["gentle"]).data} == {"bar"}
    assert [trace.mode for trace in figures.logp_curves(steps(at=(60,))).data] == ["markers", "markers"]


@pytest.mark.parametrize("choice", ["series", "free"])
def test_the_error_bars_of_one_checkpoint_are_whole(choice):
    table = steps(at=(60,)).assign(chosen_reward_p10=-9.0, rejected_reward_p90=7.0)
    low, high = figures.reward_curves(table, layout=choice).layout.yaxis.range
    assert low < -9
    assert high > 7


def test_rounding_is_not_drawn_as_a_curve():
    table = steps()
    table[[name for name in table if "reward" in name or "margin" in name]] = 5e-11
    axis = figures.reward_curves(table).layout.yaxis
    assert axis.range[0] <= -scales.FLAT
    assert axis.range[1] >= scales.FLAT
    assert "5e\u22127" in axis.ticktext
    assert "chosen +5e\u221211" in notes(figures.reward_curves(table))


@pytest.mark.parametrize("draw", [figures.reward_curves, figures.logp_curves, figures.accuracy_curves])
def test_no_axis_uses_si_prefixes(draw):
    figure = draw(steps(at=(60, 12000, 1200000)))
    assert not re.search("[a-zµ]", "".join(figure.layout.yaxis.ticktext))
    assert figure.layout.template.layout.xaxis.exponentformat == "none"
    assert figure.layout.xaxis.ticktext[-1] == "1200000"


def test_the_series_that_ends_lowest_comes_first():
    table = pd.concat([steps(("calm",)), steps(("deep",), chosen_reward=-3.0), steps(("lost",)).assign(n_used=0)])
    assert series_by_severity(table) == ["deep", "calm", "lost"]
    titles = [note for note in notes(figures.reward_curves(table)) if note.startswith("<b>")]
    assert [re.match("<b>(.*?)</b>", title)[1] for title in titles] == ["deep", "calm"]
    assert worst_series_first(table)["model"].tolist() == ["checkpoint-60", "checkpoint-120"] * 3
    assert series_by_severity(table.head(0)) == []


def test_of_two_splits_the_lower_end_counts():
    first, second = steps(("a", "b")), steps(("a", "b"), split="train")
    second.loc[second["series"] == "b", "chosen_reward"] = -1.0
    assert series_by_severity(pd.concat([first, second])) == ["b", "a"]


@pytest.mark.parametrize(("count", "mode"), [(40, "lines+markers"), (41, "lines")])
def test_many_points_have_no_markers(count, mode):
    table = steps(at=range(1, count + 1))
    log = pd.DataFrame({"series": "gentle", "split": "eval", "step": range(count), "metric": "margin", "value": 0.1})
    drawn = [trace.mode for trace in figures.reward_curves(table, logged=log).data if trace.fill is None]
    assert set(drawn) == {mode}


def test_ticks_are_set_whatever_room_a_figure_has():
    for draw in (figures.reward_curves, figures.logp_curves, figures.accuracy_curves):
        axis = draw(steps()).layout.yaxis
        assert len(axis.tickvals) == len(axis.ticktext) >= 3
    assert figures.accuracy_curves(steps()).layout.yaxis.ticktext[-1] == "100%"
    maps = figures.position_heatmap(positions()).layout
    assert (maps.xaxis.ticktext, maps.yaxis.tickvals) == (("0", "1", "2"), ("step 1", "step 2"))


@pytest.mark.parametrize(
    ("ends", "options", "texts"),
    [
        ((-6.8, 2.1), {}, ["\u22126", "\u22124", "\u22122", "0", "2"]),
        ((0.44, 1.03), {"share": True}, ["50%", "60%", "70%", "80%", "90%", "100%"]),
        ((0, 3), {"whole": True}, ["0", "1", "2", "3"]),
        ((-2e-6, 2e-6), {"most": 4}, ["\u22122e\u22126", "\u22121e\u22126", "0", "1e\u22126", "2e\u22126"]),
        ((1.2, 0.9), {"most": 3}, ["0.9", "1.0", "1.1", "1.2"]),
    ],
)
def test_ticks_are_round_numbers_with_a_minus_sign(ends, options, texts):
    assert scales.axis_ticks(*ends, **options)["ticktext"] == texts


def test_one_checkpoint_has_its_name_and_value_in_two_lines():
    found = {trace.x[0] for trace in figures.accuracy_curves(steps(at=(60,))).data}
    assert found == {"by reward<br>50%", "by model alone<br>40%"}


def test_a_map_of_many_checkpoints_is_no_taller_and_names_some():
    table = pd.concat([positions().assign(model=f"m{step}", step=step) for step in range(200)])
    layout = figures.position_heatmap(table).layout
    assert layout.height < 520
    assert len(layout.yaxis.tickvals) == 20
    assert layout.yaxis.tickvals[-1] == "step 199"


def test_a_reference_line_ends_where_the_labels_begin():
    figure = figures.logp_curves(steps())
    assert [(shape.x1, shape.layer) for shape in figure.layout.shapes] == [(120.0, "below")] * 2
    labels_at_ends = [note for note in figure.layout.annotations if note.x == 120.0]
    assert {note.bgcolor for note in labels_at_ends} == {theme.LIGHT.background}


def test_checkpoints_without_steps_are_named_on_the_axis():
    table = steps().assign(step=pd.array([60, None], dtype="Int64"))
    axis = figures.reward_curves(table, from_reference=["gentle"]).layout.xaxis
    assert list(axis.ticktext) == ["checkpoint-60", "checkpoint-120"]


def test_the_trainers_log_is_drawn_behind_with_hollow_marks():
    log = pd.DataFrame(
        {"series": "gentle", "split": "eval", "step": [30, 60], "metric": "margin", "value": [0.1, np.nan]}
    )
    hollow = [trace for trace in figures.reward_curves(steps(), logged=log).data if "open" in str(trace.marker.symbol)]
    assert [(list(trace.x), list(trace.y)) for trace in hollow] == [([30.0], [0.1])]


def test_the_logged_accuracy_is_the_trainers_own_definition():
    log = pd.DataFrame({"series": "gentle", "split": "eval", "step": [60], "metric": ["accuracy_trl"], "value": [0.7]})
    hollow = [
        trace for trace in figures.accuracy_curves(steps(), logged=log).data if "open" in str(trace.marker.symbol)
    ]
    assert list(hollow[0].y) == [0.7]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("look", ["light", "dark"])
def test_every_curve_is_drawn_in_both_languages_and_themes(lang, look):
    for draw in (figures.reward_curves, figures.logp_curves, figures.accuracy_curves):
        assert draw(steps(), lang=lang, theme=look).layout.paper_bgcolor == theme.PALETTES[look].background


def test_labels_at_line_ends_never_touch():
    placed = labels.spread_labels([0.0, 0.01, 0.02, 1.0], (0.0, 1.0), 0.1)
    assert np.diff(placed).min() >= 0.1 - 1e-9
    assert placed == sorted(placed)
    assert 0 <= placed[0] <= placed[-1] <= 1


def test_a_series_name_is_text_and_nothing_else():
    figure = figures.reward_curves(steps(("<a href='http://x'>s</a>",)))
    assert not any("<a " in note for note in notes(figure))
    assert any("&lt;a href" in note for note in notes(figure))


@pytest.mark.parametrize("draw", [figures.reward_curves, figures.logp_curves, figures.accuracy_curves])
def test_checkpoints_without_a_counted_pair_are_left_out_and_nothing_is_said_to_be_nothing(draw):
    table = steps(at=(60, 120, 180)).assign(n_used=[9, 0, 9])
    assert list(draw(table).data[-1].x) == [60.0, 180.0]
    assert notes(draw(table.assign(n_used=0))) == ["Nothing is scored here yet."]
    assert notes(draw(table.head(0))) == ["Nothing is scored here yet."]


# headline


def test_the_headline_names_the_fall_its_start_and_the_count():
    table = steps(at=(60, 120, 180))
    table["chosen_reward"] = [-0.1, 0.1, -0.3]
    table["chosen_reward_high"] = [0.0, 0.2, -0.2]
    ((series, split, verdict, evidence),) = figures.headline(table)
    assert (series, split) == ("gentle", "eval")
    assert "lost probability" in verdict
    assert "from step 180 on" in evidence
    assert "Pairs counted: 9 of 10." in evidence


@pytest.mark.parametrize(("reward", "said"), [(0.3, "gained probability"), (0.005, "hardly moved")])
def test_the_headline_says_rose_or_level_by_the_interval(reward, said):
    assert said in figures.headline(steps(chosen_reward=reward))[0][2]


@pytest.mark.parametrize("reward", [-0.3, 0.3, 0.005])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_number_of_the_headline_has_its_unit(reward, lang):
    ((_, _, verdict, evidence),) = figures.headline(steps(chosen_reward=reward), lang=lang)
    assert re.findall(r"[+\u2212]\d+\.\d+ (β × nats|nats)", verdict) == ["nats", "nats", "β × nats"]
    assert re.findall(r"[+\u2212]\d+\.\d+ (β × nats|nats)", evidence) == ["β × nats"]


def test_the_headline_of_a_run_without_counted_pairs_says_so():
    assert "no pair counts yet (of 10)" in figures.headline(steps().assign(n_used=0))[0][2]


# heat maps


def positions():
    rows = [
        {"series": "s", "split": "eval", "model": f"m{step}", "step": step, "side": side, "position": position}
        | {"n_used": 5, "log_ratio": -0.1 * step * (position + 1)}
        for step in (1, 2) for side in ("chosen", "rejected") for position in range(3)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_position_map_puts_steps_down_and_positions_across():
    chosen, rejected = figures.position_heatmap(positions()).data
    assert list(chosen.y) == ["step 1", "step 2"]
    assert np.allclose(chosen.z, [[-0.1, -0.2, -0.3], [-0.2, -0.4, -0.6]])
    assert np.allclose(chosen.z, rejected.z)


def test_a_position_map_of_nothing_says_so():
    assert notes(figures.position_heatmap(positions().head(0))) == ["Nothing is scored here yet."]


def test_both_maps_share_one_scale_around_zero():
    figure = figures.position_heatmap(positions())
    assert {trace.coloraxis for trace in figure.data} == {"coloraxis"}
    assert figure.layout.coloraxis.cmin == -figure.layout.coloraxis.cmax


def test_the_bar_of_a_map_says_small_numbers_as_they_are():
    assert figures.position_heatmap(positions()).layout.coloraxis.colorbar.ticktext == ("\u22120.6", "0", "+0.6")
    small = figures.position_heatmap(positions().assign(log_ratio=0.003)).layout.coloraxis.colorbar
    assert small.ticktext == ("\u22120.003", "0", "+0.003")


def test_rounding_gets_no_colour():
    table = positions().assign(log_ratio=5e-11)
    assert figures.position_heatmap(table).layout.coloraxis.cmax == scales.FLAT
    assert numbers.signed_significant(scales.FLAT) == "+1e\u22126"


def test_the_map_of_log_probs_ends_at_zero_as_the_legend_does():
    axis = figures.token_heatmap(token_rows(), color="logp").layout.coloraxis
    assert axis.cmax == 0
    assert axis.colorscale[-1] == (1.0, theme.LIGHT.background)
    assert payload(token_rows(), color="logp")["words"]["high"] == "0"


def test_view_and_map_share_a_scale_and_its_words():
    rows = token_rows(models=["checkpoint-1", "checkpoint-2", "checkpoint-5"])
    scale = scales.scale_of(rows["advantage"])
    view = payload(rows[rows["step"] < 5], scale=scale)
    axis = figures.token_heatmap(rows, scale=scale).layout.coloraxis
    assert view["scale"] == axis.cmax == scale
    assert [view["words"][end] for end in ("low", "high")] == [axis.colorbar.ticktext[0], axis.colorbar.ticktext[-1]]


def test_the_change_since_a_checkpoint_is_a_column():
    rows = scales.with_change(token_rows(), "s/checkpoint-1")
    assert np.allclose(rows.loc[rows["model"] == "checkpoint-1", "change"], 0)
    assert np.allclose(rows.loc[rows["model"] == "checkpoint-2", "change"], [-0.1, -0.2, -0.1])
    assert scales.with_change(token_rows(), "s/gone")["change"].isna().all()


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0"), (-0.004, "\u22120.004"), (5e-11, "+5e\u221211"), (1.5, "+1.50"), (np.nan, "–")]
)
def test_a_number_that_is_not_zero_is_never_said_to_be(value, said):
    assert numbers.signed(value) == said


def test_the_token_map_names_tokens_and_escapes_them():
    figure = figures.token_heatmap(token_rows(chosen=(b"<b>", b"\n")))
    assert list(figure.layout.xaxis.ticktext) == ["&lt;b&gt;", "↵"]


def test_parts_of_a_split_character_are_told_apart():
    halves = ("好".encode()[:1], "好".encode()[1:])
    assert list(figures.token_heatmap(token_rows(chosen=halves)).layout.xaxis.ticktext) == ["好 1/2", "好 2/2"]


def test_the_path_of_a_token_has_the_reference_dotted():
    figure = figures.token_trajectory(token_rows(), side="chosen", position=1)
    assert next(iter(lines(figure).values())).y.tolist() == [-3.0, -5.0]
    assert figure.layout.shapes[0].y0 == -1.0
    assert "reference −1.00" in notes(figure)


@pytest.mark.parametrize("palette", theme.PALETTES.values(), ids=theme.PALETTES)
@pytest.mark.parametrize("role", ["text", "muted", "chosen", "rejected", "policy", "reference", "margin"])
def test_colours_that_carry_words_have_contrast(palette, role):
    light, dark = sorted((luminance(getattr(palette, role)), luminance(palette.background)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(code):
    parts = [int(code[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
