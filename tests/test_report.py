"""The report: one page, its own numbers, no way out of it for anybody's text, and nothing written over."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import dpo_analysis as dpo
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.cli.main import app, main
from dpo_analysis.errors import InputError, StorageError
from dpo_analysis.report.report import GENERATOR, ReportOptions, report_html, write_report
from dpo_analysis.words import LANGUAGES, text
from tests.app import synthetic

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent / "golden" / "schema-1"


class Page(HTMLParser):
    """What a browser would make of a page: its tags, its addresses, its policy, and its blocks of data."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.addresses, self.styles, self.data, self.policy = [], [], [], [], ""
        self._in = ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.tags.append(tag)
        self.addresses += [known[name] for name in ("src", "href", "action", "srcdoc", "data") if name in known]
        self.styles += [known["style"]] if "style" in known else []
        self.styles += [name for name in known if name.startswith("on")]
        if known.get("http-equiv"):
            self.policy = known["content"]
        self._in = "data" if tag == "script" and known.get("type") == "application/json" else tag

    def handle_data(self, data):
        if self._in == "data":
            self.data.append(json.loads(data))
            self._in = ""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dpo.open_run(synthetic.build(tmp_path_factory.mktemp("report") / "run", series=["gentle"], steps=[60, 120]))


def test_the_pairs_that_fell_most_come_first_with_their_numbers(run):
    pairs = dpo.pair_table(run, model="checkpoint-120", split="eval").dropna(subset=["margin"])
    worst = pairs.sort_values("chosen_reward", kind="stable").head(2)
    page = report_html(run, ReportOptions(pairs=2))
    shown = re.findall(r"pair ([0-9a-f]{16}) · gentle, checkpoint-120 · chosen reward ([+\u2212][\d.]+), ", page)
    assert [pair_id for pair_id, _ in shown] == worst["pair_id"].tolist()
    numbers = [float(value.replace("\u2212", "-")) for _, value in shown]
    assert numbers == pytest.approx(worst["chosen_reward"].tolist(), abs=0.005)


def test_a_pair_has_the_token_view_of_its_first_and_last_checkpoint(run):
    data = Page(report_html(run, ReportOptions(pairs=1))).data[0]
    assert data["models"] == ["step 60", "step 120"]


def test_named_pairs_are_shown_in_the_order_asked(run):
    ids = dpo.pair_table(run, model="checkpoint-60")["pair_id"].tolist()
    page = report_html(run, ReportOptions(pair_ids=(ids[3], ids[1])))
    assert re.findall(r"pair ([0-9a-f]{16}) ", page) == [ids[3], ids[1]]


def test_a_pair_that_does_not_count_says_why(run):
    table = dpo.pair_table(run, model="checkpoint-60")
    lost = table.loc[table["status"] == "too_long", "pair_id"].iloc[0]
    assert text("status.too_long") in report_html(run, ReportOptions(pair_ids=(lost,)))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_is_of_one_language_and_has_every_part(run, lang):
    page = report_html(run, ReportOptions(lang=lang))
    wanted = ("overview.title", "overview.reward.title", "checks.title", "report.pairs.title", "details.glossary.title")
    assert [key for key in wanted if f"<h2>{text(key, lang)}</h2>" not in page] == []
    assert f'<html lang="{lang}">' in page
    assert page.count("<svg") == page.count("<title>") - 1 == 2 * 3


def test_a_run_of_sums_shows_the_texts_of_a_pair_and_no_empty_view(tmp_path):
    sums = {"chosen": -np.array([[50.0, 40.0], [52.0, 41.0]]), "rejected": -np.array([[60.0, 50.0], [70.0, 51.0]])}
    pairs = [{"prompt": f"ask {n}", "chosen": f"yes {n}", "rejected": f"no <{n}>"} for n in range(2)]
    run = dpo.import_run(sums, out=tmp_path / "run", reference_checkpoint=0, pairs=[pairs])
    source = report_html(run)
    page = Page(source)
    assert page.data == []
    assert page.tags.count("script") == 1
    assert "yes 1" in source
    assert "no &lt;1&gt;" in source
    assert text("overview.logp.title") not in source
    assert "nan" not in source.partition("<main>")[2].replace("finance", "")


def test_the_series_that_ends_lowest_comes_first(tmp_path):
    run = dpo.open_run(synthetic.build(tmp_path / "run", series=["calm", "deep"], steps=[60, 120], count=4))
    titles = re.findall(r"<b>(calm|deep)</b>|>(calm|deep)</text>", report_html(run, ReportOptions(pairs=0)))
    assert next(filter(None, titles[0])) == "deep"


def test_only_a_series_that_fell_has_a_chapter_and_the_one_that_fell_most_comes_first():
    page = report_html(dpo.open_run(sample_run()), ReportOptions(pairs=1))
    title = re.escape(html.escape(text("report.causes.title", model="MODEL"))).replace(
        "MODEL", r"(\w+), checkpoint-\d+"
    )
    assert re.findall(f"<h2>{title}</h2>", page) == ["strong", "lora"]
    assert re.findall(r'<p class="verdict">(\w+):', page) == ["strong", "lora", "gentle"]
    assert page.count("<svg") == 2 * (3 + 2)


def test_another_beta_scales_the_rewards(run):
    pages = [report_html(run, ReportOptions(pairs=1, beta=beta)) for beta in (10, 100)]
    shown = [re.search(r"chosen reward .([\d.]+)", page)[1] for page in pages]
    ten, hundred = map(float, shown)
    assert hundred == pytest.approx(10 * ten, abs=0.05)


def test_no_text_becomes_a_tag_an_address_or_a_style(run):
    page = Page(report_html(run, ReportOptions(pairs=20)))
    assert set(page.tags) <= ALLOWED
    assert page.tags.count("script") == len(page.data) + 1
    assert page.addresses == []
    assert page.styles == []


ALLOWED = set(
    "html head meta title style body main h1 h2 h3 h4 p section div svg rect line text polyline polygon path b span ul "
    "li table thead tbody tr th td article details summary pre script dl dt dd code br footer".split()
)


def test_the_policy_lets_nothing_in(run):
    policy = Page(report_html(run)).policy
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-[^' ]+'; style-src 'sha256-[^' ]+'; "
        r"base-uri 'none'; form-action 'none'",
        policy,
    )


def test_a_run_without_scores_and_one_of_an_older_schema_have_a_report(tmp_path):
    assert text("report.partial", done=0, whole=1)[:20] in report_html(
        dpo.open_run(synthetic.build(tmp_path / "bare", series=["gentle"], steps=[60], parts=0))
    )
    assert "<svg" in report_html(dpo.open_run(GOLDEN))


def test_what_is_no_report_is_not_written_over(run, tmp_path):
    target = tmp_path / "page.html"
    target.write_text("<html>my thesis</html>")
    with pytest.raises(InputError, match="a file is there that is no report"):
        write_report(run, target)
    assert target.read_text() == "<html>my thesis</html>"
    target.unlink()
    write_report(run, target, ReportOptions(pairs=0))
    assert write_report(run, target, ReportOptions(pairs=1)) == target.stat().st_size
    assert GENERATOR in target.read_text("utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--to", "x.pdf"], "ends in .html"),
        (["--to", "nowhere/x.html"], "no folder"),
        (["--to", "x.html", "--pair", "nobody"], "no pair 'nobody'"),
        (["--to", "x.html", "--series", "nobody"], "no series 'nobody'"),
        (["--to", "x.html", "--lang", "fr"], "no language 'fr'"),
        (["--to", "x.html", "--pairs", "-1"], "0 or more"),
        (["--to", "x.html", "--beta", "0"], "beta"),
    ],
)
def test_what_cannot_be_reported_is_one_line(run, tmp_path, monkeypatch, capsys, arguments, why):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["report", str(run.path), *arguments])
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert told.count("\n") == 1
    assert why in told
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_leaves_nothing_behind(tmp_path):
    run = dpo.open_run(synthetic.build(tmp_path / "run", series=["gentle"], steps=[60]))
    for file in (tmp_path / "run").glob("scores/gentle/*/*.parquet"):
        file.write_bytes(b"PAR1")
    with pytest.raises(StorageError, match="damaged"):
        write_report(run, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_command_says_where_it_is(run, tmp_path):
    done = CliRunner().invoke(app, ["report", str(run.path), "--to", str(tmp_path / "r.html"), "--pairs", "1"])
    assert done.exit_code == 0
    assert "open it in any browser" in done.output


def test_the_page_is_the_same_twice(run):
    assert report_html(run) == report_html(run)
