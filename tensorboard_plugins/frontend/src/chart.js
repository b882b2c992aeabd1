/** Lines on a canvas, many at once. */

import uPlot from "uplot";
import { fill, h } from "./dom.js";
import { number } from "./format.js";
import { isDark } from "./palette.js";

const HEIGHT = 260;
const SAID = 5; // Lines that are named beside the pointer.

// What people have looked at more closely, by chart: it stays when the chart is drawn anew.
const zooms = new Map();
const drawnIn = new WeakMap();

/** Let all charts show all of their axes again. */
export function forgetZooms() {
  zooms.clear();
}

/** Let go of the charts of an element, which is going to be dropped. */
export function release(root) {
  for (const box of root.querySelectorAll(".chart")) drawnIn.get(box)?.();
}

/** Return a range that is no point: uPlot would look for ticks for ever. */
export function safeRange(low, high, isLog = false) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return isLog ? [0.1, 1] : [0, 1];
  if (isLog) {
    const bottom = Math.max(low, Number.MIN_VALUE);
    const top = Math.max(high, bottom);
    return top / bottom < 1.001 ? [bottom / 2, top * 2] : [bottom, top];
  }
  const near = 1e-6 * Math.max(Math.abs(low), Math.abs(high), 1e-30);
  if (high - low > near) {
    const room = 0.05 * (high - low);
    return [low - room, high + room];
  }
  const room = Math.abs(low) > 0 ? 0.1 * Math.abs(low) : 1;
  return [low - room, high + room];
}

/** Return the lowest and highest of numbers, those that are none left out. */
export function extent(arrays, isLog = false) {
  let low = Infinity;
  let high = -Infinity;
  for (const array of arrays)
    for (const value of array) {
      if (!Number.isFinite(value) || (isLog && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  return [low, high];
}

/**
 * Draw lines.
 * @param {object} given
 *   `x`: places; `lines`: of `{ name, y, colour, dash, width, band }`, where `band` is a pair of
 *   arrays around it; `xLabel`, `yLabel`; `isLog`; `sync`: charts of one name share the pointer;
 *   `pick`: is told the place of a line that is clicked; `height`; `yValue`: says a value; `hasLegend`: whether
 *   the lines are named below.
 */
export function chart({ x, lines, xLabel, yLabel, isLog = false, sync = null, pick = null, height = HEIGHT, yValue = number, hasLegend = false }) {
  const box = h("div", { class: "chart", role: "img", "aria-label": `${yLabel} over ${xLabel}` });
  const hover = h("div", { class: "hover", "aria-live": "polite" });
  const cleaned = (array) => (isLog ? Float32Array.from(array, (value) => (value > 0 ? value : NaN)) : array);
  const series = [{ label: xLabel }];
  const data = [x];
  const bands = [];
  for (const line of lines) {
    const y = cleaned(line.y);
    series.push({ label: line.name, stroke: line.colour, dash: line.dash, width: line.width ?? 1.5, points: { show: x.length < 3 } });
    data.push(y);
    const place = series.length - 1;
    if (line.band) {
      for (const side of line.band) {
        series.push({ stroke: "transparent", width: 0, points: { show: false } });
        data.push(cleaned(side));
      }
      bands.push({ series: [place + 2, place + 1], fill: line.fill });
    }
    line.place = place;
  }
  const [low, high] = extent(data.slice(1), isLog);
  const ink = isDark() ? "#c5cbd5" : "#3b4450";
  const grid = { stroke: isDark() ? "#2d333d" : "#e8ebef", width: 1 };
  const axis = { stroke: ink, grid, ticks: grid, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif" };
  const name = `${sync ?? ""} ${yLabel} over ${xLabel}`;
  let drawn = null;
  let isShown = false;
  const options = {
    width: 600,
    height,
    series,
    bands,
    legend: { show: false },
    cursor: { points: { show: false }, sync: sync ? { key: sync, setSeries: false } : undefined, drag: { x: true, y: false } },
    scales: {
      x: { time: false, range: (_, from, to) => (to > from ? [from, to] : [from - 1, to + 1]) },
      y: { distr: isLog ? 3 : 1, range: () => safeRange(low, high, isLog) },
    },
    axes: [
      { ...axis, label: xLabel, size: 28, labelSize: 20, values: (_, ticks) => ticks.map((tick) => number(tick, 6)) },
      { ...axis, label: yLabel, size: 56, labelSize: 18, values: (_, ticks) => ticks.map((tick) => (tick === null ? null : yValue(tick))) },
    ],
    hooks: {
      setCursor: [(plot) => said(plot)],
      setScale: [
        (plot, key) => {
          if (key !== "x" || !isShown) return;
          const { min, max } = plot.scales.x;
          if (min > x[0] || max < x[x.length - 1]) zooms.set(name, [min, max]);
          else zooms.delete(name);
        },
      ],
      ready: [
        (plot) => {
          plot.over.append(mark);
          let from = 0;
          plot.over.addEventListener("mousedown", (event) => (from = event.clientX));
          plot.over.addEventListener("click", (event) => {
            if (!pick || Math.abs(event.clientX - from) > 3) return; // It was a drag, to look closer.
            const [near] = nearest(plot, 1);
            if (near) pick(near.line);
          });
        },
      ],
    },
  };
  // The lines that are next to the pointer, the nearest first: one pass, as there may be thousands.
  function nearest(plot, count = SAID) {
    const { idx, top } = plot.cursor;
    if (idx === null || idx === undefined || top < 0) return [];
    const at = plot.posToVal(top, "y");
    const found = [];
    for (const line of lines) {
      const value = plot.data[line.place][idx];
      if (!Number.isFinite(value)) continue;
      const apart = Math.abs(isLog ? Math.log(value / at) : value - at);
      if (found.length === count && apart >= found[count - 1].apart) continue;
      const place = found.findIndex((each) => apart < each.apart);
      found.splice(place < 0 ? found.length : place, 0, { line, value, apart });
      if (found.length > count) found.pop();
    }
    return found;
  }
  // One mark: uPlot's own, one for each line, take longer than a frame where there are hundreds.
  const mark = h("div", { class: "mark", hidden: true });
  function said(plot) {
    const found = nearest(plot);
    mark.hidden = !found.length;
    if (found.length) {
      const [{ line, value }] = found;
      const [left, top] = [plot.valToPos(plot.data[0][plot.cursor.idx], "x"), plot.valToPos(value, "y")];
      Object.assign(mark.style, { background: line.colour, transform: `translate(${left}px, ${top}px)` });
    }
    const at = plot.cursor.idx === null ? null : plot.data[0][plot.cursor.idx];
    fill(hover, 
      ...(found.length ? [h("b", {}, `${xLabel} ${number(at, 4)}`)] : []),
      ...found.map(({ line, value }) => h("span", {}, h("i", { style: { background: line.colour } }), `${line.name} ${yValue(value)}`)),
    );
  }
  const observer = new ResizeObserver(() => {
    const width = Math.floor(box.clientWidth);
    if (width < 40) return; // Hidden, as in another tab.
    if (drawn === null) {
      drawn = new uPlot({ ...options, width }, data, box);
      const zoom = zooms.get(name);
      if (zoom && zoom[0] < x[x.length - 1] && zoom[1] > x[0]) drawn.setScale("x", { min: zoom[0], max: zoom[1] });
      isShown = true;
    } else if (drawn.width !== width) drawn.setSize({ width, height });
  });
  observer.observe(box);
  drawnIn.set(box, () => {
    observer.disconnect();
    drawn?.destroy();
  });
  return h("figure", { class: "figure" }, box, hover, lines.length > 1 && hasLegend ? h("div", { class: "hover" }, lines.map((line) => h("span", {}, h("i", { style: { background: line.colour } }), line.name))) : null);
}

/** Return the canvas of a figure, for a picture. */
export function canvasOf(figure) {
  return figure.querySelector("canvas");
}
