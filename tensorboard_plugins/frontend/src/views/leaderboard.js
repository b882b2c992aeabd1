/** Which method is ahead at which budget. */

import * as api from "../api.js";
import { choice, fill, h } from "../dom.js";
import * as format from "../format.js";
import * as model from "../model.js";
import { thin } from "../palette.js";
import { get, set } from "../state.js";
import { glyph } from "../svg.js";

/** Draw the view into a box. */
export async function draw(box) {
  const about = model.metric();
  const found = await api.leaderboard(model.asked());
  if (!found) {
    fill(box, h("p", { class: "note" }, "This page was exported without this table."));
    return;
  }
  const settings = [...new Set(found.columns.map((column) => column.setting))];
  fill(box, 
    h(
      "div",
      { class: "bar" },
      choice("Shade by", [["place", "place in the column"], ["value", "value"], ["none", "nothing"]], get().heat, (heat) => set({ heat })),
      h("p", { class: "note" }, note(found, about)),
      api.embedded && model.isFiltered() ? h("p", { class: "fault" }, "This page was exported: its tables are of all runs, whatever is filtered.") : null,
    ),
    ...settings.map((setting) => one(found, setting, about, settings.length > 1)),
    rates(found),
  );
}

function note(found, about) {
  const better = found.mode === "max" ? "higher is better" : "lower is better";
  const left = found.columns.filter((column) => !column.is_complete).length;
  const said = model.STATISTICS[found.statistic];
  return `${format.label(about)}, ${said}; ${better}. Mean ± standard deviation over seeds (n − 1).` + (left ? ` ${left} of ${found.columns.length} columns ${left === 1 ? "is" : "are"} not complete, and not ranked.` : "");
}

function one(found, setting, about, hasTitle) {
  const places = found.columns.map((column, place) => place).filter((place) => found.columns[place].setting === setting);
  const rows = found.rows.filter((row) => places.some((place) => row.cells[place]));
  const { sort } = get();
  const value = (row) => {
    if (sort === "rank") return row.rank ?? Infinity;
    if (sort === "method") return 0;
    const place = places.find((each) => String(found.columns[each].budget) === sort);
    const mean = place === undefined ? null : row.cells[place]?.mean;
    return mean === null || mean === undefined ? Infinity : found.mode === "max" ? -mean : mean;
  };
  const ordered = [...rows].sort((a, b) => value(a) - value(b) || (sort === "method" ? (a.method < b.method ? -1 : 1) : 0));
  const head = (name, said, title) =>
    h("th", { scope: "col", "aria-sort": sort === name ? "ascending" : "none" }, h("button", { class: "sort", title, onclick: () => set({ sort: name }) }, said, sort === name ? " ▾" : ""));
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "board" },
      hasTitle ? h("caption", {}, setting) : h("caption", { class: "hidden" }, `${setting}: ${format.label(about)}`),
      h("thead", {}, h("tr", {}, head("method", "method", "Sort by name"), places.map((place) => head(String(found.columns[place].budget), format.budget(found.columns[place].budget), "Sort by this budget")), head("rank", "average rank", "Sort by average rank"))),
      h(
        "tbody",
        {},
        ordered.map((row) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, name(row.method)),
            places.map((place) => cell(row.cells[place], found, place, about)),
            h("td", { class: "rank" }, row.rank === null || found.rows.length < 2 ? "–" : row.rank.toFixed(2)),
          ),
        ),
      ),
    ),
  );
}

/** Return a method with its colour and what its schedule looks like. */
export function name(method) {
  const { colour } = model.lookOf(method);
  return h("span", { class: "method" }, glyph(model.sweep().glyphs[method], colour), h("span", {}, method));
}

function cell(found, table, place, about) {
  if (!found) return h("td", { class: "absent" }, "");
  const isWhole = found.n === found.planned;
  const remarks = [];
  if (found.failed.length) remarks.push([...new Set(found.failed)].map((each) => `${found.failed.filter((other) => other === each).length} ${each}`).join(", "));
  if (found.running) remarks.push(`${found.running} running`);
  if (!isWhole) remarks.unshift(`${found.n}/${found.planned}`);
  const text = found.n ? format.metric(found.mean, about) : "–";
  const spread = found.std === null ? "" : ` ± ${format.deviation(found.std, about)}`;
  return h(
    "td",
    { style: { background: shade(found, table, place) }, class: found.place === 1 ? "first" : "" },
    h(
      "button",
      {
        class: "cell",
        title: `n = ${found.n}${remarks.length ? `; ${remarks.join("; ")}` : ""}. Show these runs.`,
        onclick: () => set({ view: "overlay", chosen: found.runs }),
      },
      h("span", { class: "mean" }, text),
      h("span", { class: "std" }, spread),
      remarks.length ? h("span", { class: "remark" }, remarks.join(", ")) : null,
      found.place && found.place <= 3 && table.rows.length > 1 ? h("span", { class: "chip", "aria-label": `place ${found.place}` }, String(found.place)) : null,
    ),
  );
}

function shade(found, table, place) {
  const { heat } = get();
  if (heat === "none") return "";
  const others = table.rows.map((row) => row.cells[place]).filter((each) => each && each.n);
  let share;
  if (heat === "place") {
    if (!found.place) return "";
    share = others.length > 1 ? 1 - (found.place - 1) / (others.length - 1) : 1;
  } else {
    if (!found.n) return "";
    const means = others.map((each) => each.mean);
    const [low, high] = [Math.min(...means), Math.max(...means)];
    if (high === low) return "";
    share = (found.mean - low) / (high - low);
    if (table.mode === "min") share = 1 - share;
  }
  return thin("#2563eb", 0.3 * share ** 2);
}

function rates(found) {
  if (found.rows.length < 2) return h("span");
  const said = (rate) => (rate.of ? `${rate.times}/${rate.of} (${Math.round((100 * rate.times) / rate.of)} %)` : "–");
  const head = ["", "average rank", ...found.groups.flatMap((group) => [`${group}: Top-1`, `${group}: Top-3`])];
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "board rates" },
      h("caption", {}, "How often among the best"),
      h("thead", {}, h("tr", {}, head.map((each) => h("th", { scope: "col" }, each)))),
      h(
        "tbody",
        {},
        found.rows.map((row) =>
          h("tr", {}, h("th", { scope: "row" }, name(row.method)), h("td", {}, row.rank === null ? "–" : row.rank.toFixed(2)), found.groups.flatMap((group) => ["top1", "top3"].map((top) => h("td", {}, said(row.rates[group][top]))))),
        ),
      ),
    ),
    h("p", { class: "note" }, `A column is a setting at a budget; ${found.groups.includes("low") ? "low budgets are those below 25 %; " : ""}equal methods count all, so that rates can add up to more than 100 %.`),
  );
}
