"use strict";
// Candles with volume and trades. As many candles are drawn as a screen can show; nearer, fewer are drawn as one.
const MOST_CANDLES = 6000;
const RANGES = [["1 D", 86400], ["1 W", 7 * 86400], ["1 M", 30 * 86400], ["3 M", 91 * 86400], ["1 Y", 365 * 86400]];

class CandleView {
  constructor() {
    this.chart = LightweightCharts.createChart($("candles"), chartOptions());
    this.series = this.chart.addSeries(LightweightCharts.CandlestickSeries, this.style());
    this.volume = this.chart.addSeries(LightweightCharts.HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false });
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.08, bottom: 0.24 } });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0.07 } });
    this.trades = []; this.rows = []; this.all = []; this.whole = []; this.until = Infinity; this.chosen = null; this.taken = [];
    this.first = 0; this.size = 1; this.isWhole = true; this.read = {};
    this.marks = new TradeMarks(this);
    this.structure = new StructureLayer(this);
    this.orders = new OrdersLayer(this);
    this.features = new FeatureLayer(this);
    for (const layer of [this.structure, this.orders, this.marks]) this.series.attachPrimitive(layer);
    if (Object.keys(DATA.structure ?? {}).length) this.structure.controls($("structure"));
    this.features.offer(Object.values(DATA.features ?? {})[0]?.columns ?? []);
    this.marks.controls($("trading"));
    this.chart.subscribeCrosshairMove((at) => { this.tell(at.time); this.hover(at.point); });
    this.chart.subscribeClick((at) => { if (at.time !== undefined) this.onCandle?.(this.placeOf(at.time)); });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => { clearTimeout(this.timer); this.timer = setTimeout(() => this.settle(), 80); });
    keepWhole(this.chart, () => this.isWhole, () => this.fit());
    CHARTS.push(this);
  }
  style() { return { upColor: colour("gain"), downColor: colour("loss"), wickUpColor: colour("gain"), wickDownColor: colour("loss"), borderVisible: false, priceLineVisible: false }; }
  restyle() { this.chart.applyOptions(chartColours()); this.series.applyOptions(this.style()); this.putVolume(); this.features.restyle(); }
  async show(symbol) {
    this.symbol = symbol;
    this.all = this.whole = DATA.candles[symbol] ? await candlesOf(DATA.candles[symbol]) : [];
    this.until = Infinity;
    const places = Math.max(DATA.candles[symbol]?.decimals ?? 2, 0);
    this.series.applyOptions({ priceFormat: { type: "price", precision: places, minMove: Math.pow(10, -places) } });
    this.trades = TRADES.filter((trade) => trade.symbol === symbol);
    this.structure.show(DATA.structure?.[symbol] ? await structureOf(DATA.structure[symbol]) : null);
    this.orders.show(ORDERS[symbol]?.resting ?? []);
    this.features.show((this.read[symbol] ??= await featuresOf(DATA.features?.[symbol])));
    this.book = {
      trades: this.trades, orders: ORDERS[symbol]?.resting ?? [], structure: this.structure.items, nGroups: STRUCTURE_GROUPS.length,
      features: this.features.data, tables: await tablesOf(DATA.closes?.[symbol]), account: (this.account ??= await accountOf(DATA.account)),
    };
    this.ranges();
    this.overview();
  }
  // When a candle closed, in seconds; of several drawn as one, when the next began.
  closeOf(n) {
    const { joined } = DATA.candles[this.symbol], next = this.whole[n + 1]?.time ?? Infinity;
    return Math.min(this.whole[n].time + (DATA.length ?? 0) * joined, next);
  }
  stateAt(n) { return stateAt(this.book, this.whole[n].time, this.closeOf(n)); }
  // What is in sight, as places among all candles.
  seen() {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    return range && [this.first + range.from * this.size, this.first + range.to * this.size];
  }
  // The candle that holds a time on the drawn ones: of several drawn as one the last.
  placeOf(time) { return Math.min(this.first + (lastAt(this.rows, time) + 1) * this.size, this.all.length) - 1; }
  // What was known at the close of candle `n` and nothing else, seen from `from` to `to`; null: everything again.
  at(n, from, to) {
    this.until = n === null ? Infinity : this.closeOf(n);
    this.all = n === null ? this.whole : this.whole.slice(0, n + 1);
    this.trades = n === null ? this.book.trades : tradesAt(this.book.trades, this.until);
    this.orders.show(n === null ? this.book.orders : ordersAt(this.book.orders, this.until));
    if (n === null) this.overview(); else this.look(from, to);
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
    this.features.put(this.rows);
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
    else { this.rows = []; this.series.setData([]); this.volume.setData([]); this.features.put([]); }
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
  // Where a candle that holds a time begins on the chart.
  edge(time) {
    const x = this.x(time);
    return x === null ? null : x - this.chart.timeScale().options().barSpacing / 2;
  }
  // Below the chart: how finely it is drawn, and what is not.
  tellLevel() {
    const { count, joined } = DATA.candles[this.symbol] ?? { count: 0, joined: 1 }, n = count.toLocaleString("en-US"), frame = SUMMARY.timeframe ?? "";
    const nearer = joined > 1 ? "; the page holds no more" : "; zoom in to see each";
    const candles = this.size * joined > 1 ? `, ${this.size * joined} drawn as one${this.size > 1 || joined > 1 ? nearer : ""}` : "";
    $("level").textContent = `${n} candles of ${frame}${candles}${this.structure.isTooMuch() ? "; market structure is drawn from nearer" : ""}${this.orders.isTooMuch() ? "; orders are drawn from nearer" : ""}`;
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
      part("C", shown(row.close, "price")), part("", (change >= 0 ? "+" : "") + shown(change, "percent"), tone(change)), part("Vol", shown(row.volume, "volume")), ...this.features.values(at).map(([name, value, tone]) => { const node = part(name, value); node.style.color = tone; return node; }));
  }
  // What lies under the pointer, in words.
  hover(point) {
    const told = point ? [...this.marks.at(point), ...this.orders.at(point)].slice(0, 6) : [];
    tellTip(point, told);
  }
  async choose(trade) {
    if (this.until !== Infinity) this.onLeave?.();
    if (trade.symbol !== this.symbol) { $("symbol").value = trade.symbol; await this.show(trade.symbol); }
    this.chosen = trade;
    const [first, last] = [trade.entry, trade.exit].map((time) => Math.max(lastAt(this.all, time), 0));
    const margin = Math.max(25, Math.round((last - first) * 0.6));
    this.look(first - margin, last + margin);
    this.marks.update?.();
  }
}
