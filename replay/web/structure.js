"use strict";
// Market structure on the candles: zones, breaks, sweeps. A thing is drawn from the candle that made it known on, which
// is how a strategy met it; the other mode shows where each was found afterwards, as most charts do.
const STRUCTURE_GROUPS = [["blocks", "blocks"], ["gaps", "gaps"], ["breaks", "breaks"], ["pools", "equal levels and pools"], ["sweeps", "sweeps"]];
const STRUCTURE_MOST_DRAWN = 1200, STRUCTURE_FLAG_BARS = 8;

async function structureOf(packed) {
  const names = ["group", "label", "side", "is_swing", "formed", "known", "ended", "top", "bottom"];
  const columns = await Promise.all(names.map((name) => integers(packed[name])));
  const unit = Math.pow(10, packed.decimals);
  const items = new Array(columns[0].length);
  let known = 0;
  for (let i = 0; i < items.length; i++) {
    const [group, label, side, isSwing, before, step, life, top, height] = columns.map((column) => column[i]);
    known += step;
    items[i] = { group: STRUCTURE_GROUPS[group][0], label: packed.labels[label], side, isSwing: isSwing === 1, known, formed: known - before,
      ended: life < 0 ? null : known + life, top: top / unit, bottom: (top - height) / unit };
  }
  return items;
}

class StructureLayer {
  constructor(view) {
    this.view = view; this.items = []; this.isKnownMode = true;
    this.shown = new Set(STRUCTURE_GROUPS.map(([name]) => name).filter((name) => name !== "gaps"));
  }
  attached({ chart, series, requestUpdate }) { this.chart = chart; this.series = series; this.update = requestUpdate; }
  paneViews() { return [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => target.useMediaCoordinateSpace(({ context, mediaSize }) => this.draw(context, mediaSize)) }) }]; }
  async show(symbol) {
    this.items = DATA.structure?.[symbol] ? await structureOf(DATA.structure[symbol]) : [];
    this.update?.();
  }
  // What lies in sight, the newest first: swing scale before the rest, never more than can be told apart.
  inSight() {
    const range = this.chart.timeScale().getVisibleRange();
    const logical = this.chart.timeScale().getVisibleLogicalRange();
    if (!range || !logical) return [];
    const isFar = logical.to - logical.from > 1500;
    const chosen = [];
    for (let i = this.items.length - 1; i >= 0 && chosen.length < STRUCTURE_MOST_DRAWN; i--) {
      const item = this.items[i];
      if (!this.shown.has(item.group) || (isFar && !item.isSwing)) continue;
      if ((this.isKnownMode ? item.known : item.formed) > range.to) continue;
      if ((item.ended ?? Infinity) < range.from) continue;
      chosen.push(item);
    }
    return chosen;
  }
  draw(context, size) {
    context.font = "10px system-ui, sans-serif";
    context.lineWidth = 1;
    for (const item of this.inSight()) {
      const x = (time) => this.chart.timeScale().timeToCoordinate(this.view.candleAt(time));
      const isPoint = item.group === "breaks" || item.group === "sweeps";
      const left = x(this.isKnownMode ? item.known : item.formed);
      const spacing = this.chart.timeScale().options().barSpacing;
      const right = isPoint ? x(item.known) + STRUCTURE_FLAG_BARS * spacing : item.ended === null ? size.width : x(item.ended);
      const [top, bottom] = [this.series.priceToCoordinate(item.top), this.series.priceToCoordinate(item.bottom)];
      if (left === null || right === null || top === null || bottom === null) continue;
      this.drawItem(context, item, left, Math.max(right, left + 2), top, bottom, isPoint);
    }
    context.globalAlpha = 1;
    context.setLineDash([]);
  }
  drawItem(context, item, left, right, top, bottom, isPoint) {
    const tone = item.side > 0 ? "gain" : "loss";
    // What has been mitigated, filled or swept is over: it stays as a trace.
    const isOver = !isPoint && item.ended !== null;
    context.globalAlpha = isOver ? 0.35 : 0.9;
    if (Math.abs(bottom - top) > 1.5) {
      context.fillStyle = colour(tone + "-soft");
      context.fillRect(left, top, right - left, bottom - top);
    }
    context.strokeStyle = context.fillStyle = colour(tone);
    context.setLineDash(item.isSwing ? [] : [3, 3]);
    context.beginPath();
    for (const y of top === bottom ? [top] : [top, bottom]) { context.moveTo(left, y + 0.5); context.lineTo(right, y + 0.5); }
    context.stroke();
    if (right - left > 24 || isPoint) context.fillText(item.label, left + 3, item.side > 0 ? top - 3 : bottom + 10);
  }
  controls(parent) {
    if (!DATA.structure || !Object.keys(DATA.structure).length) return;
    const add = (title, isOn, change) => {
      const label = element("label", undefined, "quiet"), box = element("input");
      box.type = "checkbox"; box.checked = isOn;
      box.onchange = () => { change(box.checked); this.update?.(); };
      label.append(box, " " + title);
      parent.append(label);
    };
    for (const [name, title] of STRUCTURE_GROUPS) add(title, this.shown.has(name), (on) => (on ? this.shown.add(name) : this.shown.delete(name)));
    add("as it was known", true, (on) => { this.isKnownMode = on; });
    parent.hidden = false;
  }
}
