"use strict";
// The surface of a search: heat maps of every pair of axes, slices, and what stands out.
const [WIDE, HIGH, LEFT, TOP, FOOT] = [440, 300, 74, 8, 44];

// A colour for a value between the lowest and highest: around nothing where both signs occur, else from little to much.
function coloured(value, low, high) {
  if (low < 0 && high > 0) {
    const share = Math.abs(value) / Math.max(-low, high);
    return `color-mix(in srgb, var(--${value >= 0 ? "gain" : "loss"}) ${Math.round(12 + 82 * share)}%, var(--card))`;
  }
  return `color-mix(in srgb, var(--accent) ${Math.round(8 + 84 * ((value - low) / (high - low || 1)))}%, var(--card))`;
}

function drawMarks(picture, x, y, width, height, places) {
  const at = (kind) => [LEFT + (places[kind][0] + 0.5) * width, TOP + (places[kind][1] + 0.5) * height];
  const r = Math.max(Math.min(width, height) * 0.3, 4);
  if (places.plateau) {
    const [a, b] = at("plateau");
    picture.append(titled(svg("path", { d: `M${a - r} ${b}L${a} ${b - r}L${a + r} ${b}L${a} ${b + r}Z`, fill: "none", stroke: "var(--ink)", "stroke-width": 2 }), "centre of the plateau"));
  }
  const [a, b] = at("peak");
  picture.append(titled(svg("circle", { cx: a, cy: b, r, fill: "none", stroke: "var(--ink)", "stroke-width": 2 }), "the best trial"));
}

function drawMap(layer, pair, how, low, high) {
  const x = DATA.axes[pair.x], y = DATA.axes[pair.y], [nx, ny] = [x.labels.length, y.labels.length];
  const width = (WIDE - LEFT - 6) / nx, height = (HIGH - TOP - FOOT) / ny;
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "picture", role: "img", "aria-label": `${layer.label} by ${x.name} and ${y.name}` });
  pair[how].forEach((signed, place) => {
    if (signed === null) return;
    const value = signed * layer.sign, i = place % nx, j = ny - 1 - Math.floor(place / nx);
    const cell = svg("rect", { x: LEFT + i * width, y: TOP + j * height, width: Math.max(width - 0.6, 0.4), height: Math.max(height - 0.6, 0.4), fill: coloured(value, low, high) });
    picture.append(titled(cell, `${x.name} ${x.labels[i]}, ${y.name} ${y.labels[ny - 1 - j]}: ${shown(value, layer.kind)}`));
  });
  const places = {};
  for (const kind of ["peak", "plateau"]) if (DATA[kind]) places[kind] = [DATA[kind].places[pair.x], ny - 1 - DATA[kind].places[pair.y]];
  drawMarks(picture, x, y, width, height, places);
  picture.append(svg("text", { x: LEFT, y: HIGH - 26 }, x.labels[0]), svg("text", { x: WIDE - 6, y: HIGH - 26, "text-anchor": "end" }, x.labels[nx - 1]));
  picture.append(svg("text", { x: (LEFT + WIDE) / 2, y: HIGH - 8, "text-anchor": "middle" }, x.name));
  picture.append(svg("text", { x: LEFT - 6, y: TOP + 10, "text-anchor": "end" }, y.labels[ny - 1]), svg("text", { x: LEFT - 6, y: HIGH - FOOT - 2, "text-anchor": "end" }, y.labels[0]));
  picture.append(svg("text", { x: 12, y: (TOP + HIGH - FOOT) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(TOP + HIGH - FOOT) / 2})` }, y.name));
  const box = element("div");
  box.append(element("h3", `${x.name} and ${y.name}`), picture);
  return box;
}

function drawSlice(layer, slice, axis) {
  const values = (name) => slice[name].map((value) => (value === null ? null : value * layer.sign));
  const [mean, best, peak] = ["mean", "best", "peak"].map(values);
  const known = [...mean, ...best, ...peak].filter((value) => value !== null);
  const box = element("div");
  box.append(element("h3", axis.name));
  if (!known.length) { box.append(element("p", "No value.", "quiet")); return box; }
  const { picture, x, y, foot } = frame(WIDE, 210, [-0.5, axis.labels.length - 0.5], [Math.min(0, ...known), Math.max(0, ...known)], 4, (value) => shown(value, layer.kind));
  picture.setAttribute("aria-label", `${layer.label} by ${axis.name}`);
  const width = Math.max((x(1) - x(0)) * 0.7, 1);
  mean.forEach((value, i) => {
    if (value === null) return;
    picture.append(titled(svg("rect", { x: x(i) - width / 2, y: Math.min(y(value), y(0)), width, height: Math.max(Math.abs(y(value) - y(0)), 0.5), fill: `var(--${value >= 0 ? "gain" : "loss"})`, "fill-opacity": 0.45 }), `${axis.name} ${axis.labels[i]}: mean ${shown(value, layer.kind)}, best ${shown(best[i], layer.kind)}`));
    picture.append(svg("line", { x1: x(i) - width / 2, x2: x(i) + width / 2, y1: y(best[i]), y2: y(best[i]), stroke: "var(--quiet)", "stroke-width": 2 }));
  });
  peak.forEach((value, i) => { if (value !== null) picture.append(titled(svg("circle", { cx: x(i), cy: y(value), r: 3, fill: "var(--accent)" }), `like the best but for ${axis.name} ${axis.labels[i]}: ${shown(value, layer.kind)}`)); });
  picture.append(svg("text", { x: x(0), y: foot }, axis.labels[0]), svg("text", { x: x(axis.labels.length - 1), y: foot, "text-anchor": "end" }, axis.labels[axis.labels.length - 1]));
  box.append(picture);
  return box;
}

function drawLayer() {
  const layer = DATA.layers[Number($("layer").value)], how = $("how").value;
  const every = (layer.pairs.length ? layer.pairs.map((pair) => pair[how]) : layer.slices.map((slice) => slice[how])).flat().filter((value) => value !== null).map((value) => value * layer.sign);
  const low = Math.min(...every), high = Math.max(...every);
  $("scale").textContent = every.length ? `${shown(low, layer.kind)} to ${shown(high, layer.kind)}, one scale for all` : "no trial has a value of it";
  $("maps").replaceChildren(...layer.pairs.map((pair) => drawMap(layer, pair, how, low, high)));
  if (!layer.pairs.length) $("maps").append(element("p", "One axis makes no pair.", "quiet"));
  $("slices").replaceChildren(...layer.slices.map((slice, i) => drawSlice(layer, slice, DATA.axes[i])));
}

function drawCards() {
  const first = DATA.layers[0];
  const named = (trial) => trial.changes.map((value, i) => `${DATA.axes[i].name} ${value}`).join(", ");
  card(`best ${first.label}`, shown(DATA.peak.values[0], first.kind), named(DATA.peak));
  if (DATA.plateau) card("centre of the plateau", shown(DATA.plateau.values[0], first.kind), named(DATA.plateau));
  const [keep, of] = DATA.neighbours;
  card("neighbours that keep half", of ? `${keep} of ${of}` : "–", "of what the best has above the middle trial");
}

function drawOrder() {
  if (!DATA.order) return;
  $("order-section").hidden = false;
  const { numbers, goals } = DATA.order, layer = DATA.layers[0];
  const points = goals[0].map((value, i) => [goals.length > 1 ? goals[1][i] : numbers[i], value, numbers[i]]).filter(([a, b]) => a !== null && b !== null);
  const span = (values) => [Math.min(...values), Math.max(...values)];
  const { picture, x, y, foot } = frame(620, 260, span(points.map((p) => p[0])), span(points.map((p) => p[1])), 4, (value) => shown(value, layer.kind));
  const chosen = new Set(DATA.best.map((trial) => trial.number));
  for (const [a, b, number] of points) picture.append(titled(svg("circle", { cx: x(a), cy: y(b), r: chosen.has(number) ? 4 : 2.5, fill: `var(--${chosen.has(number) ? "accent" : "quiet"})`, "fill-opacity": 0.8 }), `trial ${number}: ${shown(b, layer.kind)}`));
  const ends = span(points.map((p) => p[0])), second = DATA.layers[1], said = (value) => (goals.length > 1 ? shown(value, second.kind) : `trial ${value}`);
  picture.append(svg("text", { x: x(ends[0]), y: foot }, said(ends[0])), svg("text", { x: x(ends[1]), y: foot, "text-anchor": "end" }, said(ends[1])));
  picture.setAttribute("aria-label", "trials that were proposed");
  $("order").append(picture, element("p", goals.length > 1 ? `${layer.label} over ${second.label}; the coloured ones no other beats in one without losing in another.` : `${layer.label} of every trial; the coloured ones are the best.`, "quiet"));
}

begin(() => {
  $("layer").append(...DATA.layers.map((layer, i) => new Option(layer.label, i)));
  $("layer").onchange = $("how").onchange = drawLayer;
  drawCards(); drawLayer(); drawOrder();
  $("best").append(table(DATA.best, [["trial", (trial) => trial.number, "count"], ...DATA.axes.map((axis, i) => [axis.name, (trial) => trial.changes[i]]), ...DATA.layers.map((layer, i) => [layer.label, (trial) => trial.values[i], layer.kind, i > 2 ? "minor" : ""])]));
});
