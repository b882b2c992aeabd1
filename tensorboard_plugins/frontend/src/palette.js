/** Colours of methods: told apart by most eyes, on light and on dark. After the eighth a dash. */

const LIGHT = ["#1f2933", "#2563eb", "#d97706", "#0f9d6b", "#c026a3", "#b91c1c", "#0891b2", "#7c6f00"];
const DARK = ["#e5e9f0", "#7aa2ff", "#f5a742", "#4cd3a0", "#ef7fd9", "#ff7b72", "#4fd1e8", "#d6c64a"];
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];

export function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

/** Return the colour and the dash of the method at a place. */
export function look(place) {
  const colours = isDark() ? DARK : LIGHT;
  return { colour: colours[place % colours.length], dash: DASHES[Math.floor(place / colours.length) % DASHES.length] };
}

/** Return a colour that lets through what is behind it. */
export function thin(colour, share) {
  return colour + Math.round(255 * share).toString(16).padStart(2, "0");
}
