/** Runs as lines over axes: what is set, and what came of it. Dragging over an axis filters. */

import { alternative, fill, h, table } from "../dom.js";
import * as format from "../format.js";
import * as model from "../model.js";
import { isDark } from "../palette.js";
import { get, set } from "../state.js";
import { path } from "../svg.js";

const WIDTH = 900;
const HEIGHT = 400;
const MOST_AXES = 9;

export async function draw(box) {
  const runs = model.ofSweep().filter((run) => model.value(run) !== null);
  const own = ["method", "setting", "budget", "learning_rate", "seed"];
  const options = [...new Set(runs.flatMap((run) => Object.keys(run.config)))].filter((name) => !own.includes(name) && !["name", "schedule", "momentum_schedule", "precision_schedule", "schedule_options", "momentum_options", "split"].includes(name));
  const differs = (name) => new Set(runs.map((run) => JSON.stringify(name in run ? run[name] : run.config[name]))).size > 1;
  const names = [...own, ...options].filter(differs).slice(0, MOST_AXES - 1).concat("metric");
  if (runs.length < 2) {
    fill(box, h("p", { class: "note" }, "Two runs that have ended are needed."));
    return;
  }
  const wanted = new Set(model.shown().map((run) => run.run));
  const ink = isDark() ? "#c5cbd5" : "#3b4450";
  const dim = isDark() ? "#2d333d" : "#e1e5ea";
  const atX = (place) => 70 + (place * (WIDTH - 150)) / Math.max(1, names.length - 1);
  const scales = names.map((name) => scaleOf(name, runs));
  const root = h("svg:svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "picture wide", xmlns: "http://www.w3.org/2000/svg", role: "img", "aria-label": "Runs over what is set and what came of it" }, h("svg:rect", { width: WIDTH, height: HEIGHT, fill: isDark() ? "#14181f" : "#fff" }));
  const draws = (run, isWanted) => {
    const points = names.map((name, place) => [atX(place), scales[place].at(model.numeric(run, name))]).filter(([, y]) => Number.isFinite(y));
    return path(points, { stroke: isWanted ? model.lookOf(run.method).colour : dim, "stroke-width": isWanted ? 1.4 : 1, opacity: isWanted ? 0.6 : 0.5 });
  };
  root.append(...runs.filter((run) => !wanted.has(run.run)).map((run) => draws(run, false)), ...runs.filter((run) => wanted.has(run.run)).map((run) => draws(run, true)));
  names.forEach((name, place) => root.append(axis(name, atX(place), scales[place], ink, root)));
  const rows = model.shown().map((run) => names.map((name) => (name === "metric" ? format.metric(model.value(run), model.metric()) : String((name in run ? run[name] : run.config[name]) ?? "–"))));
  fill(box, 
    h("div", { class: "bar" }, h("p", { class: "note" }, "Drag along an axis to keep the runs that pass there."), Object.keys(get().brushes).length ? h("button", { onclick: () => set({ brushes: {} }) }, "Clear") : null),
    h("figure", { class: "figure" }, root, alternative(() => table(names.map(title), rows))),
  );
}

const title = (name) => (name === "metric" ? format.label(model.metric()) : name.replaceAll("_", " "));

function scaleOf(name, runs) {
  const values = runs.map((run) => model.numeric(run, name)).filter((value) => value !== null);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const kinds = model.kindsOf(name);
  const isLog = !kinds && name !== "metric" && low > 0 && high / low >= 20;
  const scaled = isLog ? Math.log : (value) => value;
  if (low === high) [low, high] = isLog ? [low / 2, high * 2] : [low - 1, high + 1];
  const size = HEIGHT - 90;
  const distinct = [...new Set(values)].sort((a, b) => a - b);
  const middle = isLog ? Math.sqrt(low * high) : (low + high) / 2;
  return {
    marks: distinct.length <= 8 ? distinct : [low, middle, high],
    kinds,
    low,
    high,
    at: (value) => (value === null ? NaN : HEIGHT - 30 - ((scaled(value) - scaled(low)) / (scaled(high) - scaled(low))) * size),
    back: (y) => {
      const share = (HEIGHT - 30 - y) / size;
      const found = scaled(low) + share * (scaled(high) - scaled(low));
      return isLog ? Math.exp(found) : found;
    },
  };
}

function axis(name, x, scale, ink, root) {
  const text = { fill: ink, "font-size": 11, "font-family": "system-ui, sans-serif" };
  const about = model.metric();
  const said = (value) => (name === "budget" ? format.budget(value) : name === "metric" ? format.metric(value, about) : format.number(value, 3));
  const marks = scale.kinds ? scale.kinds.map((kind, place) => [kind.length > 16 ? `${kind.slice(0, 15)}…` : kind, place]) : scale.marks.map((value) => [said(value), value]);
  const brush = get().brushes[name];
  const bar = h("svg:rect", { x: x - 9, y: 0, width: 18, height: 0, fill: "#2563eb55", stroke: "#2563eb" });
  if (brush) {
    const [top, bottom] = [scale.at(brush[1]), scale.at(brush[0])];
    bar.setAttribute("y", Math.min(top, bottom));
    bar.setAttribute("height", Math.abs(bottom - top));
  }
  const where = (event) => {
    const rect = root.getBoundingClientRect();
    return Math.min(HEIGHT - 30, Math.max(60, ((event.clientY - rect.top) * HEIGHT) / rect.height));
  };
  let from = null;
  const hit = h("svg:rect", {
    x: x - 14,
    y: 52,
    width: 28,
    height: HEIGHT - 74,
    fill: "transparent",
    style: { cursor: "ns-resize", touchAction: "none" },
    onpointerdown: (event) => {
      from = where(event);
      hit.setPointerCapture(event.pointerId);
    },
    onpointermove: (event) => {
      if (from === null) return;
      const to = where(event);
      bar.setAttribute("y", Math.min(from, to));
      bar.setAttribute("height", Math.abs(to - from));
    },
    onpointerup: (event) => {
      if (from === null) return;
      const ends = [scale.back(from), scale.back(where(event))].sort((a, b) => a - b);
      const isClick = Math.abs(where(event) - from) < 4;
      from = null;
      const brushes = { ...get().brushes };
      if (isClick) delete brushes[name];
      else brushes[name] = ends;
      set({ brushes });
    },
  });
  return h(
    "svg:g",
    {},
    h("svg:line", { x1: x, x2: x, y1: 60, y2: HEIGHT - 30, stroke: ink }),
    h("svg:text", { ...text, x, y: 34, "text-anchor": "middle", "font-weight": 600 }, title(name)),
    marks.map(([label, value]) => h("svg:text", { ...text, x: x + 8, y: scale.at(value) + 4, style: { paintOrder: "stroke", stroke: isDark() ? "#14181f" : "#fff", strokeWidth: "3px" } }, label)),
    bar,
    hit,
  );
}
