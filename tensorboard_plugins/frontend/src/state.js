/** What is shown. All views share it, and the link keeps it. */

import { readLink, writeLink } from "./host.js";

const DEFAULTS = {
  view: "leaderboard",
  sweep: null,
  setting: null,
  metric: null,
  statistic: null,
  hidden: [], // Methods.
  budgets: [], // Those that are left out.
  search: "",
  chosen: [], // Runs; none for all.
  run: null,
  x: "share",
  hyper: "learning_rate",
  curve: "loss",
  mode: "mean",
  log: false,
  brushes: {},
  heat: "place",
  sort: "rank",
};

const values = { ...DEFAULTS, ...readLink() };
const listeners = new Set();

/** Return what is shown. */
export function get() {
  return values;
}

/** Show something else. */
export function set(changes) {
  Object.assign(values, changes);
  const said = Object.fromEntries(Object.entries(values).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(DEFAULTS[key])));
  writeLink(said);
  for (const listener of listeners) listener(changes);
}

/** Be told of changes. */
export function onChange(listener) {
  listeners.add(listener);
}
