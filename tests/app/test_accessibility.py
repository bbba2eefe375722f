"""Every page can be read and used without a mouse: contrast of every text, names of charts, and the walk of Tab."""

import pytest

from tests.app.drawn import PAGES
from tests.app.test_browser import CHROMIUM, address, chromium, settle, tab  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
LEAST, SIGN, MOST_STEPS = 4.5, 3.0, 250
"""Contrast of a text, and of a sign for a space or a line break, to what is behind it; and presses of Tab that walk
through a whole page."""
CONTRASTS = """() => {
  const brush = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const parse = (color) => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = color;
    brush.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
    return { r, g, b, a: a / 255 };
  };
  const over = (top, under, a) => ["r", "g", "b"].reduce(
    (mixed, part) => ({ ...mixed, [part]: top[part] * a + under[part] * (1 - a) }), { a: 1 });
  const light = ({ r, g, b }) => [r, g, b].map((part) => part / 255)
    .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const chain = (element) => {
    const found = [];
    for (let one = element; one; one = one.parentElement || (one.getRootNode() || {}).host) found.push(one);
    return found.reverse();
  };
  const look = (element) => {
    let behind = { r: 255, g: 255, b: 255, a: 1 }, opacity = 1;
    const box = element.getBoundingClientRect();
    for (const one of chain(element)) {
      const style = getComputedStyle(one), paint = parse(style.backgroundColor), lies = one.getBoundingClientRect();
      opacity *= Number(style.opacity);
      if (lies.height < 40 && (box.bottom <= lies.top || box.top >= lies.bottom)) continue;
      if (paint.a) behind = over(paint, behind, paint.a * opacity);
    }
    const style = getComputedStyle(element), svg = element.closest("svg");
    const ink = parse(svg ? style.fill : style.color);
    const [one, two] = [light(over(ink, behind, ink.a * opacity)), light(behind)].sort((low, high) => low - high);
    return (two + 0.05) / (one + 0.05);
  };
  const seen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && !element.closest("[aria-hidden=true], [disabled], [aria-disabled=true], button:disabled")
    && element.getBoundingClientRect().width > 1;
  const texts = [];
  const walk = (root) => {
    const nodes = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    while (nodes.nextNode()) {
      const node = nodes.currentNode;
      if (node.shadowRoot) walk(node.shadowRoot);
      const parent = node.parentElement;
      if (node.nodeType !== Node.TEXT_NODE || !node.data.trim() || !parent) continue;
      if (parent.closest("style, script, canvas, noscript, title") || !seen(parent)) continue;
      texts.push({ text: node.data.trim().slice(0, 50), ratio: look(parent), sign: parent.matches(".n, .s, .t"),
        within: chain(parent).slice(-4)
        .map((one) => one.dataset && one.dataset.testid || one.className && one.className.baseVal
          || String(one.className || one.tagName)).join(" > ").slice(0, 160) });
    }
  };
  walk(document.body);
  return texts;
}"""
UNNAMED = """() => [...document.querySelectorAll('[data-testid="stPlotlyChart"]')]
  .filter((chart) => !chart.matches("[aria-label]") && !chart.querySelector("[aria-label]:not(a):not(button)"))
  .map((chart) => chart.outerHTML.slice(0, 200))
  .concat([...document.images].filter((image) => !image.hasAttribute("alt") && !image.closest("[aria-hidden=true]"))
    .map((image) => image.outerHTML.slice(0, 200)))"""
CONTROLS = "button, a[href], input, select, textarea, summary, [tabindex='0'], [role=slider], [role=combobox]"
GROUPS = "[role=radiogroup], [role=toolbar], [role=tablist]"
WALKED = """() => {
  let one = document.activeElement;
  while (one && one.shadowRoot && one.shadowRoot.activeElement) one = one.shadowRoot.activeElement;
  one.walked = true;
  return one === document.body ? "" : one.outerHTML.slice(0, 120);
}"""
MISSED = f"""() => {{
  const missed = [];
  const walk = (root) => {{
    for (const one of root.querySelectorAll("*")) {{
      if (one.shadowRoot) walk(one.shadowRoot);
      if (!one.matches("{CONTROLS}") || one.walked || one.disabled || one.tabIndex < 0) continue;
      if (!one.checkVisibility({{ visibilityProperty: true }}) || !one.getBoundingClientRect().width) continue;
      if (one.type === "radio" || one.closest("{GROUPS}, .js-plotly-plot, [aria-hidden=true]")) continue;
      missed.push(one.outerHTML.slice(0, 200));
    }}
  }};
  walk(document.body);
  return missed;
}}"""
"""Controls that Tab did not reach; of a group of which one takes the focus, arrows reach the rest."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_text_stands_out_from_what_is_behind_it(tab, name, scheme):  # noqa: F811
    page = tab(f"{'' if name == 'overview' else name}?run=whole&token=chosen-2", scheme=scheme)
    texts = page.evaluate(CONTRASTS)
    assert len(texts) > 10
    assert [text for text in texts if text["ratio"] < (SIGN if text["sign"] else LEAST)] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_chart_and_picture_has_its_text(tab, name):  # noqa: F811
    assert tab(f"{'' if name == 'overview' else name}?run=whole").evaluate(UNNAMED) == []


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_reaches_every_control(tab, name):  # noqa: F811
    page = tab(f"{'' if name == 'overview' else name}?run=whole")
    walked = []
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        walked.append(page.evaluate(WALKED))
        if not walked[-1] and len(walked) > 3:
            break
    assert page.evaluate(MISSED) == [], walked
