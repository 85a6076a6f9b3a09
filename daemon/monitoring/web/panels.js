"use strict";
// What stands around the chart: figures, positions, orders, the tape, refusals, models, jobs, and why a candle did what it did.
const MOST_TAPE = 200;

function strip(status, skewMs) {
  const account = status.account, now = Date.now() + skewMs, feed = status.feeds[0];
  const heard = Math.max(0, ...(feed?.symbols ?? []).map((each) => each.last_message_ms ?? 0));
  const open = status.positions.reduce((sum, each) => sum + each.unrealised_pnl, 0);
  const parity = status.parity.outcome;
  const cells = [
    ["equity", money(account.equity), account.currency, ""],
    ["realised", signed(account.realised_pnl), `funding paid ${money(account.funding_paid)}`, "", tone(account.realised_pnl)],
    ["open result", status.positions.length ? signed(open) : "flat", `${status.positions.length} open`, "", tone(open)],
    ["below its peak", percent(account.drawdown_ratio), `peak ${money(account.equity_peak)}`, account.drawdown_ratio > 0.2 ? "bad" : ""],
    ["entries", status.halted.length ? "halted" : account.size_factor < 1 ? percent(account.size_factor, 0) : "open", status.halted.join(", ") || "new positions are entered", status.halted.length ? "bad" : account.size_factor < 1 ? "warn" : ""],
    ["feed", ...feedState(feed, heard ? `heard ${age(now - heard)} ago` : "nothing heard yet")],
    ["newest candle", status.last_input ? clock(status.last_input.time_ms).slice(6) : "none", status.last_input ? `${clock(status.last_input.time_ms).slice(0, 5)}, input ${status.last_input.sequence.toLocaleString("en-US")}` : "waiting for the first", ""],
    ["model", status.model.version ? `v${status.model.version} ${status.model.kind}` : "none", status.model.version ? `drift ${status.model.drift ?? "not looked at"}` : "rules alone decide", status.model.drift === "stop" ? "bad" : ["warn", "smaller", "retrain"].includes(status.model.drift) ? "warn" : ""],
    ["replay agrees", parity === "match" ? "yes" : parity === "diverged" ? "no" : "not yet", status.parity.sequence ? `up to input ${status.parity.sequence.toLocaleString("en-US")}` : "no audit yet", parity === "diverged" ? "bad" : ""],
  ];
  $("strip").replaceChildren(...cells.map(([name, value, about, state, tint]) => {
    const cell = element("div", undefined, state);
    cell.append(element("small", name), element("b", value, tint), element("small", about));
    cell.title = `${name}: ${value}, ${about}`;
    return cell;
  }));
}

// Without a connection to the daemon nobody here knows how its feed is.
function feedState(feed, told) {
  if (document.documentElement.dataset.line !== "live") return ["not known", told, "warn"];
  if (!feed) return ["none", "no venue is followed yet", "warn"];
  return feed.is_connected ? ["connected", told, ""] : ["down", told, "bad"];
}

// One open position: its size and result, and below them its prices, whatever room they take.
function position(held) {
  const made = element("div", undefined, "card position"), first = element("p"), list = element("dl");
  first.append(element("b", held.symbol), element("span", `${held.quantity > 0 ? "long" : "short"} ${amount(Math.abs(held.quantity))}`), element("b", signed(held.unrealised_pnl), tone(held.unrealised_pnl)));
  for (const [name, value] of [["entry", held.entry_price], ["last", held.last_price], ["stop", held.stop_price], ["target", held.target_price]]) list.append(element("dt", name), element("dd", price(value)));
  made.append(first, list);
  return made;
}

function holdings(status) {
  $("positions").replaceChildren(...(status.positions.length ? status.positions.map(position) : [element("p", "Flat. A position appears here when an entry fills.", "none")]));
  $("orders").replaceChildren(table(status.orders, [
    ["symbol", (o) => o.symbol], ["side", (o) => o.side], ["kind", (o) => o.kind], ["size", (o) => amount(o.quantity)], ["at", (o) => price(o.trigger_price ?? o.limit_price)], ["tag", (o) => o.tag, "minor"],
  ], "Nothing rests."));
}

function jobs(runs, audits) {
  $("jobs").replaceChildren(
    table(runs, [["job", (r) => r.job], ["started", (r) => clock(r.started_ms)], ["outcome", (r) => r.outcome, (r) => (r.outcome === "failed" ? "loss" : "")], ["detail", (r) => r.detail, "minor"]], "No job has run yet."),
    table(audits, [["audit", (a) => clock(a.time_ms)], ["input", (a) => a.sequence.toLocaleString("en-US")], ["outcome", (a) => a.outcome, (a) => (a.outcome === "equal" ? "gain" : "loss")], ["detail", (a) => a.detail, "minor"]], "No audit yet."));
}

function feed(status, notices) {
  $("feed").replaceChildren(
    table(status.feeds.flatMap((each) => each.symbols), [["symbol", (s) => s.symbol], ["last message", (s) => (s.last_message_ms ? clock(s.last_message_ms) : "–")], ["last close", (s) => (s.last_close_ms ? clock(s.last_close_ms) : "–")]], "No symbol is followed."),
    table(notices, [["when", (n) => clock(n.time_ms)], ["what", (n) => n.kind], ["symbol", (n) => n.symbol, "minor"], ["detail", (n) => n.detail || (n.value ? rounded(n.value) : "–")]], "The feed had nothing to tell: no gap, no reconnect."));
}

function refusals(found) {
  $("refusals").replaceChildren(table(found, [["reason", (r) => `${r.what}: ${r.reason}`], ["times", (r) => r.count.toLocaleString("en-US")], ["newest", (r) => clock(r.newest_ms)]], "Nothing was refused."));
}

// The tape: decisions, fills, ends of orders, limits, models and markets that became others, newest first.
const TAPE_KINDS = ["decisions", "fills", "trades", "orders", "limits", "models", "changes"];
class Tape {
  constructor() { this.items = []; this.seen = new Set(); }
  words(kind, row) {
    if (kind === "fills") return `${row.side} ${amount(row.quantity)} ${row.symbol} at ${price(row.price)}: ${row.reason}`;
    if (kind === "trades") return `trade ${row.number} closed: ${signed(row.pnl)}, ${row.exit_reason}`;
    if (kind === "limits") return `limit met: ${row.limit}, ${ofLimit(row.limit, row.value)} of ${ofLimit(row.limit, row.threshold)}`;
    if (kind === "changes") return `${row.symbol}: another market, ${row.figure} ${price(row.before)} → ${price(row.after)}${row.chapter ? ` by chapter “${row.chapter}”` : ""}`;
    if (kind === "models") return `model ${row.version} took over`;
    if (kind === "orders") return `${row.symbol} ${row.kind} ${row.status}${row.cause ? ": " + row.cause : ""} at ${price(row.price)}`;
    return row.refused ? `${row.symbol}: ${row.target} refused, ${row.refused}` : `${row.symbol}: wants ${row.target}${row.confidence ? ", confidence " + digits(row.confidence, 2) : ""}`;
  }
  add(kind, rows, isFresh = false) {
    for (const row of rows) {
      const key = `${kind} ${row.sequence ?? row.number}`;
      if (this.seen.has(key) || (kind === "orders" && row.status === "moved")) continue;
      this.seen.add(key);
      this.items.push({ ms: row.time_ms ?? row.exit_ms ?? row.candle_ms, order: row.sequence ?? 0, text: this.words(kind, row), isFresh, isBad: Boolean(row.refused) || kind === "limits" || kind === "changes" });
    }
  }
  draw() {
    this.items.sort((a, b) => b.ms - a.ms || b.order - a.order);
    this.items.length = Math.min(this.items.length, MOST_TAPE);
    $("tape").replaceChildren(...(this.items.length ? this.items.map(({ ms, text, isFresh, isBad }) => {
      const line = element("li", undefined, isFresh ? "fresh" : "");
      line.append(element("time", clock(ms)), element("span", text, isBad ? "warn" : ""));
      return line;
    }) : [element("li", "Nothing has happened yet.", "none")]));
    for (const item of this.items) item.isFresh = false;
  }
}

// Everything that is known of one candle: decisions, refusals, predictions, orders and fills, or that nothing changed.
const MOST_FEATURES = 60;
async function why(symbol, row, sizeMs, frameMs, status) {
  const openMs = row.time * 1000, span = { symbol, from_ms: openMs + 1, to_ms: openMs + sizeMs + 1, limit: 20 };
  const inside = { symbol, from_ms: openMs, to_ms: openMs + sizeMs, limit: 20 };
  const place = $("told");
  place.replaceChildren(element("h2", `${symbol}, ${moment(openMs)} to ${clock(openMs + sizeMs)}`), element("p", "asking", "quiet"));
  let found;
  try { found = await Promise.all([ask("decisions", span), ask("predictions", span), ask("orders", span), ask("fills", inside), ask("decisions", { symbol, to_ms: openMs + 1, limit: 1 }), ask("close", { symbol, time_ms: openMs + sizeMs })]); }
  catch (problem) { place.lastChild.textContent = problem.message; return; }
  const [decisions, predictions, orders, fills, before] = found.map((page) => page.rows), close = found[5], list = element("dl");
  const say = (name, text, className) => list.append(element("dt", name), element("dd", text, className));
  for (const each of decisions) {
    say(each.refused ? "refused" : "decided", `${each.target}${each.refused ? ": " + each.refused : ""} at the close ${clock(each.time_ms)}`, each.refused ? "warn" : "");
    say("scores", `model ${digits(each.score_model)}, structure ${digits(each.score_smc)}, technical ${digits(each.score_technical)}; confidence ${digits(each.confidence, 2)}, size ${percent(each.size_scale, 0)}`);
    if (each.stop_price || each.stop_distance || each.target_price || each.target_distance) say("bracket", `stop ${each.stop_price ? price(each.stop_price) : "at a distance of " + price(each.stop_distance)}, target ${each.target_price ? price(each.target_price) : "at a distance of " + price(each.target_distance)}`);
    say("model version", each.model_version || "none");
  }
  if (!decisions.length) say("decided", before[0] ? `nothing new: since ${moment(before[0].time_ms)} it wants ${before[0].target}${before[0].refused ? ", which was refused: " + before[0].refused : ""}` : "nothing, here or before");
  if (close.unmet) say("first unmet", `${close.unmet.condition}: ${digits(close.unmet.value, 4)}, threshold ${digits(close.unmet.threshold, 4)}${close.unmet.distance === null ? "" : ", " + digits(Math.abs(close.unmet.distance), 4) + " away"}`, "warn");
  if (close.answer && !decisions.length) say("answered", `${close.answer.target}: model ${digits(close.answer.score_model)}, structure ${digits(close.answer.score_smc)}, technical ${digits(close.answer.score_technical)}; confidence ${digits(close.answer.confidence, 2)}`);
  for (const each of predictions) say("probability of a rise", each.probability === null ? "an input was missing" : `${percent(each.probability, 1)} by model ${each.version}`);
  for (const each of fills) say("fill", `${each.side} ${amount(each.quantity)} at ${price(each.price)}, ${each.reason}; fee ${money(each.fee)}`);
  for (const each of orders) say("order", `${each.kind} ${each.status}${each.cause ? ", " + each.cause : ""} at ${price(each.price)}`);
  if (status) say("replay agrees", status.parity.outcome === "match" ? `yes, up to input ${status.parity.sequence}` : status.parity.outcome ?? "no audit yet");
  place.replaceChildren(place.firstChild, list);
  if (sizeMs > frameMs) place.append(element("p", "Several candles are drawn as one here; zoom in for what was seen at each.", "quiet"));
  else if (!close.is_kept) place.append(element("p", "Features of this close are not kept: those of the newest closes since the daemon began are.", "quiet"));
  else {
    const more = element("details");
    more.append(element("summary", `what it saw: ${close.features.length} features`), table(close.features.slice(0, MOST_FEATURES), [["feature", (f) => f.name], ["value", (f) => (f.value === null ? "warming up" : String(f.value))]], ""));
    place.append(more);
  }
}
