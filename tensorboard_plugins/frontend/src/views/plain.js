/** Runs that have logged a learning rate as a number alone: it and what else they logged. */

import * as api from "../api.js";
import { chart } from "../chart.js";
import { alternative, choice, fill, h, table } from "../dom.js";
import * as format from "../format.js";
import * as model from "../model.js";
import { look } from "../palette.js";
import { get, set } from "../state.js";

const MOST = 50;

export async function draw(box) {
  const known = model.all().plain.slice(0, MOST);
  const tags = [...new Set(known.flatMap((each) => each.others))].sort();
  const tag = tags.includes(get().curve) ? get().curve : tags.find((each) => /loss/.test(each)) ?? tags[0];
  const found = await api.plain({ runs: known.map((each) => each.run), tags: [...known.map((each) => each.rate), ...(tag ? [tag] : [])] });
  const upper = gathered(known.map((each, place) => ({ name: each.run, place, series: found[each.run]?.[each.rate] })));
  const lower = gathered(known.map((each, place) => ({ name: each.run, place, series: found[each.run]?.[tag] })));
  const left = model.all().plain.length - known.length;
  const note = "Numbers that other writers have logged, as TensorBoard has thinned them out: a curve may lack its peaks.";
  fill(
    box,
    h("div", { class: "bar" }, tags.length ? choice("Curve", tags.map((each) => [each, each]), tag, (curve) => set({ curve })) : null, h("p", { class: "note" }, note + (left ? ` The first ${known.length} runs are shown; ${left} more are not.` : ""))),
    figure(upper, "learning rate"),
    lower.lines.length ? figure(lower, tag) : "",
  );
}

function figure({ x, lines }, label) {
  const drawn = chart({ x, lines, xLabel: "step", yLabel: label, sync: "plain", hasLegend: true });
  const row = ({ name, y }) => {
    const known = [...y].filter(Number.isFinite);
    return [name, ...[known[0], known.at(-1), Math.min(...known), Math.max(...known)].map((value) => format.number(value))];
  };
  drawn.append(alternative(() => table([label, "first", "last", "lowest", "highest"], lines.map(row))));
  return drawn;
}

/** Return lines on the steps of all, with gaps where a run has none. */
function gathered(given) {
  const some = given.filter(({ series }) => series?.[0]?.length);
  const steps = [...new Set(some.flatMap(({ series }) => series[0]))].sort((a, b) => a - b);
  const at = new Map(steps.map((step, place) => [step, place]));
  const lines = some.map(({ name, place, series: [own, , values] }) => {
    const y = new Float32Array(steps.length).fill(NaN);
    for (let row = 0; row < own.length; row++) y[at.get(own[row])] = values[row] ?? NaN;
    for (let row = at.get(own[0]) + 1; row < at.get(own.at(-1)); row++) if (Number.isNaN(y[row])) y[row] = between(y, row);
    return { name, y, colour: look(place).colour, dash: look(place).dash };
  });
  return { x: Float32Array.from(steps), lines };
}

function between(y, row) {
  return y[row - 1]; // What was logged last stays until the next.
}
