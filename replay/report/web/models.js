"use strict";
// The models of a run: every retrain and its gate, what challengers were worth afterwards, stated against realised.
const CONTENDERS = [["challenger", "challenger", "var(--accent)"], ["champion", "champion", "var(--gain)"], ["logistic", "logistic", "var(--quiet)"], ["majority", "majority", "var(--loss)"]];
const SCORES = [["accuracy", "percent"], ["log_loss", "precise"], ["brier", "precise"], ["ece", "precise"], ["auc", "precise"], ["mcc", "precise"]];
const day = (attempt) => stamp(attempt.due_ms / 1000).slice(0, 10);
const LEAST_ROWS = 100; // of a month that has just begun the log-loss says nothing
FORMATS.precise = (x) => x.toFixed(4);

// Log-loss of every contender on the candles between one retrain and the next, which nobody had seen.
function drawAfterwards(attempts) {
  const measured = attempts.filter((a) => ((a.shadow ?? {}).challenger ?? {}).rows >= LEAST_ROWS);
  if (measured.length < 2) return;
  const values = measured.flatMap((a) => CONTENDERS.map(([name]) => (a.shadow[name] ?? {}).log_loss)).filter(Number.isFinite);
  const low = Math.min(...values), high = Math.max(...values), room = (high - low || 0.01) * 0.08;
  const times = measured.map((a) => a.due_ms);
  const { picture, x, y, foot } = frame(620, 230, [times[0], times[times.length - 1]], [low - room, high + room], 4, (v) => v.toFixed(3));
  picture.setAttribute("aria-label", "log-loss after each retrain");
  for (const [name, , colour] of CONTENDERS) {
    const points = measured.filter((a) => Number.isFinite((a.shadow[name] ?? {}).log_loss)).map((a) => [x(a.due_ms), y(a.shadow[name].log_loss), a]);
    if (!points.length) continue;
    picture.append(svg("polyline", { points: points.map(([px, py]) => `${px},${py}`).join(" "), fill: "none", stroke: colour, "stroke-width": 1.6 }));
    if (name !== "challenger") continue;
    for (const [px, py, a] of points) {
      const dot = svg("circle", { cx: px, cy: py, r: 3.5, stroke: colour, fill: a.outcome === "promoted" ? colour : "var(--card)" });
      dot.append(svg("title", {}, `${day(a)} ${a.outcome}: ${a.reason}`));
      picture.append(dot);
    }
  }
  for (const at of [measured[0], measured[measured.length - 1]]) picture.append(svg("text", { x: x(at.due_ms), y: foot, "text-anchor": at === measured[0] ? "start" : "end" }, day(at)));
  const key = element("p", undefined, "quiet");
  for (const [name, title, colour] of CONTENDERS) {
    if (!measured.some((a) => a.shadow[name])) continue;
    const mark = element("span", "■ ");
    mark.style.color = colour;
    key.append(mark, `${title}  `);
  }
  key.append("Log-loss on the candles until the next retrain; lower is better. A full dot was promoted.");
  $("model-afterwards").append(picture, key);
}

function drawReliability(buckets, where) {
  const nodes = reliabilityOf(buckets, where);
  if (!nodes.length) return;
  $("model-reliability").append(...nodes, table(filledBuckets(buckets), [["confidence", (b) => b.name], ["stated", (b) => b.stated, "percent"], ["realised", (b) => b.realised, "percent"], ["predictions", (b) => b.rows, "count"]]));
}

function drawScores(title, contenders) {
  const lines = Object.entries(contenders ?? {});
  if (!lines.length) return;
  const box = element("div");
  box.append(element("h3", `${title} (${shown(lines[0][1].rows, "count")} rows)`), table(lines, [["", ([name]) => name], ...SCORES.map(([name, kind]) => [name.replace("_", "-").replace("ece", "ECE").replace("auc", "AUC").replace("mcc", "MCC"), ([, found]) => found[name], kind])]));
  $("model-scores").append(box);
}

function drawModels() {
  const model = SUMMARY.model ?? {}, attempts = model.attempts ?? [];
  $("model").textContent = model.note ?? "";
  if (!attempts.length && !model.in_force) return;
  $("model-section").hidden = false;
  $("model-sentence").textContent = model.note ?? "";
  drawAfterwards(attempts);
  $("model-evidence").append(...evidenceOf(attempts));
  $("model-worth").append(...worthOf(attempts));
  const shadow = model.out_of_sample, live = model.in_force;
  drawReliability(live ? live.buckets : (shadow ?? {}).buckets, live ? "of the models in force" : "of challengers afterwards, promoted or not");
  if (live) drawScores("models in force", live.contenders);
  if (Object.keys(shadow ?? {}).length) drawScores("challengers on the candles after them, promoted or not", shadow.contenders);
  const paper = ((shadow ?? {}).contenders ?? {}).challenger ?? {};
  if (paper.paper_trades !== undefined) $("model-scores").append(element("p", `In the shadow, traded or not: ${shown(paper.paper_trades, "count")} paper trades of the gate's plain rule, ${shown(paper.paper_return, "percent")} of a stake together after costs.`, "quiet"));
  if (paper.seeds !== undefined) $("model-scores").append(element("p", `${shown(paper.seeds, "count")} models speak as one: log-loss ${shown(paper.log_loss, "precise")} together, ${shown(paper.seed_log_loss, "precise")} alone, the worst of each retrain ${shown(paper.seed_log_loss_highest, "precise")}; what they say of a candle differs by ${shown(paper.seed_spread, "precise")} (standard deviation over models).`, "quiet"));
  if ((model.versions ?? []).length) {
    const box = element("div");
    box.append(element("h3", "by version in force"), table(model.versions, [["version", (r) => r.name], ["predictions", (r) => r.rows, "count"], ["accuracy", (r) => r.accuracy, "percent"], ["log-loss", (r) => r.log_loss, "precise"], ["trades", (r) => r.trades, "count"], ["win rate", (r) => r.win_rate, "percent"], ["profit, " + (SUMMARY.quote ?? ""), (r) => r.pnl_quote, "money", "tone"]]));
    $("model-scores").append(box);
  }
  const loss = (a, name) => ((a.gate ?? {}).contenders?.[name] ?? {}).log_loss;
  $("model-attempts").append(table(attempts, [["retrained", (a) => stamp(a.due_ms / 1000)], ["by", (a) => a.trigger, null, "minor"], ["kind", (a) => a.kind, null, "minor"], ["rows", (a) => a.rows_train, "count", "minor"],
    ["gate: challenger", (a) => loss(a, "challenger"), "precise"], ["champion", (a) => loss(a, "champion"), "precise"], ["logistic", (a) => loss(a, "logistic"), "precise", "minor"], ["majority", (a) => loss(a, "majority"), "precise", "minor"],
    ["net, per trade", (a) => ((a.gate ?? {}).contenders?.challenger ?? {}).net_return, "percent", "tone"], ["afterwards, in the shadow", (a) => ((a.shadow ?? {}).challenger ?? {}).paper_return, "percent", "tone"], ["", (a) => a.outcome], ["because", (a) => a.reason]]));
}
