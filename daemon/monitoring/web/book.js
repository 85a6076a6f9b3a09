"use strict";
// Trades, orders and closes of a window as the report's scripts take them (known.js): times in seconds, words as codes.
const SUMMARY = { conditions: true }; // what a result tells of itself: a daemon has it elsewhere
const CODES = { short: -1, flat: 0, long: 1, keep: 2 };
const ENDS = ["filled", "cancelled", "expired"];
const BETWEEN = ["the strategy took it back", "an operator took it back", "the market is no more", "a limit of the account was met", "the account is ruined"];
const SIDES = { buy: 1, sell: -1 };

// Orders that rested, moves of stops and targets by trade, and fills of trades with more than two; rows are oldest first.
function ordersOf(rows, fills) {
  const resting = [...grouped(rows.filter((row) => row.number > 0 && row.kind !== "market"), "number").values()].map(restingOrder);
  const moves = rows.filter((row) => row.status === "moved" && row.kind.startsWith("position's"));
  const levels = grouped(moves.map((row) => ({ owner: fills.findLast((fill) => fill.sequence < row.sequence)?.trade, is_target: row.kind.endsWith("target"), time: row.time_ms / 1000, price: row.price })), "owner");
  const parts = new Map();
  for (const [trade, own] of grouped(fills, "trade")) if (own.length > (own.at(-1).position === 0 ? 2 : 1)) parts.set(trade, averaged(own));
  return { resting, levels, parts };
}

function restingOrder(rows) {
  const first = rows[0], last = rows.at(-1), isOver = ENDS.includes(last.status), begun = first.time_ms / 1000;
  const moved = rows.filter((row) => (row.status === "moved" && row.kind.startsWith("trail")) || (row.status === "triggered" && ["stop-limit", "limit-if-touched"].includes(row.kind)));
  return {
    number: first.number, kind: first.kind, side: SIDES[first.side], tag: first.tag, quantity: first.quantity, begun,
    ended: isOver ? last.time_ms / 1000 : Infinity, isAtClose: BETWEEN.includes(last.cause), price: first.price,
    path: [...(first.price ? [[begun, first.price]] : []), ...moved.map((row) => [row.time_ms / 1000, row.price])],
    end: isOver ? (last.cause ? `${last.status}: ${last.cause}` : last.status) : "still working",
    fill_price: rows.findLast((row) => ["partly filled", "filled"].includes(row.status))?.price ?? 0,
  };
}

// Fills of one trade with the average entry after each.
function averaged(rows) {
  let held = 0, average = 0;
  return rows.map((row) => {
    const size = Math.abs(row.position);
    if (size > held) average = (average * held + row.price * row.quantity) / (held + row.quantity);
    held = size;
    return { trade: row.trade, time: row.candle_ms / 1000, side: SIDES[row.side], price: row.price, quantity: row.quantity, position: row.position, average };
  });
}

// Trades that have closed, and the one that is open: what the status says of it, from its first fill on. Where the newest fill of
// the window closed a trade, or is of one that has closed since, what is open now began after it and is no part of the window.
function tradesOf(rows, position, fills, orders) {
  const trades = rows.map((row) => ({ ...row, entry: row.entry_ms / 1000, exit: row.exit_ms / 1000 }));
  const newest = fills.at(-1), own = fills.filter((fill) => fill.trade === newest?.trade);
  const isHere = !newest || (newest.position !== 0 && !rows.some((row) => row.number === newest.trade));
  if (position && isHere) {
    const number = newest ? newest.trade : -1, isMoved = orders.levels.has(number);
    trades.push({ number, symbol: position.symbol, side: position.quantity > 0 ? "long" : "short", quantity: Math.abs(position.quantity), entry: (number < 0 ? 0 : own[0].candle_ms) / 1000, exit: Infinity, entry_price: position.entry_price, exit_price: null, stop_price: isMoved ? null : position.stop_price, target_price: isMoved ? null : position.target_price, exit_reason: "end of tape" });
  }
  for (const trade of trades) addPaths(trade, orders);
  return trades.sort((a, b) => a.entry - b.entry);
}

// A table by rising time from rows that the API gave, newest first; `since` is where it begins.
function tableBy(rows, since, name, columns) {
  const kept = [...rows].reverse();
  return { since, time: kept.map((row) => row[name] / 1000), ...Object.fromEntries(columns.map(([column, value]) => [column, kept.map(value)])) };
}
const plain = (...names) => names.map((name) => [name, (row) => row[name] ?? NaN]);

// What `stateAt` reads of the closes of a window.
function tablesFrom({ closes, decisions, predictions, orders }, since) {
  const conditions = [...new Set(closes.map((row) => row.condition).filter((text) => text !== null))];
  const refused = [...decisions.filter((row) => row.refused).map((row) => ({ time_ms: row.time_ms, kind: "entry", reason: row.refused })), ...orders.filter((row) => row.status === "refused").map((row) => ({ time_ms: row.time_ms, kind: `${row.kind} order`, reason: row.cause }))].sort((a, b) => b.time_ms - a.time_ms);
  const reasons = [...new Set(refused.map((row) => row.reason))], kinds = [...new Set(refused.map((row) => row.kind))];
  const answered = closes.filter((row) => row.target !== null), target = ["target", (row) => CODES[row.target]];
  return {
    account: tableBy(closes.filter((row) => row.equity !== null), since, "time_ms", plain("equity")),
    tables: {
      ...(answered.length && { answers: tableBy(answered, since, "time_ms", [target, ...plain(...SCORE_NAMES)]) }),
      unmet: { ...tableBy(closes.filter((row) => row.condition !== null), since, "time_ms", [["condition", (row) => conditions.indexOf(row.condition)], ...plain("value", "threshold")]), conditions },
      predictions: tableBy(predictions, since, "time_ms", plain("version", "probability")),
      decisions: tableBy(decisions.filter((row) => !row.refused), since, "time_ms", [target, ["version", (row) => row.model_version], ...plain("size_scale", "stop_distance", "target_distance", "stop_price", "target_price", ...SCORE_NAMES)]),
      refusals: { ...tableBy(refused, since, "time_ms", [["reason", (row) => reasons.indexOf(row.reason)], ["kind", (row) => kinds.indexOf(row.kind)]]), reasons, kinds, earlier: reasons.map(() => 0) },
    },
  };
}

// The rows of a table in a span, newest first; `isCut` where there are more than MOST_ROWS_READ.
const MOST_ROWS_READ = 4_000;
async function rowsIn(what, span) {
  const found = [];
  let cursor = null;
  do {
    const page = await ask(what, { ...span, limit: 500, cursor });
    found.push(...page.rows);
    cursor = page.next;
  } while (cursor !== null && found.length < MOST_ROWS_READ);
  found.isCut = cursor !== null;
  return found;
}
