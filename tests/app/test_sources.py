"""The app's sources: what they import, how long they are, and which doors they never open."""

import ast
import re
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parent.parent.parent / "app"
SOURCES = sorted(APP.rglob("*.py"))
PAGES = sorted(
    path
    for path in (APP / "views").rglob("*.py")
    if path.stem != "__init__" and path.parent.name in ("views", path.stem)
)
"""A page is a module of views, or the module named like its folder; the folder's other modules are its parts."""
OWN = {"shared", "views"}
LIBRARIES = {"streamlit", "pandas", "dpo_analysis"}
STANDARD = {
    "collections",
    "contextlib",
    "dataclasses",
    "functools",
    "html",
    "json",
    "os",
    "pathlib",
    "re",
    "sys",
    "typing",
    "urllib",
}
FINDING = {"importlib", "pkgutil", "types"}
"""What the one module that finds the pages imports besides."""
WRITE_SIDE = {"scoring", "generation", "trials"}
"""Rooms that load models."""
LAUNCHER = "dpo_analysis.cli.launcher"
"""The one module of the command line that the app shares: it finds run folders."""
BANNED = [
    "unsafe_allow_html",
    "unsafe_allow_javascript",
    "components.v1",
    "LinkColumn",
    "st.write(",
    "to_csv",
    'open(path, "w"',
]
ids = {"ids": lambda path: str(path.relative_to(APP))}


def modules(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "dpo_analysis":
            yield from (f"dpo_analysis.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", SOURCES, **ids)
def test_a_source_imports_streamlit_the_read_side_and_little_else(path):
    roots = {name.partition(".")[0] for name in modules(path)}
    finding = FINDING if path == APP / "views" / "__init__.py" else set()
    assert roots <= OWN | LIBRARIES | STANDARD | finding
    inside = {name for name in modules(path) if name.startswith("dpo_analysis.")}
    rooms = {name.split(".")[1] for name in inside - {LAUNCHER}}
    assert rooms & (WRITE_SIDE | {"cli"}) == set()


@pytest.mark.parametrize("path", SOURCES, **ids)
def test_a_source_uses_no_banned_sink(path):
    text = path.read_text("utf-8")
    assert [sink for sink in BANNED if sink in text] == []


@pytest.mark.parametrize("path", SOURCES, **ids)
def test_markdown_is_only_ever_fed_from_words(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SPEAKING:
            for text in node.args[:1]:
                assert isinstance(text, ast.Constant) or "words.text" in ast.unparse(text), ast.unparse(node)


SPEAKING = {
    "markdown",
    "title",
    "header",
    "subheader",
    "caption",
    "info",
    "error",
    "warning",
    "success",
    "toast",
    "metric",
}


def test_the_markdown_check_can_fail():
    source = "st.markdown(f'**{name}**')"
    call = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    assert "words.text" not in ast.unparse(call.args[0])


def test_html_is_written_in_one_place_and_escaped_there():
    places = [
        (path.name, line) for path in SOURCES for line in path.read_text("utf-8").splitlines() if "st.html(" in line
    ]
    assert [name for name, _ in places] == ["layout.py", "markup.py"]
    assert places[0][1].strip() == "st.html(STYLE)", "a constant of the module"
    makers = [path.name for path in SOURCES if re.search(r"\bMarkup\(f?[\"'(\w]", path.read_text("utf-8"))]
    assert makers == ["markup.py"], "no other module makes HTML"
    markup = (APP / "shared" / "markup.py").read_text("utf-8")
    assert "html.escape(str(content), quote=True)" in markup


@pytest.mark.parametrize("path", PAGES, **ids)
def test_a_view_is_short_and_has_neither_arithmetic_nor_try(path):
    tree = ast.parse(path.read_text("utf-8"))
    assert len(path.read_text("utf-8").splitlines()) < 80
    allowed = (ast.BitOr,)
    sums = [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.BinOp) and not isinstance(n.op, allowed)]
    assert sums == []
    assert not any(isinstance(node, ast.Try) for node in ast.walk(tree))


@pytest.mark.parametrize("path", sorted((APP / "views").glob("*/*.py")), **ids)
def test_a_page_imports_no_part_of_another_page(path):
    pages = {name.split(".")[1] for name in modules(path) if name.startswith("views.")}
    assert pages <= {path.parent.name}


@pytest.mark.parametrize("path", SOURCES, **ids)
def test_a_module_of_the_app_has_one_name_everywhere(path):
    imports = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    renamed = [alias for node in imports for alias in node.names if alias.asname]
    assert [ast.unparse(alias) for alias in renamed] == []


def test_every_session_key_is_named_in_state():
    for path in SOURCES:
        if path.name != "state.py":
            assert re.findall(r"session_state\[[\"']", path.read_text("utf-8")) == []
