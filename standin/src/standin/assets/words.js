// What several views say in the same way.

/** The path of a call of the control API. */
export function hubPath(name, query = {}) {
  const text = new URLSearchParams(query).toString();
  return `/api/${name}${text ? `?${text}` : ""}`;
}

/** Seconds since 1970 as a time; null for none. */
export function isoOf(seconds) {
  return typeof seconds === "number" ? new Date(seconds * 1000).toISOString() : null;
}

/** Names and values of properties, for a list of facts. */
export function named(properties) {
  return Object.entries(properties ?? {}).map(([name, value]) => [name, value === null ? "null" : String(value)]);
}
