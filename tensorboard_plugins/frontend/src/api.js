/** What the server knows; in a page that was exported, what is in it. */

/** The data of an exported page, or null. */
export const embedded = (() => {
  const node = document.getElementById("data");
  return node ? JSON.parse(node.textContent) : null;
})();

/** What went wrong, with words for people. */
export class Fault extends Error {}

async function asked(path, sent = null) {
  const options = sent === null ? {} : { method: "POST", body: JSON.stringify(sent), headers: { "Content-Type": "application/json" } };
  let answer;
  try {
    answer = await fetch(`api/${path}`, options);
  } catch {
    throw new Fault("The server does not answer.");
  }
  if (answer.status === 204) return null;
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Fault(said.error ?? `The server answered with ${answer.status}.`);
  }
  return answer;
}

/** Return the manifest; null if it is still that of a revision. */
export async function manifest(revision) {
  if (embedded) return embedded.manifest;
  const answer = await asked(`manifest?revision=${encodeURIComponent(revision)}`);
  return answer && answer.json();
}

/** Return the table of a sweep. */
export async function leaderboard(sent) {
  if (embedded) return embedded.tables[JSON.stringify([sent.sweep, sent.metric, sent.statistic])];
  return (await asked("table", sent)).json();
}

/** Return a column of some runs: `x`, and `y` by run. */
export async function curves(sent) {
  const bytes = embedded ? decoded(embedded.curves[JSON.stringify([sent.sweep, sent.column, sent.x])]) : await (await asked("curves", sent)).arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  const [count] = head.shapes.x;
  const x = new Float32Array(bytes, 4 + length, count);
  const all = new Float32Array(bytes, 4 + length + 4 * count);
  const y = new Map(head.runs.map((run, row) => [run, all.subarray(row * count, (row + 1) * count)]));
  return { x, y };
}

function decoded(text) {
  if (text === undefined) throw new Fault("This page has no such curves: it was exported without them.");
  return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer;
}

/** Return all of a run. */
export async function run(name) {
  if (embedded) throw new Fault("This page has no single runs: it was exported without them.");
  return (await asked(`run?run=${encodeURIComponent(name)}`)).json();
}

/** Return where the last image of a name is; the step keeps an older one from being shown. */
export function image(name, tag, step) {
  return `api/image?${new URLSearchParams({ run: name, tag, step })}`;
}

/** Return numbers that others have logged. */
export async function plain(sent) {
  if (embedded) return {};
  return (await asked("plain", sent)).json();
}

/** Return a file to take away. */
export async function exported(sent) {
  if (embedded) {
    const text = embedded.texts[JSON.stringify([sent.sweep, sent.metric, sent.statistic])]?.[sent.format];
    if (text === undefined) throw new Fault("This page was exported without this table.");
    return new Blob([text], { type: "text/plain" });
  }
  return (await asked("export", sent)).blob();
}
