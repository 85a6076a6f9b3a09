"use strict";
// The trade list: sorted, filtered, paged; a row jumps to its trade on the chart.
const PAGE_ROWS = 50;
let COLUMNS = [
  ["#", "number", "count"], ["symbol", "symbol"], ["side", "side"], ["entry", "entry", "time"], ["exit", "exit", "time", "minor"], ["at", "entry_price", "price", "minor"], ["out at", "exit_price", "price", "minor"],
  ["by", "exit_reason"], ["stop", "stop_price", "price", "minor"], ["last stop", "last_stop_price", "price", "minor"], ["target", "target_price", "price", "minor"], ["profit", "pnl", "money"], ["R", "return_r", "number"], ["costs", "costs", "money", "minor"],
  ["conf.", "confidence", "number", "minor"], ["ML", "score_model", "number", "minor"], ["SMC", "score_smc", "number", "minor"], ["techn.", "score_technical", "number", "minor"], ["regime", "regime", undefined, "minor"],
];
// A column that says the same of every trade, or nothing, only takes room.
function isTold(name) {
  if (name === "symbol") return Object.keys(DATA.candles).length > 1;
  if (name.startsWith("score_") || name === "confidence" || name === "return_r") return TRADES.some((trade) => trade[name]);
  if (name === "last_stop_price") return TRADES.some((trade) => trade.last_stop_price !== trade.stop_price);
  return !["stop_price", "target_price", "regime"].includes(name) || TRADES.some((trade) => trade[name]);
}

const FILTERS = [["only-symbol", "symbol", "every symbol"], ["side", "side", "both sides"], ["outcome", "outcome", "won and lost"], ["reason", "exit_reason", "every exit"]];
const filterValue = (trade, name) => (name !== "outcome" ? trade[name] : trade.pnl > 0 ? "won" : trade.pnl < 0 ? "lost" : trade.pnl === 0 ? "even" : "open");

// Rows as CSV (RFC 4180), times in UTC; a text that a spreadsheet would take for a formula is marked as text.
function csvOf(rows, names) {
  const cell = (row, name) => {
    const value = row[name];
    if (value === null || value === undefined) return "";
    if (["entry", "exit"].includes(name)) return new Date(value * 1000).toISOString();
    if (typeof value !== "string") return String(value);
    return `"${(/^[=+\-@\t\r]/.test(value) ? "'" + value : value).replaceAll('"', '""')}"`;
  };
  return [names.join(","), ...rows.map((row) => names.map((name) => cell(row, name)).join(","))].map((line) => line + "\r\n").join("");
}

let save = (name, text) => {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

class TradeList {
  constructor(view) {
    this.view = view; this.key = "number"; this.isDown = false; this.page = 0; this.all = TRADES;
    COLUMNS = COLUMNS.filter(([, name]) => isTold(name));
    for (const [id, name, all] of FILTERS) {
      const values = [...new Set(TRADES.map((t) => filterValue(t, name)))].sort();
      $(id).append(new Option(all, ""), ...values.map((v) => new Option(v, v)));
      $(id).hidden = values.length < 2;
      $(id).onchange = () => { this.page = 0; this.draw(); };
    }
    $("csv").onclick = () => save("trades.csv", csvOf(this.rows(), Object.keys(DATA.trades)));
    $("back").onclick = () => this.turn(-1);
    $("forward").onclick = () => this.turn(1);
    $("previous").onclick = () => this.step(-1);
    $("next").onclick = () => this.step(1);
    this.draw();
  }
  rows() {
    const asked = FILTERS.map(([id, name]) => [name, $(id).value]).filter(([, value]) => value);
    const found = this.all.filter((t) => asked.every(([name, value]) => filterValue(t, name) === value));
    const sign = this.isDown ? -1 : 1;
    const order = (a, b) => (a[this.key] === null ? 1 : b[this.key] === null ? -1 : a[this.key] < b[this.key] ? -sign : a[this.key] > b[this.key] ? sign : 0);
    return found.sort(order);
  }
  // What was known at a time; the list is made anew only where that is another one.
  at(until) {
    const all = until === Infinity ? TRADES : tradesAt(TRADES, until), open = (trades) => trades.findIndex((t) => t.isOpen);
    const isSame = all.length === this.all.length && open(all) === open(this.all) && all !== TRADES;
    this.all = all;
    if (!isSame) this.draw();
  }
  turn(by) { this.page += by; this.draw(); }
  step(by) {
    const rows = TRADES;
    if (!rows.length) return;
    const now = rows.indexOf(this.view.chosen);
    this.choose(rows[now < 0 ? (by > 0 ? 0 : rows.length - 1) : (now + by + rows.length) % rows.length]);
  }
  choose(trade) {
    this.view.choose(trade);
    $("chosen").textContent = `Trade ${trade.number}, ${trade.side} ${trade.symbol}, ${stamp(trade.entry)} to ${stamp(trade.exit)} UTC: ${shown(trade.pnl, "money")} ${SUMMARY.quote ?? ""}, out by ${trade.exit_reason}${trade.is_ambiguous ? "; stop and target were both inside the last candle, the stop was taken" : ""}.`;
    this.draw();
  }
  draw() {
    const rows = this.rows();
    const pages = Math.max(Math.ceil(rows.length / PAGE_ROWS), 1);
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    $("count").textContent = rows.length ? `${shown(rows.length, "count")} trades, page ${this.page + 1} of ${pages}` : "no trade";
    // A fill may lie between the prices of the tape; one digit more than those have says enough in a list.
    const price = (trade, x) => (x === null || x === undefined ? "–" : x.toLocaleString("en-US", { maximumFractionDigits: Math.min(Math.max(DATA.candles[trade.symbol]?.decimals ?? 7, -1) + 1, 8) }));
    const tagged = { side: "entry_tag", exit_reason: "exit_tag" }; // of the orders that opened and closed it
    const named = (trade, name) => (trade[tagged[name]] ? `${trade[name]} “${trade[tagged[name]]}”` : trade[name]);
    const cell = (trade, name, kind) => (kind === "time" ? stamp(trade[name]) : kind === "price" ? price(trade, trade[name]) : kind ? shown(trade[name], kind) : named(trade, name));
    const made = table(rows.slice(this.page * PAGE_ROWS, (this.page + 1) * PAGE_ROWS), COLUMNS.map(([title, name, kind, options]) => [title, (t) => cell(t, name, kind), null, options]), (line, trade) => {
      line.tabIndex = 0;
      if (trade.number === this.view.chosen?.number) line.className = "chosen";
      line.cells[COLUMNS.findIndex(([, name]) => name === "pnl")].className = tone(trade.pnl);
      const go = () => { this.choose(trade); $("candles").scrollIntoView({ block: "center", behavior: "smooth" }); };
      line.onclick = go;
      line.onkeydown = (event) => { if (event.key === "Enter") go(); };
    });
    made.querySelectorAll("th").forEach((head, i) => {
      const key = COLUMNS[i][1];
      head.dataset.key = key;
      if (key === this.key) head.textContent += this.isDown ? " ↓" : " ↑";
      head.onclick = () => { this.isDown = key === this.key ? !this.isDown : false; this.key = key; this.draw(); };
    });
    $("trades").replaceChildren(made);
  }
}

function chooseTheme() {
  document.documentElement.dataset.theme = wishedTheme();
  $("theme").onclick = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
}

let REPLAY = null;
async function main() {
  chooseTheme();
  drawHeader(); drawHeadline(); drawMonthly(); drawReturns(); drawBreakdown(); drawComparisons(); drawConditions(); drawNotes(); drawPortfolio(); drawLimits(); drawStudy(); drawModels(); drawRest();
  await drawAccountEvents();
  await readOrders();
  const view = new CandleView();
  const symbols = Object.keys(DATA.candles);
  $("symbol").append(...symbols.map((s) => new Option(s, s)));
  $("symbol").hidden = symbols.length < 2;
  $("overview").onclick = () => view.overview();
  if (symbols.length) await view.show(symbols[0]);
  const equity = DATA.equity.time.length ? new EquityView() : null;
  if (!equity) $("equity").textContent = "No candle was replayed.";
  const list = new TradeList(view);
  REPLAY = new Replay(view, [list, ...(equity ? [equity] : [])]);
  $("symbol").onchange = async () => { REPLAY.end(); $("why").hidden = true; await view.show($("symbol").value); };
  const asked = new URLSearchParams(location.search).get("trade");
  if (asked !== null && TRADES[Number(asked)]) list.choose(TRADES[Number(asked)]);
  document.documentElement.dataset.ready = "yes";
}
main().catch((error) => { document.documentElement.dataset.errors = String(error); });
