// The few things that all parts of the page do with the document. Nothing is written that is there
// already, so that a view each second costs little and selections stay.

export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  set(node, attributes);
  node.append(...children);
  return node;
}

export function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const wanted = written(name, value);
    if (node.getAttribute(name) === wanted) continue;
    if (wanted === null) node.removeAttribute(name);
    else node.setAttribute(name, wanted);
  }
}

/** Of ARIA and of data, true and false are texts; elsewhere an attribute is there or not. */
function written(name, value) {
  if (value === null || value === undefined) return null;
  if (typeof value !== "boolean" || /^(aria|data)-/.test(name)) return String(value);
  return value ? "" : null;
}

export function text(node, value, title) {
  const wanted = String(value);
  if (node.textContent !== wanted) node.textContent = wanted;
  if (title !== undefined) set(node, { title });
}

export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/** Makes the children of a node follow a list: each is made once, by its key, and then updated. */
export function follow(parent, items, keyOf, make, update) {
  const known = parent.known ?? (parent.known = new Map());
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let node = known.get(key);
    if (!node) {
      node = make(item);
      known.set(key, node);
    }
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
  for (const [key, node] of known) {
    if (!wanted.has(key)) {
      node.remove();
      known.delete(key);
    }
  }
}

/** A table with its header; `columns` are [title, class]. */
export function table(label, columns) {
  const head = columns.map(([title, kind]) => h("th", { scope: "col", class: kind }, title));
  const body = h("tbody");
  const node = h("table", {}, h("caption", { class: "unseen" }, label), h("thead", {}, h("tr", {}, ...head)), body);
  return { node, body };
}

/** A row whose cells are set by `cells(row, [[text, title], …])`. */
export function row(columns, first = "td") {
  const cells = columns.map(([, kind], n) =>
    n === 0 && first === "th" ? h("th", { scope: "row", class: kind }) : h("td", { class: kind }),
  );
  return h("tr", {}, ...cells);
}

export function cells(tr, values) {
  values.forEach((value, n) => {
    if (value === undefined) return;
    const [shown, title] = Array.isArray(value) ? value : [value];
    text(tr.cells[n], shown, title);
  });
}

export function copyButton(what, of) {
  const button = h("button", { type: "button", class: "quiet small", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    text(button, (await copied(of())) ? "Copied" : "Not copied");
    setTimeout(() => text(button, "Copy"), 1500);
  });
  return button;
}

async function copied(value) {
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch {
    // Without TLS and not on localhost there is no clipboard; the old way is there everywhere.
    const area = h("textarea", { class: "unseen" });
    area.value = value;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
