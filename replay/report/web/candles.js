"use strict";
// Candles with volume and trades. As many candles are drawn as a screen can show; nearer, fewer are drawn as one.
const MOST_CANDLES = 6000, BOX_WIDTH = 22, STRIP_STEP = 6, STRIP_HEIGHT = 26;
const RANGES = [["1 D", 86400], ["1 W", 7 * 86400], ["1 M", 30 * 86400], ["3 M", 91 * 86400], ["1 Y", 365 * 86400]];

// Trades: one by one where they can be told apart, each from entry to exit, towards its target green, towards its stop
// red; otherwise as a strip below, profit and loss of what ended there.
class TradeMarks {
  constructor(view) { this.view = view; }
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
  isFar(trades) { return trades.length * BOX_WIDTH > this.chart.timeScale().width(); }
  places(trade) {
    const [left, right] = [this.view.x(trade.entry), this.view.x(trade.exit)];
    return { left, right: Math.max(right, left + 2), entry: this.series.priceToCoordinate(trade.entry_price), exit: this.series.priceToCoordinate(trade.exit_price) };
  }
  drawBoxes(context) {
    const trades = this.inSight();
    for (const trade of this.isFar(trades) ? trades.filter((t) => t === this.view.chosen) : trades) {
      const { left, right, entry, exit } = this.places(trade);
      if (entry === null || exit === null) continue;
      const isChosen = trade === this.view.chosen;
      for (const [price, name] of [[trade.target_price, "gain"], [trade.stop_price, "loss"]]) {
        if (price === null) continue;
        const y = this.series.priceToCoordinate(price);
        context.fillStyle = colour(name + "-soft");
        context.fillRect(left, Math.min(entry, y), right - left, Math.abs(y - entry));
        context.fillStyle = colour(name);
        context.fillRect(left, y - 0.5, right - left, isChosen ? 2 : 1);
      }
      context.strokeStyle = colour(isChosen ? "accent" : "quiet");
      context.lineWidth = isChosen ? 2 : 1;
      context.beginPath();
      context.moveTo(left, entry);
      context.lineTo(right, exit);
      context.stroke();
    }
  }
  drawMarks(context, size) {
    const trades = this.inSight();
    if (this.isFar(trades)) { this.drawStrip(context, size, trades); return; }
    for (const trade of trades) {
      const { left, right, entry, exit } = this.places(trade);
      if (entry === null || exit === null) continue;
      const big = trade === this.view.chosen ? 7 : 5, up = trade.side === "long" ? 1 : -1;
      context.fillStyle = colour("accent");
      context.beginPath();
      context.moveTo(left, entry + up * 3);
      context.lineTo(left - big, entry + up * (3 + 1.5 * big));
      context.lineTo(left + big, entry + up * (3 + 1.5 * big));
      context.fill();
      context.fillStyle = colour(trade.pnl >= 0 ? "gain" : "loss");
      context.beginPath();
      context.arc(right, exit, big - 1.5, 0, 7);
      context.fill();
    }
  }
  drawStrip(context, size, trades) {
    const sums = new Map();
    for (const trade of trades) {
      const x = this.view.x(trade.exit);
      if (x === null || x < 0 || x > size.width) continue;
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
}

class CandleView {
  constructor() {
    this.chart = LightweightCharts.createChart($("candles"), chartOptions());
    this.series = this.chart.addSeries(LightweightCharts.CandlestickSeries, this.style());
    this.volume = this.chart.addSeries(LightweightCharts.HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false });
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.08, bottom: 0.24 } });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0.07 } });
    this.trades = []; this.rows = []; this.all = []; this.chosen = null;
    this.first = 0; this.size = 1; this.isWhole = true;
    this.marks = new TradeMarks(this);
    this.structure = new StructureLayer(this);
    this.series.attachPrimitive(this.structure);
    this.series.attachPrimitive(this.marks);
    this.structure.controls($("structure"));
    this.chart.subscribeCrosshairMove((at) => this.tell(at.time));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => { clearTimeout(this.timer); this.timer = setTimeout(() => this.settle(), 80); });
    keepWhole(this.chart, () => this.isWhole, () => this.fit());
    CHARTS.push(this);
  }
  style() { return { upColor: colour("gain"), downColor: colour("loss"), wickUpColor: colour("gain"), wickDownColor: colour("loss"), borderVisible: false, priceLineVisible: false }; }
  restyle() { this.chart.applyOptions(chartColours()); this.series.applyOptions(this.style()); this.putVolume(); }
  async show(symbol) {
    this.symbol = symbol;
    this.all = DATA.candles[symbol] ? await candlesOf(DATA.candles[symbol]) : [];
    const places = DATA.candles[symbol] ? DATA.candles[symbol].decimals : 2;
    this.series.applyOptions({ priceFormat: { type: "price", precision: places, minMove: Math.pow(10, -places) } });
    this.trades = TRADES.filter((trade) => trade.symbol === symbol);
    await this.structure.show(symbol);
    this.ranges();
    this.overview();
  }
  ranges() {
    const n = this.all.length, whole = n ? this.all[n - 1].time - this.all[0].time : 0;
    $("ranges").replaceChildren(...RANGES.filter(([, seconds]) => seconds < whole).map(([title, seconds]) => {
      const button = element("button", title);
      button.type = "button";
      button.onclick = () => this.range(seconds);
      return button;
    }));
  }
  // Draw candles `first` … `last - 1` of all, `size` as one, and look at `from` … `to`, places among all candles.
  put(first, last, size, from, to) {
    first = Math.max(Math.floor(first), 0);
    first -= first % size;
    last = Math.min(Math.ceil(last), this.all.length);
    this.first = first; this.size = size;
    this.rows = coarser(this.all, first, last, size);
    this.series.setData(this.rows);
    this.putVolume();
    this.chart.timeScale().setVisibleLogicalRange({ from: (from - first) / size, to: (to - first) / size });
    this.tell();
  }
  putVolume() {
    const [up, down] = [colour("gain-soft"), colour("loss-soft")];
    this.volume.setData(this.rows.map((row) => ({ time: row.time, value: row.volume, color: row.close >= row.open ? up : down })));
  }
  // What is in sight decides how finely it is drawn: three times as much as is seen, so that moving a little needs nothing.
  look(from, to) {
    this.isWhole = false;
    const span = Math.max(to - from, 20);
    const size = Math.max(1, Math.ceil((3 * span) / MOST_CANDLES));
    this.put(from - span, to + span, size, from, to);
  }
  settle() {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (!range || !this.rows.length) return;
    const [from, to] = [this.first + range.from * this.size, this.first + range.to * this.size];
    const wanted = Math.max(1, Math.ceil((3 * (to - from)) / MOST_CANDLES));
    this.isWhole = from <= 0 && to >= this.all.length;
    const drawnTo = this.first + this.rows.length * this.size;
    const isBare = (range.from < -1 && this.first > 0) || (to > drawnTo + this.size && drawnTo < this.all.length);
    if (isBare || 2 * wanted <= this.size || (wanted >= 2 * this.size && this.rows.length < this.all.length / this.size)) this.look(from, to);
    this.tell();
  }
  overview() {
    this.chosen = null;
    if (this.all.length) this.fit();
    else { this.rows = []; this.series.setData([]); this.volume.setData([]); }
  }
  fit() {
    const n = this.all.length;
    if (n) this.put(0, n, Math.ceil(n / MOST_CANDLES), -0.01 * n, 1.01 * n);
    this.isWhole = true;
  }
  range(seconds) {
    const seen = this.chart.timeScale().getVisibleLogicalRange(), n = this.all.length;
    const end = seen ? Math.min(Math.max(this.first + seen.to * this.size, 1), n) : n;
    const last = this.all[Math.min(Math.floor(end), n - 1)].time;
    const start = lastAt(this.all, last - seconds);
    this.look(start < 0 ? 0 : start, start < 0 ? Math.min(lastAt(this.all, this.all[0].time + seconds), n) : end);
  }
  // The place of a time on the chart, on the drawn candle that holds it; null when nothing is drawn.
  x(time) {
    if (!this.rows.length) return null;
    return this.chart.timeScale().logicalToCoordinate(Math.floor((Math.max(lastAt(this.all, time), 0) - this.first) / this.size));
  }
  // Below the chart: how finely it is drawn, and what is not.
  tellLevel() {
    const n = this.all.length.toLocaleString("en-US"), frame = SUMMARY.timeframe ?? "";
    const candles = this.size > 1 ? `, ${this.size} drawn as one; zoom in to see each` : "";
    $("level").textContent = `${n} candles of ${frame}${candles}${this.structure.isTooMuch() ? "; market structure is drawn from nearer" : ""}`;
  }
  // The line above the chart: the candle under the pointer, the newest in sight without one.
  tell(time) {
    this.tellLevel();
    if (!this.rows.length) { $("legend").textContent = ""; return; }
    const seen = this.chart.timeScale().getVisibleLogicalRange();
    const at = time !== undefined ? lastAt(this.rows, time) : Math.min(this.rows.length - 1, Math.floor(seen ? seen.to : Infinity));
    const row = this.rows[Math.max(at, 0)];
    const change = row.close / row.open - 1;
    const part = (name, value, className) => { const node = element("span", name + " "); node.append(element("b", value, className)); return node; };
    $("legend").replaceChildren(element("span", stamp(row.time)), part("O", shown(row.open, "price")), part("H", shown(row.high, "price")), part("L", shown(row.low, "price")),
      part("C", shown(row.close, "price")), part("", (change >= 0 ? "+" : "") + shown(change, "percent"), tone(change)), part("Vol", shown(row.volume, "volume")));
  }
  async choose(trade) {
    if (trade.symbol !== this.symbol) { $("symbol").value = trade.symbol; await this.show(trade.symbol); }
    this.chosen = trade;
    const [first, last] = [trade.entry, trade.exit].map((time) => Math.max(lastAt(this.all, time), 0));
    const margin = Math.max(25, Math.round((last - first) * 0.6));
    this.look(first - margin, last + margin);
    this.marks.update?.();
  }
}
