"use strict";
// Orders that rested, from the close at which they were asked for to their end; and what is read of trades' fills and
// levels. Times are seconds, a level of 0 is none any more; see report/orders.py.
const ORDER_WIDTH = 10; // of the chart, for each: closer together they cannot be told apart
const ORDERS = {};

// A table of packed columns as rows: integers, sums of steps, prices, lists as they are.
async function rowsOf(packed, columns) {
  const unit = Math.pow(10, packed.decimals);
  const values = await Promise.all(columns.map(([name, kind]) => (kind === "integers" ? integers(packed[name]) : kind === "list" ? packed[name] : stepsOf(packed[name]))));
  return Array.from(values[0], (_, i) => Object.fromEntries(columns.map(([name, kind], k) => [name, kind === "price" ? values[k][i] / unit : values[k][i]])));
}

function grouped(rows, key) {
  const found = new Map();
  for (const row of rows) { if (!found.has(row[key])) found.set(row[key], []); found.get(row[key]).push(row); }
  return found;
}

async function readOrders() {
  for (const [symbol, packed] of Object.entries(DATA.orders ?? {})) {
    const [resting, trails, levels, parts] = await Promise.all([
      rowsOf(packed.resting, [["number", "steps"], ["kind", "integers"], ["tag", "integers"], ["end", "integers"], ["side", "integers"], ["begun", "steps"], ["life", "integers"], ["is_at_close", "integers"], ["price", "price"], ["fill_price", "price"], ["quantity", "list"]]),
      rowsOf(packed.trails, [["owner", "steps"], ["time", "steps"], ["price", "price"]]),
      rowsOf(packed.levels, [["owner", "steps"], ["is_target", "integers"], ["time", "steps"], ["price", "price"]]),
      rowsOf(packed.parts, [["trade", "steps"], ["time", "steps"], ["side", "integers"], ["price", "price"], ["average", "price"], ["quantity", "list"], ["position", "list"]]),
    ]);
    const trailOf = grouped(trails, "owner");
    for (const order of resting) {
      // A stop-limit stands at its trigger until that is met, then at its limit; a trailing order has moves alone.
      order.path = [...(order.price ? [[order.begun, order.price]] : []), ...(trailOf.get(order.number) ?? []).map((row) => [row.time, row.price])];
      order.ended = order.life < 0 ? Infinity : order.begun + order.life; order.isAtClose = Boolean(order.is_at_close);
      order.kind = packed.resting.kinds[order.kind]; order.tag = packed.resting.tags[order.tag]; order.end = packed.resting.ends[order.end];
    }
    ORDERS[symbol] = { resting, levels: grouped(levels, "owner"), parts: grouped(parts, "trade") };
  }
  for (const trade of TRADES) addPaths(trade, ORDERS[trade.symbol]);
}

// Every trade knows where its stop, its target and its average entry stood: [time from which, price], the first at its entry.
function addPaths(trade, orders) {
  const moves = orders?.levels.get(trade.number) ?? [];
  const path = (first, isTarget) => [[trade.entry, first ?? 0], ...moves.filter((row) => Boolean(row.is_target) === isTarget).map((row) => [row.time, row.price])];
  trade.stops = path(trade.stop_price, false);
  trade.targets = path(trade.target_price, true);
  trade.fills = orders?.parts.get(trade.number);
  trade.isUnfinished = trade.exit_reason === "end of tape";
  const added = trade.fills?.filter((fill) => (fill.side > 0) === (trade.side === "long")) ?? [];
  trade.entries = added.length ? added.map((fill) => [fill.time, fill.average]) : [[trade.entry, trade.entry_price]];
}

class OrdersLayer {
  constructor(view) { this.view = view; this.items = []; this.hits = []; this.shown = new Set(["resting"]); }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.update = requestUpdate; }
  paneViews() { return [{ zOrder: () => "normal", renderer: () => ({ draw: (target) => target.useMediaCoordinateSpace(({ context, mediaSize }) => this.draw(context, mediaSize)) }) }]; }
  show(orders) { this.items = orders; this.update?.(); }
  inSight() {
    const range = this.chart?.timeScale().getVisibleRange();
    if (!range || !this.shown.has("resting")) return [];
    return this.items.filter((order) => order.ended >= range.from && order.begun <= range.to);
  }
  isFar(orders) { return orders.length * ORDER_WIDTH > this.chart.timeScale().width(); }
  isTooMuch() { return this.chart !== undefined && this.isFar(this.inSight()); }
  draw(context, size) {
    this.hits = [];
    const orders = this.inSight();
    if (this.isFar(orders)) return;
    context.font = "10px system-ui, sans-serif";
    context.lineWidth = 1;
    for (const order of orders) this.drawOrder(context, order, size);
    context.setLineDash([]);
  }
  drawOrder(context, order, size) {
    const isFilled = order.end.startsWith("filled");
    const begin = this.view.edge(order.begun);
    const end = order.ended === Infinity ? size.width : isFilled ? this.view.x(order.ended) : this.view.edge(order.ended);
    const path = order.path;
    if (begin === null || end === null || !path.length) return;
    context.strokeStyle = context.fillStyle = colour(order.side > 0 ? "gain" : "loss");
    context.setLineDash([4, 3]);
    context.beginPath();
    let y = null, left = begin;
    path.forEach(([time, price], i) => {
      const from = Math.max(i || order.path.length ? this.view.edge(time) : begin, begin);
      const to = Math.max(i + 1 < path.length ? this.view.edge(path[i + 1][0]) : end, from + 1);
      const level = this.series.priceToCoordinate(price);
      if (level === null) return;
      if (y === null) { context.moveTo(from, level); left = from; } else context.lineTo(from, level);
      context.lineTo(to, level);
      y = level;
      this.hits.push({ from, to, y, text: this.words(order, price) });
    });
    context.stroke();
    context.setLineDash([]);
    if (y === null) return;
    this.drawEnd(context, order, isFilled, end, y);
    if (end - left > 34) writeFree(context, order.tag || order.kind, left + 3, this.series.priceToCoordinate(path[0][1]) - 3, this.view.taken);
  }
  // Filled: a square; taken back, expired or refused: a bar.
  drawEnd(context, order, isFilled, x, y) {
    if (order.ended === Infinity) return;
    if (isFilled) context.fillRect(x - 2, y - 2, 4, 4);
    else context.fillRect(x - 0.5, y - 4, 1, 8);
  }
  words(order, price) {
    const name = order.tag ? ` “${order.tag}”` : "";
    const fill = order.fill_price ? ` at ${shown(order.fill_price, "price")}` : "";
    const end = order.ended === Infinity ? order.end : `${order.end.replace(/^filled/, "filled" + fill)}, ${stamp(order.ended)}`;
    return `${order.side > 0 ? "buy" : "sell"} ${amount(order.quantity)}, ${order.kind} ${shown(price, "price")}${name}, ${stamp(order.begun)}: ${end}`;
  }
  at(point) { return under(this.hits, point); }
}
