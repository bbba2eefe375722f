/* Search in the text of both responses: matches are marked in every panel; Enter goes to the next, Shift+Enter back. */

const WRITTEN = { n: () => "\n", t: () => "\t", s: (text) => " ".repeat(text.length) };

function finder(view) {
  const box = make("span", "find"), input = make("input"), count = make("span", "quiet"), { words } = view.data;
  input.type = "search";
  input.placeholder = words.find;
  input.setAttribute("aria-label", words.find);
  count.setAttribute("role", "status");
  view.find = input;
  view.search = (text) => { input.value = text; search(view, count); };
  input.addEventListener("input", () => search(view, count));
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter") { event.preventDefault(); next(view, count, event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") view.search("");
  });
  box.append(input, count);
  return box;
}

/* Returns the text of a side as it was written, in lower case, and the cell of each of its characters. */
function written(side) {
  if (!side.written) {
    const letters = [], owners = [];
    side.cells.forEach((cell, index) => {
      const parts = typeof cell === "string" ? [["", cell]] : cell[1];
      for (const letter of parts.map(([kind, text]) => (WRITTEN[kind] ? WRITTEN[kind](text) : text)).join("")) {
        const folded = letter.toLowerCase();
        letters.push(folded);
        for (let i = 0; i < folded.length; i += 1) owners.push(index);
      }
    });
    side.written = { text: letters.join(""), owners };
  }
  return side.written;
}

function search(view, count) {
  const wanted = view.find.value.toLowerCase(), { sides } = view.data;
  view.hits = [];
  view.hit = -1;
  for (const side of sides) {
    const { text, owners } = written(side), before = side.found || new Set();
    side.found = new Set();
    for (let at = wanted ? text.indexOf(wanted) : -1; at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      view.hits.push({ side, index: owners[at] });
      for (let i = at; i < at + wanted.length; i += 1) side.found.add(owners[i]);
    }
    paint(view, side, before);
  }
  tell(view, count);
}

function paint(view, side, before) {
  for (const one of view.panels.filter((each) => each.side === side)) {
    before.forEach((index) => (one.spans[index] || []).forEach((span) => span.classList.remove("found")));
    side.found.forEach((index) => (one.spans[index] || []).forEach((span) => span.classList.add("found")));
  }
}

function tell(view, count) {
  const { words } = view.data, total = view.hits.length;
  const said = words.found.replace("{place}", view.hit + 1).replace("{count}", total);
  count.textContent = !view.find.value ? "" : total ? said : words.nowhere;
}

function next(view, count, step) {
  if (!view.hits || !view.hits.length) return;
  view.hit = view.hit < 0 && step < 0 ? view.hits.length - 1 : (view.hit + step + view.hits.length) % view.hits.length;
  const { side, index } = view.hits[view.hit], one = view.panels.find((each) => each.side === side);
  if (index >= one.limit) view.panels.forEach((each) => each.side === side && unlimit(view, each));
  reach(view, side, index);
  const span = one.spans[index][0];
  one.element.scrollIntoView({ block: "nearest" });
  span.scrollIntoView({ block: "nearest" });
  show(view, span.place, span);
  tell(view, count);
}
