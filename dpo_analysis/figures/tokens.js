/* Draws the token view from the payload of tokens.py. Text of models and people only ever becomes textContent.
   mountTokenView(root, data, onSelect): onSelect({side, position}) is called when a token is chosen; called again with
   the same data.id it only moves the selection (data.selected). */

const FIRST_CELLS = 4000;
const NOISE = "~", MISSING = " ", ZERO = 48 + 20;

function mountTokenView(root, data, onSelect) {
  if (root.tokenView && root.tokenView.id === data.id) {
    root.tokenView.pick(data.selected);
    return;
  }
  const view = { id: data.id, data, root, panels: [], marked: {}, onSelect: onSelect || (() => {}) };
  const box = make("div", "token-view");
  view.box = box;
  view.tip = make("div", "tip");
  view.tip.hidden = true;
  view.spoken = make("div", "spoken");
  view.spoken.setAttribute("aria-live", "polite");
  box.append(legend(data), grid(view), view.tip, view.spoken);
  listen(view);
  view.pick = (selected) => pick(view, selected);
  root.replaceChildren(box);
  root.tokenView = view;
  view.pick(data.selected);
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function legend(data) {
  const { words } = data, bar = make("div", "legend"), scale = make("span", "scale"), ramp = make("span", "ramp");
  for (let shade = -20; shade <= (data.signed ? 20 : 0); shade += 4) ramp.append(make("i", shadeClass(shade)));
  scale.append(make("span", "", words.low), ramp, make("span", "", `${words.high} ${data.unit}`));
  bar.append(make("span", "title", words.title), scale);
  const all = data.sides.flatMap((side) => side.bins).join("");
  if (all.includes(NOISE)) bar.append(make("span", "quiet", words.noise));
  if (data.sides.some((side) => side.values.some((row) => row.some((v) => Math.abs(v) > data.scale)))) {
    bar.append(make("span", "clip", words.clipped));
  }
  bar.append(make("span", "quiet", words.keys));
  return bar;
}

function shadeClass(shade) {
  return shade === 0 ? "" : (shade > 0 ? "p" : "n") + Math.abs(shade);
}

function grid(view) {
  const { data } = view, table = make("div", "grid");
  table.style.setProperty("--panels", data.models.length);
  for (const side of data.sides) {
    const row = data.models.map((_, model) => panel(view, side, model));
    row.forEach((one) => {
      one.text.addEventListener("scroll", () => row.forEach((other) => { other.text.scrollTop = one.text.scrollTop; }), { passive: true });
      table.append(one.element);
    });
    view.panels.push(...row);
  }
  return table;
}

function panel(view, side, model) {
  const element = make("section", `panel ${side.side === "rejected" ? "rejected" : "chosen"}`);
  const head = make("div", "head"), name = make("span"), text = make("div", "text");
  name.append(make("b", "", side.label), ` ${view.data.models[model]}`);
  head.append(name, make("span", "total", side.totals[model]));
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", `${side.label}, ${view.data.models[model]}, ${side.totals[model]}`);
  element.append(head, text);
  const one = { element, text, side, model, spans: [], firsts: [], rank: -1 };
  fill(view, one, FIRST_CELLS);
  return one;
}

function fill(view, one, limit) {
  const { side, model } = one, bins = side.bins[model], values = side.values[model];
  one.text.replaceChildren();
  one.spans = [];
  one.firsts = [];
  let line = one.text.appendChild(make("div", "line")), token = 0;
  side.cells.slice(0, limit).forEach((cell, index) => {
    const plain = typeof cell === "string", count = plain ? 1 : cell[0];
    const paint = (span) => colour(span, bins, values, token, count, view.data.scale);
    const spans = [], open = () => {
      const span = paint(make("span", "c"));
      span.place = { one, index };
      spans.push(line.appendChild(span));
      return span;
    };
    let span = open();
    if (plain) span.textContent = cell;
    else cell[1].forEach(([kind, text], part) => {
      span.append(kind ? make("span", kind, text) : text);
      if (kind === "t") span.append("\t");
      if (kind !== "n") return;
      line = one.text.appendChild(make("div", "line"));
      if (part + 1 < cell[1].length) span = open();
    });
    one.spans.push(spans);
    one.firsts.push(token);
    token += count;
  });
  if (one.spans.length) one.spans[0][0].tabIndex = 0;
  if (limit < side.cells.length) one.text.append(showAll(view, one));
}

function showAll(view, one) {
  const button = make("button", "more", `${view.data.words.all} (${one.side.cells.length})`);
  button.addEventListener("click", () => view.panels.forEach((each) => each.side === one.side && fill(view, each, Infinity)));
  return button;
}

function colour(span, bins, values, first, count, scale) {
  const shades = [...bins.slice(first, first + count)].map((letter) => (letter === NOISE || letter === MISSING ? 0 : letter.charCodeAt(0) - ZERO));
  if (count === 1) {
    if (shades[0]) span.classList.add(shadeClass(shades[0]));
  } else {
    const stripes = shades.map((shade, i) => `${shade ? `var(--${shadeClass(shade)})` : "transparent"} ${(100 * i) / count}% ${(100 * (i + 1)) / count}%`);
    span.style.backgroundImage = `linear-gradient(90deg, ${stripes.join(", ")})`;
  }
  const own = [...bins.slice(first, first + count)];
  if (own.every((letter) => letter === NOISE || letter === MISSING)) span.classList.add("quiet");
  if (values.slice(first, first + count).some((value) => Math.abs(value) > scale)) span.classList.add("clip");
  return span;
}

function twins(view, { one, index }) {
  return view.panels.filter((each) => each.side === one.side).flatMap((each) => each.spans[index] || []);
}

function mark(view, place, name) {
  (view.marked[name] || []).forEach((span) => span.classList.remove(name));
  view.marked[name] = place ? twins(view, place) : [];
  view.marked[name].forEach((span) => span.classList.add(name));
}

function show(view, place, span) {
  mark(view, place, "hover");
  if (!place) { view.tip.hidden = true; return; }
  const lines = describe(view, place);
  view.tip.replaceChildren(...lines);
  view.tip.hidden = false;
  view.spoken.textContent = lines.map((line) => [...line.childNodes].map((node) => node.textContent).join(" ")).join(", ");
  const anchor = span.getClientRects()[0] || span.getBoundingClientRect(), frame = view.box.getBoundingClientRect();
  const left = Math.min(anchor.left - frame.left, frame.width - view.tip.offsetWidth);
  const below = anchor.bottom - frame.top + 6, above = anchor.top - frame.top - view.tip.offsetHeight - 6;
  const fits = below + view.tip.offsetHeight <= frame.height && anchor.bottom + view.tip.offsetHeight + 12 < window.innerHeight;
  view.tip.style.left = `${Math.max(0, left)}px`;
  view.tip.style.top = `${fits || above < 0 ? below : above}px`;
}

function describe(view, { one, index }) {
  const { words, models } = view.data, { side } = one, cell = side.cells[index], first = one.firsts[index];
  const plain = typeof cell === "string", count = plain ? 1 : cell[0];
  const text = plain ? cell : cell[1].map((part) => part[1]).join("");
  const lines = [make("div", "what", `“${text.length > 80 ? text.slice(0, 80) + "…" : text}”`)];
  for (let token = first; token < first + count; token += 1) {
    const place = words.token.replace("{position}", token).replace("{last}", side.values[0].length - 1);
    lines.push(make("div", "quiet", plain ? place : `${place} · ${words.bytes} ${cell[2][token - first]}`));
    models.forEach((label, model) => {
      const row = make("div", model === one.model ? "row here" : "row");
      row.append(make("span", "", label), make("span", "", number(side.values[model][token], side.bins[model][token], words)));
      lines.push(row);
    });
  }
  return lines;
}

function number(value, bin, words) {
  if (value === null || value === undefined) return words.missing;
  const text = Math.abs(value) >= 1e-4 || value === 0 ? Math.abs(value).toFixed(4) : Math.abs(value).toExponential(1).replace("-", "\u2212");
  return (value < 0 ? "\u2212" : value > 0 ? "+" : "") + text + (bin === NOISE ? ` (${words.noise})` : "");
}

function pick(view, selected) {
  const one = selected && view.panels.find((each) => each.side.side === selected.side);
  const index = one ? cellOf(one, selected.position) : -1;
  mark(view, index < 0 ? null : { one, index }, "picked");
}

function cellOf(one, position) {
  let index = one.firsts.length - 1;
  while (index >= 0 && one.firsts[index] > position) index -= 1;
  return index;
}

function choose(view, { one, index }) {
  mark(view, { one, index }, "picked");
  view.onSelect({ side: one.side.side, position: one.firsts[index] });
}

function go(view, one, index) {
  const span = (one.spans[Math.max(0, Math.min(index, one.spans.length - 1))] || [])[0];
  if (!span) return;
  one.text.querySelectorAll(".c[tabindex]").forEach((other) => other.removeAttribute("tabindex"));
  span.tabIndex = 0;
  span.focus({ preventScroll: true });
  span.scrollIntoView({ block: "nearest" });
  show(view, span.place, span);
}

function strongest(view, one, step) {
  const strength = one.firsts.map((first) => Math.abs(one.side.values[one.model][first] || 0));
  const order = strength.map((_, index) => index).sort((a, b) => strength[b] - strength[a]);
  one.rank = Math.max(0, Math.min(order.length - 1, one.rank + step));
  go(view, one, order[one.rank]);
}

function listen(view) {
  const { box } = view, cell = (event) => event.target.closest && event.target.closest(".c");
  box.addEventListener("pointerover", (event) => { const span = cell(event); show(view, span && span.place, span); });
  box.addEventListener("pointerleave", () => show(view, null));
  box.addEventListener("focusout", () => show(view, null));
  box.addEventListener("focusin", (event) => { const span = cell(event); if (span) show(view, span.place, span); });
  box.addEventListener("click", (event) => { const span = cell(event); if (span) choose(view, span.place); });
  box.addEventListener("keydown", (event) => {
    const span = cell(event);
    if (!span || event.ctrlKey || event.metaKey || event.altKey) return;
    const { one, index } = span.place, across = (step) => view.panels[view.panels.indexOf(one) + step] || one;
    const action = {
      ArrowRight: () => go(view, one, index + 1), ArrowLeft: () => go(view, one, index - 1),
      ArrowDown: () => go(view, across(view.data.models.length), index), ArrowUp: () => go(view, across(-view.data.models.length), index),
      Home: () => go(view, one, 0), End: () => go(view, one, one.spans.length - 1),
      n: () => strongest(view, one, 1), p: () => strongest(view, one, -1),
      Enter: () => choose(view, span.place), " ": () => choose(view, span.place), Escape: () => show(view, null),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  });
}
