"use strict";
// Helpers of the live page, beside those that it shares with the report. It asks its own daemon and nobody else; whatever goes wrong is shown, and noted for tests.
window.onunhandledrejection = (event) => { document.documentElement.dataset.errors = String(event.reason); };
const money = (x, places = moneyPlaces) => (x === null || x === undefined ? "–" : inMoney(x, places));
const signed = (x, places) => (x > 0 ? "+" : "") + money(x, places);
const percent = (x, digits = 2) => (x === null || x === undefined ? "–" : (x * 100).toFixed(digits) + " %");
const price = (x) => (x === null || x === undefined ? "–" : x.toLocaleString("en-US", { maximumSignificantDigits: 9, maximumFractionDigits: 8 }));
const digits = (x, places = 3) => (x === null || x === undefined ? "–" : x.toFixed(places));
const moment = (ms) => (ms === null || ms === undefined ? "–" : stamp(ms / 1000));
const clock = (ms) => new Date(ms).toISOString().slice(5, 16).replace("T", " ");
const lengthOf = (ms) => (ms % 86_400_000 === 0 ? `${ms / 86_400_000} d` : ms % 3_600_000 === 0 ? `${ms / 3_600_000} h` : `${ms / 60_000} min`);
function age(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  const s = Math.max(ms, 0) / 1000;
  return s < 90 ? `${s.toFixed(0)} s` : s < 5400 ? `${(s / 60).toFixed(0)} min` : s < 129600 ? `${(s / 3600).toFixed(1)} h` : `${(s / 86400).toFixed(1)} d`;
}

// What is worth keeping between two visits; a browser that keeps nothing is fine.
const KEPT = {
  get(name, place = localStorage) { try { return place.getItem("papertape." + name); } catch { return null; } },
  set(name, value, place = localStorage) { try { place.setItem("papertape." + name, value); } catch { /* nothing is kept then */ } },
};
const token = () => KEPT.get("token", sessionStorage) ?? "";
const bearer = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

class Problem extends Error {
  constructor(status, detail) { super(detail); this.status = status; }
}

// One answer of the API; the daemon's own sentence where there is none.
async function answerOf(url) {
  const answer = await fetch(url, { headers: bearer() }).catch(() => { throw new Problem(0, "no connection"); });
  const body = await answer.json().catch(() => ({ detail: `status ${answer.status}` }));
  if (!answer.ok) throw new Problem(answer.status, body.detail);
  return body;
}
function questionOf(what, query) {
  const url = new URL(`/api/v1/${what}`, location.href);
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== undefined) url.searchParams.set(name, value);
  return url.href;
}
function ask(what, query = {}) {
  const url = questionOf(what, query), early = EARLY.get(url);
  EARLY.delete(url);
  return early ?? answerOf(url);
}

// What is drawn first is asked for while the other scripts are still on their way, and taken by whoever asks the same at the start.
const NEWEST = 500; // candles of a window that ends now
const EARLY = new Map();
function askEarly(what, query = {}) {
  const url = questionOf(what, query), answer = answerOf(url);
  answer.catch(() => { /* told to whoever asks */ });
  EARLY.set(url, answer);
}
askEarly("markets");
if (KEPT.get("symbol")) askEarly("candles", { symbol: KEPT.get("symbol"), limit: NEWEST });

const oneKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// Something that the daemon is told, with the token; the same key and body are never done twice.
async function tell(path, body, key) {
  const headers = { ...bearer(), "Content-Type": "application/json", ...(key && { "Idempotency-Key": key }) };
  const answer = await fetch(`/api/v1/${path}`, { method: "POST", headers, body: JSON.stringify(body) }).catch(() => { throw new Problem(0, "no connection"); });
  const told = await answer.json().catch(() => ({ detail: `status ${answer.status}` }));
  if (answer.status === 401) KEPT.set("token", "", sessionStorage);
  if (!answer.ok) throw new Problem(answer.status, told.detail);
  return told;
}

// columns: [title, value of a row, className]; a value may be a node. Numbers stand to the right, columns of words to the left.
const isNumber = (content) => typeof content === "number" || /^[+\-−]?[\d.]/.test(content);
function table(rows, columns, nothing, onRow) {
  if (!rows.length) return element("p", nothing, "none");
  const made = element("table"), head = made.createTHead().insertRow(), body = made.createTBody();
  const contents = rows.map((row) => columns.map(([, value]) => value(row) ?? "–"));
  const kinds = columns.map(([, , className], i) => [contents.some((line) => isNumber(line[i])) ? "" : "words", className === "minor" ? "minor" : ""].join(" ").trim());
  columns.forEach(([title], i) => { const cell = element(title ? "th" : "td", title, kinds[i]); if (title) cell.scope = "col"; head.append(cell); });
  rows.forEach((row, r) => {
    const line = body.insertRow();
    columns.forEach(([, , className], i) => {
      const cell = line.insertCell(), content = contents[r][i];
      cell.className = [kinds[i], typeof className === "function" ? className(row) : ""].join(" ").trim();
      if (content instanceof Node) cell.append(content); else cell.textContent = content;
    });
    if (onRow) onRow(line, row);
  });
  return made;
}

const chartOptions = () => ({ ...chartColours(), layout: { ...chartColours().layout, attributionLogo: false }, autoSize: true, timeScale: { borderVisible: false, timeVisible: true, minBarSpacing: 0.2, rightOffset: 6 }, crosshair: { mode: 0 } });
