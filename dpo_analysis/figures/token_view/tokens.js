/* Draws the token view from what payload.py makes. Text of models and people only ever becomes textContent.
   mountTokenView(root, data, acts): calls acts.token({side, position}) when the reader chooses a token, and acts.pair
   with 1 or -1 when the reader asks for the next or the previous pair. Called again with the same data.id it only moves
   the selection (data.selected). Pointer and keys: keys.js; search: find.js.

   A cell (a Glyph in glyphs.py) is drawn as one element. It has one entry (a token, word, sentence or line) or, where
   tokens share a character, one entry per token. A panel draws the cells that are in sight and some lines more; one
   empty block of about their height stands for the rest. */

const FIRST_CELLS = 4000, LINES_AHEAD = 20, LINE_HEIGHT = 26.25, LETTER_WIDTH = 7.2, LEAST_WIDTH = 200;
const NOISE = "~", MISSING = " ", ZERO = 48 + 20;

function mountTokenView(root, data, acts) {
  const before = root.tokenView;
  if (before && before.id === data.id) {
    before.pick(data.selected);
    return;
  }
  data.sides.forEach(openUp);
  const view = { id: data.id, data, root, panels: [], marked: {}, acts: acts || {} };
  const box = make("div", "token-view");
  view.box = box;
  view.tip = make("div", "tip");
  view.tip.hidden = true;
  view.spoken = make("div", "spoken");
  view.spoken.setAttribute("aria-live", "polite");
  view.width = Math.max(LEAST_WIDTH, (root.clientWidth || 1000) / data.models.length) - 40;
  box.append(legend(view), grid(view), view.tip, view.spoken);
  listen(view);
  view.pick = (selected) => pick(view, selected);
  if (before) before.panels.forEach((one) => one.watch.disconnect());
  root.replaceChildren(box);
  root.tokenView = view;
  view.panels.forEach((one) => one.watch.observe(one.rest));
  if (before && before.find.value) view.search(before.find.value);
  view.pick(data.selected);
  resume(view);
}

/* Decodes a side: its numbers, three letters each (number_codec.py; undefined: missing); its cells, a text or
   [entries, parts, bytes of each token]; and the first entry of each cell. */
function openUp(side) {
  if (side.numbers) return;
  side.numbers = side.values.map((text) => Array.from({ length: text.length / 3 }, (_, i) => unpack(text, 3 * i)));
  side.cells = side.cells.split("\n").map((text, place) => side.more[place] || text);
  side.firsts = firsts(side);
}

function unpack(text, at) {
  const digit = (place) => { const code = text.charCodeAt(at + place) - 35; return code - (code > 57) - (code > 25); };
  const code = (digit(0) * 90 + digit(1)) * 90 + digit(2), number = Math.floor((code - 2) / 2);
  if (code < 2) return code === 1 ? 0 : undefined;
  return Number(`${code % 2 ? "-" : ""}${(number % 9000) + 1000}e${Math.floor(number / 9000) - 20}`);
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function legend(view) {
  const { data } = view, { words } = data, bar = make("div", "legend"), note = (name, text) => text && bar.append(make("span", name, text));
  const scale = make("span", "scale"), ramp = make("span", "ramp");
  const first = data.ramp === "amount" ? 0 : -20, last = data.ramp === "fall" ? 0 : 20;
  for (let shade = first; shade <= last; shade += 4) ramp.append(make("i", shadeClass(data, shade)));
  scale.append(make("span", "", words.low), ramp, make("span", "", `${words.high} ${data.unit}`));
  bar.append(make("span", "title", words.title), scale);
  note("quiet", words.about);
  note("quiet", words.summed);
  if (data.sides.some((side) => side.bins.some((row) => row.includes(NOISE)))) note("quiet", words.noise);
  if (data.sides.some((side) => side.numbers.some((row) => row.some((v) => Math.abs(v) > data.scale)))) note("clip", words.clipped);
  if (data.sides.some((side) => side.marks)) {
    note("same", words.same);
    note("other", words.other);
  }
  note("quiet", words.most);
  bar.append(finder(view), help(view));
  return bar;
}

function help(view) {
  const { words } = view.data, box = make("details", "help");
  box.append(make("summary", "", words.help), make("span", "quiet", view.acts.pair ? `${words.keys} · ${words.pairs}` : words.keys));
  view.help = box;
  return box;
}

function shadeClass(data, shade) {
  return shade === 0 ? "" : (data.ramp === "amount" ? "u" : shade > 0 ? "p" : "n") + Math.abs(shade);
}

function grid(view) {
  const { data } = view, table = make("div", "grid");
  table.style.setProperty("--panels", data.models.length);
  table.classList.add(`of${data.models.length}`);
  for (const side of data.sides) {
    const row = data.models.map((_, model) => panel(view, side, model));
    row.forEach((one) => {
      one.text.addEventListener("scroll", () => row.forEach((other) => { if (other.text.scrollTop !== one.text.scrollTop) other.text.scrollTop = one.text.scrollTop; }), { passive: true });
      table.append(one.element);
    });
    view.panels.push(...row);
  }
  return table;
}

/* Returns the first entry of every cell. */
function firsts(side) {
  let entry = 0;
  return side.cells.map((cell) => { const first = entry; entry += entries(cell); return first; });
}

function entries(cell) {
  return typeof cell === "string" ? 1 : cell[0];
}

function textOf(cell) {
  return typeof cell === "string" ? cell : cell[1].map((part) => part[1]).join("");
}

function panel(view, side, model) {
  const element = make("section", `panel ${side.side === "rejected" ? "rejected" : "chosen"}`);
  const head = make("div", "head"), name = make("span"), text = make("div", "text"), label = view.data.models[model];
  name.append(make("b", "", side.label), ` ${label}`);
  head.append(name, make("span", "total", side.totals[model]));
  if (side.most) head.append(make("span", "most quiet", side.most[model]));
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", `${side.label}, ${label}, ${side.totals[model]}`);
  element.append(head, text);
  const one = { element, text, side, model, spans: [], rank: -1, limit: Math.min(side.cells.length, FIRST_CELLS), line: null };
  one.rest = text.appendChild(make("div", "rest"));
  one.watch = new IntersectionObserver((seen) => { if (seen.some((each) => each.isIntersecting)) ahead(view, one); }, { root: text, rootMargin: "200px" });
  draw(view, one, LINES_AHEAD);
  if (one.spans.length) one.spans[0][0].tabIndex = 0;
  return one;
}

/* Draws on until the empty block is out of sight. */
function ahead(view, one) {
  do draw(view, one, LINES_AHEAD);
  while (one.spans.length < one.limit && one.rest.offsetTop < one.text.scrollTop + one.text.clientHeight + 200);
}

/* Draws about `lines` more lines, and at least up to cell `least`. */
function draw(view, one, lines, least = -1) {
  const part = document.createDocumentFragment(), { cells } = one.side;
  let letters = 0, height = 0;
  const wide = view.width / LETTER_WIDTH;
  while (one.spans.length < one.limit && (height + letters / wide < lines || one.spans.length <= least)) {
    const cell = cells[one.spans.length], text = textOf(cell);
    letters += text.length;
    if (text.includes("↵")) { height += letters / wide > 1 ? Math.ceil(letters / wide) : 1; letters = 0; }
    add(view, one, part, cell);
  }
  one.text.insertBefore(part, one.rest);
  one.rest.style.height = `${Math.round(left(one) / wide * LINE_HEIGHT)}px`;
  if (one.spans.length === one.limit && one.limit < cells.length && !one.more) one.text.append(one.more = showAll(view, one));
}

/* Returns how many letters are not drawn yet; a line break counts as 30. */
function left(one) {
  if (!one.side.lengths) {
    let sum = 0;
    one.side.lengths = one.side.cells.map((cell) => (sum += textOf(cell).length + (textOf(cell).includes("↵") ? 30 : 0)));
  }
  const drawn = one.spans.length;
  return one.side.lengths[one.limit - 1] - (drawn ? one.side.lengths[drawn - 1] : 0);
}

function add(view, one, part, cell) {
  const index = one.spans.length, spans = [], plain = typeof cell === "string", look = looks(view, one, index);
  const open = () => {
    if (!one.line) one.line = part.appendChild(make("div", "line"));
    const span = one.line.appendChild(make("span", look.name));
    if (look.stripes) span.style.backgroundImage = look.stripes;
    span.place = { one, index };
    spans.push(span);
    return span;
  };
  let span = open();
  if (plain) span.textContent = cell;
  else cell[1].forEach(([kind, text], place) => {
    span.append(kind ? make("span", kind, text) : text);
    if (kind === "t") span.append("\t");
    if (kind !== "n") return;
    one.line = null;
    if (place + 1 < cell[1].length) span = open();
  });
  one.spans.push(spans);
}

/* Returns the classes of a cell (shade, noise, clipped, dimmed, shared or different, found), and the stripes of a cell
   that holds several entries, each in its own colour. */
function looks(view, one, index) {
  const { side, model } = one, { data } = view, first = side.firsts[index], stop = first + entries(side.cells[index]);
  const kept = side.kept && side.kept[model], letters = side.bins[model].slice(first, stop);
  const names = ["c"], shades = [];
  let quiet = true, stripes = "";
  for (let entry = first; entry < stop; entry += 1) {
    const letter = letters[entry - first], mute = letter === NOISE || letter === MISSING || (kept && kept[entry] === "0");
    shades.push(mute ? "" : shadeClass(data, letter.charCodeAt(0) - ZERO));
    quiet = quiet && mute;
    if (Math.abs(side.numbers[model][entry]) > data.scale && !mute && !names.includes("clip")) names.push("clip");
    if (side.marks && side.marks[entry] === "x" && !names.includes("other")) names.push("other");
    if (side.marks && side.marks[entry] === "=" && !names.includes("same")) names.push("same");
  }
  if (quiet) names.push("quiet");
  if (shades.length === 1 && shades[0]) names.push(shades[0]);
  if (shades.length > 1 && !quiet) {
    const share = 100 / shades.length;
    stripes = `linear-gradient(90deg, ${shades.map((name, i) => `${name ? `var(--${name})` : "transparent"} ${i * share}% ${(i + 1) * share}%`).join(", ")})`;
  }
  if (side.found && side.found.has(index)) names.push("found");
  return { name: names.join(" "), stripes };
}

/* Draws every panel of this response at least up to a cell, so that the panels of a row keep the same height. */
function reach(view, side, index) {
  view.panels.forEach((one) => {
    if (one.side === side && one.spans.length <= index) draw(view, one, LINES_AHEAD, index);
  });
}

function showAll(view, one) {
  const { words } = view.data, said = words.all.replace("{shown}", one.limit).replace("{count}", one.side.cells.length);
  const button = make("button", "more", said);
  button.addEventListener("click", () => view.panels.forEach((each) => each.side === one.side && unlimit(view, each)));
  return button;
}

function unlimit(view, one) {
  one.limit = one.side.cells.length;
  if (one.more) one.more.remove();
  ahead(view, one);
}
