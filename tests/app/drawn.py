"""What a page says, as text, and which pages there are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ("overview", "causes", "pairs", "tokens", "compare", "checks", "details")


def said(app):
    """Every sentence of a drawn page."""
    kinds = (app.title, app.header, app.caption, app.error, app.info, app.warning, app.code, app.text)
    html = [element.proto.body for element in app.get("html")]
    return "\n".join([*(element.value for kind in kinds for element in kind), *html])
