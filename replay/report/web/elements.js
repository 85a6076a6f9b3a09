"use strict";
// Pages with embedded data: the data, tables, pictures, the theme. What every page has is in shared.js. No network, no framework.
const DATA = JSON.parse(document.getElementById("data").textContent);

// columns: [title, value of a row, format or null for text, options]; options: "tone" colours a number by its sign,
// "minor" leaves a column out where there is no room for it; returns a table
function table(rows, columns, onRow) {
  const made = element("table");
  const head = made.createTHead().insertRow();
  for (const [title, , , options] of columns) head.append(element(title ? "th" : "td", title, options?.includes("minor") ? "minor" : ""));
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

// Light or dark: what the address asks for, else what the system says.
function wishedTheme() {
  const wished = new URLSearchParams(location.search).get("theme") ?? (["#dark", "#light"].includes(location.hash) ? location.hash.slice(1) : null);
  return wished ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}
