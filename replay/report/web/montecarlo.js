"use strict";
// What could have been: a fan and three histograms of every way of drawing, beside what it can and cannot tell.
const FIGURES = [["total", "total return", "percent"], ["drawdown", "max drawdown", "percent"], ["underwater", "longest under water", "count"]];
const [WIDE, HIGH, LOW] = [620, 330, 118];
const OWN = { stroke: "var(--ink)", "stroke-width": 1.5, "stroke-dasharray": "5 4" };
const three = (values, kind) => values.map((value) => shown(value, kind)).join(" · ");

function drawFan(kind) {
  const { places, bands, paths, own } = kind.fan, drawn = paths.length ? paths : bands;
  const every = [...drawn.flat(), ...(own ?? [])], last = places[places.length - 1];
  const [low, high] = [Math.min(0, ...every), Math.max(0, ...every)];
  const { picture, x, y, foot } = frame(WIDE, HIGH, [0, last], [low, high], 5, scaled(low, high));
  picture.setAttribute("aria-label", `return of ${kind.paths} paths, ${kind.kind}`);
  const at = (i) => x(places[i]);
  const between = (low, high, opacity) => {
    const there = low.map((value, i) => `${at(i).toFixed(1)} ${y(value).toFixed(1)}`), back = high.map((value, i) => `${at(i).toFixed(1)} ${y(value).toFixed(1)}`).reverse();
    return svg("path", { d: `M${[...there, ...back].join("L")}Z`, fill: "var(--accent)", "fill-opacity": opacity, class: "band" });
  };
  picture.append(svg("line", { x1: x(0), x2: x(last), y1: y(0), y2: y(0), stroke: "var(--quiet)", "stroke-width": 0.8 }));
  if (paths.length) paths.forEach((path, i) => picture.append(titled(line(path, at, y, { stroke: "var(--accent)", class: "path" }), `path ${i + 1}: ${shown(path[path.length - 1], "percent")}`)));
  else {
    picture.append(titled(between(bands[0], bands[4], 0.16), "90 % of all paths"), titled(between(bands[1], bands[3], 0.26), "half of all paths"));
    picture.append(titled(line(bands[2], at, y, { stroke: "var(--accent)", "stroke-width": 2, class: "middle" }), "median"));
  }
  if (own) picture.append(titled(line(own, at, y, { ...OWN, class: "own" }), "the run itself"));
  picture.append(svg("text", { x: x(0), y: foot }, "start"), svg("text", { x: x(last), y: foot, "text-anchor": "end" }, `${last.toLocaleString("en-US")} ${kind.underwater_unit}`));
  return picture;
}

function drawBins({ edges, counts }, title, format, own) {
  const [low, high] = [edges[0], edges[edges.length - 1]], box = element("div"), most = Math.max(...counts);
  box.append(element("h3", title));
  if (counts.length === 1) { box.append(element("p", `${shown(low, format)} on every path.`, "quiet")); return box; }
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${LOW}`, class: "picture bins", role: "img", "aria-label": title });
  const x = (value) => 10 + ((value - low) / (high - low)) * (WIDE - 20), floor = LOW - 20;
  counts.forEach((count, i) => {
    const height = (count / most) * (floor - 8), said = `${shown(edges[i], format)} to ${shown(edges[i + 1], format)}: ${count.toLocaleString("en-US")} paths`;
    const fill = format === "percent" && title.startsWith("total") ? (edges[i] + edges[i + 1] < 0 ? "loss" : "gain") : "accent";
    picture.append(titled(svg("rect", { x: x(edges[i]) + 0.4, y: floor - height, width: Math.max(x(edges[i + 1]) - x(edges[i]) - 0.8, 0.4), height, fill: `var(--${fill})`, "fill-opacity": 0.6 }), said));
  });
  if (own !== null && own !== undefined) {
    picture.append(titled(svg("line", { x1: x(own), x2: x(own), y1: 2, y2: floor, ...OWN, class: "own" }), `the run itself: ${shown(own, format)}`));
    const isLeft = x(own) > WIDE * 0.7;
    picture.append(svg("text", { x: x(own) + (isLeft ? -5 : 5), y: 12, "text-anchor": isLeft ? "end" : "start", "paint-order": "stroke", stroke: "var(--card)", "stroke-width": 3 }, shown(own, format)));
  }
  picture.append(svg("line", { x1: 10, x2: WIDE - 10, y1: floor, y2: floor, stroke: "var(--line)" }));
  picture.append(svg("text", { x: 10, y: LOW - 6 }, shown(low, format)), svg("text", { x: WIDE - 10, y: LOW - 6, "text-anchor": "end" }, shown(high, format)));
  box.append(picture);
  return box;
}

function drawKind(kind) {
  const section = element("section"), head = element("h2", kind.kind), [can, cannot] = kind.tells.split("; nothing");
  if (kind.is_synthetic) head.append(" ", element("span", "synthetic", "badge"));
  section.append(head);
  const told = element("p", undefined, "told");
  told.append(element("b", "Tells "), `${can}. `, element("b", "Cannot tell "), cannot ? `anything${cannot}.` : "anything else.");
  section.append(told);
  section.append(element("p", `${kind.paths.toLocaleString("en-US")} paths; ${shown(kind.loss, "percent")} of them lost, and ${shown(kind.ruin, "percent")} were once below a loss of ${shown(DATA.ruin, "percent")}.`, "quiet"));
  const grid = element("div", undefined, "grid"), ends = element("div");
  const fan = element("div");
  fan.append(element("h3", "return on the way"), drawFan(kind));
  for (const [name, title, format] of FIGURES) ends.append(drawBins(kind.ends[name], name === "underwater" ? `${title}, ${kind.underwater_unit}` : title, format, kind.own?.[name]));
  grid.append(fan, ends);
  section.append(grid);
  $("kinds").append(section);
}

function drawPlacebo() {
  const found = DATA.placebo;
  if (!found) return;
  $("placebo").hidden = false;
  $("placebo-told").textContent = `Placebo strategies: ${found.sentence}.`;
  $("placebo-ends").append(drawBins(found.ends.score, "mean trade over its spread, which decides", "number", found.score), drawBins(found.ends.total, "total return of all trades, which does not decide", "percent", found.own));
}

begin(() => {
  const main = DATA.kinds.find((kind) => kind.kind === "whole markets") ?? DATA.kinds[DATA.kinds.length - 1];
  card(`median return, ${main.kind}`, shown(main.total[1], "percent"), `90 % of paths: ${shown(main.total[0], "percent")} to ${shown(main.total[2], "percent")}`);
  card(`median drawdown, ${main.kind}`, shown(main.drawdown[1], "percent"), `90 % of paths: ${shown(main.drawdown[0], "percent")} to ${shown(main.drawdown[2], "percent")}`);
  card("paths that lose", shown(main.loss, "percent"), main.kind);
  card(`ruin at −${shown(DATA.ruin, "percent")}`, shown(main.ruin, "percent"), main.kind);
  if (DATA.placebo) card("no skill does as well", shown(DATA.placebo.probability, "percent"), "probability, from placebos");
  $("all").append(table(DATA.kinds, [
    ["drawn", (kind) => kind.kind + (kind.is_synthetic ? " (synthetic)" : "")], ["paths", (kind) => kind.paths, "count", "minor"],
    ...FIGURES.map(([name, title, format]) => [title, (kind) => three(kind[name], format) + (name === "underwater" ? ` ${kind.underwater_unit}` : ""), null, name === "underwater" ? "minor" : ""]),
    ["loss", (kind) => kind.loss, "percent"], ["ruin", (kind) => kind.ruin, "percent"],
  ]));
  drawPlacebo();
  DATA.kinds.forEach(drawKind);
});
