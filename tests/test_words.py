"""Both catalogues hold the same keys, numbers and values in braces, and every key that the code names."""

import ast
import itertools
import re
import string
from dataclasses import fields
from pathlib import Path

import pytest

from dpo_analysis import schema
from dpo_analysis.data.row_warnings import ROW_WARNINGS
from dpo_analysis.diagnosis import checks, findings
from dpo_analysis.diagnosis.causes import every_cause
from dpo_analysis.diagnosis.fall_statistics import FallStatistics
from dpo_analysis.diagnosis.influence_groups import GROUPS
from dpo_analysis.diagnosis.ledger.ledger import RECIPIENTS, SHARES
from dpo_analysis.diagnosis.outcome import answer, harm
from dpo_analysis.figures import curves
from dpo_analysis.figures.token_view.colors import COLORS
from dpo_analysis.figures.token_view.payload import WORDS
from dpo_analysis.figures.token_view.text_units import UNITS
from dpo_analysis.numerics.metrics import METRICS
from dpo_analysis.report.glossary import TERMS
from dpo_analysis.report.report import CURVES
from dpo_analysis.tables.decompositions import DECOMPOSITIONS, QUANTILES
from dpo_analysis.tables.filters import FILTERS, SORT_ORDERS
from dpo_analysis.tables.policy_pairs import COMPARED, CRITERIA, OUTCOMES
from dpo_analysis.words import LANGUAGES, catalogue, text

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [*ROOT.glob("dpo_analysis/**/*.py"), *ROOT.glob("app/**/*.py")]
ENGLISH, CHINESE = catalogue("en"), catalogue("zh")
TABLES = {key.partition(".")[0] for key in ENGLISH}
FILES = (".css", ".csv", ".html", ".js", ".toml")
"""Endings of file names that begin like a key."""
CHARTS = (curves.REWARD, curves.LOGP, curves.ACCURACY)
VERDICT_KEYS = [verdict.replace(" ", "_") for verdict in findings.VERDICTS]
PARTS = schema.DIVISIONS | {"quantile": QUANTILES}
FAMILIES = {
    "causes.by.{}": DECOMPOSITIONS,
    "causes.{}.title": DECOMPOSITIONS,
    "causes.{}.caption": DECOMPOSITIONS,
    "causes.{}.{}": [(split, part) for split in DECOMPOSITIONS for part in PARTS[split]],
    "causes.place.{}": schema.DIVISIONS["place"],
    "check.complaint.{}": ROW_WARNINGS,
    "check.understood.format.{}": ("messages", "texts"),
    "check.understood.prompt.{}": ("column", "columns", "message", "shared"),
    "checks.{}": [*checks.CHECKS, *checks.ROW_CHECKS],
    "checks.verdict.{}": [verdict for verdict in checks.CHECK_VERDICTS if verdict != "pass"],
    "compare.criterion.{}": CRITERIA,
    "compare.measure.{}": COMPARED,
    "compare.outcome.{}": OUTCOMES,
    "confirmation.group.{}": GROUPS,
    "details.term.{}{}": list(itertools.product(TERMS, ("", ".formula", ".meaning"))),
    "diagnosis.answer.nothing_moved.{}": answer.UNMOVED_REASONS,
    "diagnosis.answer.recipient.{}": RECIPIENTS,
    "diagnosis.cause.{}": every_cause(),
    "diagnosis.certainty.{}": findings.CERTAINTIES,
    "diagnosis.fall.{}": findings.FALL_KINDS,
    "diagnosis.harm.{}": harm.HARM_VERDICTS,
    "diagnosis.harm.{}.no_evidence": (harm.HARMLESS, harm.DAMAGE),
    "diagnosis.mark.{}": findings.VERDICTS,
    "diagnosis.reference_effect.{}": VERDICT_KEYS,
    "diagnosis.same_rejected.{}": (findings.LIKELY, findings.POSSIBLE, findings.UNLIKELY),
    "diagnosis.share.{}": SHARES,
    "diagnosis.share.{}.short": SHARES,
    "diagnosis.signal.{}": [field.name for field in fields(FallStatistics) if field.name != "by_region"],
    "diagnosis.verdict.{}": findings.VERDICTS,
    "figure.axis.{}": [chart.name for chart in CHARTS],
    "figure.line.{}": [curve.metric for chart in CHARTS for curve in chart.curves],
    "glossary.{}.meaning": every_cause(),
    "glossary.{}.rule": every_cause(),
    "metric.{}": METRICS,
    "overview.layout.{}": curves.LAYOUTS,
    "overview.{}.caption": CURVES,
    "overview.{}.title": CURVES,
    "pairs.axis.{}": schema.SIDES,
    "pairs.filter.{}": FILTERS,
    "pairs.quarter.{}_{}": list(itertools.product(("fell", "rose"), repeat=2)),
    "pairs.sort.{}": SORT_ORDERS,
    "side.{}": ("prompt", *schema.SIDES),
    "status.{}": (*schema.STATUSES, schema.PENDING),
    "tokens.color.{}": COLORS,
    "tokens.color.{}.meaning": COLORS,
    "tokens.total.{}": COLORS,
    "tokens.unit.{}": UNITS,
    "tokens.view.{}": WORDS,
    "unit.{}": {known.unit.replace(" ", "_") for known in [*schema.COLUMNS.values(), *METRICS.values()]},
}
"""Templates of keys in the sources whose values are known before the code runs, with these values."""


def differences(english, chinese):
    """What is wrong between two catalogues, a line each: missing, misplaced or empty sentences, other values."""
    found = [f"{key}: in one language only" for key in english.keys() ^ chinese.keys()]
    if not found and list(english) != list(chinese):
        found.append("the keys are the same, but stand in another order")
    for key in [key for key in english if key in chinese]:
        both = english[key], chinese[key]
        found += [f"{key}: empty"] if not all(sentence.strip() for sentence in both) else []
        found += [f"{key}: other values in braces"] if len({values(sentence) for sentence in both}) > 1 else []
        found += [f"{key}: other numbers"] if len({numbers(sentence) for sentence in both}) > 1 else []
    return found


def values(sentence):
    """The names in braces, with their formats."""
    return frozenset((name, form) for _, name, form, _ in string.Formatter().parse(sentence) if name is not None)


def numbers(sentence):
    """The numbers that a sentence writes itself, outside braces."""
    literal = " ".join(text for text, *_ in string.Formatter().parse(sentence))
    return frozenset(re.findall(r"\d+(?:[.,]\d+)*", literal))


def templates(node):
    """Every text that an expression may stand for, with ``{}`` for what is only known when the code runs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return templates(node.body) + templates(node.orelse)
    if isinstance(node, ast.FormattedValue):
        return templates(node.value)
    if isinstance(node, ast.JoinedStr):
        return ["".join(parts) for parts in itertools.product(*map(templates, node.values))]
    return ["{}"]


def is_lookup(node):
    """Whether a node is ``words.text(...)``, ``text(...)`` or ``....say(...)`` with a key."""
    if not isinstance(node, ast.Call) or not node.args:
        return False
    called = ast.unparse(node.func)
    return called in ("words.text", "text") or called.endswith(".say")


def named(source):
    """The templates of keys in a source: those that are looked up, and those that only begin like a key."""
    tree = ast.parse(source)
    looked_up = {name for node in ast.walk(tree) if is_lookup(node) for name in templates(node.args[0])} - {"{}"}
    pieces = {id(piece) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for piece in node.values}
    texts = [n for n in ast.walk(tree) if isinstance(n, ast.Constant | ast.JoinedStr) and id(n) not in pieces]
    alike = {name for node in texts for name in templates(node) if re.match(r"[a-z]+\.[\w{}][^\s/]*$", name)}
    return looked_up, {name for name in alike if name.partition(".")[0] in TABLES and not name.endswith(FILES)}


def matches(template, keys):
    """The keys that a template can become."""
    pattern = re.compile(".*".join(re.escape(piece) for piece in template.split("{}")))
    return {key for key in keys if pattern.fullmatch(key)}


def unknown(source, keys):
    """The templates in a source that name no key; a text that is not looked up may also be the beginning of some."""
    looked_up, alike = named(source)
    heads = {name for name in alike - looked_up if matches(f"{name}.{{}}", keys)}
    return sorted(name for name in looked_up | alike - heads if not matches(name, keys))


def missing(families, keys):
    """The keys of families, by template, that are not among ``keys``."""
    full = (
        template.format(*(value if isinstance(value, tuple) else (value,)))
        for template, known in families.items()
        for value in known
    )
    return sorted(set(full) - set(keys))


def test_both_languages_say_the_same():
    assert differences(ENGLISH, CHINESE) == []


@pytest.mark.parametrize(
    ("chinese", "fault"),
    [
        ({"a.b": "{n} 对"}, "a.c: in one language only"),
        ({"a.c": "好", "a.b": "{n} 对"}, "the keys are the same, but stand in another order"),
        ({"a.b": "{n} 对", "a.c": " "}, "a.c: empty"),
        ({"a.b": "{m} 对", "a.c": "好"}, "a.b: other values in braces"),
        ({"a.b": "{n:g} 对", "a.c": "好"}, "a.b: other values in braces"),
        ({"a.b": "{n} 对", "a.c": "好 2"}, "a.c: other numbers"),
    ],
)
def test_a_difference_between_the_languages_is_found(chinese, fault):
    assert differences({"a.b": "{n} pairs", "a.c": "good"}, chinese) == [fault]


def test_chinese_is_chinese_wherever_english_is_a_sentence():
    long = {key for key, sentence in ENGLISH.items() if sentence.count(" ") >= 3}
    long -= {key for key in long if key.startswith("meaning.") or key.endswith(".formula")}
    assert sorted(key for key in long if not re.search(r"[\u4e00-\u9fff]", CHINESE[key])) == []


def test_the_english_meanings_are_those_of_the_schema():
    meanings = {key.removeprefix("meaning."): text for key, text in ENGLISH.items() if key.startswith("meaning.")}
    expected = {name: column.meaning for name, column in schema.COLUMNS.items()}
    expected |= {f"metric.{name}": metric.meaning for name, metric in METRICS.items()}
    assert meanings == expected


def test_every_key_that_the_code_names_exists():
    found = {str(path.relative_to(ROOT)): unknown(path.read_text("utf-8"), ENGLISH) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('words.text("overview.titel", lang)', ["overview.titel"]),
        ('words.text("nothing", lang)', ["nothing"]),
        ('words.text("overview", lang)', ["overview"]),
        ('words.text(f"overview.{name}.titel", lang)', ["overview.{}.titel"]),
        ('words.text(f"{name}.titel", lang)', ["{}.titel"]),
        ("words.text(f\"overview.title{'.more' if more else ''}\", lang)", ["overview.title.more"]),
        ('key = "overview.titel"', ["overview.titel"]),
        ('key = f"diagnosis.{cause}.liekly"', ["diagnosis.{}.liekly"]),
        ('shown.say("overview.titel")', ["overview.titel"]),
        ('words.text(f"overview.{name}.title", lang); head = "overview.status"; file = "report.html"', []),
    ],
)
def test_a_key_that_does_not_exist_is_found(source, names):
    assert unknown(source, ENGLISH) == names


def test_every_key_is_named_by_the_code():
    sources = [path.read_text("utf-8") for path in SOURCES]
    used = {key for source in sources for name in set().union(*named(source)) for key in matches(name, ENGLISH)}
    used |= matches("meaning.{}", ENGLISH)  # compared with the schema above
    assert sorted(set(ENGLISH) - used) == []


def test_every_value_of_a_known_set_has_its_key():
    families = {template: list(known) for template, known in FAMILIES.items()}
    assert missing(families, ENGLISH) == []
    assert missing({"side.{}": ["chosen", "left"], "causes.{}.{}": [("kind", "verb")]}, ENGLISH) == [
        "causes.kind.verb", "side.left",
    ]  # fmt: skip


def test_every_family_is_named_by_the_code():
    found = {name for path in SOURCES for name in set().union(*named(path.read_text("utf-8")))}
    shared = {"causes.{}.caption": "{}.caption"}
    assert sorted({shared.get(template, template) for template in FAMILIES} - found) == []


def test_values_are_put_in():
    assert text("figure.step", "zh", step=3) == "第 3 步"
    assert text("figure.step") == "step {step}"


@pytest.mark.parametrize(("key", "lang"), [("no.such.key", "en"), ("figure.step", "../words/en")])
def test_an_unknown_key_or_language_is_an_error(key, lang):
    with pytest.raises(KeyError):
        text(key, lang)


def test_every_language_has_its_catalogue():
    folder = ROOT / "dpo_analysis" / "words"
    assert sorted(path.stem for path in folder.glob("*.toml")) == sorted(LANGUAGES)
