"use strict";
// Pages with embedded data: the data, tables, pictures, the theme. What every page has is in shared.js. No network, no framework.
const DATA = JSON.parse(document.getElementById("data").textContent);

// columns: [title, value of a row, format or null for text, options]; options: "tone" colours a number by its sign,
// "minor" leaves a column out where there is no room for it; returns a table
function table(rows, columns, onRow) {
  const made = element("table");
  const head = made.createTHead().insertRow();
  for (const [title, , , options] of columns) head.append(element("th", title, options?.includes("minor") ? "minor" : ""));
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const [, value, kind, options] of columns) {
      const content = value(row);
      const classes = [options?.includes("tone") && tone(content), options?.includes("minor") && "minor"].filter(Boolean);
      line.append(element("td", kind ? shown(content, kind) : content ?? "–", classes.join(" ")));
    }
    if (onRow) onRow(line, row);
  }
  return made;
}

function svg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// A frame with a scale: returns the picture and what places a value on it.
function frame(width, height, [left, right], [low, high], ticks, format) {
  const box = { x: 52, y: 10, w: width - 62, h: height - 34 };
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "picture", role: "img" });
  const x = (v) => box.x + ((v - left) / (right - left || 1)) * box.w;
  const y = (v) => box.y + box.h - ((v - low) / (high - low || 1)) * box.h;
  for (let i = 0; i <= ticks; i++) {
    const value = low + ((high - low) * i) / ticks;
    picture.append(svg("line", { x1: box.x, x2: box.x + box.w, y1: y(value), y2: y(value), stroke: "var(--line)" }));
    picture.append(svg("text", { x: box.x - 6, y: y(value) + 4, "text-anchor": "end" }, format(value)));
  }
  return { picture, x, y, foot: height - 8 };
}

// Light or dark: what the address asks for, else what the system says.
function wishedTheme() {
  const wished = new URLSearchParams(location.search).get("theme") ?? (["#dark", "#light"].includes(location.hash) ? location.hash.slice(1) : null);
  return wished ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}
