"use strict";
// What every chart shares, and the equity curve. Everything is drawn by Lightweight Charts.
const chartOptions = () => ({ ...chartColours(), layout: { ...chartColours().layout, attributionLogo: true }, autoSize: true, timeScale: { borderVisible: false, timeVisible: true, minBarSpacing: 0.02 }, crosshair: { mode: 0 } });

// What is seen whole stays whole when the width changes: a phone that is turned, a page that has just been laid out.
function keepWhole(chart, isWhole, fit) {
  let isFitting = false;
  const again = () => { if (isFitting || !isWhole()) return; isFitting = true; requestAnimationFrame(() => { fit(); isFitting = false; }); };
  chart.timeScale().subscribeSizeChange(again);
  requestAnimationFrame(() => requestAnimationFrame(fit));
}

// Paper has another width than the window, and a canvas cannot follow: on paper stands a picture of it, in light colours.
// Options of the time scale are left alone here: set while a page is printed, the browser does not come back.
const PRINTING = { theme: null };
function beforePrint() {
  if (PRINTING.theme !== null) return;
  PRINTING.theme = document.documentElement.dataset.theme;
  setTheme("light");
  for (const view of CHARTS) {
    const picture = element("img", undefined, "printed");
    picture.src = view.chart.takeScreenshot(true).toDataURL();
    view.chart.chartElement().parentElement.append(picture);
  }
}
function afterPrint() {
  for (const picture of document.querySelectorAll("img.printed")) picture.remove();
  if (PRINTING.theme !== null) setTheme(PRINTING.theme);
  PRINTING.theme = null;
}
window.addEventListener("beforeprint", beforePrint);
window.addEventListener("afterprint", afterPrint);

class EquityView {
  constructor() {
    this.chart = LightweightCharts.createChart($("equity"), chartOptions());
    const quiet = { priceLineVisible: false, lastValueVisible: false };
    this.held = this.chart.addSeries(LightweightCharts.LineSeries, { ...quiet, ...inMoneyPlaces(), lineWidth: 1 });
    this.equity = this.chart.addSeries(LightweightCharts.LineSeries, { ...quiet, ...inMoneyPlaces(), lineWidth: 2, title: "" });
    this.under = this.chart.addSeries(LightweightCharts.AreaSeries, { ...quiet, lineWidth: 1, priceFormat: { type: "custom", formatter: (x) => x.toFixed(1) + " %" } }, 1);
    this.at(Infinity);
    this.chart.panes()[1]?.setHeight(100);
    // A logarithm, so that a curve that multiplies does not flatten one that does not.
    const isPositive = DATA.equity.equity.every((value) => value > 0);
    this.chart.priceScale("right", 0).applyOptions({ mode: isPositive ? 1 : 0 });
    keepWhole(this.chart, () => true, () => this.chart.timeScale().fitContent());
    $("hold").onchange = () => this.held.applyOptions({ visible: $("hold").checked });
    this.restyle();
    CHARTS.push(this);
  }
  // What was known at a time.
  at(until) {
    const last = lastUpTo(DATA.equity.time, until) + 1;
    const points = (name, scale) => DATA.equity.time.slice(0, last).map((time, i) => ({ time, value: DATA.equity[name][i] * scale }));
    this.equity.setData(points("equity", 1));
    this.held.setData(points("hold", 1).filter((point) => Number.isFinite(point.value) && point.value > 0));
    this.under.setData(points("drawdown", 100));
  }
  restyle() {
    this.chart.applyOptions(chartColours());
    this.equity.applyOptions({ color: colour("accent") });
    this.held.applyOptions({ color: colour("quiet") });
    this.under.applyOptions({ lineColor: colour("loss"), topColor: colour("loss-soft"), bottomColor: colour("loss-soft"), invertFilledArea: true });
  }
}
