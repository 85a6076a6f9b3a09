"use strict";
// Trades on the candles: from entry to exit, the path of stop and target between, and what rests now.
class TradeOverlay {
  constructor(view) { this.view = view; this.shown = new Set(["trades", "levels", "orders"]); }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.update = requestUpdate; }
  paneViews() {
    const layer = (order, draw) => ({ zOrder: () => order, renderer: () => ({ draw: (target) => target.useMediaCoordinateSpace(({ context, mediaSize }) => draw(context, mediaSize)) }) });
    return [layer("bottom", (context, size) => this.drawLevels(context, size)), layer("top", (context, size) => this.drawMarks(context, size))];
  }
  inSight() {
    const range = this.chart.timeScale().getVisibleRange();
    if (!range) return [];
    return this.view.trades.filter((trade) => (trade.exit_ms ?? Infinity) / 1000 >= range.from && trade.entry_ms / 1000 <= range.to);
  }
  y(level) { return level ? this.series.priceToCoordinate(level) : null; }
  // [time from which, level], the first at the entry; moves are those of the position while the trade was open.
  path(trade, kind, first) {
    const moves = this.view.moves.filter((move) => move.kind === kind && move.time_ms > trade.entry_ms && move.time_ms <= (trade.exit_ms ?? Infinity));
    return [[trade.entry_ms, first], ...moves.map((move) => [move.time_ms, move.price])];
  }
  drawLevels(context, size) {
    if (this.shown.has("levels")) {
      for (const trade of this.inSight()) {
        const end = trade.exit_ms ? this.view.x(trade.exit_ms / 1000) : size.width;
        this.drawPath(context, trade, this.path(trade, "position's target", trade.target_price), "gain", end);
        this.drawPath(context, trade, this.path(trade, "position's stop", trade.stop_price), "loss", end);
      }
    }
    if (this.shown.has("orders")) this.drawOrders(context, size);
  }
  drawPath(context, trade, path, name, end) {
    const entry = this.y(trade.entry_price);
    let before = null;
    path.forEach(([time, level], i) => {
      const from = this.view.x(time / 1000), to = i + 1 < path.length ? this.view.x(path[i + 1][0] / 1000) : end, y = this.y(level);
      if (y === null || from === null || to === null || entry === null) { before = null; return; }
      const isOwnSide = (name === "gain") === (trade.side === "long" ? level > trade.entry_price : level < trade.entry_price);
      if (isOwnSide) { context.fillStyle = colour(name + "-soft"); context.fillRect(from, Math.min(entry, y), Math.max(to - from, 1), Math.abs(y - entry)); }
      context.strokeStyle = colour(name); context.lineWidth = 1;
      context.beginPath(); context.moveTo(from, before ?? y); context.lineTo(from, y); context.lineTo(Math.max(to, from + 1), y); context.stroke();
      before = y;
    });
  }
  drawOrders(context, size) {
    context.font = "10px system-ui, sans-serif"; context.lineWidth = 1;
    for (const order of this.view.resting) {
      const level = order.trigger_price ?? order.limit_price, y = this.y(level);
      if (y === null) continue;
      context.strokeStyle = context.fillStyle = colour(order.side === "buy" ? "gain" : "loss");
      context.setLineDash([5, 4]); context.beginPath(); context.moveTo(size.width * 0.55, y); context.lineTo(size.width, y); context.stroke(); context.setLineDash([]);
      context.fillText(`${order.side} ${amount(order.quantity)} ${order.kind}${order.tag ? " “" + order.tag + "”" : ""}`, size.width * 0.55 + 4, y - 4);
    }
  }
  drawMarks(context) {
    if (!this.shown.has("trades")) return;
    for (const trade of this.inSight()) {
      const left = this.view.x(trade.entry_ms / 1000), entry = this.y(trade.entry_price), up = trade.side === "long" ? 1 : -1;
      if (left === null || entry === null) continue;
      if (trade.exit_ms) {
        const right = this.view.x(trade.exit_ms / 1000), exit = this.y(trade.exit_price);
        if (right === null || exit === null) continue;
        context.strokeStyle = colour(trade === this.view.chosen ? "accent" : "quiet"); context.lineWidth = trade === this.view.chosen ? 2 : 1;
        context.beginPath(); context.moveTo(left, entry); context.lineTo(right, exit); context.stroke();
        context.fillStyle = colour(trade.pnl >= 0 ? "gain" : "loss"); context.beginPath(); context.arc(right, exit, 4, 0, 7); context.fill();
      }
      context.fillStyle = colour("accent"); context.beginPath(); context.moveTo(left, entry + up * 3); context.lineTo(left - 5, entry + up * 11); context.lineTo(left + 5, entry + up * 11); context.fill();
    }
  }
}
