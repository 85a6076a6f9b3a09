"use strict";
// Trades: one by one where they can be told apart, each with its entry, its exits, what was added, and the path of stop
// and target; otherwise as a strip below, profit and loss of what ended there.
const BOX_WIDTH = 22, STRIP_STEP = 6, STRIP_HEIGHT = 26;

class TradeMarks {
  constructor(view) { this.view = view; this.shown = new Set(["levels", "parts"]); this.hits = []; }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.update = requestUpdate; }
  paneViews() {
    const draws = (order, draw) => ({ zOrder: () => order, renderer: () => ({ draw: (target) => target.useMediaCoordinateSpace(({ context, mediaSize }) => draw(context, mediaSize)) }) });
    return [draws("bottom", (context) => this.drawBoxes(context)), draws("top", (context, size) => this.drawMarks(context, size))];
  }
  inSight() {
    const range = this.chart.timeScale().getVisibleRange();
    if (!range) return [];
    return this.view.trades.filter((trade) => trade.exit >= range.from && trade.entry <= range.to);
  }
  isChosen(trade) { return trade.number === this.view.chosen?.number; }
  isFar(trades) { return trades.length * BOX_WIDTH > this.chart.timeScale().width(); }
  places(trade) {
    const [left, right] = [this.view.x(trade.entry), this.view.x(trade.exit)];
    const fills = trade.fills ?? [];
    const first = fills.length ? fills[0].price : trade.entry_price, last = fills.length ? fills[fills.length - 1] : null;
    const exit = trade.isOpen ? this.view.all[this.view.all.length - 1].close : last && last.position === 0 ? last.price : trade.exit_price;
    return { left, right: Math.max(right, left + 2), entry: this.series.priceToCoordinate(first), exit: this.series.priceToCoordinate(exit) };
  }
  // A path as pieces of the chart: each level from where it holds to where the next does, the last to the exit.
  pieces(path, left, right) {
    const found = [];
    path.forEach(([time, price], i) => {
      const from = i ? Math.max(this.view.edge(time), left) : left;
      const to = i + 1 < path.length ? Math.max(this.view.edge(path[i + 1][0]), left) : right;
      const y = price ? this.series.priceToCoordinate(price) : null;
      if (Math.min(to, right) > from || i + 1 === path.length) found.push({ from, to: Math.max(Math.min(to, right), from), y, price, time });
    });
    return found;
  }
  drawBoxes(context) {
    const trades = this.inSight();
    this.hits = [];
    this.view.taken = [];
    for (const trade of this.isFar(trades) ? trades.filter((t) => this.isChosen(t)) : trades) {
      const { left, right, entry, exit } = this.places(trade);
      if (entry === null || exit === null) continue;
      const isChosen = this.isChosen(trade);
      if (this.shown.has("levels")) {
        this.drawLevels(context, trade, trade.targets, "gain", left, right, isChosen);
        this.drawLevels(context, trade, trade.stops, "loss", left, right, isChosen);
        if (trade.entries.length > 1) this.drawEntries(context, trade, left, right);
      }
      context.strokeStyle = colour(isChosen ? "accent" : "quiet");
      context.lineWidth = isChosen ? 2 : 1;
      context.beginPath();
      context.moveTo(left, entry);
      context.lineTo(right, exit);
      context.stroke();
    }
  }
  // From the entry price to the level in its colour, as far as it is on its own side of the entry; the level as a line.
  drawLevels(context, trade, path, name, left, right, isChosen) {
    const entry = this.series.priceToCoordinate(trade.entry_price), side = trade.side === "long" ? 1 : -1;
    const isStop = name === "loss";
    let before = null;
    context.lineWidth = isChosen ? 2 : 1;
    for (const { from, to, y, price, time } of this.pieces(path, left, right)) {
      if (y === null) { before = null; continue; }
      if ((isStop ? side : -side) * (trade.entry_price - price) > 0) {
        context.fillStyle = colour(name + "-soft");
        context.fillRect(from, Math.min(entry, y), to - from, Math.abs(y - entry));
      }
      context.strokeStyle = colour(name);
      context.beginPath();
      context.moveTo(from, before ?? y);
      context.lineTo(from, y);
      context.lineTo(to, y);
      context.stroke();
      before = y;
      this.hits.push({ from, to, y, text: `${isStop ? "stop" : "target"} of trade ${trade.number}: ${shown(price, "price")} since ${stamp(time)}` });
    }
  }
  drawEntries(context, trade, left, right) {
    context.strokeStyle = colour("accent");
    context.lineWidth = 1;
    context.setLineDash([2, 3]);
    context.beginPath();
    let isFirst = true;
    for (const { from, to, y, price } of this.pieces(trade.entries, left, right)) {
      if (isFirst) context.moveTo(from, y);
      context.lineTo(from, y);
      context.lineTo(to, y);
      isFirst = false;
      this.hits.push({ from, to, y, text: `average entry of trade ${trade.number}: ${shown(price, "price")}` });
    }
    context.stroke();
    context.setLineDash([]);
  }
  drawMarks(context, size) {
    const trades = this.inSight();
    if (this.isFar(trades)) { this.drawStrip(context, size, trades); return; }
    for (const trade of trades) {
      const { left, right, entry, exit } = this.places(trade);
      if (entry === null || exit === null) continue;
      const big = this.isChosen(trade) ? 7 : 5, up = trade.side === "long" ? 1 : -1;
      this.triangle(context, left, entry, up, big);
      if (!trade.isOpen) {
        context.fillStyle = colour(trade.pnl >= 0 ? "gain" : "loss");
        context.beginPath();
        context.arc(right, exit, big - 1.5, 0, 7);
        context.fill();
      }
      if (this.shown.has("parts")) this.drawParts(context, trade, up);
    }
  }
  triangle(context, x, y, up, big) {
    context.fillStyle = colour("accent");
    context.beginPath();
    context.moveTo(x, y + up * 3);
    context.lineTo(x - big, y + up * (3 + 1.5 * big));
    context.lineTo(x + big, y + up * (3 + 1.5 * big));
    context.fill();
  }
  // What was added is a smaller triangle, what was taken off a ring; with its quantity where there is room.
  drawParts(context, trade, up) {
    context.font = "10px system-ui, sans-serif";
    (trade.fills ?? []).forEach((fill, i) => {
      const [x, y] = [this.view.x(fill.time), this.series.priceToCoordinate(fill.price)];
      if (x === null || y === null || i === 0 || fill.position === 0) return;
      const isAddition = fill.side === up;
      if (isAddition) this.triangle(context, x, y, up, 3.5);
      else {
        context.fillStyle = colour("card");
        context.strokeStyle = colour("accent");
        context.lineWidth = 1.5;
        context.beginPath();
        context.arc(x, y, 3.5, 0, 7);
        context.fill();
        context.stroke();
      }
      const text = `${isAddition ? "+" : "−"}${amount(fill.quantity)}`;
      context.fillStyle = colour("ink");
      writeFree(context, text, x + 7, y + 3.5, this.view.taken);
      const after = isAddition ? `average entry ${shown(fill.average, "price")}` : `${amount(Math.abs(fill.position))} left`;
      this.hits.push({ from: x - REACH, to: x + REACH, y, text: `trade ${trade.number}: ${isAddition ? "added" : "took off"} ${amount(fill.quantity)} at ${shown(fill.price, "price")}, ${after}, ${stamp(fill.time)}` });
    });
  }
  drawStrip(context, size, trades) {
    const sums = new Map();
    for (const trade of trades) {
      const x = this.view.x(trade.exit);
      if (trade.isOpen || x === null || x < 0 || x > size.width) continue;
      const place = Math.floor(x / STRIP_STEP);
      sums.set(place, (sums.get(place) ?? 0) + trade.pnl);
    }
    const largest = Math.max(...[...sums.values()].map(Math.abs), 1e-9);
    const middle = size.height - STRIP_HEIGHT / 2 - 2;
    context.fillStyle = colour("card");
    context.globalAlpha = 0.75;
    context.fillRect(0, middle - STRIP_HEIGHT / 2, size.width, STRIP_HEIGHT);
    context.globalAlpha = 1;
    for (const [place, sum] of sums) {
      const height = Math.max((Math.abs(sum) / largest) * (STRIP_HEIGHT / 2), 1);
      context.fillStyle = colour(sum >= 0 ? "gain" : "loss");
      context.fillRect(place * STRIP_STEP, sum >= 0 ? middle - height : middle, STRIP_STEP - 1, height);
    }
    context.fillStyle = colour("quiet");
    context.font = "10px system-ui, sans-serif";
    context.fillText(`${trades.length.toLocaleString("en-US")} trades, profit and loss where they ended`, 44, middle - STRIP_HEIGHT / 2 - 4);
  }
  at(point) { return under(this.hits, point); }
  // What is drawn can be put away, where there is any of it.
  controls(parent) {
    const orders = Object.values(ORDERS);
    const layers = [
      ["levels", "stops and targets", TRADES.some((t) => t.stop_price !== null || t.target_price !== null || t.stops.length > 1), this],
      ["parts", "partial exits and additions", TRADES.some((t) => t.fills?.length > 2), this],
      ["resting", "resting orders", orders.some((o) => o.resting.length), this.view.orders],
    ];
    for (const [name, title, isThere, layer] of layers) {
      if (!isThere) continue;
      parent.append(toggle(title, true, (on) => { if (on) layer.shown.add(name); else layer.shown.delete(name); layer.update?.(); }));
      parent.hidden = false;
    }
  }
}
