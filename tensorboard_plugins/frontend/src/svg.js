/** Pictures of few marks, written from the data, so that they can be kept as they are. */

import { h } from "./dom.js";
import { number } from "./format.js";
import { isDark } from "./palette.js";
import { safeRange } from "./chart.js";

const SIZE = { width: 720, height: 380, left: 64, right: 16, top: 14, bottom: 46 };

/** Return round numbers between two. */
export function ticks(low, high, count = 6) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? rough;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + 1e-9 * step; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

/**
 * Return axes to draw on: a picture, and what places values on it.
 * @param {object} given `x`, `y`: values; `xLabel`, `yLabel`; `xLog`; `xTicks`: those of x; `xSaid`,
 *   `ySaid`: say a value.
 */
export function axes({ x, y, xLabel, yLabel, xLog = false, xTicks = null, xSaid = number, ySaid = number }) {
  const ink = isDark() ? "#c5cbd5" : "#3b4450";
  const line = isDark() ? "#2d333d" : "#e8ebef";
  const back = isDark() ? "#14181f" : "#ffffff";
  const { width, height, left, right, top, bottom } = SIZE;
  const [x0, x1] = safeRange(Math.min(...x), Math.max(...x), xLog);
  const [y0, y1] = safeRange(Math.min(...y), Math.max(...y));
  const scaled = xLog ? Math.log : (each) => each;
  const atX = (each) => left + ((scaled(each) - scaled(x0)) / (scaled(x1) - scaled(x0))) * (width - left - right) * 0.94 + 0.03 * (width - left - right);
  const atY = (each) => height - bottom - ((each - y0) / (y1 - y0)) * (height - top - bottom);
  const text = { fill: ink, "font-size": 12, "font-family": "system-ui, sans-serif" };
  const root = h(
    "svg:svg",
    { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${width} ${height}`, class: "picture", role: "img", "aria-label": `${yLabel} over ${xLabel}` },
    h("svg:rect", { width, height, fill: back }),
    ticks(y0, y1).map((each) => [
      h("svg:line", { x1: left, x2: width - right, y1: atY(each), y2: atY(each), stroke: line }),
      h("svg:text", { ...text, x: left - 8, y: atY(each) + 4, "text-anchor": "end" }, ySaid(each)),
    ]),
    (xTicks ?? ticks(x0, x1)).map((each) => [
      h("svg:line", { x1: atX(each), x2: atX(each), y1: top, y2: height - bottom, stroke: line }),
      h("svg:text", { ...text, x: atX(each), y: height - bottom + 18, "text-anchor": "middle" }, xSaid(each)),
    ]),
    h("svg:text", { ...text, x: (left + width) / 2, y: height - 8, "text-anchor": "middle" }, xLabel),
    h("svg:text", { ...text, x: 14, y: height / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${height / 2})` }, yLabel),
  );
  return { root, atX, atY, ink, back };
}

/** Return a line through places. */
export function path(points, attributes) {
  const said = points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  return h("svg:path", { d: said, fill: "none", ...attributes });
}

/** Return the small picture of a schedule. */
export function glyph(values, colour) {
  const width = 56;
  const height = 20;
  if (!values) return h("span", { class: "glyph" });
  const low = Math.min(0, ...values);
  const high = Math.max(...values);
  const size = high - low || 1;
  const points = values.map((value, place) => [1 + (place * (width - 2)) / (values.length - 1), height - 2 - ((value - low) / size) * (height - 4)]);
  return h("svg:svg", { viewBox: `0 0 ${width} ${height}`, class: "glyph", "aria-hidden": "true" }, path(points, { stroke: colour, "stroke-width": 1.6 }));
}
