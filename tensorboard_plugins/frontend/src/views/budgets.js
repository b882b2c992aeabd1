/** The metric against the budget: a line for each method, its spread as a band, seeds as points. */

import { alternative, fill, h, table } from "../dom.js";
import * as format from "../format.js";
import * as model from "../model.js";
import { thin } from "../palette.js";
import { axes, path } from "../svg.js";
import { legend } from "./legend.js";

export async function draw(box) {
  const about = model.metric();
  const runs = model.shown().filter((run) => run.budget !== null && model.value(run) !== null);
  const settings = model.settings(runs);
  if (!runs.length) {
    fill(box, h("p", { class: "note" }, "No run with a budget has ended yet."));
    return;
  }
  fill(box, 
    h("p", { class: "note" }, "Lines join means, bands are standard deviations over seeds, points are seeds."),
    ...settings.map((setting) => one(setting, runs.filter((run) => run.setting === setting), about, settings.length > 1)),
    legend(runs),
  );
}

function one(setting, runs, about, hasTitle) {
  const scale = about.is_share ? 100 : 1;
  const budgets = model.budgets(runs);
  const values = runs.map((run) => scale * model.value(run));
  const { root, atX, atY, back } = axes({
    x: budgets.map((each) => 100 * each),
    y: values,
    xLabel: "budget (% of the epochs)",
    yLabel: format.label(about),
    xLog: budgets.length > 1 && budgets.at(-1) / budgets[0] > 5,
    xTicks: budgets.map((each) => 100 * each),
    xSaid: (each) => format.number(each, 3),
  });
  const rows = [];
  const marks = [];
  for (const method of model.methods(runs)) {
    const { colour, dash } = model.lookOf(method);
    const points = budgets
      .map((budget) => {
        const found = runs.filter((run) => run.method === method && run.budget === budget).map((run) => scale * model.value(run));
        const mean = found.reduce((sum, each) => sum + each, 0) / found.length;
        const std = found.length > 1 ? Math.sqrt(found.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (found.length - 1)) : 0;
        return { budget, found, mean, std };
      })
      .filter(({ found }) => found.length);
    const place = ({ budget }, value) => [atX(100 * budget), atY(value)];
    const around = [...points.map((each) => place(each, each.mean + each.std)), ...points.map((each) => place(each, each.mean - each.std)).reverse()];
    marks.push([
      path(around, { fill: thin(colour, 0.12), stroke: "none" }),
      path(points.map((each) => place(each, each.mean)), { stroke: colour, "stroke-width": 2.2, "stroke-dasharray": dash.join(" ") }),
      points.flatMap((each) => each.found.map((value) => h("svg:circle", { cx: place(each, value)[0], cy: place(each, value)[1], r: 2, fill: colour, opacity: 0.55 }))),
      points.map((each) =>
        h("svg:circle", { cx: place(each, each.mean)[0], cy: place(each, each.mean)[1], r: 4.5, fill: colour, stroke: back, "stroke-width": 1.5 }, h("svg:title", {}, `${method} at ${format.budget(each.budget)}: ${format.number(each.mean)} ± ${format.number(each.std, 2)}, n = ${each.found.length}`)),
      ),
    ]);
    rows.push(...points.map((each) => [method, format.budget(each.budget), format.number(each.mean), format.number(each.std, 2), each.found.length]));
  }
  root.append(...marks.flat(Infinity));
  return h("figure", { class: "figure" }, hasTitle ? h("figcaption", {}, setting) : null, root, alternative(() => table(["method", "budget", "mean", "std", "n"], rows, setting)));
}
