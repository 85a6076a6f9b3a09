"use strict";
// What the report and the live page share: small helpers, numbers in words, colours, and what draws on a chart.
// `CHARTS` are the views to paint again when the theme changes; a page fills it.
window.onerror = (message) => { document.documentElement.dataset.errors = String(message); };
const $ = (id) => document.getElementById(id);

function element(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  if (className) node.className = className;
  return node;
}

let moneyPlaces = 2; // decimals of an amount; whoever knows the account says otherwise
const inMoney = (x, places = moneyPlaces) => x.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
// Amounts on the scale of a chart, which has two decimals of its own.
const inMoneyPlaces = () => ({ priceFormat: { type: "price", precision: moneyPlaces, minMove: Math.pow(10, -moneyPlaces) } });
const FORMATS = {
  percent: (x) => (x * 100).toFixed(Math.abs(x) >= 10 ? 0 : 2) + "\u00a0%",
  rate: (x) => (x * 100).toFixed(4) + "\u00a0%", // of funding: a basis point is a large one
  money: (x) => inMoney(x),
  count: (x) => Math.round(x).toLocaleString("en-US"),
  number: (x) => (Math.abs(x) >= 1000 ? x.toLocaleString("en-US", { maximumFractionDigits: 0 }) : x.toFixed(x !== 0 && Math.abs(x) < 0.01 ? 4 : 2)),
  price: (x) => x.toLocaleString("en-US", { maximumFractionDigits: 8, maximumSignificantDigits: 9 }),
  volume: (x) => (x >= 1e9 ? (x / 1e9).toFixed(2) + " G" : x >= 1e6 ? (x / 1e6).toFixed(2) + " M" : x >= 1e3 ? (x / 1e3).toFixed(1) + " k" : String(Number(x.toPrecision(3)))),
  duration: (s) => (s >= 172800 ? (s / 86400).toFixed(1) + " d" : s >= 7200 ? (s / 3600).toFixed(1) + " h" : (s / 60).toFixed(0) + " min"),
};
const shown = (x, kind) => (x === null || x === undefined || Number.isNaN(x) ? "–" : FORMATS[kind](x));
const tone = (x) => (x > 0 ? "gain" : x < 0 ? "loss" : "");
// A size as it was given: 15 digits tell every decimal apart, and the noise of binary fractions lies beyond them.
const amount = (x) => Number(x.toPrecision(15)).toLocaleString("en-US", { maximumFractionDigits: 20 });
// What a limit of the account was met with, or allows: losses by number, everything else as a share.
const ofLimit = (limit, x) => shown(x, limit === "losses in a row" ? "count" : "percent");
const rounded = (x) => String(Number(x.toPrecision(6)));
const stamp = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");

// The last row whose time is at or before a time; -1 before the first.
function lastAt(rows, time) {
  let low = -1, high = rows.length - 1;
  while (low < high) { const middle = (low + high + 1) >> 1; if (rows[middle].time <= time) low = middle; else high = middle - 1; }
  return low;
}

const CHARTS = [];
let palette = {};
const colour = (name) => (palette[name] ??= getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim());

function chartColours() {
  return {
    layout: { background: { color: colour("card") }, textColor: colour("quiet"), panes: { separatorColor: colour("line") } },
    grid: { vertLines: { color: colour("line") }, horzLines: { color: colour("line") } },
    rightPriceScale: { borderColor: colour("line"), entireTextOnly: true },
  };
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  palette = {};
  for (const view of CHARTS) view.restyle();
}

// What of the drawn things lies at a point, in words.
const REACH = 5; // pixels
function under(hits, point) {
  return hits.filter((hit) => point.x >= hit.from - REACH && point.x <= hit.to + REACH && Math.abs(point.y - hit.y) <= REACH).map((hit) => hit.text);
}

// The words beside the pointer; none: it says nothing.
function tellTip(point, told) {
  const tip = $("tip");
  tip.hidden = !told.length;
  if (!told.length) return;
  tip.replaceChildren(...told.map((text) => element("div", text)));
  tip.style.left = `${Math.max(4, Math.min(point.x + 14, $("candles").clientWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(4, point.y - tip.offsetHeight - 12)}px`;
}

// A text is written where none stands yet, and stands out from what is below it.
function writeFree(context, text, x, y, taken) {
  const width = context.measureText(text).width;
  if (taken.some((box) => x < box.right + 4 && box.left < x + width + 4 && Math.abs(y - box.y) < 12)) return;
  taken.push({ left: x, right: x + width, y });
  context.save();
  context.setLineDash([]);
  context.globalAlpha = 0.8;
  context.strokeStyle = colour("card");
  context.lineWidth = 3;
  context.strokeText(text, x, y);
  context.restore();
  context.fillText(text, x, y);
}

function toggle(title, isOn, change) {
  const label = element("label", undefined, "quiet"), box = element("input");
  box.type = "checkbox"; box.checked = isOn;
  box.onchange = () => change(box.checked);
  label.append(box, " " + title);
  return label;
}
