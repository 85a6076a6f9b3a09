"use strict";
// A walk-forward: its windows, what each chose and what came of it, ranks, the one account, and what was checked.
const [WIDE, HIGH] = [620, 250], WINDOWS = DATA.windows, N = WINDOWS.length;
const FULL = innerWidth <= 760 ? WIDE : 2 * WIDE; // as wide as the page, with letters that can be read
const day = (seconds) => stamp(seconds).slice(0, 10);
const from = (row) => `window ${row.window}, from ${day(row.test)}`;

function drawAccount() {
  const { time, equity, hold, capital } = DATA.account;
  if (!time.length) { $("account").append(element("p", "The account has no candle.", "quiet")); return; }
  const grown = (values) => values.map((value) => value / capital - 1), [own, held] = [grown(equity), grown(hold)];
  const every = [...own, ...held, 0];
  const [low, high] = [Math.min(...every), Math.max(...every)];
  const { picture, x, y, foot } = frame(FULL, 320, [time[0], time[time.length - 1]], [low, high], 5, scaled(low, high));
  picture.setAttribute("aria-label", "return of the account from the first switch on");
  picture.style.maxWidth = "none";
  for (const row of WINDOWS) picture.append(titled(svg("line", { x1: x(Math.max(row.test, time[0])), x2: x(Math.max(row.test, time[0])), y1: 10, y2: 296, stroke: "var(--line)", "stroke-width": 1.5, class: "switch" }), from(row)));
  picture.append(titled(line(held, (i) => x(time[i]), y, { stroke: "var(--quiet)", "stroke-width": 1, "stroke-dasharray": "4 3" }), "buy and hold"));
  picture.append(titled(line(own, (i) => x(time[i]), y, { stroke: "var(--accent)", "stroke-width": 2, id: "equity" }), "the account"));
  picture.append(svg("text", { x: x(time[0]), y: foot }, day(time[0])), svg("text", { x: x(time[time.length - 1]), y: foot, "text-anchor": "end" }, day(time[time.length - 1])));
  $("account").append(picture);
}

function drawStrip() {
  const [left, right] = [Math.min(...WINDOWS.map((row) => row.train)), WINDOWS[N - 1].end], height = 14, foot = N * height + 24;
  const picture = svg("svg", { viewBox: `0 0 ${FULL} ${foot}`, class: "picture", role: "img", "aria-label": "what each choice saw and where it was in force" });
  picture.style.maxWidth = "none";
  const x = (time) => 10 + ((time - left) / (right - left)) * (FULL - 20);
  const bar = (a, b, i, attributes, text) => picture.append(titled(svg("rect", { x: x(a), y: 4 + i * height, width: Math.max(x(b) - x(a), 0.8), height: height - 3, ...attributes }), text));
  WINDOWS.forEach((row, i) => {
    bar(row.train, row.seen, i, { fill: "var(--accent)", "fill-opacity": 0.3, class: "train" }, `${from(row)}: seen from ${day(row.train)} to ${day(row.seen)}`);
    if (row.test > row.seen) bar(row.seen, row.test, i, { fill: "none", stroke: "var(--quiet)", "stroke-width": 0.8, class: "gap" }, `${from(row)}: ${shown(row.test - row.seen, "duration")} of purge and embargo`);
    bar(row.test, row.end, i, { fill: `var(--${!row.returned ? "quiet" : row.returned < 0 ? "loss" : "gain"})`, "fill-opacity": 0.85, class: "test" }, `${from(row)} to ${day(row.end)}: ${shown(row.returned, "percent")}`);
  });
  picture.append(svg("text", { x: 10, y: foot - 6 }, day(left)), svg("text", { x: FULL - 10, y: foot - 6, "text-anchor": "end" }, day(right)));
  $("strip").append(picture);
}

function drawChosen(axis, number) {
  const last = axis.labels.length - 1, box = element("div"), high = 150;
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${high}`, class: "picture", role: "img", "aria-label": `${axis.name} chosen window by window` });
  const x = (i) => 90 + ((i + 0.5) / N) * (WIDE - 100), y = (place) => high - 34 - (last ? place / last : 0.5) * (high - 50), half = (WIDE - 100) / N / 2;
  for (let place = 0; place <= last; place++) picture.append(svg("line", { x1: 90, x2: WIDE - 10, y1: y(place), y2: y(place), stroke: "var(--line)" }));
  for (const place of new Set([0, last])) picture.append(svg("text", { x: 84, y: y(place) + 4, "text-anchor": "end" }, axis.labels[place]));
  const way = axis.places.map((place, i) => `${i ? "L" : "M"}${x(i) - half} ${y(place)}L${x(i) + half} ${y(place)}`).join("");
  picture.append(svg("path", { d: way, fill: "none", stroke: "var(--accent)", "stroke-opacity": 0.5, "stroke-width": 1.5 }));
  axis.places.forEach((place, i) => picture.append(titled(svg("circle", { cx: x(i), cy: y(place), r: 4, fill: "var(--accent)" }), `${from(WINDOWS[i])}: ${WINDOWS[i].chosen[number]}`)));
  picture.append(svg("text", { x: x(0), y: high - 8, "text-anchor": "middle" }, "0"), svg("text", { x: x(N - 1), y: high - 8, "text-anchor": "middle" }, `window ${N - 1}`));
  box.append(element("h3", axis.name), picture);
  return box;
}

// A point of each kind per window; kinds: [value of a row, what draws it at a point]
function drawByWindow(place, [low, high], format, kinds, middle) {
  const { picture, x, y, foot } = frame(WIDE, HIGH, [-0.5, N - 0.5], [low, high], 4, format);
  picture.setAttribute("aria-label", `${kinds[0][2]} and ${kinds[1][2]}, window by window`);
  picture.append(svg("line", { x1: x(-0.5), x2: x(N - 0.5), y1: y(middle), y2: y(middle), stroke: "var(--quiet)", "stroke-dasharray": "3 3" }));
  WINDOWS.forEach((row, i) => {
    const values = kinds.map(([value]) => value(row));
    if (values.every((value) => value !== null)) picture.append(svg("line", { x1: x(i), x2: x(i), y1: y(values[0]), y2: y(values[1]), stroke: "var(--line)", "stroke-width": 2 }));
    values.forEach((value, k) => { if (value !== null) picture.append(titled(kinds[k][1](x(i), y(value)), `${from(row)}: ${kinds[k][2]} ${format(value)}`)); });
  });
  picture.append(svg("text", { x: x(0), y: foot, "text-anchor": "middle" }, "0"), svg("text", { x: x(N - 1), y: foot, "text-anchor": "middle" }, `window ${N - 1}`));
  $(place).append(picture);
}

const ring = (cx, cy) => svg("circle", { cx, cy, r: 5, fill: "none", stroke: "var(--ink)", "stroke-width": 1.8, class: "ring" });
const dot = (cx, cy) => svg("circle", { cx, cy, r: 5, fill: "var(--accent)", class: "dot" });
const diamond = (a, b) => svg("path", { d: `M${a - 6} ${b}L${a} ${b - 6}L${a + 6} ${b}L${a} ${b + 6}Z`, fill: "var(--accent)", class: "diamond" });

begin(() => {
  const { by, places } = DATA;
  for (const [label, kind, value] of DATA.figures) card(label, shown(value, kind), "of the account");
  card("mean place of the plateau", shown(places.plateau, "number"), "on tests; 0.50 by chance");
  card("mean place of the peak", shown(places.peak, "number"), "on tests; 0.50 by chance");
  drawAccount(); drawStrip();
  $("chosen").append(...DATA.axes.map(drawChosen));
  const pair = [...WINDOWS.map((row) => row.in_sample), ...WINDOWS.map((row) => row.out_of_sample)].filter((value) => value !== null);
  $("seen-title").textContent = `${by.label}: on what was seen, and in the window`;
  drawByWindow("seen", [Math.min(0, ...pair), Math.max(0, ...pair)], (value) => shown(value, by.kind), [[(row) => row.in_sample, ring, `${by.label} seen`], [(row) => row.out_of_sample, dot, `${by.label} then`]], 0);
  drawByWindow("ranks", [0, 1], (value) => shown(value, "number"), [[(row) => row.peak_place, ring, "peak"], [(row) => row.plateau_place, diamond, "plateau"]], 0.5);
  $("table").append(table(WINDOWS, [
    ["test from", (row) => day(row.test)], ...DATA.axes.map((axis, i) => [axis.name, (row) => row.chosen[i]]),
    [`${by.label} seen`, (row) => row.in_sample, by.kind], [`${by.label} then`, (row) => row.out_of_sample, by.kind, "tone"], ["return then", (row) => row.returned, "percent", "tone"],
    ["efficiency", (row) => row.efficiency, "number", "minor"], ["plateau's place", (row) => row.plateau_rank, "count", "minor"], ["peak's", (row) => row.peak_rank, "count", "minor"], ["of", (row) => row.ranked, "count", "minor"],
  ]));
  $("checks").append(...DATA.checks.map((text) => element("li", text)));
});
