"use strict";
// What the page is made of: the embedded data, and small helpers. No network, no framework.
window.onerror = (message) => { document.documentElement.dataset.errors = String(message); };
const DATA = JSON.parse(document.getElementById("data").textContent);
const SUMMARY = DATA.summary;
const $ = (id) => document.getElementById(id);

function element(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  if (className) node.className = className;
  return node;
}

const FORMATS = {
  percent: (x) => (x * 100).toFixed(Math.abs(x) >= 10 ? 0 : 2) + " %",
  money: (x) => x.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 }),
  count: (x) => Math.round(x).toLocaleString("en-US"),
  number: (x) => (Math.abs(x) >= 1000 ? x.toLocaleString("en-US", { maximumFractionDigits: 0 }) : x.toFixed(x !== 0 && Math.abs(x) < 0.01 ? 4 : 2)),
  price: (x) => x.toLocaleString("en-US", { maximumFractionDigits: 8, maximumSignificantDigits: 9 }),
  duration: (s) => (s >= 172800 ? (s / 86400).toFixed(1) + " d" : s >= 7200 ? (s / 3600).toFixed(1) + " h" : (s / 60).toFixed(0) + " min"),
};
const shown = (x, kind) => (x === null || x === undefined || Number.isNaN(x) ? "–" : FORMATS[kind](x));
const tone = (x) => (x > 0 ? "gain" : x < 0 ? "loss" : "");
const stamp = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");

// columns: [title, value of a row, format or null for text]; returns a table
function table(rows, columns, onRow) {
  const made = element("table");
  const head = made.createTHead().insertRow();
  for (const [title] of columns) head.append(element("th", title));
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const [, value, kind, isToned] of columns) {
      const content = value(row);
      const cell = element("td", kind ? shown(content, kind) : content ?? "–", isToned ? tone(content) : "");
      line.append(cell);
    }
    if (onRow) onRow(line, row);
  }
  return made;
}

// A column of integers: base64 of gzip of little-endian int32.
async function integers(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Int32Array(await new Response(stream).arrayBuffer());
}

// Candles are stored as differences, because those are small and pack well; see report_data.py.
async function candlesOf(packed) {
  const columns = await Promise.all(["time", "open", "high", "low", "close"].map((name) => integers(packed[name])));
  const [time, open, high, low, close] = columns;
  const unit = Math.pow(10, packed.decimals);
  const rows = new Array(time.length);
  let t = 0, before = 0;
  for (let i = 0; i < time.length; i++) {
    t += time[i];
    const o = before + open[i], c = o + close[i];
    rows[i] = { time: t, open: o / unit, high: (Math.max(o, c) + high[i]) / unit, low: (Math.min(o, c) - low[i]) / unit, close: c / unit };
    before = c;
  }
  return rows;
}

function coarser(rows, most) {
  const size = Math.ceil(rows.length / most);
  if (size <= 1) return rows;
  const joined = [];
  for (let i = 0; i < rows.length; i += size) {
    const part = rows.slice(i, i + size);
    joined.push({ time: part[0].time, open: part[0].open, close: part[part.length - 1].close,
      high: Math.max(...part.map((r) => r.high)), low: Math.min(...part.map((r) => r.low)) });
  }
  return joined;
}
