"use strict";
// Market structure on the candles: zones, breaks, sweeps. A thing is drawn from the candle that made it known on, which
// is how a strategy met it; the other mode shows where each was found afterwards, as most charts do.
const STRUCTURE_GROUPS = [["blocks", "blocks"], ["gaps", "gaps"], ["breaks", "breaks"], ["pools", "equal levels and pools"], ["sweeps", "sweeps"]];
const STRUCTURE_MOST_DRAWN = 400, STRUCTURE_MOST_FAR = 250, STRUCTURE_MOST_ALIVE = 24, STRUCTURE_MOST_OLDER = 12, STRUCTURE_FLAG_BARS = 8;

const isFlag = (group) => ["breaks", "sweeps"].includes(STRUCTURE_GROUPS[group][0]);

class StructureLayer {
  constructor(view) {
    this.view = view; this.items = null; this.isKnownMode = true;
    this.shown = new Set(STRUCTURE_GROUPS.map(([name]) => name).filter((name) => name !== "gaps"));
  }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.update = requestUpdate; }
  paneViews() { return [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => target.useMediaCoordinateSpace(({ context, mediaSize }) => this.draw(context, mediaSize)) }) }]; }
  // items: columns {n, group, label, side, isSwing, formed, known, ended, top, bottom, labels} in the order of knowing.
  show(items) { this.items = items; this.update?.(); }
  // What lies in sight, the newest first: from afar the swing scale alone, and nothing at all where it could not be told
  // apart. Of what lives on without an end only the newest: a year of minutes leaves thousands of levels behind.
  inSight() {
    const range = this.chart.timeScale().getVisibleRange(), items = this.items;
    if (!range || !items) return { chosen: [], isFar: false, isTooMuch: false };
    const logical = this.chart.timeScale().getVisibleLogicalRange();
    const isFar = (logical.to - logical.from) * this.view.size > 1500;
    const most = isFar ? STRUCTURE_MOST_FAR : STRUCTURE_MOST_DRAWN;
    const isShown = STRUCTURE_GROUPS.map(([name]) => this.shown.has(name));
    const begun = this.isKnownMode ? items.known : items.formed, until = this.view.until;
    const chosen = [];
    let alive = 0, older = 0;
    for (let i = items.n - 1; i >= 0 && chosen.length <= most; i--) {
      if (begun[i] > range.to || items.ended[i] < range.from || items.known[i] > until) continue;
      if (!isShown[items.group[i]] || (isFar && !items.isSwing[i])) continue;
      const isOlder = items.known[i] < range.from;
      // A flag is as long as its few candles.
      if (isOlder && (isFar || isFlag(items.group[i]) || ++older > STRUCTURE_MOST_OLDER)) continue;
      if (!isFlag(items.group[i]) && (items.ended[i] >= range.to || items.ended[i] > until) && ++alive > STRUCTURE_MOST_ALIVE) continue;
      chosen.push(i);
    }
    const isTooMuch = isFar && chosen.length > most;
    return { chosen: isTooMuch ? [] : chosen, isFar, isTooMuch };
  }
  isOver(i) { return this.items.ended[i] !== Infinity && this.items.ended[i] <= this.view.until; }
  isTooMuch() { return this.chart !== undefined && this.inSight().isTooMuch; }
  draw(context, size) {
    const { chosen, isFar } = this.inSight(), items = this.items;
    const spacing = this.chart.timeScale().options().barSpacing, taken = [];
    context.font = "10px system-ui, sans-serif";
    context.lineWidth = 1;
    for (const i of chosen) {
      const isPoint = isFlag(items.group[i]);
      const left = this.view.x(this.isKnownMode ? items.known[i] : items.formed[i]);
      const known = this.view.x(items.known[i]);
      const end = isPoint ? known + Math.max(STRUCTURE_FLAG_BARS * spacing, isFar ? 10 : 0) : !this.isOver(i) ? size.width : this.view.x(items.ended[i]);
      const [top, bottom] = [this.series.priceToCoordinate(items.top[i]), this.series.priceToCoordinate(items.bottom[i])];
      if (left === null || end === null || top === null || bottom === null) continue;
      const right = Math.max(end, left + 2);
      this.drawItem(context, i, left, right, top, bottom, isPoint);
      if (right - left > 24 || isPoint) writeFree(context, items.labels[items.label[i]], left + 3, items.side[i] > 0 ? top - 3 : bottom + 10, taken);
    }
    context.globalAlpha = 1;
    context.setLineDash([]);
  }
  drawItem(context, i, left, right, top, bottom, isPoint) {
    const items = this.items, tone = items.side[i] > 0 ? "gain" : "loss";
    // What has been mitigated, filled or swept is over: it stays as a trace.
    const isOver = !isPoint && this.isOver(i);
    context.globalAlpha = isOver ? 0.35 : 0.9;
    if (Math.abs(bottom - top) > 1.5) {
      context.fillStyle = colour(tone + "-soft");
      context.fillRect(left, top, right - left, bottom - top);
    }
    context.strokeStyle = context.fillStyle = colour(tone);
    context.setLineDash(items.isSwing[i] ? [] : [3, 3]);
    context.beginPath();
    for (const y of top === bottom ? [top] : [top, bottom]) { context.moveTo(left, y + 0.5); context.lineTo(right, y + 0.5); }
    context.stroke();
  }
  controls(parent) {
    const add = (title, isOn, change) => parent.append(toggle(title, isOn, (on) => { change(on); this.update?.(); }));
    for (const [name, title] of STRUCTURE_GROUPS) add(title, this.shown.has(name), (on) => (on ? this.shown.add(name) : this.shown.delete(name)));
    add("as it was known", true, (on) => { this.isKnownMode = on; });
    parent.hidden = false;
  }
}
