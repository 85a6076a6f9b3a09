"use strict";
// Pictures of a few points, drawn as SVG: a frame with a scale, and what the report and the live page draw alike.
function svg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// The distance of round values, of which at most so many steps lie in a range: 1, 2 or 5 times a power of ten.
function roundStep(range, most) {
  const least = range / most, power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((times) => times * power >= least * (1 - 1e-9)) ?? 10);
}

// A number with the decimals that tell round values apart which are `step` from one another.
const byStep = (value, step) => value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));

// How wide a picture is drawn: no wider than the window, so that its letters can be read there.
const roomFor = (wanted) => Math.min(wanted, Math.max(document.documentElement.clientWidth - 28, 260));

// The number at a place of a scale in decades, which may lie between two of them.
function powerOfTen(place) {
  const value = 10 ** place;
  return value < 1e-3 || value >= 1e5 ? `10^${Number(place.toFixed(2))}` : String(Number(value.toPrecision(2)));
}

// A frame with a scale of about so many round values: returns the picture and what places a value on it; format: of a value and
// the step between two.
function frame(wanted, height, [left, right], [low, high], ticks, format) {
  const width = roomFor(wanted);
  const box = { x: 52, y: 10, w: width - 62, h: height - 34 };
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "picture", role: "img" });
  const x = (v) => box.x + ((v - left) / (right - left || 1)) * box.w;
  const y = (v) => box.y + box.h - ((v - low) / (high - low || 1)) * box.h;
  const step = roundStep(high - low || 1, ticks + 2);
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    const value = i * step + 0; // no −0
    picture.append(svg("line", { x1: box.x, x2: box.x + box.w, y1: y(value), y2: y(value), stroke: "var(--line)" }));
    picture.append(svg("text", { x: box.x - 6, y: y(value) + 4, "text-anchor": "end" }, format(value, step)));
  }
  return { picture, x, y, foot: height - 8 };
}

// What the recipe has shown, as nodes for a page, none before there is any: a unit bet on each of its models in turn, by
// powers of ten, and from where on that is enough.
const MOST_DOTS = 120;
function evidenceOf(attempts) {
  const recipes = attempts.map((a) => (a.gate ?? {}).recipe).filter(Boolean);
  const points = recipes.flatMap((recipe) => recipe.points);
  if (!points.length) return [];
  const boundary = recipes[recipes.length - 1].boundary, height = (v) => Math.log10(Math.max(v, 1e-6));
  const values = points.map((p) => height(p[1])), all = [...values, 0, height(boundary)];
  const low = Math.floor(Math.min(...all)), decades = Math.max(Math.ceil(Math.max(...all)) - low, 1), step = Math.ceil(decades / 6), ticks = Math.ceil(decades / step), high = low + step * ticks;
  const { picture, x, y, foot } = frame(620, 230, [points[0][0], points[points.length - 1][0]], [low, high], ticks, powerOfTen);
  picture.setAttribute("aria-label", "evidence of the recipe over time");
  const ends = [points[0][0], points[points.length - 1][0]];
  picture.append(svg("line", { x1: x(ends[0]), x2: x(ends[1]), y1: y(height(boundary)), y2: y(height(boundary)), stroke: "var(--loss)", "stroke-dasharray": "4 4" }));
  picture.append(svg("polyline", { points: points.map((p, i) => `${x(p[0])},${y(values[i])}`).join(" "), fill: "none", stroke: "var(--accent)", "stroke-width": 1.6 }));
  const between = Math.ceil(points.length / MOST_DOTS);
  points.forEach((p, i) => {
    if (i % between && i + 1 < points.length) return;
    const dot = svg("circle", { cx: x(p[0]), cy: y(values[i]), r: 3, stroke: "var(--accent)", fill: p[2] ? "var(--accent)" : "var(--card)" });
    dot.append(svg("title", {}, `${stamp(p[0] / 1000)}: ${p[1].toPrecision(3)}${p[2] ? ", passed" : ""}`));
    picture.append(dot);
  });
  ends.forEach((at, i) => picture.append(svg("text", { x: x(at), y: foot, "text-anchor": i ? "end" : "start" }, stamp(at / 1000).slice(0, 10))));
  return [element("h3", "evidence of the recipe"), picture, element("p", `What one unit has become that was bet on every model in turn, each on rows that it had not seen; from ${boundary.toPrecision(3)} on the recipe has passed (full dots), and what has faded begins anew.`, "quiet")];
}

// What groups of inputs were worth to the newest model on rows that it had not seen, as nodes for a page, none where nothing was
// measured: by how much the log-loss rose when they were told from another time, and how often they were surely worth something.
const MOST_GROUPS = 12;
function worthOf(attempts) {
  const gates = attempts.map((a) => a.gate ?? {}).filter((gate) => gate.worth), measured = gates.map((gate) => gate.worth);
  if (!gates.length) return [];
  const newest = measured[measured.length - 1], chosen = gates[gates.length - 1].selection, read = newest.groups.reduce((n, g) => n + g.inputs.length, 0);
  const groups = newest.groups.slice(0, MOST_GROUPS), inThousandths = (v) => (v === null ? "–" : `${v < 0 ? "−" : "+"}${Math.abs(v * 1000).toFixed(2)}`);
  const ends = groups.flatMap((g) => [g.value, g.lower ?? g.value, g.upper ?? g.value, 0]), low = Math.min(...ends), high = Math.max(...ends);
  const x = (v) => 4 + ((v - low) / (high - low || 1)) * 112;
  const interval = (g) => {
    const picture = svg("svg", { viewBox: "0 0 120 14", width: 120, height: 14, role: "img", "aria-label": `${inThousandths(g.lower)} to ${inThousandths(g.upper)}` });
    picture.append(svg("line", { x1: x(0), x2: x(0), y1: 0, y2: 14, stroke: "var(--quiet)" }), svg("line", { x1: x(g.lower ?? g.value), x2: x(g.upper ?? g.value), y1: 7, y2: 7, stroke: "var(--accent)" }), svg("circle", { cx: x(g.value), cy: 7, r: 3, fill: "var(--accent)" }));
    return picture;
  };
  const key = (g) => g.inputs.join(", "), isSure = (g) => (g.lower ?? 0) > 0;
  const sure = (group) => measured.filter((worth) => worth.groups.some((g) => key(g) === key(group) && isSure(g))).length;
  const made = element("table"), head = made.createTHead().insertRow(), body = made.createTBody();
  for (const [title, name] of [["inputs", "words"], ["worth", ""], ["in 90 %", "minor"], ["", "minor"], ["surely", ""]]) head.append(element(title ? "th" : "td", title, name));
  for (const group of groups) {
    const line = body.insertRow(), drawn = element("td", undefined, "minor");
    drawn.append(interval(group));
    line.append(element("td", key(group), "words"), element("td", inThousandths(group.value)), element("td", `${inThousandths(group.lower)} … ${inThousandths(group.upper)}`, "minor"), drawn, element("td", `${sure(group)} of ${measured.length}`));
  }
  const rest = newest.groups.length - groups.length;
  return [element("h3", "what inputs are worth"), made, element("p", `By how many thousandths of a nat the log-loss of the newest model rises on ${newest.rows.toLocaleString("en-US")} rows that it had not seen when inputs that say the same thing are told from another time together${rest ? `; ${rest} groups more are worth less` : ""}. Surely: in how many models the limits of 90 % lie above 0.${chosen ? ` It reads ${read} of ${Object.keys(chosen).length} inputs, chosen again and again from halves of its training part (stability selection).` : ""}`, "quiet")];
}

// What was stated against what came true, as nodes for a page, none without predictions.
const filledBuckets = (buckets) => (buckets ?? []).filter((bucket) => bucket.rows > 0);
function reliabilityOf(buckets, where) {
  const filled = filledBuckets(buckets);
  if (!filled.length) return [];
  const ends = filled.flatMap((b) => [b.stated, b.realised]);
  const low = Math.min(0.45, ...ends), high = Math.max(0.6, ...ends);
  const { picture, x, y, foot } = frame(300, 230, [low, high], [low, high], 4, (v) => (v * 100).toFixed(0) + " %");
  picture.setAttribute("aria-label", "stated against realised");
  picture.append(svg("line", { x1: x(low), y1: y(low), x2: x(high), y2: y(high), stroke: "var(--quiet)", "stroke-dasharray": "4 4" }));
  const most = Math.max(...filled.map((b) => b.rows));
  for (const bucket of filled) {
    const dot = svg("circle", { cx: x(bucket.stated), cy: y(bucket.realised), r: 2 + 6 * Math.sqrt(bucket.rows / most), fill: "var(--accent)", "fill-opacity": 0.75 });
    dot.append(svg("title", {}, `${bucket.rows} predictions: stated ${shown(bucket.stated, "percent")}, realised ${shown(bucket.realised, "percent")}`));
    picture.append(dot);
  }
  picture.append(svg("text", { x: x(low), y: foot }, (low * 100).toFixed(0) + " %"), svg("text", { x: x(high), y: foot, "text-anchor": "end" }, (high * 100).toFixed(0) + " %"));
  return [picture, element("p", `Share of predictions that came true against the confidence that was stated, ${where}; a dot's size is the number of predictions.`, "quiet")];
}
