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
  cost: "",
};

const isText = (value) => typeof value === "string";
const isList = (value) => Array.isArray(value);
const isPair = (value) => isList(value) && value.length === 2 && value.every(Number.isFinite);
/** Return what a link may say of a value: links are written by anybody. */
const SOUND = {
  hidden: (value) => isList(value) && value.every(isText),
  chosen: (value) => isList(value) && value.every(isText),
  budgets: (value) => isList(value) && value.every((each) => each === null || Number.isFinite(each)),
  brushes: (value) => value !== null && typeof value === "object" && Object.values(value).every(isPair),
  log: (value) => typeof value === "boolean",
  x: (value) => ["share", "step", "epoch", "seconds"].includes(value),
  mode: (value) => ["mean", "median", "all"].includes(value),
  heat: (value) => ["place", "value", "none"].includes(value),
};
const said = Object.entries(readLink() ?? {}).filter(([key, value]) => Object.hasOwn(DEFAULTS, key) && (SOUND[key] ?? isText)(value));
const values = { ...DEFAULTS, ...Object.fromEntries(said) };
const listeners = new Set();

/** Return what is shown. */
export function get() {
  return values;
}

/** Show something else. */
export function set(changes) {
  Object.assign(values, changes);
  const told = Object.fromEntries(Object.entries(values).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(DEFAULTS[key])));
  writeLink(told);
  for (const listener of listeners) listener(changes);
}

/** Be told of changes. */
export function onChange(listener) {
  listeners.add(listener);
}
