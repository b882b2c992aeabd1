/** Elements of the page. All text goes in as text: names of runs may be anything. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new element.
 * @param {string} tag Its name, as "div"; "svg:path" for one of a picture.
 * @param {object} [attributes] Attributes; functions are listeners, as `onclick`; null is left out.
 * @param {...(Node|string|number|null|Array)} children What is in it.
 */
export function h(tag, attributes = {}, ...children) {
  const [, space, name] = /^(?:(svg):)?(.*)$/.exec(tag);
  const node = space ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(node.style, value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

/** Put children into an element, in the place of those that it has; null is left out. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

/**
 * Draw an element anew, and keep what people did with it: where the focus is, and what they opened.
 * @param {Element} root The element, whose children `draw` replaces.
 */
export function keeping(root, draw) {
  const active = root.contains(document.activeElement) && document.activeElement !== root ? document.activeElement : null;
  const focused = active && placeIn(root, active);
  const [from, to] = active?.type === "search" ? [active.selectionStart, active.selectionEnd] : [];
  const isOpen = [...root.querySelectorAll("details")].map((each) => each.open);
  draw();
  const details = [...root.querySelectorAll("details")];
  if (details.length === isOpen.length) details.forEach((each, place) => (each.open = isOpen[place]));
  if (focused === null) return;
  const found = focused.reduce((node, place) => node?.children[place], root);
  if (found?.tagName !== active.tagName) return;
  found.focus({ preventScroll: true });
  if (from !== undefined) found.setSelectionRange(from, to);
}

function placeIn(root, node) {
  const found = [];
  for (let each = node; each !== root; each = each.parentElement) found.unshift([...each.parentElement.children].indexOf(each));
  return found;
}

/** Return a choice among some values, with a name beside it. */
export function choice(name, values, chosen, change) {
  const options = values.map(([value, said]) => h("option", { value, selected: value === chosen }, said));
  return h("label", { class: "choice" }, h("span", {}, name), h("select", { onchange: (event) => change(event.target.value) }, options));
}

/** Return a box that is checked or not. */
export function check(name, isChecked, change) {
  return h("label", { class: "check" }, h("input", { type: "checkbox", checked: isChecked, onchange: (event) => change(event.target.checked) }), name);
}

/** Return a table of rows of texts. */
export function table(head, rows, caption = "") {
  return h(
    "table",
    { class: "plain" },
    caption ? h("caption", {}, caption) : null,
    h("thead", {}, h("tr", {}, head.map((each) => h("th", { scope: "col" }, each)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((each, place) => (place ? h("td", {}, each) : h("th", { scope: "row" }, each)))))),
  );
}

/** Return a table that stays shut until it is asked for: what a picture says, in numbers. */
export function alternative(make) {
  const box = h("details", { class: "alternative" }, h("summary", {}, "As a table"));
  box.addEventListener("toggle", () => {
    if (box.open && box.children.length === 1) box.append(make());
  });
  return box;
}
