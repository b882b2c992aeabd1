/** Numbers as people read them. */

/** Return a number with so many significant digits. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-4 || size >= 1e6) ? Number(value.toPrecision(digits)).toExponential().replace("e+", "e") : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

/** Return a metric: a share in per cent. */
export function metric(value, about, digits = 4) {
  if (value === null || value === undefined) return "–";
  return about.is_share ? (100 * value).toFixed(2).replace("-", "−") : number(value, digits);
}

/** Return the deviation of a metric. */
export function deviation(value, about) {
  if (value === null || value === undefined) return "";
  return about.is_share ? (100 * value).toFixed(2) : number(value, 2);
}

/** Return the name of a metric, with its unit. */
export function label(about) {
  return about.name.replaceAll("_", " ") + (about.is_share ? " (%)" : "");
}

/** Return a budget as a share. */
export function budget(value) {
  return value === null ? "all" : `${Number((100 * value).toPrecision(3))} %`;
}

/** Return a time. */
export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 100) return `${number(value, 3)} s`;
  const minutes = Math.floor(value / 60);
  return minutes < 100 ? `${minutes} min ${Math.round(value % 60)} s` : `${number(value / 3600, 3)} h`;
}
