// Fetches data.json every second and shows it.

import { draw, drawLegend, keyed, linkKey } from "./map.js";
import { KINDS, NODE_STATES, ROLES, LINK_KINDS, clock, milliseconds, percent, rate, stateWord } from "./words.js";

const INTERVAL_MS = 1000;
const TIMEOUT_MS = 10_000;

const by = (id) => document.getElementById(id);

function html(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

let data = null;
let paused = false;
const hidden = new Set();

/** The selected node or link. */
const selection = {
  kind: null,
  key: null,
  is(kind, key) {
    return this.kind === kind && this.key === key;
  },
  choose(kind, key) {
    [this.kind, this.key] = this.is(kind, key) ? [null, null] : [kind, key];
    show();
  },
};

function summary() {
  const nodes = data.locations.flatMap((location) => location.nodes);
  const bad = nodes.filter((node) => node.state !== "healthy" && node.state !== "not-in-mesh");
  const down = data.links.filter((link) => link.state === "down");
  const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  const parts = [`${count(nodes.length, "node")} in ${count(data.locations.length, "location")}`];
  if (down.length) parts.push(`${count(down.length, "path")} down`);
  if (bad.length) parts.push(`${count(bad.length, "node")} not healthy: ${bad.slice(0, 5).map((node) => node.name).join(", ")}`);
  if (!down.length && !bad.length) parts.push("all nodes are healthy");
  return parts.join(" · ");
}

/** Changes a text only if it differs, because screen readers read every change. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function cell(pair) {
  if (!pair) return [html("span", { class: "hint" }, "not probed")];
  const word = { up: "up", partial: `${pair.down} of ${pair.paths} down`, down: "✕ down", unknown: "unknown" }[pair.state];
  const mtu = pair.mtu === null ? "MTU –" : `MTU ${pair.mtu}`;
  return [
    html("span", { class: "state" }, pair.p50_us === null ? word : milliseconds(pair.p50_us)),
    html("small", {}, `${pair.p50_us === null ? "" : `${word} · `}${percent(pair.loss)} lost`),
    html("small", {}, `${mtu} · ${rate(pair.sent_bytes_per_second)}`),
  ];
}

function showMatrix() {
  const names = data.locations.map((location) => location.name).filter((name) => name !== null);
  const pairs = new Map(data.pairs.map((pair) => [JSON.stringify([pair.from, pair.to]), pair]));
  const head = html("tr", {}, html("td", {}), ...names.map((name) => html("th", { scope: "col" }, name)));
  const rows = names.map((from) =>
    html("tr", {}, html("th", { scope: "row" }, from),
      ...names.map((to) => {
        const pair = pairs.get(JSON.stringify([from, to]));
        return html("td", { "data-pair": `${from} ${to}`, class: pair ? `pair-${pair.state}` : "" }, ...cell(pair));
      })));
  by("matrix").replaceChildren(html("thead", {}, head), html("tbody", {}, ...rows));
}

function list(entries) {
  const shown = entries.filter(([, value]) => value !== null && value !== undefined);
  return html("dl", {}, ...shown.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, value)]));
}

function nodeDetails(name) {
  for (const location of data.locations) {
    const node = location.nodes.find((node) => node.name === name);
    if (!node) continue;
    const links = data.links.filter((link) => link.low === name || link.high === name);
    const parts = [
      html("h3", {}, `Node ${name}`),
      list([
        ["state", NODE_STATES[node.state]],
        ["location", location.name ?? "unknown"],
        ["role", ROLES[node.role] ?? "no plan"],
        ["agent", node.version],
        ["API server", node.api && { synced: "synced", lost: "lost" }[node.api]],
        ["links", `${links.length}, ${links.filter((link) => link.state === "down").length} down`],
      ]),
    ];
    if (node.problems.length) parts.push(html("ul", {}, ...node.problems.map((text) => html("li", {}, text))));
    return parts;
  }
  return null;
}

function linkDetails(key) {
  const link = data.links.find((link) => linkKey(link) === key);
  if (!link) return null;
  const direction = (from, to, measured) => {
    if (!measured) return [html("p", {}, `${from} → ${to}: not probed`)];
    return [
      html("h3", {}, `${from} → ${to}`),
      list([
        ["state", stateWord(measured.state)],
        ["median", milliseconds(measured.p50_us)],
        ["99th percentile", milliseconds(measured.p99_us)],
        ["jitter", milliseconds(measured.jitter_us)],
        ["lost", percent(measured.loss)],
        ["path MTU", measured.mtu === null ? "–" : `${measured.mtu} bytes`],
      ]),
    ];
  };
  return [
    html("p", {}, `Link: ${LINK_KINDS[link.kind]}`),
    ...direction(link.low, link.high, link.from_low),
    ...direction(link.high, link.low, link.from_high),
  ];
}

function showDetails() {
  const chosen = selection.kind === "node" ? nodeDetails(selection.key) : selection.kind === "link" ? linkDetails(selection.key) : null;
  const warnings = Object.entries(data.warnings).map(([text, nodes]) => html("li", {}, `${text} (reported by ${nodes})`));
  const otherwise = [html("p", { class: "hint" }, "Select a node or a line of the map: click it, or use Tab and Enter.")];
  if (warnings.length) otherwise.push(html("h3", {}, "Ignored values"), html("ul", {}, ...warnings));
  const details = html("div", {}, ...(chosen ?? otherwise));
  // Unchanged details stay, so that a selection of text in them stays.
  if (by("details").innerHTML !== details.innerHTML) by("details").replaceChildren(...details.childNodes);
}

function showEvents() {
  const seen = new Map();
  const named = data.events.filter((event) => !hidden.has(event.kind)).map((event) => {
    const name = `${event.unix_ms} ${event.node} ${event.text}`;
    seen.set(name, (seen.get(name) ?? 0) + 1);
    return { event, name: `${name} ${seen.get(name)}` };
  });
  keyed(by("stream"), named, ({ name }) => name,
    ({ event }) => {
      const [sign, word] = KINDS[event.kind] ?? ["·", event.kind];
      return html("li", { "data-kind": event.kind },
        html("time", { datetime: new Date(event.unix_ms).toISOString() }, clock(event.unix_ms)),
        html("span", { class: "what" }, html("span", { "aria-hidden": "true" }, `${sign} `), `${word}, ${event.node}`),
        html("span", { class: "text" }, event.text));
    },
    () => {});
}

function show() {
  if (!data) return;
  draw(data, selection);
  setText(by("summary"), data.locations.length ? summary() : "no agent is known");
  showMatrix();
  showDetails();
  showEvents();
}

function showProblem(problem) {
  by("problem").hidden = !problem;
  setText(by("problem"), problem ?? "");
}

async function ask() {
  try {
    const answer = await fetch("data.json", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(`HTTP status ${answer.status}`);
    const { problem, ...rest } = await answer.json();
    data = rest;
    showProblem(problem && `The agents cannot be reached: ${problem}`);
    setText(by("age"), data.unix_ms ? `as of ${clock(data.unix_ms)}` : "");
    show();
  } catch (error) {
    showProblem(`No answer from carrickctl: ${error.message}`);
  }
}

async function live() {
  for (;;) {
    if (!paused && !document.hidden) await ask();
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}

function controls() {
  by("pause").addEventListener("click", () => {
    paused = !paused;
    by("pause").setAttribute("aria-pressed", paused);
  });
  const root = document.documentElement;
  const kept = localStorage.getItem("theme");
  if (kept) root.dataset.theme = kept;
  by("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
  });
  by("kinds").append(...Object.entries(KINDS).map(([kind, [sign, word]]) => {
    const box = html("input", { type: "checkbox", checked: "" });
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(kind);
      else hidden.add(kind);
      show();
    });
    return html("label", {}, box, ` ${sign} ${word}`);
  }));
}

controls();
drawLegend();
live();
