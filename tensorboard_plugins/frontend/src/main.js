/** The page: what is chosen at the side, and one of the views beside it. */

import * as api from "./api.js";
import { forgetZooms, release } from "./chart.js";
import { choice, fill, h, keeping } from "./dom.js";
import * as format from "./format.js";
import { followTheme, onReload } from "./host.js";
import * as model from "./model.js";
import { get, onChange, set } from "./state.js";
import * as budgets from "./views/budgets.js";
import * as cost from "./views/cost.js";
import * as exports from "./views/exports.js";
import * as leaderboard from "./views/leaderboard.js";
import { line } from "./views/legend.js";
import * as overlay from "./views/overlay.js";
import * as parallel from "./views/parallel.js";
import * as plain from "./views/plain.js";
import * as run from "./views/run.js";

const VIEWS = {
  leaderboard: ["Leaderboard", leaderboard],
  budgets: ["Budgets", budgets],
  overlay: ["Curves", overlay],
  run: ["Run", run],
  cost: ["Cost", cost],
  parallel: ["Parallel axes", parallel],
  plain: ["Other runs", plain],
  exports: ["Export", exports],
};
const OFTEN = 30_000; // Milliseconds between two looks at the server.

const side = h("nav", { class: "side", "aria-label": "What is shown" });
const tabs = h("div", { class: "tabs", role: "tablist" });
const box = h("main", { class: "view", tabindex: -1 });
const warnings = h("div", { class: "warnings" });
const outage = h("div", { role: "status" });
let revision = "";
let drawing = 0;
let hasFailed = false;
let drawn = null; // The view that is there.

/** Begin: called by TensorBoard, once. */
export async function render() {
  const sheet = h("link", { rel: "stylesheet", href: "styles.css" });
  if (!document.querySelector("style[data-schedules]")) document.head.append(sheet);
  fill(document.body, side, h("div", { class: "body" }, outage, tabs, warnings, box));
  followTheme(() => model.all() && redraw());
  box.append(h("p", { class: "note" }, "Reading the runs …"));
  onChange((changes) => {
    if (["view", "sweep", "setting", "run", "x"].some((each) => each in changes)) forgetZooms();
    redraw();
  });
  onReload(reload);
  window.addEventListener("focus", reload);
  setInterval(() => !document.hidden && window.innerHeight > 0 && reload(), OFTEN);
  await reload();
}

async function reload() {
  try {
    const found = await api.manifest(revision);
    outage.replaceChildren();
    if (found !== null) {
      model.take(found);
      revision = found.revision;
    } else if (!hasFailed) return;
  } catch (error) {
    if (!model.all()) fail(error); // Else what is there stays: it was true a while ago.
    else fill(outage, h("p", { class: "fault" }, `${error.message} What is shown may be old.`));
    return;
  }
  await redraw();
}

async function redraw() {
  const mine = ++drawing;
  keeping(side, drawSide);
  keeping(tabs, drawTabs);
  drawWarnings();
  const name = shownView();
  const fresh = h("div", {});
  try {
    if (name === null) fresh.append(nothing());
    else await VIEWS[name][1].draw(fresh);
  } catch (error) {
    release(fresh);
    if (mine === drawing) fail(error);
    return;
  }
  if (mine !== drawing) {
    release(fresh); // Something else was asked for meanwhile.
    return;
  }
  hasFailed = false;
  const place = () => {
    release(box);
    fill(box, ...fresh.childNodes);
  };
  if (name === drawn) keeping(box, place);
  else place();
  drawn = name;
  exports.addSaving(box);
  requestAnimationFrame(() => requestAnimationFrame(() => (document.body.dataset.ready = "1")));
}

function fail(error) {
  hasFailed = true;
  release(box);
  fill(box, h("p", { class: "fault", role: "alert" }, error instanceof api.Fault ? error.message : `This view cannot be drawn: ${error.message}`));
  document.body.dataset.ready = "1";
  if (!(error instanceof api.Fault)) throw error;
}

/** Return the name of the view that can be shown; null where there is nothing to show. */
function shownView() {
  const { runs, plain: others } = model.all();
  if (!runs.length) return others.length ? "plain" : null;
  const { view } = get();
  return known().includes(view) ? view : "leaderboard";
}

/** Return the names of the views that have something to show. */
function known() {
  const { runs, plain: others } = model.all();
  return Object.keys(VIEWS).filter((name) => {
    if (name === "plain") return others.length;
    return runs.length && !(name === "run" && api.embedded); // An exported page has no single runs.
  });
}

function drawTabs() {
  const names = known();
  const chosen = shownView();
  fill(tabs, 
    ...names.map((name) =>
      h(
        "button",
        {
          role: "tab",
          "aria-selected": String(name === chosen),
          tabindex: name === chosen ? 0 : -1,
          onclick: () => set({ view: name }),
          onkeydown: (event) => {
            const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (!move) return;
            const next = names[(names.indexOf(name) + move + names.length) % names.length];
            set({ view: next });
            tabs.querySelector("[aria-selected=true]").focus(); // The tabs were drawn anew.
          },
        },
        VIEWS[name][0],
      ),
    ),
  );
}

function drawSide() {
  const { sweeps, runs } = model.all();
  if (!runs.length) {
    fill(side, h("h1", {}, "Schedules"));
    return;
  }
  const sweep = model.sweep();
  const about = model.metric();
  const every = model.ofSweep();
  const settings = model.settings(every);
  const { hidden, budgets: left, search, setting } = get();
  const counts = {};
  for (const each of every) counts[each.status] = (counts[each.status] ?? 0) + 1;
  const missing = Math.max(0, sweep.planned - every.length);
  fill(side, 
    h("h1", {}, "Schedules"),
    choice("Sweep", sweeps.map((each) => [each.name, each.name || "runs of no sweep"]), sweep.name, (name) => set({ sweep: name, setting: null, metric: null, statistic: null, hidden: [], budgets: [], chosen: [], brushes: {}, run: null })),
    settings.length > 1 ? choice("Setting", [["", "all"], ...settings.map((each) => [each, each])], setting ?? "", (value) => set({ setting: value || null })) : null,
    choice("Metric", sweep.metrics.map((each) => [each.name, format.label(each)]), about.name, (metric) => set({ metric })),
    choice("Value", Object.entries(model.STATISTICS), model.statistic(), (statistic) => set({ statistic })),
    h("p", { class: "counts" }, [...Object.entries(counts).map(([status, count]) => `${count} ${status}`), ...(missing ? [`${missing} missing`] : [])].join(", ")),
    h("label", { class: "choice" }, h("span", {}, "Search"), h("input", { type: "search", value: search, placeholder: "run or method", oninput: (event) => set({ search: event.target.value }) })),
    toggles("Methods", model.methods(every), hidden, (value) => set({ hidden: value }), (method) => {
      const { colour, dash } = model.lookOf(method);
      return [line(colour, dash), method];
    }),
    toggles("Budgets", model.budgets(every), left, (value) => set({ budgets: value }), format.budget),
    model.isFiltered() ? h("button", { onclick: () => set({ hidden: [], budgets: [], search: "", chosen: [], brushes: {}, setting: null }) }, `${model.shown().length} of ${every.length} runs: show all`) : null,
  );
}

function toggles(name, values, left, change, said) {
  if (values.length < 2) return null;
  return h(
    "fieldset",
    {},
    h("legend", {}, name),
    values.map((value) => h("label", { class: "check" }, h("input", { type: "checkbox", checked: !left.includes(value), onchange: (event) => change(event.target.checked ? left.filter((each) => each !== value) : [...left, value]) }), said(value))),
  );
}

function drawWarnings() {
  const { warnings: found, loader } = model.all();
  const slow = loader === "python" ? "TensorBoard reads this directory with its slow loader (no data server): many runs take long." : "";
  fill(warnings, 
    slow ? h("p", { class: "note" }, slow) : "",
    found.length ? h("details", {}, h("summary", {}, `${found.length} ${found.length === 1 ? "run has" : "runs have"} something wrong`), h("ul", {}, found.slice(0, 100).map((each) => h("li", {}, h("b", {}, each.run), ` ${each.said}.`)))) : "",
  );
}

function nothing() {
  return h(
    "div",
    { class: "nothing" },
    h("h2", {}, "No run has logged a schedule here yet"),
    h("p", {}, "Add one callback to your own training:"),
    h("pre", {}, 'model.fit(data, epochs=10, callbacks=[\n    keras_sched.Scheduler(learning_rate=keras_sched.REX(0.1)),\n    keras_sched.StepLogger(tensorboard="logs/rex")])'),
    h("p", {}, "or train with one of the programs, which log by themselves:"),
    h("pre", {}, "python -m trainers.cifar --schedule=rex --budget=0.25 --logdir=logs"),
  );
}

if (api.embedded || document.body.dataset.alone) render();
