/**
 * What surrounds the page: TensorBoard, or nothing. The page is in a frame of the same origin; where
 * it is opened alone nobody answers, and everything works without an answer.
 */

const KEY = "p.keras_sched.s";

function outer() {
  try {
    return window.parent.location.href ? window.parent : window; // Of another origin this raises.
  } catch {
    return window;
  }
}

/** Return what the link says. */
export function readLink() {
  const parts = new URLSearchParams(outer().location.hash.replace(/^#/, "").replace(/^[^&=]*&/, ""));
  try {
    const text = atob((parts.get(KEY) ?? "").replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (sign) => sign.charCodeAt(0)))) ?? {};
  } catch {
    return {};
  }
}

/** Let the link say what is shown. */
export function writeLink(said) {
  const bytes = new TextEncoder().encode(JSON.stringify(said));
  const text = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const tab = outer() === window ? "schedules" : "keras_sched";
  outer().history.replaceState(null, "", `#${tab}&${KEY}=${text}`);
}

/** Return the address of what is shown. */
export function link() {
  return outer().location.href;
}

/** Follow the theme of TensorBoard, or of the system. */
export function followTheme(change) {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const body = outer() === window ? null : outer().document.body;
  const look = () => {
    const isDark = body ? body.classList.contains("dark-mode") : system.matches;
    const theme = isDark ? "dark" : "light";
    if (root.dataset.theme === theme) return;
    root.dataset.theme = theme;
    change();
  };
  look();
  system.addEventListener("change", look);
  if (body) new MutationObserver(look).observe(body, { attributes: true, attributeFilter: ["class"] });
}

/** Be told when TensorBoard has read its directory again. */
export function onReload(change) {
  if (outer() === window) return;
  const channel = new MessageChannel();
  outer().postMessage("experimental.bootstrap", "*", [channel.port2]);
  channel.port1.onmessage = (event) => {
    try {
      if (JSON.parse(event.data).type === "experimental.DataReloaded") change();
    } catch {
      // Not for us.
    }
  };
}

/** Return a link to the runs in another tab of TensorBoard; null where there is none. */
export function elsewhere(run) {
  if (outer() === window) return null;
  const escaped = run.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return `${outer().location.pathname}?runFilter=${encodeURIComponent(`^${escaped}$`)}#timeseries`;
}
