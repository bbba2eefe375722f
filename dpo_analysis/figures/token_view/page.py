"""The token view as one page: its scripts, tokens.css and a payload, under a policy that allows nothing else."""

import base64
import hashlib
import html
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SHADES = 20
"""Shades of each pole."""
STEPS = range(1, SHADES + 1)
STRONGEST = 62
"""Percent of a pole in the page's background at most: what keeps the contrast of text at 4.5 in both themes."""
POLES = "pnu"
"""The poles of tokens.css, above 0, below 0 and amounts: the letters of their custom properties and classes."""
SCRIPTS = ("tokens.js", "keys.js", "find.js")
PAGE_COLORS = """:root{color-scheme:light dark;--st-background-color:#ffffff;--st-text-color:#31333f}
@media (prefers-color-scheme:dark){:root{--st-background-color:#0e1117;--st-text-color:#fafafa}}
:root[data-scheme=light]{color-scheme:light;--st-background-color:#ffffff;--st-text-color:#31333f}
:root[data-scheme=dark]{color-scheme:dark;--st-background-color:#0e1117;--st-text-color:#fafafa}
body{margin:16px;background:var(--st-background-color);color:var(--st-text-color)}"""
START = "mountTokenView(document.getElementById('view'), JSON.parse(document.getElementById('data').textContent));"
IN_A_FRAME = """
if (parent !== window) {
  const view = document.getElementById("view");
  const tell = () => parent.postMessage({ tokenViewHeight: Math.ceil(view.getBoundingClientRect().height) + 32 }, "*");
  tell();
  new ResizeObserver(tell).observe(view);
  addEventListener("message", ({ source, data }) => {
    const known = source === parent && data && ["light", "dark"].includes(data.scheme);
    if (known) document.documentElement.dataset.scheme = data.scheme;
  });
}"""
"""Tells the page around a frame how high the view is, and takes the frame's colour scheme from it."""


@cache
def script() -> str:
    """Return the scripts as one text, which defines ``mountTokenView(root, data, acts)``."""
    return "".join(_without_comments(name) for name in SCRIPTS)


@cache
def style() -> str:
    """Return the text of tokens.css with the shades of every pole."""
    shades = (
        f"--{pole}{step}:color-mix(in oklab,var(--{pole}) {STRONGEST * step / SHADES:.1f}%,var(--page))"
        for pole in POLES
        for step in STEPS
    )
    rules = (f".{pole}{step}{{background:var(--{pole}{step})}}" for pole in POLES for step in STEPS)
    return f"{_without_comments('tokens.css')}\n.token-view{{{';'.join(shades)}}}\n{''.join(rules)}\n"


def _without_comments(name: str) -> str:
    """Return a source without comments and indentation: Streamlit sends it anew each time the page is drawn."""
    text = re.sub(r"/\*.*?\*/", "", (FOLDER / name).read_text("utf-8"), flags=re.DOTALL)
    text = re.sub(r"\n\s*", "\n", text)
    return re.sub(r"\s*([{};,])\s*", r"\1", text) if name.endswith(".css") else text


def html_page(data: dict[str, Any]) -> str:
    """Return a self-contained page that shows a payload, which stands in a JSON block without ``<``."""
    css = f"{PAGE_COLORS}\n{style()}"
    js = f"{script()}\n{START}{IN_A_FRAME}"
    sources = f"script-src '{policy_hash(js)}'; style-src '{policy_hash(css)}'"
    policy = f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
    content = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    return (
        '<!doctype html><html><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<title>{html.escape(data["words"]["title"])}</title><style>{css}</style></head><body><div id="view"></div>'
        f'<script type="application/json" id="data">{content}</script><script>{js}</script></body></html>'
    )


def policy_hash(text: str) -> str:
    """Return the hash by which a content-security policy allows this inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
