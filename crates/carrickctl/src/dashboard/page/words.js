// The texts for numbers and states, for the map, the matrix and the details.

/** The classes of a link, in the order of the legend. */
export const CLASSES = {
  near: "up, under 20 ms",
  far: "up, under 100 ms",
  slow: "up, 100 ms or more",
  lossy: "up, 1 % lost or more",
  away: "agent down, kernel answers",
  down: "down",
  unknown: "unknown",
};

export const ROLES = { active: "active gateway", standby: "standby gateway", inner: "inner node" };

export const NODE_STATES = {
  healthy: "healthy",
  unhealthy: "not healthy",
  unreachable: "agent unreachable",
  down: "down: no node receives answers from it",
  "not-in-mesh": "not in the mesh",
};

/** The texts that replace the role of a node with a fault. */
export const SHORT_STATES = { unhealthy: "not healthy", unreachable: "unreachable", down: "down", "not-in-mesh": "not in the mesh" };

export const NODE_SIGNS = { healthy: "", unhealthy: "!", unreachable: "?", down: "✕", "not-in-mesh": "–" };

export const LINK_KINDS = { tunnel: "tunnel", over: "over other nodes", inside: "inside the location" };

export const KINDS = {
  gateway: ["⇄", "gateway"],
  path: ["―", "path"],
  "drift-repair": ["⟲", "repair"],
  warning: ["⚠", "warning"],
  failure: ["✕", "failure"],
  api: ["☁", "API"],
};

const STATES = { up: "up", "agent-away": "agent down", down: "down", unknown: "unknown" };

export const stateWord = (state) => STATES[state] ?? state;

export function milliseconds(us) {
  if (us === null) return "–";
  const ms = us / 1000;
  return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

export function percent(fraction) {
  if (fraction === null) return "–";
  const percent = fraction * 100;
  return `${percent === 0 || percent >= 9.95 ? percent.toFixed(0) : percent.toFixed(1)} %`;
}

export function rate(bytesPerSecond) {
  const units = ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"];
  let value = bytesPerSecond;
  let unit = 0;
  while (value >= 999.5 && unit + 1 < units.length) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

export const clock = (unixMs) => new Date(unixMs).toLocaleTimeString("en-GB");

const largest = (values) => {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? Math.max(...known) : null;
};

/** The longer median round trip and the greater loss of the two directions of a link. */
export function worst(link) {
  const directions = [link.from_low, link.from_high].filter(Boolean);
  return { p50: largest(directions.map((one) => one.p50_us)), loss: largest(directions.map((one) => one.loss)) };
}

/** The class of a link, by its state and measurements. */
export function classOf(state, p50, loss) {
  if (state === "down") return "down";
  if (state === "agent-away") return "away";
  if (state === "unknown") return "unknown";
  if (loss !== null && loss >= 0.01) return "lossy";
  if (p50 === null) return "unknown";
  return p50 < 20_000 ? "near" : p50 < 100_000 ? "far" : "slow";
}
