"use strict";
// One function per section of the page, each from the data alone.
const PERCENTS = new Set(["total_return", "cagr", "volatility", "max_drawdown", "average_drawdown", "ulcer_index", "var_95", "cvar_95", "best_day", "worst_day", "exposure", "win_rate", "ambiguous_share", "costs_share_of_gross", "buy_and_hold_return", "kelly_half", "psr", "dsr", "average_mae", "average_mfe"]);
const COUNTS = new Set(["trades", "long_trades", "short_trades", "ambiguous_trades", "max_consecutive_wins", "max_consecutive_losses", "days"]);
const kindOf = (name) => (name.endsWith("_s") ? "duration" : name.endsWith("_quote") || name === "final_equity" ? "money" : PERCENTS.has(name) ? "percent" : COUNTS.has(name) ? "count" : "number");
const label = (name) => name.replace(/_s$/, "").replace(/_quote$/, ", " + (SUMMARY.quote ?? "quote")).replaceAll("_", " ");

function drawHeader() {
  const symbols = SUMMARY.symbols ?? [];
  $("title").textContent = [SUMMARY.name && SUMMARY.name !== SUMMARY.strategy ? SUMMARY.name + ": " : "", SUMMARY.strategy ?? "backtest", symbols.length ? " on " + symbols.join(", ") : ""].join("");
  const frames = SUMMARY.base_timeframe === SUMMARY.timeframe ? SUMMARY.timeframe : `${SUMMARY.timeframe} on ${SUMMARY.base_timeframe} candles`;
  $("subtitle").textContent = [frames, SUMMARY.start && `${SUMMARY.start.slice(0, 10)} to ${SUMMARY.end.slice(0, 10)}`, SUMMARY.capital && `${shown(SUMMARY.capital, "count")} ${SUMMARY.quote} to start with`, SUMMARY.candles && `${shown(SUMMARY.candles, "count")} candles`].filter(Boolean).join(" · ");
  const tapes = SUMMARY.tapes ?? [];
  if (tapes.some((tape) => tape.is_synthetic)) $("badges").append(element("span", "SYNTHETIC DATA", "badge loud"));
  for (const tape of tapes) for (const [name, n] of Object.entries(tape.flags ?? {})) $("badges").append(element("span", `${tape.symbol}: ${shown(n, "count")} ${name}`, "badge"));
  const origin = (SUMMARY.config?.report?.origin ?? "").split("\n").filter(Boolean);
  $("origin").hidden = !origin.length;
  for (const line of origin) $("origin").append(element("p", line));
  const doubts = SUMMARY.doubts ?? [];
  $("doubts").hidden = !doubts.length;
  for (const doubt of doubts) $("doubts").append(element("p", doubt[0].toUpperCase() + doubt.slice(1)));
}

const HEADLINE = [
  ["total_return", "total return", "what became of the capital, open positions at their last price"],
  ["buy_and_hold_return", "buy and hold", "the same capital bought at the first close and held"],
  ["sharpe", "Sharpe", "mean of daily returns by their deviation, × √365"],
  ["max_drawdown", "max drawdown", "deepest fall from a peak, at any candle"],
  ["trades", "trades", "closed trades, and one that is still open"],
  ["win_rate", "win rate", "share of trades that earned more than they cost"],
  ["profit_factor", "profit factor", "money won by money lost, after costs"],
  ["costs_share_of_gross", "costs of gross", "fees, spread, slippage and funding as a share of the profit before them"],
];

function drawHeadline() {
  const metrics = SUMMARY.metrics ?? {};
  for (const [name, title, meaning] of HEADLINE) {
    const value = metrics[name];
    const card = element("div", undefined, "card");
    card.title = value === null || value === undefined ? (SUMMARY.undefined ?? {})[name] ?? "not measured" : meaning;
    card.append(element("small", title), element("b", shown(value, kindOf(name)), name === "total_return" || name === "buy_and_hold_return" ? tone(value) : ""));
    if (value === null || value === undefined) card.append(element("small", (SUMMARY.undefined ?? {})[name] ?? ""));
    $("headline").append(card);
  }
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
function drawMonthly() {
  const months = SUMMARY.monthly ?? [];
  if (!months.length) { $("monthly").append(element("p", "No complete day, no month.", "quiet")); return; }
  const largest = Math.max(...months.map((row) => Math.abs(row[2])), 1e-9);
  const made = element("div", undefined, "months");
  made.append(...["", ...MONTHS, "year"].map((title) => element("b", title, "head")));
  for (const year of [...new Set(months.map((row) => row[0]))]) {
    made.append(element("b", year));
    let worth = 1;
    for (let month = 1; month <= 12; month++) {
      const found = months.find((row) => row[0] === year && row[1] === month);
      const cell = element("span", found ? (found[2] * 100).toFixed(1) : "");
      cell.dataset.month = MONTHS[month - 1];
      if (found) { worth *= 1 + found[2]; const share = Math.round((Math.abs(found[2]) / largest) * 55); cell.style.background = `color-mix(in srgb, var(--${found[2] >= 0 ? "gain" : "loss"}) ${share}%, transparent)`; }
      made.append(cell);
    }
    made.append(element("b", ((worth - 1) * 100).toFixed(1), "year " + tone(worth - 1)));
  }
  $("monthly").append(made, element("p", "percent", "quiet"));
}

const GROUPS = { component: "by component of the score", confidence: "by confidence", side: "by side", exit_reason: "by exit", regime: "by regime at the decision", symbol: "by symbol" };

function drawBreakdown() {
  for (const [key, title] of Object.entries(GROUPS)) {
    const rows = ((SUMMARY.breakdown ?? {})[key] ?? []).filter((row) => row.trades > 0 || key === "component");
    if (!rows.length) continue;
    const largest = Math.max(...rows.map((row) => Math.abs(row.pnl_quote)), 1e-9);
    const box = element("div");
    box.append(element("h3", title), table(rows, [
      ["", (r) => r.name], ["trades", (r) => r.trades, "count"], ["win rate", (r) => r.win_rate, "percent"],
      ["profit factor", (r) => r.profit_factor, "number"], ["profit, " + (SUMMARY.quote ?? ""), (r) => r.pnl_quote, "money", "tone"], ["", () => "", null, "minor"],
    ], (line, row) => {
      const meter = element("span", undefined, "meter");
      meter.style.cssText = `width:${Math.round((Math.abs(row.pnl_quote) / largest) * 60)}px;background:var(--${row.pnl_quote >= 0 ? "gain" : "loss"})`;
      line.lastChild.replaceChildren(meter);
      line.lastChild.style.textAlign = "left";
    }));
    $("breakdown").append(box);
  }
  if (!$("breakdown").childElementCount) $("breakdown").append(element("p", "No trade, so nothing to break down.", "quiet"));
}

function drawComparisons() {
  const rows = SUMMARY.sensitivity ?? [];
  if (rows.length) $("sensitivity").append(table(rows, [["the same run with", (r) => r.name], ["total return", (r) => r.total_return, "percent", "tone"], ["Sharpe", (r) => r.sharpe, "number"], ["max drawdown", (r) => r.max_drawdown, "percent"], ["trades", (r) => r.trades, "count"]]));
  else $("sensitivity").append(element("p", "Not run.", "quiet"));
  const found = SUMMARY.benchmarks ?? {};
  const lines = [["this strategy", SUMMARY.metrics ?? {}], ["buy and hold", found.buy_and_hold], ["always flat", found.always_flat]].filter((pair) => pair[1]);
  $("benchmarks").append(table(lines, [["", (r) => r[0]], ["total return", (r) => r[1].total_return, "percent", "tone"], ["Sharpe", (r) => r[1].sharpe, "number"], ["max drawdown", (r) => r[1].max_drawdown, "percent"], ["Calmar", (r) => r[1].calmar, "number"]]));
  const random = found.random_entry;
  if (random) $("benchmarks").append(element("p", `The same positions at random times, ${random.draws} draws: ${shown(random.average, "percent")} on average, ${shown(random.low, "percent")} to ${shown(random.high, "percent")} in nine of ten; ${shown(random.share_below, "percent")} of them did worse than this.`, "quiet"));
}

const when = (row) => new Date(row.time_ms).toISOString().slice(0, 16).replace("T", " ");

function drawNotes() {
  const found = SUMMARY.strategy_notes;
  if (!found) return;
  $("notes-section").hidden = false;
  $("notes-count").textContent = `${shown(found.count, "count")} in all`;
  const rows = [...found.newest].reverse(), columns = [["close", when], ["symbol", (r) => r.symbol], ["note", (r) => r.text]];
  $("notes-newest").append(table(rows.slice(0, 12), columns));
  $("notes-older").hidden = rows.length <= 12;
  $("notes-older").append(table(rows.slice(12), columns));
}

function drawConditions() {
  const found = SUMMARY.conditions;
  if (!found) return;
  $("conditions-section").hidden = false;
  $("conditions").append(table(Object.entries(found.counts), [["condition", (r) => r[0]], ["candles", (r) => r[1], "count"]]));
  $("conditions-newest").append(table([...found.newest].reverse(), [["close", when], ["symbol", (r) => r.symbol], ["condition", (r) => r.condition], ["value", (r) => r.value, "number"], ["threshold", (r) => r.threshold, "number"]]));
}

function drawPortfolio() {
  const found = SUMMARY.portfolio;
  if (!found) return;
  $("portfolio-section").hidden = false;
  const like = found.average_correlation === null ? "" : ` Their daily returns correlate by ${shown(found.average_correlation, "number")} on average.`;
  $("portfolio-sentence").textContent = (found.positions === null ? "Nothing was held where a day ended." : `Where a day ended with positions, ${shown(found.days_held, "count")} of ${shown(found.days, "count")} days, they weighed as ${shown(found.positions, "number")} equal ones, and the largest was ${shown(found.largest_part, "percent")} of all.`) + like;
  const allotted = "allotted" in found.symbols[0] ? [["allotted, of equity", (r) => r.allotted, "percent"], ["used of it", (r) => r.used, "percent"]] : [];
  $("portfolio").append(table(found.symbols, [["symbol", (r) => r.name], ["days listed", (r) => r.days, "count", "minor"], ["days held", (r) => r.days_held, "count"], ["part of all positions", (r) => r.part, "percent"], ["most of equity", (r) => r.largest_of_equity, "percent", "minor"], ...allotted, ["profit, " + (SUMMARY.quote ?? ""), (r) => r.pnl_quote, "money", "tone"]]));
  if (!found.correlation) return;
  $("correlation-box").hidden = false;
  const names = found.symbols.map((row) => row.name);
  $("correlation").append(table(found.correlation.map((values, i) => ({ name: names[i], values })), [["", (r) => r.name], ...names.map((name, i) => [name, (r) => r.values[i], "number"])]));
}

function drawLimits() {
  const found = SUMMARY.limits;
  if (!found) return;
  $("limits-section").hidden = false;
  const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
  $("limits").append(table(Object.entries(found.counts), [["limit", (r) => r[0]], ["locks", (r) => r[1], "count"]]));
  $("limits-newest").append(table([...found.newest].reverse().slice(0, STUDY_ROWS), [["close", (r) => moment(r.time_ms)], ["limit", (r) => r.limit], ["met with", (r) => ofLimit(r.limit, r.value)], ["allowed", (r) => ofLimit(r.limit, r.threshold)], ["locked until", (r) => (r.until_ms === null ? "an operator resumes" : moment(r.until_ms))]]));
}

const STUDY_ROWS = 25;
function drawStudy() {
  const study = SUMMARY.study;
  if (!study) return;
  const columns = Object.entries(study.rows), n = columns.length ? columns[0][1].length : 0;
  const rows = Array.from({ length: Math.min(n, STUDY_ROWS) }, (_, i) => Object.fromEntries(columns.map(([name, values]) => [name, values[i]])));
  const interval = (r) => (r.excess_low_bps === null || r.excess_low_bps === undefined ? "–" : `${r.excess_low_bps.toFixed(1)} … ${r.excess_high_bps.toFixed(1)}`);
  $("study").append(table(rows, [["symbol", (r) => r.symbol], ["event", (r) => [r.kind, r.scale].filter(Boolean).join(" ")], ["bars", (r) => r.horizon_bars, "count"], ["count", (r) => r.count, "count"],
    ["mean, bps", (r) => r.mean_bps, "number", "tone"], ["random", (r) => r.random_bps, "number", "minor"], ["excess, 95 %", interval, null, "minor"], ["hit", (r) => r.hit_rate, "percent"], ["random hit", (r) => r.random_hit_rate, "percent", "minor"],
    ["best, ATR", (r) => r.favourable_atr, "number", "minor"], ["worst, ATR", (r) => r.adverse_atr, "number", "minor"], ["net, bps", (r) => r.net_bps, "number", "tone"], ["q", (r) => r.q_value, "number"]]));
  $("study-sentence").textContent = `${study.sentence[0].toUpperCase()}${study.sentence.slice(1)}. The surest ${rows.length} of ${shown(n, "count")} rows:`;
  for (const rule of study.rules) $("study-rules").append(element("li", rule));
  $("study-section").hidden = false;
}

function drawRest() {
  for (const [name, value] of Object.entries(SUMMARY.metrics ?? {})) {
    const line = element("div");
    const reason = (SUMMARY.undefined ?? {})[name];
    line.append(element("span", label(name)), element("span", value === null ? reason ?? "–" : shown(value, kindOf(name)), value === null ? "none" : ""));
    $("metrics").append(line);
  }
  for (const line of SUMMARY.conventions ?? []) $("conventions").append(element("li", line));
  $("tapes").append(table(SUMMARY.tapes ?? [], [["symbol", (r) => r.symbol], ["venue", (r) => r.venue, null, "minor"], ["", (r) => r.timeframe], ["candles", (r) => r.rows, "count"], ["gaps", (r) => r.gaps, "count"], ["missing", (r) => r.missing, "count"], ["sha256", (r) => (r.sha256 ?? "").slice(0, 12), null, "minor"]]));
  for (const tape of SUMMARY.tapes ?? []) $("tapes").append(element("p", `${tape.symbol}: ${tape.source ?? ""}`, "quiet"));
  const settings = { parameters: SUMMARY.parameters ?? {}, ...SUMMARY.config };
  $("config").textContent = JSON.stringify(settings, null, 1);
  $("digest").textContent = SUMMARY.digest ?? "";
}
