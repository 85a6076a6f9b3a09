"use strict";
// Returns: how days are spread, the Sharpe ratio over time, the years, and the worst falls; all from the equity curve.
const DAY_S = 86400, BINS = 41;
const dayOf = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);

function drawDistribution(days) {
  const returns = days.filter((value) => value !== 0);
  if (!returns.length) { $("distribution").append(element("p", "No day on which equity changed.", "quiet")); return; }
  const sorted = [...returns].sort((a, b) => a - b);
  const edge = Math.max(Math.abs(sorted[Math.floor(0.005 * sorted.length)]), Math.abs(sorted[Math.ceil(0.995 * sorted.length) - 1]), 1e-6);
  const step = (2 * edge) / BINS, counts = new Array(BINS).fill(0);
  for (const value of returns) counts[Math.min(Math.max(Math.floor((value + edge) / step), 0), BINS - 1)]++;
  const most = Math.max(...counts);
  const { picture, x, y, foot } = frame(620, 230, [-edge, edge], [0, most], 4, (v) => v.toFixed(0));
  picture.setAttribute("aria-label", "distribution of daily returns");
  counts.forEach((count, i) => {
    const left = -edge + i * step, middle = left + step / 2;
    const bar = svg("rect", { x: x(left) + 0.5, width: x(step) - x(0) - 1, y: y(count), height: y(0) - y(count), fill: Math.abs(middle) < step / 4 ? "var(--quiet)" : middle > 0 ? "var(--gain)" : "var(--loss)" });
    bar.append(svg("title", {}, `${count} days of ${shown(left, "percent")} to ${shown(left + step, "percent")}`));
    picture.append(bar);
  });
  const average = returns.reduce((sum, value) => sum + value, 0) / returns.length;
  picture.append(svg("line", { x1: x(average), x2: x(average), y1: y(0), y2: y(most), stroke: "var(--ink)", "stroke-dasharray": "3 3" }));
  for (const [at, anchor] of [[-edge, "start"], [0, "middle"], [edge, "end"]]) picture.append(svg("text", { x: x(at), y: foot, "text-anchor": anchor }, shown(at, "percent")));
  $("distribution").append(picture, element("p", `${shown(returns.length, "count")} days on which equity changed, ${shown(average, "percent")} on average (dashed), of ${shown(days.length, "count")}; the outermost bars hold everything beyond them.`, "quiet"));
}

function drawRolling(rolling) {
  const points = rolling.sharpe.map((value, i) => [rolling.first + i * DAY_S, value]).filter(([, value]) => value !== null);
  if (points.length < 2) { $("rolling").append(element("p", `Fewer than ${rolling.days + 1} days.`, "quiet")); return; }
  const values = points.map(([, value]) => value);
  const low = Math.min(0, ...values), high = Math.max(0, ...values), ends = [points[0][0], points[points.length - 1][0]];
  const { picture, x, y, foot } = frame(620, 230, ends, [low, high], 4, (v) => v.toFixed(1));
  picture.setAttribute("aria-label", "rolling Sharpe ratio");
  picture.append(svg("line", { x1: x(ends[0]), x2: x(ends[1]), y1: y(0), y2: y(0), stroke: "var(--quiet)" }));
  picture.append(svg("polyline", { points: points.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`).join(" "), fill: "none", stroke: "var(--accent)", "stroke-width": 1.6 }));
  picture.append(svg("text", { x: x(ends[0]), y: foot }, dayOf(ends[0])), svg("text", { x: x(ends[1]), y: foot, "text-anchor": "end" }, dayOf(ends[1])));
  $("rolling").append(picture, element("p", `Sharpe ratio of the ${rolling.days} days before each day; its error over so few is about ±${(1.96 * Math.sqrt(365 / rolling.days)).toFixed(1)}.`, "quiet"));
}

function drawYears(years) {
  const largest = Math.max(...years.map(([, value]) => Math.abs(value)), 1e-9);
  const wide = roomFor(620), hasLoss = years.some(([, value]) => value < 0), height = 26 * years.length + 8, middle = hasLoss ? wide / 2 : 70, room = hasLoss ? wide / 2 - 110 : wide - 150;
  const picture = svg("svg", { viewBox: `0 0 ${wide} ${height}`, class: "picture", role: "img", "aria-label": "returns by year" });
  years.forEach(([year, value], i) => {
    const width = Math.max((Math.abs(value) / largest) * room, 1), top = 8 + 26 * i;
    picture.append(svg("text", { x: 10, y: top + 13 }, year));
    picture.append(svg("rect", { x: value >= 0 ? middle : middle - width, y: top, width, height: 18, fill: value >= 0 ? "var(--gain)" : "var(--loss)" }));
    picture.append(svg("text", { x: value >= 0 ? middle + width + 6 : middle - width - 6, y: top + 13, "text-anchor": value >= 0 ? "start" : "end" }, shown(value, "percent")));
  });
  $("years").append(picture);
}

function drawReturns() {
  const found = DATA.returns;
  if (!found || !found.returns.length) return;
  $("returns-section").hidden = false;
  drawDistribution(found.returns);
  drawRolling(found.rolling);
  drawYears(found.years);
  const lasted = (from, to) => shown(to - from, "duration");
  if (!found.falls.length) { $("falls").append(element("p", "Equity never fell below a peak.", "quiet")); return; }
  $("falls").append(table(found.falls, [["depth", (f) => f.depth, "percent", "tone"], ["from", (f) => dayOf(f.peak)], ["deepest", (f) => dayOf(f.trough)], ["back", (f) => (f.recovery === null ? "not yet" : dayOf(f.recovery))],
    ["down for", (f) => lasted(f.peak, f.trough), null, "minor"], ["in all", (f) => lasted(f.peak, f.recovery ?? found.end)]]));
}
