/** One run: what was planned, what was applied, and what came of it. */

import * as api from "../api.js";
import { chart } from "../chart.js";
import { alternative, choice, fill, h, table } from "../dom.js";
import * as format from "../format.js";
import { elsewhere } from "../host.js";
import * as model from "../model.js";
import { isDark, look } from "../palette.js";
import { get, set } from "../state.js";
import { said } from "./overlay.js";

export async function draw(box) {
  const runs = model.shown();
  const name = runs.some((run) => run.run === get().run) ? get().run : runs[0]?.run;
  const bar = h("div", { class: "bar" }, choice("Run", runs.map((run) => [run.run, `${said(run)}: ${run.run}`]), name, (run) => set({ run })));
  if (!name) {
    fill(box, bar, h("p", { class: "note" }, "No run is left by the filters."));
    return;
  }
  const found = await api.run(name);
  const { steps, evaluations } = found.tables;
  const scheduled = Object.keys(steps).filter((each) => !["step", "seconds", "loss"].includes(each) && !each.startsWith("planned "));
  const losses = Object.keys(evaluations).filter((each) => !["step", "seconds", "epoch", ...scheduled].includes(each));
  const href = elsewhere(name);
  fill(box, 
    bar,
    facts(found, href),
    phases(steps, scheduled),
    h(
      "div",
      { class: "grid" },
      scheduled.filter((each) => !isFlat(steps[each]) || `planned ${each}` in steps).map((each) => planned(found, each)),
      steps.loss ? lines(steps.step, [["loss", steps.loss]], "loss of the batches") : null,
      losses.length ? losses.map((each) => (evaluations[each].some((value) => value !== null) ? lines(evaluations.step, [[each, evaluations[each]]], each.replaceAll("_", " ")) : null)) : null,
    ),
    shown(found),
    h("details", {}, h("summary", {}, "Configuration"), table(["option", "value"], Object.entries(found.trial.config ?? {}).map(([key, value]) => [key, JSON.stringify(value)]))),
  );
}

const of = (total) => (typeof total === "number" ? ` of ${format.number(total, 7)}` : "");
const isFlat = (values) => values.every((value) => value === values[0]);
const floats = (values) => Float32Array.from(values, (value) => value ?? NaN);

function facts(found, href) {
  const { state, trial } = found;
  const rows = [
    ["method", found.method],
    ["how it stands", `${state.status}${state.reason ? `: ${state.reason}` : ""}`],
    ["steps", `${format.number(state.step, 7)}${of(state.steps ?? trial.steps)}`],
    ["time", format.seconds(state.seconds)],
    ...(typeof state.relative_cost === "number" && state.relative_cost !== 1 ? [["bit operations", `${format.number(100 * state.relative_cost, 3)} % of float32`]] : []),
    ...Object.entries(found.drift).map(([name, { most, first_step: first }]) => [
      `${name.replaceAll("_", " ")}: applied and planned`,
      first === null ? "equal at every step that was logged" : `differ from step ${first} on, by ${format.number(most, 3)} at most`,
    ]),
  ];
  return h("div", { class: "facts" }, table(["", found.run], rows), href ? h("a", { href, target: "_top" }, "Its scalars, images and texts in TensorBoard's own tabs") : null);
}

function planned(found, name) {
  const { steps } = found.tables;
  const own = look(1);
  const plan = look(0);
  const key = `planned ${name}`;
  const drawn = [["applied", steps[name], own.colour, [], 2.6]];
  if (key in steps) drawn.push(["planned", steps[key], plan.colour, [4, 3], 1.4]);
  return lines(steps.step, drawn, name.replaceAll("_", " "));
}

function lines(x, given, label) {
  const drawn = given.map(([name, values, colour, dash, width], place) => ({ name, y: floats(values), colour: colour ?? look(place + 1).colour, dash: dash ?? [], width }));
  const figure = chart({ x: floats(x), lines: drawn, xLabel: "step", yLabel: label, sync: "run", height: 210, hasLegend: true });
  figure.append(alternative(() => table(["step", ...given.map(([name]) => name)], Array.from(x, (step, row) => [format.number(step, 7), ...given.map(([, values]) => format.number(values[row], 5))]))));
  return figure;
}

/** Return the last images and texts of a run. */
function shown({ run, shown: { images, texts } }) {
  const said = texts.filter(({ tag }) => tag !== "configuration");
  if (!images.length && !said.length) return null;
  return h(
    "div",
    { class: "grid" },
    images.map(({ tag, step }) => h("figure", {}, h("figcaption", {}, `${tag}, step ${format.number(step, 7)}`), h("img", { src: api.image(run, tag, step), alt: tag, class: "shown" }))),
    said.map(({ tag, step, text }) => h("figure", {}, h("figcaption", {}, `${tag}, step ${format.number(step, 7)}`), h("pre", {}, text))),
  );
}

/** Return the phases of numeric precision as a band. */
function phases(steps, scheduled) {
  const names = scheduled.filter((each) => each.endsWith("_bits"));
  if (!names.length || steps.step.length < 2) return null;
  const last = steps.step.at(-1) || 1;
  return h(
    "div",
    { class: "phases" },
    names.map((name) => {
      const values = steps[name];
      const most = Math.max(...values, 1);
      const parts = [];
      for (let row = 0; row < values.length; row++) {
        if (parts.length && parts.at(-1).bits === values[row]) continue;
        parts.push({ bits: values[row], from: steps.step[row] });
      }
      return h(
        "div",
        { class: "phase" },
        h("span", {}, name.replaceAll("_", " ")),
        h(
          "div",
          { class: "band", role: "img", "aria-label": `${name}: ${parts.map((part) => `${part.bits} from step ${part.from}`).join(", ")}` },
          parts.map((part, place) => {
            const to = parts[place + 1]?.from ?? last;
            const share = part.bits / most;
            const light = isDark() ? 22 + 40 * share : 94 - 46 * share;
            const ink = isDark() ? light < 45 : light > 65;
            return h("span", { title: `${part.bits} bits from step ${part.from}`, style: { flexGrow: String(Math.max(to - part.from, 0.001 * last)), background: `hsl(217 70% ${light}%)`, color: (ink ? !isDark() : isDark()) ? "#12161c" : "#fff" } }, to - part.from > 0.04 * last ? String(part.bits) : "");
          }),
        ),
      );
    }),
  );
}
