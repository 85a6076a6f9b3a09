"use strict";
// What the pages of the research share: their head, cards, names on what is drawn.
function titled(node, text) {
  node.append(svg("title", {}, text));
  return node;
}

function card(title, value, note) {
  const made = element("div", undefined, "card");
  made.append(element("small", title), element("b", value), element("small", note));
  $("headline").append(made);
}

// A line through points, with gaps where a value is missing.
function line(values, x, y, attributes) {
  let path = "", isOpen = false;
  values.forEach((value, i) => {
    if (value === null) { isOpen = false; return; }
    path += `${isOpen ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    isOpen = true;
  });
  return svg("path", { d: path, fill: "none", "stroke-width": 1.5, ...attributes });
}

// What writes the ticks of a scale of returns: as few digits as tell them apart, for there is little room.
const scaled = (low, high) => (value) => `${Number((value * 100).toFixed(high - low >= 0.1 ? 0 : high - low >= 0.01 ? 1 : 2))}\u00a0%`;

// The head of the page, then what is its own.
function begin(draw) {
  const root = document.documentElement;
  setTheme(wishedTheme());
  $("theme").onclick = () => setTheme(root.dataset.theme === "dark" ? "light" : "dark");
  $("title").textContent = DATA.head.title;
  $("subtitle").textContent = DATA.head.about.join(" · ");
  for (const sentence of DATA.head.sentences) $("doubts").append(element("p", sentence));
  draw();
  root.dataset.ready = "yes";
}
