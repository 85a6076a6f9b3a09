"use strict";
// Candles with trades, and the equity curve. Everything is drawn by Lightweight Charts.
const OVERVIEW_CANDLES = 8000, WINDOW_CANDLES = 1500;
const CHARTS = [];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

function chartOptions() {
  return {
    autoSize: true,
    layout: { background: { color: colour("card") }, textColor: colour("quiet"), attributionLogo: true, panes: { separatorColor: colour("line") } },
    grid: { vertLines: { color: colour("line") }, horzLines: { color: colour("line") } },
    rightPriceScale: { borderColor: colour("line") },
    timeScale: { borderColor: colour("line"), timeVisible: true, minBarSpacing: 0.02 },
    crosshair: { mode: 0 },
  };
}

// Draws, for every trade in sight, the stretch from entry to exit: towards the target green, towards the stop red.
class TradeBoxes {
  constructor(view) { this.view = view; }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.update = requestUpdate; }
  paneViews() { return [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => target.useMediaCoordinateSpace(({ context }) => this.draw(context)) }) }]; }
  draw(context) {
    const range = this.chart.timeScale().getVisibleRange();
    if (!range) return;
    for (const trade of this.view.trades) {
      if (trade.exit < range.from || trade.entry > range.to) continue;
      const [left, right] = [trade.entry, trade.exit].map((t) => this.chart.timeScale().timeToCoordinate(this.view.candleAt(t)));
      const entry = this.series.priceToCoordinate(trade.entry_price);
      if (left === null || right === null || entry === null) continue;
      const isChosen = trade === this.view.chosen;
      const width = Math.max(right - left, 2);
      for (const [price, name] of [[trade.target_price, "gain"], [trade.stop_price, "loss"]]) {
        if (price === null) continue;
        const y = this.series.priceToCoordinate(price);
        context.fillStyle = colour(name + "-soft");
        context.fillRect(left, Math.min(entry, y), width, Math.abs(y - entry));
        context.fillStyle = colour(name);
        context.fillRect(left, y - 0.5, width, isChosen ? 2 : 1);
      }
      context.strokeStyle = colour(isChosen ? "accent" : "quiet");
      context.lineWidth = isChosen ? 2 : 1;
      context.beginPath();
      context.moveTo(left, entry);
      context.lineTo(right, this.series.priceToCoordinate(trade.exit_price));
      context.stroke();
    }
  }
}

class CandleView {
  constructor() {
    this.chart = LightweightCharts.createChart($("candles"), chartOptions());
    this.series = this.chart.addSeries(LightweightCharts.CandlestickSeries, this.style());
    this.markers = LightweightCharts.createSeriesMarkers(this.series, [], { autoScale: false });
    this.trades = []; this.rows = []; this.all = []; this.chosen = null;
    this.boxes = new TradeBoxes(this);
    this.structure = new StructureLayer(this);
    this.series.attachPrimitive(this.structure);
    this.series.attachPrimitive(this.boxes);
    this.structure.controls($("structure"));
    CHARTS.push(this);
  }
  style() { return { upColor: colour("gain"), downColor: colour("loss"), wickUpColor: colour("gain"), wickDownColor: colour("loss"), borderVisible: false, priceLineVisible: false }; }
  restyle() { this.chart.applyOptions(chartOptions()); this.series.applyOptions(this.style()); this.mark(); }
  async show(symbol) {
    this.symbol = symbol;
    this.all = DATA.candles[symbol] ? await candlesOf(DATA.candles[symbol]) : [];
    const places = DATA.candles[symbol] ? DATA.candles[symbol].decimals : 2;
    this.series.applyOptions({ priceFormat: { type: "price", precision: places, minMove: Math.pow(10, -places) } });
    this.trades = TRADES.filter((trade) => trade.symbol === symbol);
    await this.structure.show(symbol);
    this.overview();
  }
  put(rows, told) {
    this.rows = rows;
    this.series.setData(rows);
    this.mark();
    $("level").textContent = told;
  }
  overview() {
    this.chosen = null;
    const rows = coarser(this.all, OVERVIEW_CANDLES);
    const size = rows.length ? Math.ceil(this.all.length / rows.length) : 1;
    const told = size > 1 ? `${this.all.length.toLocaleString("en-US")} candles, ${size} drawn as one; choose a trade to see each` : `${rows.length.toLocaleString("en-US")} candles of ${SUMMARY.timeframe ?? ""}`;
    this.put(rows, told);
    this.chart.timeScale().fitContent();
  }
  // The newest drawn candle that opens at or before a time.
  candleAt(time, rows = this.rows) {
    let low = 0, high = rows.length - 1;
    while (low < high) { const middle = (low + high + 1) >> 1; if (rows[middle].time <= time) low = middle; else high = middle - 1; }
    return rows.length ? rows[low].time : time;
  }
  mark() {
    if (!this.rows.length) { this.markers.setMarkers([]); return; }
    const [from, to] = [this.rows[0].time, this.rows[this.rows.length - 1].time + 1e9];
    const made = [];
    // Hundreds of arrows over years of candles hide what they mark: there, only how each trade ended is shown.
    const isCrowded = this.trades.length > 150 && !this.chosen;
    for (const trade of this.trades) {
      if (trade.exit < from || trade.entry > to) continue;
      const isLong = trade.side === "long";
      if (!isCrowded) made.push({ time: this.candleAt(trade.entry), position: isLong ? "belowBar" : "aboveBar", shape: isLong ? "arrowUp" : "arrowDown", color: colour("accent"), size: trade === this.chosen ? 2 : 0.8 });
      made.push({ time: this.candleAt(trade.exit), position: isLong ? "aboveBar" : "belowBar", shape: "circle", color: colour(trade.pnl >= 0 ? "gain" : "loss"), size: trade === this.chosen ? 1.2 : isCrowded ? 0.25 : 0.5 });
    }
    made.sort((a, b) => a.time - b.time);
    this.markers.setMarkers(made);
  }
  async choose(trade) {
    if (trade.symbol !== this.symbol) { $("symbol").value = trade.symbol; await this.show(trade.symbol); }
    this.chosen = trade;
    let first = this.all.findIndex((row) => row.time > trade.entry) - 1;
    if (first < 0) first = this.all.length - 1;
    let last = this.all.findIndex((row) => row.time > trade.exit) - 1;
    if (last < 0) last = this.all.length - 1;
    if (this.all.length > OVERVIEW_CANDLES) {
      const start = Math.max(first - WINDOW_CANDLES, 0), stop = Math.min(last + WINDOW_CANDLES, this.all.length);
      this.put(this.all.slice(start, stop), `candles ${start.toLocaleString("en-US")} … ${stop.toLocaleString("en-US")} of ${this.all.length.toLocaleString("en-US")}`);
      first -= start; last -= start;
    } else this.mark();
    const margin = Math.max(20, Math.round((last - first) * 0.6));
    this.chart.timeScale().setVisibleLogicalRange({ from: first - margin, to: last + margin });
    this.boxes.update?.();
  }
}

class EquityView {
  constructor() {
    this.chart = LightweightCharts.createChart($("equity"), chartOptions());
    const quiet = { priceLineVisible: false, lastValueVisible: false };
    this.held = this.chart.addSeries(LightweightCharts.LineSeries, { ...quiet, lineWidth: 1 });
    this.equity = this.chart.addSeries(LightweightCharts.LineSeries, { ...quiet, lineWidth: 2, title: "" });
    this.under = this.chart.addSeries(LightweightCharts.AreaSeries, { ...quiet, lineWidth: 1, priceFormat: { type: "custom", formatter: (x) => x.toFixed(1) + " %" } }, 1);
    const points = (name, scale) => DATA.equity.time.map((time, i) => ({ time, value: DATA.equity[name][i] * scale }));
    this.equity.setData(points("equity", 1));
    this.held.setData(points("hold", 1).filter((point) => Number.isFinite(point.value) && point.value > 0));
    this.under.setData(points("drawdown", 100));
    this.chart.panes()[1]?.setHeight(100);
    // A logarithm, so that a curve that multiplies does not flatten one that does not.
    const isPositive = DATA.equity.equity.every((value) => value > 0);
    this.chart.priceScale("right", 0).applyOptions({ mode: isPositive ? 1 : 0 });
    // The chart learns its size from the browser only after this turn; what is fitted before that is fitted to nothing.
    requestAnimationFrame(() => requestAnimationFrame(() => this.chart.timeScale().fitContent()));
    $("hold").onchange = () => this.held.applyOptions({ visible: $("hold").checked });
    this.restyle();
    CHARTS.push(this);
  }
  restyle() {
    this.chart.applyOptions(chartOptions());
    this.equity.applyOptions({ color: colour("accent") });
    this.held.applyOptions({ color: colour("quiet") });
    this.under.applyOptions({ lineColor: colour("loss"), topColor: colour("loss-soft"), bottomColor: colour("loss-soft"), invertFilledArea: true });
  }
}
