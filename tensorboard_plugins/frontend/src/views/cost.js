/** Cost against quality, with what no other run beats in both. */

import { alternative, choice, fill, h, table } from "../dom.js";
import * as format from "../format.js";
import * as model from "../model.js";
import { get, set } from "../state.js";
import { axes, path } from "../svg.js";
import { legend } from "./legend.js";
import { said } from "./overlay.js";

const COSTS = { cost: "bit operations over float32 (%)", step: "steps", seconds: "seconds" };

export async function draw(box) {
  const about = model.metric();
  const runs = model.shown().filter((run) => model.value(run) !== null);
  const differs = new Set(runs.map((run) => run.cost)).size > 1;
  const name = Object.hasOwn(COSTS, get().cost) ? get().cost : differs ? "cost" : "step";
  const bar = h("div", { class: "bar" }, choice("Cost", Object.entries(COSTS), name, (cost) => set({ cost })));
  const scale = about.is_share ? 100 : 1;
  const points = runs.map((run) => ({ run, x: (name === "cost" ? 100 : 1) * run[name], y: scale * model.value(run) })).filter(({ x }) => Number.isFinite(x) && x > 0);
  if (!points.length) {
    fill(box, bar, h("p", { class: "note" }, "No run with a known cost has ended yet."));
    return;
  }
  const xs = points.map(({ x }) => x);
  const isLog = Math.max(...xs) / Math.min(...xs) > 20;
  const { root, atX, atY, ink } = axes({ x: xs, y: points.map(({ y }) => y), xLabel: COSTS[name], yLabel: format.label(about), xLog: isLog, xTicks: isLog ? powers(xs) : null, xSaid: (each) => format.number(each, 3) });
  const sign = about.mode === "max" ? 1 : -1;
  const ordered = [...points].sort((a, b) => a.x - b.x || sign * (b.y - a.y));
  const front = [];
  for (const point of ordered) if (!front.length || sign * point.y > sign * front.at(-1).y) front.push(point);
  const steps = front.flatMap((point, place) => (place ? [[atX(point.x), atY(front[place - 1].y)], [atX(point.x), atY(point.y)]] : [[atX(point.x), atY(point.y)]]));
  root.append(
    path(steps, { stroke: ink, "stroke-width": 1.2, "stroke-dasharray": "4 3" }),
    ...points.map(({ run, x, y }) => {
      const { colour } = model.lookOf(run.method);
      return h("svg:circle", { cx: atX(x), cy: atY(y), r: front.some((each) => each.run === run) ? 5.5 : 3.5, fill: colour, opacity: 0.8, tabindex: 0, role: "button", "aria-label": said(run), style: { cursor: "pointer" }, onclick: () => set({ view: "run", run: run.run }), onkeydown: (event) => event.key === "Enter" && set({ view: "run", run: run.run }) }, h("svg:title", {}, `${said(run)}: ${format.number(y)} at ${format.number(x, 3)}`));
    }),
  );
  const rows = front.map(({ run, x, y }) => [said(run), format.number(x, 4), format.number(y)]);
  fill(box, bar, h("figure", { class: "figure" }, root, alternative(() => table(["on the front", COSTS[name], format.label(about)], rows))), h("p", { class: "note" }, "The dashed line joins the runs that no other beats in both cost and quality (the Pareto front)."), legend(runs));
}

function powers(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) for (const part of [1, 2, 5]) found.push(part * 10 ** power);
  return found.filter((each) => each >= low && each <= high);
}
