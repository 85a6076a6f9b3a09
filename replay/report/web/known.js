"use strict";
// What was known at a moment: functions over plain data, which read no page and change nothing.
//   until      seconds: the close of a candle. What carries the open of the candle in which it happened is known when that
//              candle closes, so before `until`; what was asked for carries the close, so it is known at it.
//   trades     {entry, exit, isUnfinished, side, quantity, stops, targets, entries, fills}: opens of candles; paths are
//              [[time, price], …]; fills {time, position, …} of trades with more than two, else undefined
//   orders     {begun, ended, isAtClose, price, path, end, fill_price}; `ended` Infinity of one that works
//   structure  columns {n, group, known, ended, …}, `ended` Infinity of what lives
//   tables     {since, time, …}: columns by rising time; `since` 0 where everything is kept

// The last place of rising times that is at most `time`; -1 for none.
function lastUpTo(times, time) {
  let low = -1, high = times.length - 1;
  while (low < high) { const middle = (low + high + 1) >> 1; if (times[middle] <= time) low = middle; else high = middle - 1; }
  return low;
}

// The place of a time: null where there is nothing at it, undefined where nothing is kept of it.
function rowAt(table, time) {
  if (!table) return undefined;
  const at = lastUpTo(table.time, time);
  if (at >= 0 && table.time[at] === time) return at;
  return time < table.since ? undefined : null;
}

const pathAt = (path, until) => path.filter(([time]) => time < until);

function tradesAt(trades, until) {
  const found = [];
  for (const trade of trades) {
    if (trade.entry >= until) continue;
    if (trade.exit < until && !trade.isUnfinished) { found.push(trade); continue; }
    const fills = trade.fills?.filter((fill) => fill.time < until);
    found.push({ ...trade, isOpen: true, exit: until, exit_price: null, exit_reason: "open", exit_tag: "", pnl: null, return_r: null, costs: null, last_stop_price: null, stops: pathAt(trade.stops, until), targets: pathAt(trade.targets, until), entries: pathAt(trade.entries, until), fills });
  }
  return found;
}

function ordersAt(orders, until) {
  const found = [];
  for (const order of orders) {
    if (order.begun > until) continue;
    if (order.ended < until || (order.ended === until && order.isAtClose)) { found.push(order); continue; }
    found.push({ ...order, ended: Infinity, end: "still working", fill_price: 0, path: order.path.filter(([time], i) => time < until || (i === 0 && order.price)) });
  }
  return found;
}

// By group: how many pieces were known, and how many of them had not ended.
function structureAt(items, until, nGroups) {
  const found = Array.from({ length: nGroups }, () => ({ known: 0, alive: 0 }));
  for (let i = 0; items && i < items.n; i++) {
    if (items.known[i] > until) break; // in the order in which they became known
    const group = found[items.group[i]];
    group.known++;
    if (items.ended[i] > until) group.alive++;
  }
  return found;
}

// Name and value of every column at the newest candle that had closed; features: {times, length, columns: [{name, values}]}.
function featuresAt(features, until) {
  if (!features) return [];
  const at = lastUpTo(features.times, until - features.length);
  return features.columns.map(({ name, values }) => [name, at < 0 ? NaN : values[at]]);
}

// How often what was refused for which reason, the most frequent first; undefined where it is not kept.
function refusalsAt(table, until) {
  if (!table || (table.since && until < table.since)) return undefined;
  const counts = [...table.earlier], last = lastUpTo(table.time, until);
  for (let i = 0; i <= last; i++) counts[table.reason[i]]++;
  return table.reasons.map((reason, i) => ({ reason, count: counts[i] })).filter((row) => row.count).sort((a, b) => b.count - a.count);
}

// The position that trades of one symbol leave, above zero long; null for none.
function positionAt(trades) {
  const trade = trades.find((one) => one.isOpen);
  if (!trade) return null;
  const last = (path) => (path.length ? path[path.length - 1][1] || null : null);
  const quantity = trade.fills?.length ? trade.fills[trade.fills.length - 1].position : trade.quantity * (trade.side === "long" ? 1 : -1);
  return { trade: trade.number, since: trade.entry, quantity, entry: last(trade.entries), stop: last(trade.stops), target: last(trade.targets) };
}

// A row of a table by name, with numbers as they are; null and undefined as rowAt has them.
function pick(table, time, names) {
  const at = rowAt(table, time);
  return typeof at !== "number" ? at : Object.fromEntries(names.map((name) => [name, table[name][at]]));
}

// The newest row of a table up to a time, with its own: a daemon keeps a mark of the account every five minutes, not at each close.
function newestOf(table, time, names) {
  const at = table ? lastUpTo(table.time, time) : -1;
  if (at < 0) return !table || time < table.since ? undefined : null;
  return { time: table.time[at], ...Object.fromEntries(names.map((name) => [name, table[name][at]])) };
}

const SCORE_NAMES = ["confidence", "score_model", "score_smc", "score_technical"];

// Everything about one close. book: {candles, trades, orders, structure, nGroups, features, tables, account, since} of one symbol;
// since: the first time that it tells of, where it is not the whole run.
function stateAt(book, time, until) {
  const tables = book.tables ?? {}, trades = tradesAt(book.trades, until);
  const unmet = pick(tables.unmet, until, ["condition", "value", "threshold"]);
  return {
    time, until, since: book.since, trades, position: positionAt(trades), equity: newestOf(book.account, until, ["equity"]),
    orders: ordersAt(book.orders, until).filter((order) => order.ended === Infinity),
    structure: structureAt(book.structure, until, book.nGroups), features: featuresAt(book.features, until),
    answer: pick(tables.answers, until, ["target", ...SCORE_NAMES]), prediction: pick(tables.predictions, until, ["version", "probability"]),
    decision: pick(tables.decisions, until, ["target", "version", "size_scale", "stop_distance", "target_distance", "stop_price", "target_price", ...SCORE_NAMES]),
    unmet: unmet ? { ...unmet, condition: tables.unmet.conditions[unmet.condition] } : unmet,
    refusals: refusalsAt(tables.refusals, until), refused: refusedAt(tables.refusals, until),
  };
}

// What was refused at this very close, in words.
function refusedAt(table, until) {
  const found = [];
  for (let at = table ? lastUpTo(table.time, until) : -1; at >= 0 && table.time[at] === until; at--) found.unshift(`${table.kinds[table.kind[at]]}: ${table.reasons[table.reason[at]]}`);
  return found;
}
