"use strict";
// The curve of the account, and the fall from its peak below it.
class EquityView {
  constructor() {
    this.chart = LightweightCharts.createChart($("equity"), chartOptions());
    this.until = Infinity;
    this.chapters = [];
    const quiet = { priceLineVisible: false, lastValueVisible: true };
    this.line = this.chart.addSeries(LightweightCharts.LineSeries, { ...quiet, lineWidth: 2 });
    this.marks = LightweightCharts.createSeriesMarkers(this.line, []);
    this.under = this.chart.addSeries(LightweightCharts.AreaSeries, { ...quiet, lineWidth: 1, priceFormat: { type: "custom", formatter: (x) => x.toFixed(2) + " %" } }, 1);
    this.chart.panes()[1]?.setHeight(110);
    this.under.priceScale().applyOptions({ scaleMargins: { top: 0.02, bottom: 0.12 } });
    this.restyle();
    CHARTS.push(this);
  }
  restyle() {
    this.chart.applyOptions(chartColours());
    this.line.applyOptions({ color: colour("accent") });
    this.under.applyOptions({ lineColor: colour("loss"), topColor: colour("loss-soft"), bottomColor: colour("loss-soft"), invertFilledArea: true });
  }
  // What was known at a time in seconds.
  at(until) {
    this.until = until;
    if (!this.found) return;
    const points = (values, scale) => this.found.time_ms.filter((ms) => ms / 1000 <= until).map((ms, i) => ({ time: ms / 1000, value: values[i] * scale }));
    this.line.setData(points(this.found.equity, 1));
    this.under.setData(points(this.found.drawdown_ratio, -100));
    this.extend();
    this.marks.setMarkers(this.chapters.filter((row) => row.begins_ms / 1000 <= until).map((row) => ({ time: row.begins_ms / 1000, position: "aboveBar", shape: "square", color: colour("accent"), text: row.name })));
  }
  // Marks are five minutes apart: the curve ends with what the account is worth now.
  now(status) {
    this.newest = status.last_input && { time: status.last_input.time_ms / 1000, equity: status.account.equity, fall: status.account.drawdown_ratio };
    this.line.applyOptions(inMoneyPlaces());
    this.extend();
  }
  extend() {
    const { found, newest } = this, last = found?.time_ms.at(-1) / 1000;
    if (this.until !== Infinity || !(newest?.time > last)) return;
    this.line.update({ time: newest.time, value: newest.equity });
    this.under.update({ time: newest.time, value: -100 * newest.fall });
  }
  // Chapters are rare and sums over the whole account: they are not asked for at every trade.
  async load(isWhole = false) {
    let found;
    try { [found, this.chapters] = await Promise.all([ask("equity"), isWhole ? ask("chapters", { limit: 100 }).then((page) => page.rows.filter((row) => row.name).reverse()) : this.chapters]); }
    catch (problem) { $("equity-state").textContent = `the curve could not be loaded: ${problem.message}`; return; }
    this.found = found;
    this.at(this.until);
    this.tell();
    $("equity-state").hidden = found.time_ms.length > 0;
    $("equity-state").textContent = "No mark yet: one is kept every five minutes of candles.";
    this.chart.timeScale().fitContent();
  }
  // One account, several chapters: each with its own result, the newest last.
  tell() {
    const worth = (value) => (value === null ? "—" : money(value));
    $("chapters").replaceChildren(...this.chapters.map((row) => element("p", `chapter “${row.name}” from ${moment(row.begins_ms)} UTC: equity ${worth(row.equity_before)} → ${worth(row.equity_after)}, ${row.trades} trades closed, fees ${money(row.fees)}; changed: ${Object.keys(row.changes).join(", ")}`, "none")));
  }
}
