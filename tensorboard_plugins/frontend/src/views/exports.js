/** Everything to take away: tables, pictures and the link. */

import * as api from "../api.js";
import { fill, h } from "../dom.js";
import { link } from "../host.js";
import * as model from "../model.js";
import { set } from "../state.js";

// How tables are written, and how their files end.
const KINDS = { csv: ["CSV", "csv"], markdown: ["Markdown", "md"], latex: ["LaTeX", "tex"], json: ["JSON", "json"] };

export async function draw(box) {
  const sent = model.asked();
  const files = [["The leaderboard", "table", ["csv", "markdown", "latex", "json"]]];
  if (!api.embedded) files.push(["A row for each run", "runs", ["csv", "json"]], ["What was applied, by step", "steps", ["csv", "json"]], ["What was measured, by epoch", "evaluations", ["csv", "json"]]);
  const done = h("span", { role: "status" });
  const fault = h("p", { class: "fault", role: "alert" });
  const button = (what, format) => {
    const [said, ending] = KINDS[format];
    const take = async () => {
      try {
        save(await api.exported({ ...sent, what, format }), `${what}.${ending}`);
        fault.textContent = "";
      } catch (error) {
        fault.textContent = error.message;
      }
    };
    return h("button", { onclick: take, title: `${what}.${ending}` }, said);
  };
  const count = model.shown().length;
  const which = api.embedded ? "Of all runs of the sweep: this page was exported." : model.isFiltered() ? `Of the ${count} runs that the filters leave.` : `Of all ${count} runs.`;
  fill(
    box,
    h("p", { class: "note" }, which),
    h("dl", { class: "exports" }, files.flatMap(([name, what, kinds]) => [h("dt", {}, name), h("dd", {}, kinds.map((kind) => button(what, kind)))])),
    fault,
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
    if (svg) buttons.push(h("button", { onclick: () => save(new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" }), "schedules.svg") }, "SVG"));
    buttons.push(h("button", { onclick: () => (svg ? png(svg) : canvas(figure.querySelector("canvas"))) }, "PNG"));
    figure.append(h("div", { class: "saving" }, buttons));
  }
}

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function canvas(drawn) {
  if (!drawn) return;
  const copy = h("canvas", { width: drawn.width, height: drawn.height });
  const pen = copy.getContext("2d");
  pen.fillStyle = getComputedStyle(document.body).backgroundColor;
  pen.fillRect(0, 0, copy.width, copy.height);
  pen.drawImage(drawn, 0, 0);
  copy.toBlob((blob) => save(blob, "schedules.png"));
}

function png(svg) {
  const { width, height } = svg.viewBox.baseVal;
  const image = new Image();
  image.onload = () => {
    const drawn = h("canvas", { width: 2 * width, height: 2 * height });
    drawn.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * height);
    drawn.toBlob((blob) => save(blob, "schedules.png"));
  };
  const copy = svg.cloneNode(true);
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
}
