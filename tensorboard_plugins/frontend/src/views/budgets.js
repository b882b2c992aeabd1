/** The metric against the budget: a line for each method, its spread as a band, seeds as points. */

import * as api from "../api.js";
import { alternative, fill, h, table } from "../dom.js";
import * as format from "../format.js";
import * as model from "../model.js";
import { thin } from "../palette.js";
import { axes, path } from "../svg.js";
import { legend } from "./legend.js";

export async function draw(box) {
  const about = model.metric();
  const found = await api.leaderboard(model.asked());
  const columns = (found?.columns ?? []).map((column, place) => ({ ...column, place })).filter(({ budget }) => budget !== null);
  const settings = [...new Set(columns.map(({ setting }) => setting))];
  const pictures = settings.map((setting) => one(found, setting, columns.filter((column) => column.setting === setting), about, settings.length > 1)).filter(Boolean);
  if (!pictures.length) {
    fill(box, h("p", { class: "note" }, "No run with a budget has ended yet. A budget is what a sweep, or a trainer's `--budget`, gives a run: the share of its full number of epochs."));
    return;
  }
  fill(
    box,
    h("p", { class: "note" }, "Lines join means, bands are standard deviations over seeds, points are seeds. A cell with a failed run has its mean as a hollow point, and no line.", api.embedded && model.isFiltered() ? " This page was exported: all runs are shown, whatever is filtered." : ""),
    ...pictures,
    legend(model.shown()),
  );
}

function one(found, setting, columns, about, hasTitle) {
  const scale = about.is_share ? 100 : 1;
  const shown = found.rows.map(({ method, cells }) => ({
    method,
    points: columns
      .map(({ budget, place }) => ({ budget, cell: cells[place] }))
      .filter(({ cell }) => cell?.n)
      .map(({ budget, cell }) => ({ budget, n: cell.n, failed: cell.failed.length, mean: scale * cell.mean, std: scale * (cell.std ?? 0), values: cell.values.map((value) => scale * value) })),
  }));
  const every = shown.flatMap(({ points }) => points);
  if (!every.length) return null;
  const budgets = [...new Set(every.map(({ budget }) => budget))].sort((a, b) => a - b);
  const { root, atX, atY, back } = axes({
    x: budgets.map((each) => 100 * each),
    y: every.flatMap(({ values }) => values),
    xLabel: "budget (% of the epochs)",
    yLabel: format.label(about),
    xLog: budgets.length > 1 && budgets.at(-1) / budgets[0] > 5,
    xTicks: budgets.map((each) => 100 * each),
    xSaid: (each) => format.number(each, 3),
  });
  const rows = [];
  for (const { method, points } of shown) {
    const { colour, dash } = model.lookOf(method);
    const sound = points.filter(({ failed }) => !failed);
    const at = ({ budget }, value) => [atX(100 * budget), atY(value)];
    const around = [...sound.map((each) => at(each, each.mean + each.std)), ...sound.map((each) => at(each, each.mean - each.std)).reverse()];
    root.append(
      path(around, { fill: thin(colour, 0.12), stroke: "none" }),
      path(sound.map((each) => at(each, each.mean)), { stroke: colour, "stroke-width": 2.2, "stroke-dasharray": dash.join(" ") }),
      ...points.flatMap((each) => each.values.map((value) => h("svg:circle", { cx: at(each, value)[0], cy: at(each, value)[1], r: 2, fill: colour, opacity: 0.55 }))),
      ...points.map((each) => {
        const [cx, cy] = at(each, each.mean);
        const failed = each.failed ? `, ${each.failed} failed` : "";
        const title = `${method} at ${format.budget(each.budget)}: ${format.number(each.mean)} ± ${format.number(each.std, 2)}, n = ${each.n}${failed}`;
        return h("svg:circle", { cx, cy, r: 4.5, fill: each.failed ? back : colour, stroke: each.failed ? colour : back, "stroke-width": 1.5 }, h("svg:title", {}, title));
      }),
    );
    rows.push(...points.map((each) => [method, format.budget(each.budget), format.number(each.mean), format.number(each.std, 2), each.n, each.failed || ""]));
  }
  return h("figure", { class: "figure" }, hasTitle ? h("figcaption", {}, setting) : null, root, alternative(() => table(["method", "budget", "mean", "std", "n", "failed"], rows, setting)));
}
