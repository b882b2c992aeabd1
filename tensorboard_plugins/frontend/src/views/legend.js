/** The methods with their colours; each can be hidden in all views. */

import { h } from "../dom.js";
import * as model from "../model.js";
import { get, set } from "../state.js";

export function legend(runs = model.ofSweep()) {
  return h(
    "ul",
    { class: "legend" },
    model.methods(runs).map((method) => {
      const { colour, dash } = model.lookOf(method);
      return h("li", {}, h("button", { title: "Hide this method", onclick: () => set({ hidden: [...get().hidden, method] }) }, line(colour, dash), method));
    }),
  );
}

/** Return a piece of a line. */
export function line(colour, dash) {
  return h("svg:svg", { viewBox: "0 0 24 8", class: "line", "aria-hidden": "true" }, h("svg:line", { x1: 0, x2: 24, y1: 4, y2: 4, stroke: colour, "stroke-width": 3, "stroke-dasharray": dash.join(" ") }));
}
