/** Everything to take away: tables, pictures and the link. */

import * as api from "../api.js";
import { fill, h } from "../dom.js";
import { link } from "../host.js";
import * as model from "../model.js";
import { set } from "../state.js";

export async function draw(box) {
  const sweep = model.sweep().name;
  const board = { what: "table", sweep, metric: model.metric().name, statistic: model.statistic() };
  const files = [
    ["The leaderboard", [["CSV", { ...board, format: "csv" }], ["Markdown", { ...board, format: "markdown" }], ["LaTeX", { ...board, format: "latex" }], ["JSON", { ...board, format: "json" }]]],
    ["A row for each run", [["CSV", { what: "runs", sweep, format: "csv" }], ["JSON", { what: "runs", sweep, format: "json" }]]],
    ["What was applied, by step", [["CSV", { what: "steps", sweep, format: "csv" }]]],
    ["What was measured, by epoch", [["CSV", { what: "evaluations", sweep, format: "csv" }]]],
  ];
  const done = h("span", { role: "status" });
  fill(box, 
    api.embedded
      ? h("p", { class: "note" }, "Tables can be downloaded where the dashboard runs; this page was exported.")
      : h("dl", { class: "exports" }, files.flatMap(([name, kinds]) => [h("dt", {}, name), h("dd", {}, kinds.map(([kind, said]) => h("a", { href: api.exported(said), download: "" }, kind)))])),
    h("h3", {}, "Pictures"),
    h("p", { class: "note" }, "Every picture has a button that saves it: SVG for those of few marks, PNG, twice as large, for all."),
    h("h3", {}, "This view"),
    h(
      "p",
      {},
      h(
        "button",
        {
          onclick: async () => {
            set({});
            try {
              await navigator.clipboard.writeText(link());
              done.textContent = " Copied.";
            } catch {
              done.textContent = ` ${link()}`;
            }
          },
        },
        "Copy the link",
      ),
      done,
    ),
  );
}

/** Give each picture of a box buttons that save it. */
export function addSaving(box) {
  for (const figure of box.querySelectorAll("figure.figure")) {
    if (figure.querySelector(".saving")) continue;
    const svg = figure.querySelector("svg.picture");
    const buttons = [];
    if (svg) buttons.push(h("button", { onclick: () => save(new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" }), "svg") }, "SVG"));
    buttons.push(h("button", { onclick: () => (svg ? png(svg) : canvas(figure.querySelector("canvas"))) }, "PNG"));
    figure.append(h("div", { class: "saving" }, buttons));
  }
}

function save(blob, ending) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: `schedules.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function canvas(drawn) {
  if (!drawn) return;
  const copy = h("canvas", { width: drawn.width, height: drawn.height });
  const pen = copy.getContext("2d");
  pen.fillStyle = getComputedStyle(document.body).backgroundColor;
  pen.fillRect(0, 0, copy.width, copy.height);
  pen.drawImage(drawn, 0, 0);
  copy.toBlob((blob) => save(blob, "png"));
}

function png(svg) {
  const { width, height } = svg.viewBox.baseVal;
  const image = new Image();
  image.onload = () => {
    const drawn = h("canvas", { width: 2 * width, height: 2 * height });
    drawn.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * height);
    drawn.toBlob((blob) => save(blob, "png"));
  };
  const copy = svg.cloneNode(true);
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
}
