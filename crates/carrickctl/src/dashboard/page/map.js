// The map: locations on an ellipse, their nodes in boxes, and lines between nodes. The same mesh always has the same layout.

import { CLASSES, NODE_SIGNS, NODE_STATES, ROLES, SHORT_STATES, LINK_KINDS, classOf, milliseconds, percent, stateWord, worst } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const CELL = { width: 150, height: 62 };
const BOX = { side: 14, top: 30 };
const GAP = 190;
/** If there are more nodes than this, healthy nodes that are no gateways are only counted. */
const MANY_NODES = 40;
/** If there are more lines than this, only lines between active gateways and lines that are not up are drawn. */
const MANY_LINES = 60;
/** If there are more locations than this, the map has the full width, and only pairs with a path that is down have labels. */
const MANY_LOCATIONS = 5;

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  set(element, attributes);
  element.append(...children);
  return element;
}

export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
}

/** Makes the children of an element match a list. Children with an unchanged key stay, so that they keep the focus. */
export function keyed(parent, items, key, make, update) {
  const present = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let before = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let child = present.get(name);
    present.delete(name);
    if (!child) {
      child = make(item);
      child.dataset.key = name;
    }
    if (child === before) before = before.nextElementSibling;
    else parent.insertBefore(child, before);
    update(child, item);
  }
  for (const child of present.values()) child.remove();
}

const title = (location) => location.name ?? "unknown location";

/** The parts of the data that the map has room for. Everything with a fault is included. */
function condense(data) {
  const all = data.locations.flatMap((location) => location.nodes);
  const isPlain = (node) => all.length > MANY_NODES && node.role === "inner" && (node.state === "healthy" || node.state === "not-in-mesh");
  const locations = data.locations.map((location) => {
    const nodes = location.nodes.filter((node) => !isPlain(node));
    return { ...location, nodes, more: location.nodes.length - nodes.length };
  });
  const shown = new Map(locations.flatMap((location) => location.nodes.map((node) => [node.name, node])));
  const between = data.links.filter((link) => shown.has(link.low) && shown.has(link.high));
  const isActive = (name) => shown.get(name).role === "active";
  const matters = (link) => link.state !== "up" || (link.kind !== "inside" && isActive(link.low) && isActive(link.high));
  return { locations, links: between.length > MANY_LINES ? between.filter(matters) : between };
}

function boxOf(location) {
  const columns = location.nodes.length <= 3 ? 1 : Math.ceil(Math.sqrt(location.nodes.length / 1.6));
  const rows = Math.max(1, Math.ceil(location.nodes.length / Math.max(1, columns)));
  return { location, columns, width: Math.max(1, columns) * CELL.width + 2 * BOX.side, height: rows * CELL.height + BOX.top + BOX.side };
}

/** The positions of boxes and nodes. */
function layout(locations) {
  const boxes = locations.map(boxOf);
  const size = Math.max(...boxes.map((box) => Math.hypot(box.width, box.height)));
  const radius = boxes.length > 1 ? (size + GAP) / (2 * Math.sin(Math.PI / boxes.length)) : 0;
  const nodes = new Map();
  boxes.forEach((box, index) => {
    const angle = Math.PI * (-0.5 - 1 / boxes.length + (2 * index) / boxes.length);
    box.x = 1.15 * radius * Math.cos(angle);
    box.y = 0.62 * radius * Math.sin(angle);
    // Names are on the side that faces away from the lines.
    box.outward = box.x < -1 ? -1 : 1;
    box.below = box.y > 1;
    box.location.nodes.forEach((node, place) => {
      nodes.set(node.name, {
        x: box.x - box.width / 2 + BOX.side + ((place % box.columns) + 0.5) * CELL.width - box.outward * 46,
        y: box.y - box.height / 2 + (box.below ? BOX.side : BOX.top) + (Math.floor(place / box.columns) + 0.5) * CELL.height,
        box,
      });
    });
  });
  return { boxes, nodes };
}

function view({ boxes }) {
  const left = Math.min(...boxes.map((box) => box.x - box.width / 2)) - 12;
  const right = Math.max(...boxes.map((box) => box.x + box.width / 2)) + 12;
  const top = Math.min(...boxes.map((box) => box.y - box.height / 2)) - 12;
  const bottom = Math.max(...boxes.map((box) => box.y + box.height / 2)) + 12;
  return `${left} ${top} ${right - left} ${bottom - top}`;
}

function button(attributes, select, ...children) {
  const group = svg("g", { tabindex: 0, role: "button", ...attributes }, ...children);
  group.addEventListener("click", select);
  group.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      select();
    }
  });
  return group;
}

function drawBoxes(boxes) {
  keyed(
    document.getElementById("boxes"),
    boxes,
    (box) => title(box.location),
    () => svg("g", { class: "box" }, svg("rect", { rx: 10 }), svg("text")),
    (group, box) => {
      const [left, top] = [box.x - box.width / 2, box.y - box.height / 2];
      set(group.children[0], { x: left, y: top, width: box.width, height: box.height });
      set(group.children[1], { x: left + BOX.side, y: box.below ? top + box.height - 11 : top + 21 });
      group.children[1].textContent = title(box.location) + (box.location.more ? ` +${box.location.more}` : "");
    },
  );
}

function shape(role, x, y) {
  const points = role === "active" ? [[0, -17], [17, 0], [0, 17], [-17, 0]] : [[-14, -14], [14, -14], [14, 14], [-14, 14]];
  if (role !== "active" && role !== "standby") return `M${x - 14},${y}a14,14 0 1,0 28,0a14,14 0 1,0 -28,0z`;
  return `M${points.map(([dx, dy]) => `${x + dx},${y + dy}`).join("L")}z`;
}

function drawNodes(locations, places, selection) {
  keyed(
    document.getElementById("nodes"),
    locations.flatMap((location) => location.nodes.map((node) => ({ node, location }))),
    ({ node }) => node.name,
    ({ node }) =>
      button({ "data-node": node.name }, () => selection.choose("node", node.name),
        svg("circle", { class: "halo", r: 23 }), svg("path", { class: "shape" }), svg("text", { class: "sign" }),
        svg("text", { class: "name" }), svg("text", { class: "role" })),
    (group, { node, location }) => {
      const { x, y, box } = places.get(node.name);
      const [halo, outline, sign, name, role] = group.children;
      const state = node.state === "down" ? "node-down" : node.state;
      const roleText = ROLES[node.role] ?? "no plan";
      set(group, {
        class: `node ${node.role ?? ""} ${state}`,
        "data-state": node.state,
        "aria-label": `Node ${node.name} in ${title(location)}: ${roleText}, ${NODE_STATES[node.state]}`,
        "aria-pressed": selection.is("node", node.name),
      });
      set(halo, { cx: x, cy: y });
      set(outline, { d: shape(node.role, x, y) });
      set(sign, { x, y });
      const beside = { x: x + box.outward * 26, "text-anchor": box.outward < 0 ? "end" : "start" };
      set(name, { ...beside, y: y - 2 });
      set(role, { ...beside, y: y + 14 });
      sign.textContent = NODE_SIGNS[node.state];
      name.textContent = node.name;
      role.textContent = SHORT_STATES[node.state] ?? node.role ?? "no plan";
    },
  );
}

export const linkKey = (link) => `${link.low} ${link.high} ${link.kind === "inside" ? "inside" : "tunnel"}`;

function drawLines(links, places, selection) {
  keyed(
    document.getElementById("lines"),
    links,
    linkKey,
    (link) =>
      button({ "data-link": `${link.low} ${link.high}` }, () => selection.choose("link", linkKey(link)),
        svg("line", { class: "hit" }), svg("line", { class: "stroke" }),
        svg("g", { class: "cross" }, svg("circle", { r: 11 }), svg("path"))),
    (group, link) => {
      const [from, to] = [places.get(link.low), places.get(link.high)];
      const [hit, stroke, cross] = group.children;
      const { p50, loss } = worst(link);
      const ends = { x1: from.x, y1: from.y, x2: to.x, y2: to.y };
      set(group, {
        class: `link ${classOf(link.state, p50, loss)}`,
        "data-state": link.state,
        "data-kind": link.kind,
        "aria-label": `${link.low} to ${link.high}, ${LINK_KINDS[link.kind]}: ${stateWord(link.state)}, ${milliseconds(p50)}, ${percent(loss)} lost`,
        "aria-pressed": selection.is("link", linkKey(link)),
      });
      set(hit, ends);
      set(stroke, ends);
      // The middle is not free: the lines of a pair of locations cross there, and their label is there.
      const [x, y] = [from.x + 0.36 * (to.x - from.x), from.y + 0.36 * (to.y - from.y)];
      set(cross.children[0], { cx: x, cy: y });
      set(cross.children[1], { d: `M${x - 5},${y - 5}l10,10m0,-10l-10,10` });
    },
  );
}

/** One label for each pair of locations, both directions in one. */
function drawLabels(pairs, boxes) {
  const centre = new Map(boxes.map((box) => [box.location.name, box]));
  const labels = new Map();
  for (const pair of pairs) {
    if (pair.from === pair.to || !centre.has(pair.from) || !centre.has(pair.to)) continue;
    const ends = [pair.from, pair.to].sort();
    const key = JSON.stringify(ends);
    const label = labels.get(key) ?? { key, ends, p50: null, loss: null, paths: 0, down: 0 };
    if (pair.p50_us !== null) label.p50 = Math.max(label.p50 ?? 0, pair.p50_us);
    if (pair.loss !== null) label.loss = Math.max(label.loss ?? 0, pair.loss);
    label.paths += pair.paths;
    label.down += pair.down;
    labels.set(key, label);
  }
  keyed(
    document.getElementById("labels"),
    [...labels.values()].filter((label) => boxes.length <= MANY_LOCATIONS || label.down),
    (label) => label.key,
    () => svg("g", { "aria-hidden": true }, svg("rect", { rx: 6 }), svg("text")),
    (group, label) => {
      const [one, other] = label.ends.map((name) => centre.get(name));
      const [x, y] = [(one.x + other.x) / 2, (one.y + other.y) / 2];
      const words = label.down === label.paths && label.paths ? "down" : `${milliseconds(label.p50)} · ${percent(label.loss)} lost`;
      const text = label.down && words !== "down" ? `${words} · ${label.down} of ${label.paths} down` : words;
      const width = 16 + 7.6 * text.length;
      set(group.children[0], { class: `plate ${label.down ? "down" : ""}`, x: x - width / 2, y: y - 12, width, height: 24 });
      set(group.children[1], { x, y });
      group.children[1].textContent = text;
    },
  );
}

/** Draws the map. */
export function draw(data, selection) {
  if (!data.locations.length) return;
  const { locations, links } = condense(data);
  const places = layout(locations);
  document.querySelector("main").classList.toggle("wide", locations.length > MANY_LOCATIONS);
  set(document.getElementById("map"), { viewBox: view(places) });
  document.getElementById("condensed").hidden = links.length === data.links.length && locations.every(({ more }) => !more);
  drawBoxes(places.boxes);
  drawLines(links, places.nodes, selection);
  drawLabels(data.pairs, places.boxes);
  drawNodes(locations, places.nodes, selection);
}

/** Draws the legend. */
export function drawLegend() {
  const line = ([name, words]) => {
    const sample = svg("svg", { class: name, viewBox: "0 0 44 20", "aria-hidden": true },
      svg("line", { class: "stroke", x1: 1, y1: 10, x2: 43, y2: 10 }),
      svg("g", { class: "cross" }, svg("circle", { r: 7, cx: 22, cy: 10 }), svg("path", { d: "M18,6l8,8m0,-8l-8,8" })));
    return [sample, words];
  };
  const role = ([name, words]) => {
    const sample = svg("svg", { viewBox: "0 0 44 40", "aria-hidden": true },
      svg("g", { class: `node ${name}` }, svg("path", { class: "shape", d: shape(name, 22, 20) })));
    return [sample, words];
  };
  const entries = [...Object.entries(CLASSES).map(line), ...Object.entries(ROLES).map(role)];
  document.getElementById("legend").replaceChildren(
    ...entries.map((parts) => {
      const item = document.createElement("li");
      item.append(...parts);
      return item;
    }),
  );
}
