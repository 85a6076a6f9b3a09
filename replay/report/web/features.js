"use strict";
// What the strategy looked at, as it saw it: on the candles where values are prices, otherwise in a pane of its own.
const MOST_FEATURES_SHOWN = 4, PANE_HEIGHT = 96, MAIN_HEIGHT = 440, N_LINE_COLOURS = 6;

class FeatureLayer {
  constructor(view) { this.view = view; this.data = null; this.times = []; this.lines = []; this.names = []; this.requests = new Map(); this.shown = new Set(); }
  // What there is, once: [{name, request}, …].
  offer(columns) {
    for (const { name, request } of columns) {
      this.names.push(name);
      this.requests.set(request, [...(this.requests.get(request) ?? []), name]);
    }
    this.shown = new Set(this.names.length <= MOST_FEATURES_SHOWN ? this.requests.keys() : []);
    this.controls($("features"));
  }
  tone(name) { return colour(`line-${(this.names.indexOf(name) % N_LINE_COLOURS) + 1}`); }
  // data: what `featuresAt` reads, {times, length, columns: [{name, request, is_over, decimals, values}, …]}; null for none.
  show(data) {
    this.data = data;
    this.times = data?.times ?? [];
    this.build();
  }
  // Series anew where others are shown, or lie elsewhere: columns of one request share a pane.
  build() {
    const chosen = (this.data?.columns ?? []).filter((column) => this.shown.has(column.request));
    const panes = [...new Set(chosen.filter((column) => !column.is_over).map((column) => column.request))];
    const key = chosen.map((column) => `${column.name} ${column.is_over} ${column.decimals}`).join();
    if (key !== this.key) {
      this.key = key;
      for (const { series } of this.lines) this.view.chart.removeSeries(series);
      this.lines = [];
      for (const column of chosen) {
        const places = Math.min(Math.max(column.decimals - (column.is_over ? 0 : 2), 0), 8);
        const options = { color: this.tone(column.name), lineWidth: 1, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false, priceFormat: { type: "price", precision: places, minMove: Math.pow(10, -places) } };
        const series = this.view.chart.addSeries(LightweightCharts.LineSeries, options, column.is_over ? 0 : panes.indexOf(column.request) + 1);
        this.lines.push({ column, series, drawn: [] });
      }
      $("candles").style.height = panes.length ? `calc(var(--tall) + ${PANE_HEIGHT * panes.length}px)` : "";
      this.view.chart.panes().forEach((pane, i) => pane.setStretchFactor(i ? PANE_HEIGHT : MAIN_HEIGHT));
    }
    this.lines.forEach((line, i) => { line.column = chosen[i]; });
    this.put(this.view.rows);
    this.view.tell();
  }
  // The value of a drawn candle is the last that was known in it.
  put(rows) {
    for (const line of this.lines) {
      line.drawn = new Array(rows.length);
      let at = 0;
      for (let i = 0; i < rows.length; i++) {
        const end = i + 1 < rows.length ? rows[i + 1].time : this.view.until;
        let value = NaN;
        while (at < this.times.length && this.times[at] < end) { if (this.times[at] >= rows[i].time) value = line.column.values[at]; at++; }
        line.drawn[i] = value;
      }
      line.series.setData(rows.map((row, i) => (Number.isFinite(line.drawn[i]) ? { time: row.time, value: line.drawn[i] } : { time: row.time })));
    }
  }
  restyle() {
    for (const { column, series } of this.lines) series.applyOptions({ color: this.tone(column.name) });
    this.paint();
    this.view.tell(); // in the colours of the theme
  }
  // Name, value and colour of each at one drawn candle.
  values(at) { return this.lines.map(({ column, drawn }) => [column.name, shown(drawn[at] ?? NaN, "price"), this.tone(column.name)]); }
  controls(parent) {
    for (const [request, names] of this.requests) {
      const label = toggle(request, this.shown.has(request), (on) => { if (on) this.shown.add(request); else this.shown.delete(request); this.build(); });
      for (const name of names) {
        const sample = element("i");
        sample.dataset.name = name;
        label.append(" ", sample);
      }
      parent.append(label);
    }
    parent.hidden = !this.names.length;
    this.paint();
  }
  paint() { for (const sample of document.querySelectorAll("#features i")) sample.style.background = this.tone(sample.dataset.name); }
}
