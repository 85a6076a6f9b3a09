"use strict";
// A study of recipes: recipe by tape, gains with their intervals, evidence over time with its boundary, what accounts made of it.
const WIDE = innerWidth <= 760 ? 620 : 1240, ROW = 15, CELLS = DATA.cells, MOST_ROWS = 150;
const firstOf = new Map(); // by recipe and tape: cells that differ in their policy alone have the same models
for (const cell of CELLS) { const key = `${cell.recipe}\n${cell.tape}`; if (!firstOf.has(key) || (!firstOf.get(key).models && cell.models)) firstOf.set(key, cell); }
const PAIRS = [...firstOf.values()], MEASURED = PAIRS.filter((cell) => cell.gain !== null);
const milli = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value * 1000).toFixed(1)}`;
const limits = (cell) => `${milli(cell.gain)} (${milli(cell.gain_lower)} … ${milli(cell.gain_upper)})`;
const sureness = (cell) => (cell.gain_lower > 0 ? "gain" : cell.gain_upper < 0 ? "loss" : "quiet");
const named = (cell) => `${cell.recipe} on ${cell.tape}`;
const told = (cell) => `${named(cell)}: ${cell.gain === null ? cell.reason || "nothing measured" : `${limits(cell)}, log-loss ${cell.log_loss.toFixed(4)}, the share's ${cell.base_rate_log_loss.toFixed(4)}, ${shown(cell.rows, "count")} rows, ${cell.models} models, evidence ${cell.evidence.toPrecision(3)}`}`;

function drawMatrix() {
  const made = element("table"), head = made.createTHead().insertRow(), body = made.createTBody();
  head.append(element("th", "tape"), ...DATA.recipes.map((recipe) => element("th", recipe)));
  for (const tape of DATA.tapes) {
    const line = body.insertRow();
    line.append(element("td", tape));
    for (const recipe of DATA.recipes) {
      const cell = firstOf.get(`${recipe}\n${tape}`), has = cell && cell.gain !== null;
      const box = element("td", has ? `${milli(cell.gain)}${cell.passed ? " ✓" : ""}` : "–", has && sureness(cell) !== "quiet" ? sureness(cell) : "");
      if (cell) box.title = told(cell);
      line.append(box);
    }
  }
  $("matrix").append(made);
}

// One line a cell, the best first: a value with its limits.
function drawRows(place, rows, value, low, high, format, about) {
  const kept = rows.sort((a, b) => value(b) - value(a)).slice(0, MOST_ROWS);
  if (!kept.length) { $(place).append(element("p", "Nothing was measured.", "quiet")); return; }
  const [left, right] = [Math.min(0, ...kept.map(low)), Math.max(0, ...kept.map(high))], names = 0.42 * WIDE, height = kept.length * ROW + 34;
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${height}`, class: "picture", role: "img", "aria-label": about });
  picture.style.maxWidth = "none";
  const x = (v) => names + ((v - left) / (right - left || 1)) * (WIDE - names - 20);
  picture.append(svg("line", { x1: x(0), x2: x(0), y1: 4, y2: height - 24, stroke: "var(--ink)" }));
  for (const end of new Set([left, right])) picture.append(svg("text", { x: x(end), y: height - 8, "text-anchor": end === left ? "start" : "end" }, format(end)));
  kept.forEach((cell, i) => {
    const y = 12 + i * ROW, colour = low(cell) > 0 ? "var(--gain)" : high(cell) < 0 ? "var(--loss)" : "var(--quiet)";
    picture.append(svg("text", { x: names - 8, y: y + 4, "text-anchor": "end" }, named(cell)));
    picture.append(svg("line", { x1: x(low(cell)), x2: x(high(cell)), y1: y, y2: y, stroke: colour, "stroke-width": 2 }));
    picture.append(titled(svg("circle", { cx: x(value(cell)), cy: y, r: 4, fill: colour, class: "dot" }), told(cell)));
  });
  $(place).append(picture);
  if (rows.length > kept.length) $(place).append(element("p", `The first ${kept.length} of ${rows.length}; all are in the table.`, "quiet"));
}

function drawEvidence() {
  const curves = PAIRS.filter((cell) => cell.points.length), { alpha, needed } = DATA.verdict;
  if (!curves.length) { $("evidence").append(element("p", "No model was judged on rows after it yet.", "quiet")); return; }
  const height = (v) => Math.log10(Math.max(v, 1e-3)), times = curves.flatMap((cell) => [cell.points[0][0], cell.points[cell.points.length - 1][0]]);
  const every = curves.flatMap((cell) => cell.points.map((p) => height(p[1])));
  const low = Math.floor(Math.min(...every.map((v) => v), 0)), high = Math.ceil(Math.max(...every, height(needed))), ends = [Math.min(...times), Math.max(...times)];
  const { picture, x, y, foot } = frame(WIDE, 380, ends, [low, high], high - low, powerOfTen);
  picture.setAttribute("aria-label", "evidence of every recipe on every tape over time");
  picture.style.maxWidth = "none";
  for (const [level, text] of [[1 / alpha, `passed for itself, ${shown(1 / alpha, "count")}`], [needed, `among ${DATA.verdict.tried} tried, ${shown(needed, "count")}`]])
    picture.append(titled(svg("line", { x1: x(ends[0]), x2: x(ends[1]), y1: y(height(level)), y2: y(height(level)), stroke: "var(--loss)", "stroke-dasharray": "4 4", class: "boundary" }), text));
  for (const cell of curves.sort((a, b) => a.passed - b.passed))
    picture.append(titled(line(cell.points.map((p) => height(p[1])), (i) => x(cell.points[i][0]), y, { stroke: cell.passed ? "var(--accent)" : "var(--quiet)", "stroke-width": cell.passed ? 2 : 1, "stroke-opacity": cell.passed ? 1 : 0.6, class: "curve" }), told(cell)));
  ends.forEach((at, i) => picture.append(svg("text", { x: x(at), y: foot, "text-anchor": i ? "end" : "start" }, stamp(at / 1000).slice(0, 10))));
  $("evidence").append(picture);
  const passed = curves.filter((cell) => cell.passed);
  if (passed.length) $("evidence").append(element("p", `Passed for itself: ${passed.map(named).join("; ")}.`));
}

function drawReturns() {
  const accounts = CELLS.filter((cell) => typeof cell.returned === "number" && typeof cell.bare_return === "number"), more = (cell) => cell.returned - cell.bare_return;
  $("returns").append(table(DATA.policies.map((policy) => {
    const own = accounts.filter((cell) => cell.policy === policy), traded = own.filter((cell) => cell.promoted);
    return { policy, own: own.length, traded: traded.length, above: traded.filter((cell) => more(cell) > 0).length, middle: traded.length ? traded.map(more).sort((a, b) => a - b)[Math.floor((traded.length - 1) / 2)] : null };
  }), [["policy", (row) => row.policy], ["accounts", (row) => row.own, "count"], ["with a model let in", (row) => row.traded, "count"], ["of them above the account without", (row) => row.above, "count"], ["median of the difference", (row) => row.middle, "percent", "tone"]]));
}

begin(() => {
  const { verdict } = DATA;
  card("recipes on tapes", shown(verdict.tried, "count"), "that were judged");
  card("passed for itself", shown(verdict.passed, "count"), `up to ${Number(verdict.by_luck.toPrecision(3))} by luck`);
  card("pass among all tried", shown(DATA.standing.length, "count"), DATA.standing.join(", ") || "Holm");
  card("surely better than the base rate", shown(verdict.better, "count"), `of ${verdict.measured}; surely worse ${verdict.worse}`);
  drawMatrix();
  drawRows("gains", [...MEASURED], (c) => c.gain, (c) => c.gain_lower, (c) => c.gain_upper, milli, "gain over the base rate of every recipe on every tape");
  drawEvidence();
  drawReturns();
  $("table").append(table(CELLS, [
    ["recipe", (c) => c.recipe], ["tape", (c) => c.tape, null, "minor"], ["policy", (c) => c.policy], ["ended", (c) => c.ended, null, "minor"],
    ["models", (c) => c.models, "count", "minor"], ["let in", (c) => c.promoted, "count"], ["evidence", (c) => c.evidence, "number", "minor"],
    ["return", (c) => c.returned, "percent", "tone"], ["without", (c) => c.bare_return, "percent", "tone"], ["buy and hold", (c) => c.buy_and_hold_return, "percent", "minor"],
  ], (made, cell) => { made.title = told(cell); }));
});
