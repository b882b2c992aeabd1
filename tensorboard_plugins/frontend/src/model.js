/** The runs that are shown, and how: what all views ask. */

import { get } from "./state.js";
import { look } from "./palette.js";

/** What runs are judged by, for people. */
export const STATISTICS = { final: "at the end", best: "the best of all epochs", mean_last: "mean of the last three" };

let manifest = null;
const places = new Map();

/** Take a new manifest. */
export function take(found) {
  manifest = found;
  for (const run of [...found.runs].sort((a, b) => (a.method < b.method ? -1 : 1))) {
    const key = `${run.sweep ?? ""}\n${run.method}`;
    const mine = [...places.keys()].filter((each) => each.startsWith(`${run.sweep ?? ""}\n`)).length;
    if (!places.has(key)) places.set(key, mine);
  }
}

export function all() {
  return manifest;
}

/** Return the sweep that is shown; runs of no sweep have the name "". */
export function sweep() {
  const said = get().sweep;
  const known = manifest.sweeps.map((each) => each.name);
  return manifest.sweeps[Math.max(0, known.indexOf(said))] ?? null;
}

/** Return the metric that is shown. */
export function metric() {
  const found = sweep();
  const said = get().metric ?? found?.goal;
  return found?.metrics.find((each) => each.name === said) ?? found?.metrics[0] ?? { name: "loss", mode: "min", is_share: false };
}

export function statistic() {
  const said = get().statistic;
  return manifest.statistics.includes(said) ? said : sweep()?.judged ?? "final";
}

/** Return the runs of the sweep, tuning left out, whatever is filtered. */
export function ofSweep() {
  const name = sweep()?.name;
  return manifest.runs.filter((run) => (run.sweep ?? "") === name && run.phase !== "tuning");
}

/** Return the runs that the filters leave. */
export function shown() {
  const { hidden, budgets, search, setting, chosen, brushes } = get();
  const words = search.toLowerCase();
  const wanted = new Set(chosen);
  return ofSweep().filter(
    (run) =>
      !hidden.includes(run.method) &&
      !budgets.includes(run.budget) &&
      (setting === null || run.setting === setting) &&
      (!words || run.run.toLowerCase().includes(words) || run.method.toLowerCase().includes(words)) &&
      (!wanted.size || wanted.has(run.run)) &&
      Object.entries(brushes).every(([name, [low, high]]) => {
        const value = numeric(run, name);
        return value !== null && value >= low && value <= high;
      }),
  );
}

/** Return whether any filter leaves out a run. */
export function isFiltered() {
  return shown().length !== ofSweep().length;
}

export function methods(runs = ofSweep()) {
  const found = [...new Set(runs.map((run) => run.method))];
  return found.sort((a, b) => placeOf(a) - placeOf(b));
}

export function budgets(runs = ofSweep()) {
  return [...new Set(runs.map((run) => run.budget))].sort((a, b) => (a ?? -1) - (b ?? -1));
}

export function settings(runs = ofSweep()) {
  return [...new Set(runs.map((run) => run.setting))];
}

export function placeOf(method) {
  return places.get(`${sweep()?.name ?? ""}\n${method}`) ?? 0;
}

/** Return the colour and dash of a method: the same in all views. */
export function lookOf(method) {
  return look(placeOf(method));
}

/** Return a metric of a run, by the statistic that is shown; null where it has none. */
export function value(run, name = metric().name) {
  if (run.status !== "finished") return null;
  return run.values[name]?.[manifest.statistics.indexOf(statistic())] ?? null;
}

/** Return what a table of the shown runs is asked by. */
export function asked() {
  const found = { sweep: sweep().name, metric: metric().name, statistic: statistic() };
  return isFiltered() ? { ...found, runs: shown().map((run) => run.run) } : found;
}

/** Return what a run has on an axis of numbers. */
export function numeric(run, name) {
  if (name === "metric") return value(run);
  const found = name in run ? run[name] : run.config[name];
  if (typeof found === "number") return found;
  const kinds = kindsOf(name);
  return kinds ? kinds.indexOf(String(found)) : null;
}

/** Return the names on an axis that has no numbers; null for one that has. */
export function kindsOf(name) {
  if (name === "metric") return null;
  const found = ofSweep().map((run) => (name in run ? run[name] : run.config[name]));
  if (found.every((each) => typeof each === "number" || each === null || each === undefined)) return null;
  return [...new Set(found.map(String))].sort();
}

/** Return columns that any of some runs have by step: what is scheduled, the learning rate first. */
export function hypers(runs = ofSweep()) {
  const found = new Set(runs.flatMap((run) => run.columns.steps));
  for (const name of ["step", "seconds", "loss"]) found.delete(name);
  const names = [...found].filter((name) => !name.startsWith("planned "));
  return names.sort((a, b) => (b === "learning_rate") - (a === "learning_rate") || (a < b ? -1 : 1));
}

/** Return the columns of what was measured. */
export function measured(runs = ofSweep()) {
  const applied = new Set([...hypers(runs), "step", "seconds", "epoch"]);
  const found = [...new Set(runs.flatMap((run) => run.columns.evaluations))].filter((name) => !applied.has(name));
  return [...new Set(["loss", ...found])];
}
