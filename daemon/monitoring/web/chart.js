"use strict";
// Live candles. Only a window is loaded, three times what is seen, as coarse as the screen needs; the newest candle grows
// as base candles arrive.
const SHOWN = 160, MOST = 1500;
const RANGES = [["6 H", 6], ["1 D", 24], ["1 W", 168], ["1 M", 720], ["all", null]];

class CandleView {
  constructor(onWhy) {
    this.chart = LightweightCharts.createChart($("candles"), chartOptions());
    this.series = this.chart.addSeries(LightweightCharts.CandlestickSeries, this.style());
    this.volume = this.chart.addSeries(LightweightCharts.HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false });
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.08, bottom: 0.22 } });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.85, bottom: 0 } });
    this.rows = this.whole = []; this.trades = []; this.taken = []; this.chosen = null; this.position = null; this.isWhole = false;
    this.book = { trades: [], orders: [], structure: null, nGroups: STRUCTURE_GROUPS.length, features: null }; this.got = { trades: [], orders: [], fills: [] };
    this.sizeMs = 60_000; this.isLive = true; this.isTold = false; this.turn = 0; this.onWhy = onWhy;
    this.until = Infinity; this.size = 1;
    this.structure = new StructureLayer(this);
    this.features = new FeatureLayer(this);
    this.marks = new TradeMarks(this);
    this.orders = new OrdersLayer(this);
    for (const layer of [this.structure, this.orders, this.marks]) this.series.attachPrimitive(layer);
    $("show-trades").onchange = () => this.putTrades();
    for (const [id, layer, name] of [["show-levels", this.marks, "levels"], ["show-orders", this.orders, "resting"]]) $(id).onchange = (event) => { layer.shown[event.target.checked ? "add" : "delete"](name); layer.update?.(); };
    this.chart.subscribeCrosshairMove((at) => { this.tell(at.time); tellTip(at.point, at.point ? [...this.marks.at(at.point), ...this.orders.at(at.point)].slice(0, 6) : []); });
    this.chart.subscribeClick((at) => { if (at.time === undefined) return; if (this.until === Infinity) this.why(this.place(at.time * 1000)); else this.onCandle?.(this.place(at.time * 1000)); });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => { clearTimeout(this.timer); this.timer = setTimeout(() => this.settle(), 150); });
    CHARTS.push(this);
  }
  style() { return { upColor: colour("gain"), downColor: colour("loss"), wickUpColor: colour("gain"), wickDownColor: colour("loss"), borderVisible: false, priceLineVisible: true }; }
  restyle() { this.chart.applyOptions(chartColours()); this.series.applyOptions(this.style()); this.putVolume(); this.features.restyle(); this.marks.update?.(); }
  async show(market, frameMs) {
    this.symbol = market.symbol; this.frameMs = frameMs; this.chosen = null;
    const tick = market.tick_size || 0.01, places = Math.max(0, Math.min(8, Math.ceil(-Math.log10(tick) - 1e-9)));
    this.series.applyOptions({ priceFormat: { type: "price", precision: places, minMove: tick } });
    this.ranges();
    await this.newest();
  }
  ranges() {
    $("ranges").replaceChildren(...RANGES.map(([title, hours]) => {
      const button = element("button", title);
      button.type = "button";
      button.onclick = () => (this.newestMs === null ? this.newest() : hours === null ? this.load(0, null, true) : this.load(this.newestMs - hours * 3_600_000, this.newestMs, true));
      return button;
    }));
  }
  newest() { return this.load(null, null, true); }
  // Load a window; of two that are asked for only the later one is drawn.
  async load(fromMs, toMs, isFit, seen = null) {
    if (this.until !== Infinity) this.onLeave?.();
    const turn = ++this.turn, symbol = this.symbol;
    let found;
    try { found = await ask("candles", { symbol, from_ms: fromMs === null ? null : Math.max(0, Math.floor(fromMs)), to_ms: toMs === null ? null : Math.ceil(toMs), limit: fromMs === null ? NEWEST : MOST }); }
    catch (problem) { $("chart-state").textContent = `candles could not be loaded: ${problem.message}`; $("chart-state").hidden = false; return; }
    if (turn !== this.turn) return;
    this.sizeMs = found.size_ms; this.size = found.size_ms / this.frameMs; this.oldestMs = found.oldest_ms; this.newestMs = found.newest_ms;
    this.rows = this.whole = found.open_ms.map((ms, i) => ({ time: ms / 1000, open: found.open[i], high: found.high[i], low: found.low[i], close: found.close[i], volume: found.volume[i] }));
    this.isLive = found.newest_ms === null || !this.rows.length || this.rows.at(-1).time * 1000 + this.sizeMs >= found.newest_ms;
    this.draw();
    $("replay").hidden = !this.whole.length;
    const n = this.rows.length;
    if (isFit) { if (fromMs === null) this.chart.timeScale().setVisibleLogicalRange({ from: n - Math.min(SHOWN, n) - 1, to: n + 5 }); else this.chart.timeScale().fitContent(); }
    else if (seen && n) this.chart.timeScale().setVisibleRange({ from: Math.max(seen.from, this.rows[0].time), to: Math.min(seen.to, this.rows.at(-1).time) });
    await Promise.all([this.loadTrades(), this.loadSeen()]);
    if (this.isTold) document.documentElement.dataset.ready = "yes";
  }
  get all() { return this.rows; } // as the layers call what is drawn
  draw() {
    $("chart-state").hidden = this.rows.length > 0;
    $("chart-state").textContent = "No candle has been accepted yet. The first one is drawn when it is final.";
    this.series.setData(this.rows);
    this.putVolume();
    this.tell();
  }
  putVolume() {
    const [up, down] = [colour("gain-soft"), colour("loss-soft")];
    this.volume.setData(this.rows.map((row) => ({ time: row.time, value: row.volume, color: row.close >= row.open ? up : down })));
  }
  // What lies in the window: trades with the paths of their stops and targets, and orders that rested.
  async loadTrades() {
    if (!this.whole.length || this.until !== Infinity) return;
    const turn = this.turn, span = this.span();
    try {
      const [trades, orders, fills] = await Promise.all([ask("trades", { ...span, limit: 300 }), ask("orders", { ...span, limit: 500 }), ask("fills", { ...span, limit: 500 })]);
      if (turn !== this.turn) return;
      this.got = { trades: trades.rows, orders: orders.rows.reverse(), fills: fills.rows.reverse() };
      this.mix();
    } catch (problem) { $("level").textContent = `trades could not be loaded: ${problem.message}`; }
  }
  // The book of the window, and what of it is known where the chart stands.
  mix() {
    const orders = ordersOf(this.got.orders, this.got.fills);
    this.book.orders = orders.resting;
    this.book.trades = tradesOf(this.got.trades, this.isLive || this.got.fills.length ? this.position : null, this.got.fills, orders);
    this.putTrades();
  }
  putTrades() {
    this.trades = $("show-trades").checked ? tradesAt(this.book.trades, this.until) : [];
    this.orders.show(this.until === Infinity ? this.book.orders : ordersAt(this.book.orders, this.until));
    this.marks.update?.();
  }
  // What the replay tells beside the chart, fetched when it begins.
  async prepare() {
    const turn = this.turn, span = { symbol: this.symbol, from_ms: this.whole[0].time * 1000, to_ms: this.whole.at(-1).time * 1000 + this.sizeMs + 1 };
    try {
      const names = ["closes", "decisions", "predictions", "orders", "fills", "trades"], found = {};
      for (const [i, rows] of (await Promise.all(names.map((name) => rowsIn(name, span)))).entries()) found[names[i]] = rows;
      if (turn !== this.turn) return;
      this.cut = names.filter((name) => found[name].isCut).join(", ");
      this.got = { trades: found.trades, orders: [...found.orders].reverse(), fills: [...found.fills].reverse() };
      Object.assign(this.book, { since: this.whole[0].time }, tablesFrom(found, this.whole[0].time));
      this.mix();
    } catch (problem) { $("level").textContent = `what was said at the closes could not be loaded: ${problem.message}`; }
  }
  // For the replay (replay.js): candles of the window are its steps.
  seen() { const range = this.chart.timeScale().getVisibleLogicalRange(); return range && [range.from, range.to]; }
  closeOf(n) { return Math.min(this.whole[n].time + this.sizeMs / 1000, this.whole[n + 1]?.time ?? Infinity); }
  stateAt(n) { return stateAt(this.book, this.whole[n].time, this.closeOf(n)); }
  at(n, from, to) {
    this.until = n === null ? Infinity : this.closeOf(n);
    this.rows = n === null ? this.whole : this.whole.slice(0, n + 1);
    this.draw();
    this.features.put(this.rows);
    this.tell();
    this.putTrades();
    if (n !== null) this.chart.timeScale().setVisibleLogicalRange({ from, to });
    this.structure.update?.();
    if (n === null) this.loadTrades(); // what happened meanwhile
  }
  // The span of what is drawn, as it is asked for.
  span() { return { symbol: this.symbol, from_ms: this.whole[0].time * 1000, to_ms: this.isLive ? null : this.whole.at(-1).time * 1000 + this.sizeMs }; }
  // What the strategy saw in the window: market structure, and lines of the features that it names.
  async loadSeen() {
    if (!this.rows.length) return;
    const turn = this.turn, span = this.span();
    try {
      const [structure, lines] = await Promise.all([ask("structure", span), ask("features", { ...span, size_ms: this.sizeMs })]);
      if (turn === this.turn) this.putSeen(structureItems(structure), lineData(lines));
    } catch (problem) { $("level").textContent = `what the strategy saw could not be loaded: ${problem.message}`; }
  }
  putSeen(items, lines) {
    if (items.n && $("structure").hidden) this.structure.controls($("structure"));
    if (lines.columns.length && !this.features.names.length) this.features.offer(lines.columns);
    Object.assign(this.book, { structure: items, features: lines });
    this.structure.show(items);
    this.features.show(lines);
    document.documentElement.dataset.seen = `${items.n} ${lines.times.length}`;
  }
  // Events of the stream end things that are drawn, too: the window's structure is asked for again.
  changed() { clearTimeout(this.asking); this.asking = setTimeout(() => this.loadSeen(), 300); }
  // The features of a close that the stream brought become part of the lines.
  addFeatures(closeMs, values) {
    const data = this.features.data;
    if (!this.isLive || !data?.columns.length) return;
    const openMs = closeMs - this.frameMs, time = (openMs - (openMs % data.sizeMs)) / 1000;
    const isNew = !(data.times.at(-1) >= time), place = isNew ? data.times.push(time) - 1 : data.times.length - 1;
    data.columns.forEach((column, i) => { column.values[place] = values[i] ?? NaN; });
    this.features.put(this.rows);
    this.tell();
  }
  // A base candle of the stream becomes part of the newest one that is drawn.
  add(openMs, open, high, low, close, volume) {
    this.newestMs = Math.max(this.newestMs ?? 0, openMs);
    if (!this.isLive) return;
    const time = (openMs - (openMs % this.sizeMs)) / 1000, last = this.whole.at(-1);
    if (last && time < last.time) return;
    if (last && time === last.time) {
      if (this.taken_ms === openMs) return;
      last.high = Math.max(last.high, high); last.low = Math.min(last.low, low); last.close = close; last.volume += volume;
    } else this.whole.push({ time, open, high, low, close, volume });
    this.taken_ms = openMs;
    document.documentElement.dataset.candles = String(Number(document.documentElement.dataset.candles ?? 0) + 1);
    if (this.until !== Infinity) return; // the replay stays where it is
    const row = this.whole.at(-1);
    this.series.update(row);
    this.volume.update({ time: row.time, value: row.volume, color: colour(row.close >= row.open ? "gain-soft" : "loss-soft") });
    $("chart-state").hidden = true;
    this.tell();
  }
  // Nearer, or beyond what is loaded: another window.
  settle() {
    const range = this.chart.timeScale().getVisibleLogicalRange(), seen = this.chart.timeScale().getVisibleRange();
    if (!range || !seen || !this.rows.length || this.until !== Infinity) return;
    const span = Math.max(range.to - range.from, 20) * this.sizeMs;
    const fromMs = this.rows[0].time * 1000 + range.from * this.sizeMs, toMs = fromMs + span;
    const isBare = (range.from < -1 && this.oldestMs < this.rows[0].time * 1000) || (!this.isLive && range.to > this.rows.length + 1);
    const isCoarse = this.sizeMs > this.frameMs && (3 * span) / this.sizeMs < MOST / 2;
    if (isBare || isCoarse) this.load(Math.max(fromMs - span, this.oldestMs), toMs + span, false, seen);
  }
  place(ms) { return Math.max(lastAt(this.rows, ms / 1000), 0); }
  // The place of a time in seconds on the chart; null when nothing is drawn.
  x(time) { return this.rows.length ? this.chart.timeScale().logicalToCoordinate(this.place(time * 1000)) : null; }
  // Where a candle that holds a time begins on the chart.
  edge(time) { const x = this.x(time); return x === null ? null : x - this.chart.timeScale().options().barSpacing / 2; }
  why(at) { const row = this.rows[at]; if (row) this.onWhy(this.symbol, row, this.sizeMs); }
  choose(trade) {
    this.chosen = trade;
    const span = Math.max(trade.exit_ms - trade.entry_ms, 20 * this.frameMs);
    this.load(trade.entry_ms - span, trade.exit_ms + span, true);
    $("candles").scrollIntoView({ block: "center" });
  }
  tell(time) {
    if (!this.rows.length) { $("legend").textContent = ""; return; }
    const at = time === undefined ? this.rows.length - 1 : this.place(time * 1000), row = this.rows[at], change = row.close / row.open - 1;
    const part = (name, value, className) => { const node = element("span", name + " "); node.append(element("b", value, className)); return node; };
    $("legend").replaceChildren(element("span", moment(row.time * 1000)), part("O", price(row.open)), part("H", price(row.high)), part("L", price(row.low)), part("C", price(row.close)), part("", (change >= 0 ? "+" : "") + percent(change), tone(change)), part("Vol", shown(row.volume, "volume")), ...this.features.values(at).map(([name, value, tint]) => { const node = part(name, value); node.style.color = tint; return node; }));
    const joined = Math.round(this.sizeMs / this.frameMs);
    $("level").textContent = `${this.rows.length} candles of ${lengthOf(this.frameMs)}${joined > 1 ? `, ${joined} drawn as one with their true high and low; zoom in to see each` : ""}${this.isLive ? "" : "; not the newest"}${this.structure.isTooMuch() ? "; market structure is drawn from nearer" : ""}${this.until !== Infinity && this.cut ? `; of ${this.cut} the replay knows the newest ${MOST_ROWS_READ.toLocaleString("en-US")}` : ""}`;
  }
}
