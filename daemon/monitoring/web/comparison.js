"use strict";
// Two results beside one another, or a result and the live account: curves from one start, key figures, keys that differ.
// What is missing has its reason; it is never drawn or written as 0.
const LIVE = "live", SIDE_COLOURS = ["var(--accent)", "var(--line-1)"];
const KINDS = { percent: (x) => shown(x, "percent"), number: (x) => shown(x, "number"), count: (x) => shown(x, "count"), R: (x) => `${x.toFixed(2)} R`, "": rounded };
const sideName = (side) => (side.source === LIVE ? `live account (${side.name})` : `${side.source} ${side.name}`.trim());

async function drawComparison(first, second) {
  const place = $("comparison");
  place.hidden = false;
  place.replaceChildren(element("p", "comparing", "none"));
  let found;
  try { found = await ask(`backtests/${first}/comparison`, { other: second }); }
  catch (problem) { place.replaceChildren(element("p", `They could not be compared: ${problem.message}`, "loss")); return; }
  const names = [sideName(found.first), sideName(found.second)], spans = [found.first, found.second].map((side) => (side.start_ms === null ? "no time yet" : `${moment(side.start_ms)} to ${moment(side.end_ms)}`));
  const key = element("p", undefined, "quiet sides");
  names.forEach((name, i) => { const line = element("span", ` ${name}: ${spans[i]}`), mark = element("i"); mark.className = i ? "second" : "first"; line.prepend(mark); key.append(line); });
  place.replaceChildren(element("h3", `${names[0]} and ${names[1]}`), key);
  [found.first, found.second].forEach((side, i) => { if (side.told) place.append(element("p", `${names[i]}: ${side.told}.`, "warn")); });
  if (!found.is_same_span) place.append(element("p", "They are about different spans of time: their figures compare little.", "warn"));
  place.append(...comparedCurves(found.curves, names), ...comparedFigures(found, names), ...differences(found, names));
}

function comparedCurves({ basis, start_ms: startMs, first, second }, names) {
  const sides = [first, second], drawn = sides.filter((side) => side.time_ms.length), notes = [];
  sides.forEach((side, i) => { if (side.missing) notes.push(element("p", `No curve of ${names[i]}: ${side.missing}.`, "warn")); });
  if (!drawn.length) return notes;
  const times = drawn.flatMap((side) => [side.time_ms[0], side.time_ms.at(-1)]), returns = (side) => side.growth.map((each) => (each - 1) * 100), values = drawn.flatMap(returns);
  const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  const ends = [times.reduce((a, b) => Math.min(a, b)), times.reduce((a, b) => Math.max(a, b))];
  const { picture, x, y, foot } = frame(900, 280, ends, [least, most], 4, (v, step) => `${byStep(v, step)} %`);
  picture.setAttribute("aria-label", `what one unit has become: ${sides.map((side, i) => `${names[i]} ${side.growth.length ? shown(side.growth.at(-1) - 1, "percent") : "none"}`).join(", ")}`);
  sides.forEach((side, i) => picture.append(svg("polyline", { points: side.time_ms.map((ms, n) => `${x(ms).toFixed(1)},${y((side.growth[n] - 1) * 100).toFixed(1)}`).join(" "), fill: "none", stroke: SIDE_COLOURS[i], "stroke-width": 1.6 })));
  ends.forEach((at, i) => picture.append(svg("text", { x: x(at), y: foot, "text-anchor": i ? "end" : "start" }, basis === "time" ? moment(at) : i ? `${age(at)} later` : "their own starts")));
  const told = basis === "time" ? `Return of both since ${moment(startMs)}, where the later of them begins.` : "No moment is common to both: each begins at its own start, by the time since then.";
  return [element("p", told, "quiet"), picture, ...notes];
}

function comparedFigures({ metrics }, names) {
  const value = (row, side) => (row[side] === null ? missing(row[`${side}_missing`]) : KINDS[row.kind](row[side]));
  const columns = [["figure", (row) => row.label || row.name], [names[0], (row) => value(row, "first")], [names[1], (row) => value(row, "second")], ["second less first", (row) => (row.difference === null ? "–" : `${row.difference > 0 ? "+" : ""}${KINDS[row.kind](row.difference)}`), "minor"]];
  const others = element("details");
  others.append(element("summary", "every other metric"), table(metrics.filter((row) => !row.label), columns, "There is none."));
  const figures = table(metrics.filter((row) => row.label), columns, "No figure is known.");
  figures.classList.add("figures");
  return [figures, others];
}
const missing = (reason) => element("span", `none: ${reason}`, "none");

function differences({ settings, more_settings: more }, names) {
  const made = [element("h3", "where their configurations differ"), table(settings, [["key", (row) => row.key], [names[0], (row) => row.first || "not set"], [names[1], (row) => row.second || "not set"]], "Nowhere.")];
  if (more) made.push(element("p", `${more} further keys differ.`, "none"));
  return made;
}
