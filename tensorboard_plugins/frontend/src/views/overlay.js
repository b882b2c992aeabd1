/** A hyperparameter and a metric, one above the other on one axis. */

import * as api from "../api.js";
import { chart } from "../chart.js";
import { alternative, check, choice, fill, h, table } from "../dom.js";
import * as format from "../format.js";
import * as model from "../model.js";
import { thin } from "../palette.js";
import { get, set } from "../state.js";
import { legend } from "./legend.js";

const AXES = { share: "share of the run", step: "step", epoch: "epoch", seconds: "seconds" };
const MODES = { mean: "mean and deviation", median: "median and quartiles", all: "every run" };
const POINTS = 256;

export async function draw(box) {
  const runs = model.shown();
  const { x, mode, log } = get();
  const hypers = model.hypers(runs);
  const metrics = model.measured(runs);
  const hyper = hypers.includes(get().hyper) ? get().hyper : hypers[0];
  const curve = metrics.includes(get().curve) ? get().curve : metrics[0];
  const bar = h(
    "div",
    { class: "bar" },
    choice("Hyperparameter", hypers.map((each) => [each, each.replaceAll("_", " ")]), hyper, (value) => set({ hyper: value })),
    check("log", log, (value) => set({ log: value })),
    choice("Curve", metrics.map((each) => [each, each.replaceAll("_", " ")]), curve, (value) => set({ curve: value })),
    choice("Over", Object.entries(AXES), x, (value) => set({ x: value })),
    choice("Show", Object.entries(MODES), mode, (value) => set({ mode: value })),
    get().chosen.length ? h("button", { onclick: () => set({ chosen: [] }) }, `${get().chosen.length} runs chosen: show all`) : null,
  );
  if (!runs.length) {
    fill(box, bar, h("p", { class: "note" }, "No run is left by the filters."));
    return;
  }
  const names = runs.map((run) => run.run);
  const ask = (column) => api.curves({ sweep: model.sweep().name, runs: names, column, x, k: POINTS });
  const [upper, lower] = await Promise.all([hyper ? ask(hyper) : null, curve ? ask(curve) : null]);
  const figures = [];
  if (upper) figures.push(figure(upper, runs, hyper, log, x));
  if (lower) figures.push(figure(lower, runs, curve, false, x));
  fill(box, bar, ...figures, legend(runs));
}

function figure(found, runs, name, isLog, axis) {
  const { mode } = get();
  const lines = mode === "all" ? single(found, runs) : grouped(found, runs, mode);
  const drawn = chart({
    x: found.x,
    lines,
    xLabel: AXES[axis],
    yLabel: name.replaceAll("_", " "),
    isLog,
    sync: "overlay",
    pick: (line) => set(line.run ? { view: "run", run: line.run } : { chosen: line.runs }),
  });
  drawn.append(alternative(() => numbers(found, lines, axis)));
  return drawn;
}

function numbers(found, lines, axis) {
  const places = [0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * (found.x.length - 1)));
  return table([AXES[axis], ...places.map((place) => format.number(found.x[place], 3))], lines.slice(0, 100).map((line) => [line.name, ...places.map((place) => format.number(line.y[place]))]));
}

function single(found, runs) {
  return runs
    .filter((run) => found.y.has(run.run))
    .map((run) => {
      const { colour, dash } = model.lookOf(run.method);
      const isMany = runs.length > 12;
      return { name: said(run), run: run.run, y: found.y.get(run.run), colour: isMany ? thin(colour, 0.55) : colour, dash, width: isMany ? 1 : 1.6 };
    });
}

/** Return what a run is called beside others. */
export function said(run) {
  return [run.method, run.budget === null ? "" : format.budget(run.budget), run.seed === null ? "" : `seed ${run.seed}`].filter(Boolean).join(", ");
}

function grouped(found, runs, mode) {
  const groups = new Map();
  for (const run of runs) {
    if (!found.y.has(run.run)) continue;
    const key = JSON.stringify([run.setting, run.method, run.budget]);
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const budgets = model.budgets(runs);
  const settings = model.settings(runs);
  return [...groups.values()].map((members) => {
    const [{ method, budget, setting }] = members;
    const { colour, dash } = model.lookOf(method);
    const rows = members.map((run) => found.y.get(run.run));
    const { middle, low, high } = mode === "median" ? quartiles(rows) : moments(rows);
    const share = budgets.length > 1 ? 0.35 + (0.65 * budgets.indexOf(budget)) / (budgets.length - 1) : 1;
    const where = settings.length > 1 ? `${setting}: ` : "";
    const name = where + (budget === null ? method : `${method}, ${format.budget(budget)}`);
    return {
      name: `${name} (n = ${members.length})`,
      runs: members.map((run) => run.run),
      run: members.length === 1 ? members[0].run : null,
      y: middle,
      colour: thin(colour, share),
      dash,
      width: 1.8,
      band: members.length > 1 ? [low, high] : null,
      fill: thin(colour, 0.12 * share),
    };
  });
}

function moments(rows) {
  const size = rows[0].length;
  const [middle, low, high] = [new Float32Array(size), new Float32Array(size), new Float32Array(size)];
  for (let at = 0; at < size; at++) {
    let [count, sum, squares] = [0, 0, 0];
    for (const row of rows)
      if (Number.isFinite(row[at])) {
        count++;
        sum += row[at];
      }
    const mean = sum / count;
    for (const row of rows) if (Number.isFinite(row[at])) squares += (row[at] - mean) ** 2;
    const std = count > 1 ? Math.sqrt(squares / (count - 1)) : 0;
    middle[at] = mean;
    low[at] = mean - std;
    high[at] = mean + std;
  }
  return { middle, low, high };
}

function quartiles(rows) {
  const size = rows[0].length;
  const [middle, low, high] = [new Float32Array(size), new Float32Array(size), new Float32Array(size)];
  for (let at = 0; at < size; at++) {
    const found = rows.map((row) => row[at]).filter(Number.isFinite).sort((a, b) => a - b);
    const of = (share) => {
      if (!found.length) return NaN;
      const place = share * (found.length - 1);
      const [under, over] = [found[Math.floor(place)], found[Math.ceil(place)]];
      return under + (over - under) * (place % 1);
    };
    middle[at] = of(0.5);
    low[at] = of(0.25);
    high[at] = of(0.75);
  }
  return { middle, low, high };
}
