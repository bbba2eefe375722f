/* Pointer and keys of the token view: hover in all panels at once, the tip, selection, and moving between tokens. */

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
  const frame = view.box.getBoundingClientRect(), [left, top] = spot(view, span, frame);
  view.tip.style.left = `${left - frame.left}px`;
  view.tip.style.top = `${top - frame.top}px`;
}

/* Returns where in the window the tip stands: near the token, where it hides as little of the responses as it can.
   FAR pixels away are as bad as a tip that lies on text with all of it. */
const FAR = 400, GAP = 6;

function spot(view, span, frame) {
  const anchor = span.getClientRects()[0] || span.getBoundingClientRect(), panel = span.place.one.element.getBoundingClientRect();
  const width = view.tip.offsetWidth, height = view.tip.offsetHeight, texts = view.panels.map((one) => one.text.getBoundingClientRect());
  const along = Math.max(frame.left, Math.min(anchor.left, frame.right - width)), above = anchor.top - height - GAP;
  const beside = Math.max(GAP, Math.min(anchor.top - height / 2, window.innerHeight - height - GAP));
  const spots = [[along, above], [along, panel.top - height - GAP], [along, panel.bottom + GAP], [along, anchor.bottom + GAP]];
  spots.push([anchor.right + GAP, beside], [anchor.left - width - GAP, beside]);
  const inside = ([x, y]) => x >= 0 && y >= 0 && x + width <= window.innerWidth && y + height <= window.innerHeight;
  const overlap = (a, b, c, d) => Math.max(0, Math.min(b, d) - Math.max(a, c));
  const cost = ([x, y]) => {
    const hidden = texts.reduce((sum, box) => sum + overlap(x, x + width, box.left, box.right) * overlap(y, y + height, box.top, box.bottom), 0);
    return hidden / (width * height) + Math.max(anchor.top - y - height, y - anchor.bottom, 0) / FAR;
  };
  const best = spots.filter(inside).sort((a, b) => cost(a) - cost(b))[0];
  return best || [along, Math.max(GAP, above)];
}

function describe(view, { one, index }) {
  const { words, models } = view.data, { side } = one, cell = side.cells[index], first = side.firsts[index];
  const text = textOf(cell), bytes = typeof cell !== "string" && cell[2];
  const lines = [make("div", "what", `“${text.length > 80 ? text.slice(0, 80) + "…" : text}”`)];
  if (view.data.unit) lines[0].append(make("span", "unit", view.data.unit));
  for (let entry = first; entry < first + entries(cell); entry += 1) {
    const place = position(side, entry, words);
    lines.push(make("div", "quiet", bytes ? `${place} · ${words.bytes} ${bytes[entry - first]}` : place));
    models.forEach((label, model) => {
      const row = make("div", model === one.model ? "row here" : "row");
      row.append(make("span", "", label), make("span", "", number(side.numbers[model][entry], side.bins[model][entry], view.data)));
      lines.push(row);
    });
  }
  return lines;
}

function position(side, entry, words) {
  const first = side.at ? side.at[entry] : entry, next = side.at ? side.at[entry + 1] || side.count : entry + 1;
  const said = next - first > 1 ? words.tokens.replace("{position}", `${first}–${next - 1}`) : words.token.replace("{position}", first);
  return said.replace("{last}", side.count - 1);
}

function number(value, bin, { words, ramp }) {
  if (value === undefined) return words.missing;
  const text = Math.abs(value) >= 1e-4 || value === 0 ? Math.abs(value).toFixed(4) : Math.abs(value).toExponential(1).replace("-", "\u2212");
  return (value < 0 ? "\u2212" : value > 0 && ramp !== "amount" ? "+" : "") + text + (bin === NOISE ? ` (${words.noise})` : "");
}

function pick(view, selected) {
  const one = selected && view.panels.find((each) => each.side.side === selected.side);
  const index = one ? cellOf(one.side, selected.position) : -1;
  if (index >= 0 && index < one.limit) reach(view, one.side, index);
  mark(view, index < 0 ? null : { one, index }, "picked");
}

/* Returns the index of the cell that holds the token at a position. */
function cellOf(side, position) {
  const start = (index) => (side.at ? side.at[side.firsts[index]] : side.firsts[index]);
  let low = 0, high = side.cells.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (start(middle) <= position) low = middle;
    else high = middle - 1;
  }
  return high;
}

function choose(view, { one, index }) {
  const { side } = one, entry = side.firsts[index];
  mark(view, { one, index }, "picked");
  if (view.acts.token) view.acts.token({ side: side.side, position: side.at ? side.at[entry] : entry });
}

function go(view, one, index) {
  const place = Math.max(0, Math.min(index, one.limit - 1));
  reach(view, one.side, place);
  const span = (one.spans[place] || [])[0];
  if (!span) return;
  one.text.querySelectorAll(".c[tabindex]").forEach((other) => other.removeAttribute("tabindex"));
  span.tabIndex = 0;
  span.focus({ preventScroll: true });
  span.scrollIntoView({ block: "nearest" });
  show(view, span.place, span);
}

function strongest(view, one, step) {
  if (!one.order) {
    const strength = one.side.firsts.map((first) => Math.abs(one.side.numbers[one.model][first] || 0));
    one.order = strength.slice(0, one.limit).map((_, index) => index).sort((a, b) => strength[b] - strength[a]);
  }
  one.rank = Math.max(0, Math.min(one.order.length - 1, one.rank + step));
  go(view, one, one.order[one.rank]);
}

/* The panel in which the reader pressed j or k: the view of the next pair puts the focus there, unless the reader has
   moved it elsewhere. */
const keyboard = { panel: 0, since: -Infinity };

function turn(view, step) {
  const active = view.root.getRootNode().activeElement, span = active && active.closest && active.closest(".c");
  keyboard.panel = span && span.place ? view.panels.indexOf(span.place.one) : 0;
  keyboard.since = performance.now();
  view.acts.pair(step);
}

function resume(view) {
  const active = document.activeElement, old = active && active.shadowRoot && active.shadowRoot.querySelector(".token-view");
  if ((!active || active === document.body || old) && performance.now() - keyboard.since < 30000) go(view, view.panels[Math.min(keyboard.panel, view.panels.length - 1)], 0);
}

function listen(view) {
  const { box } = view, cell = (event) => event.target.closest && event.target.closest(".c");
  box.addEventListener("pointerover", (event) => {
    const at = `${event.clientX} ${event.clientY}`, span = cell(event);
    if (at !== view.pointer) show(view, span && span.place, span); /* At the same place the text moved, not the mouse: the keyboard stays in charge. */
    view.pointer = at;
  });
  box.addEventListener("pointerleave", () => { view.pointer = ""; show(view, null); });
  box.addEventListener("focusout", () => show(view, null));
  box.addEventListener("focusin", (event) => { const span = cell(event); if (span) show(view, span.place, span); });
  box.addEventListener("click", (event) => { const span = cell(event); if (span) choose(view, span.place); });
  const press = (event, span) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === view.find) return;
    const action = (span && onToken(view, span.place)[event.key]) || anywhere(view)[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };
  box.addEventListener("keydown", (event) => press(event, cell(event)));
  if (view.acts.pair) listenOnPage(view, press);
}

/* While nothing on the page has the focus, keys work on the view that can change the pair. */
function listenOnPage(view, press) {
  const onPage = (event) => {
    if (!view.root.isConnected) document.removeEventListener("keydown", onPage);
    else if (event.target === document.body && !event.defaultPrevented) press(event, null);
  };
  document.addEventListener("keydown", onPage);
}

function onToken(view, { one, index }) {
  const across = (step) => view.panels[view.panels.indexOf(one) + step] || one, wide = view.data.models.length;
  return {
    ArrowRight: () => go(view, one, index + 1), ArrowLeft: () => go(view, one, index - 1),
    ArrowDown: () => go(view, across(wide), index), ArrowUp: () => go(view, across(-wide), index),
    Home: () => go(view, one, 0), End: () => go(view, one, one.limit - 1),
    n: () => strongest(view, one, 1), p: () => strongest(view, one, -1),
    Enter: () => choose(view, { one, index }), " ": () => choose(view, { one, index }), Escape: () => show(view, null),
  };
}

function anywhere(view) {
  return {
    ...(view.acts.pair && { j: () => turn(view, 1), k: () => turn(view, -1) }),
    n: () => strongest(view, view.panels[0], 1), p: () => strongest(view, view.panels[0], -1),
    "/": () => view.find.focus(),
    "?": () => { view.help.open = !view.help.open; },
  };
}
