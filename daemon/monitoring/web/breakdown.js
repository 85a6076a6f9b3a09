"use strict";
// Where the profit of the listed trades comes from: by component of the score, as a result attributes it, and by what they share.
const SCORED = ["model", "smc", "technical"];
const SMALLEST_SUM = 0.01; // scores that cancel to less of their size decide nothing: their trade is nobody's
const SHARED = [["symbol", (t) => t.symbol], ["side", (t) => t.side], ["exit", (t) => t.exit_reason], ["model", (t) => (t.model_version ? `version ${t.model_version}` : "none")]];
const summed = (values) => values.reduce((total, value) => total + value, 0);

// Profit by component: a trade's is split in proportion to the signed scores that opened it.
function attributed(rows) {
  const found = { model: 0, smc: 0, technical: 0, unattributed: 0 };
  for (const row of rows) {
    const scores = SCORED.map((name) => row[`score_${name}`]), isKnown = scores.every(Number.isFinite);
    const size = isKnown ? Math.max(...scores.map(Math.abs)) : 0, scaled = scores.map((score) => (size > 0 ? score / size : 0)), total = summed(scaled);
    if (Math.abs(total) > SMALLEST_SUM * summed(scaled.map(Math.abs))) SCORED.forEach((name, i) => { found[name] += (scaled[i] / total) * row.pnl; });
    else found.unattributed += row.pnl;
  }
  return found;
}

function drawBreakdown(rows) {
  if (!rows.length) { $("breakdown").replaceChildren(element("p", "No trade, so nothing to break down.", "none")); return; }
  const profit = ["profit", (part) => signed(part.pnl), (part) => tone(part.pnl)];
  const parts = Object.entries(attributed(rows)).filter(([, pnl]) => pnl !== 0).map(([name, pnl]) => ({ name: name === "smc" ? "structure" : name, pnl }));
  const boxes = [table(parts, [["component of the score", (part) => part.name], profit], "Nothing was earned or lost.")];
  for (const [title, of] of SHARED) {
    const groups = [...grouped(rows.map((row) => ({ ...row, part: of(row) })), "part")].map(([name, own]) => ({ name, count: own.length, won: own.filter((t) => t.pnl > 0).length / own.length, pnl: summed(own.map((t) => t.pnl)) }));
    if (groups.length > 1) boxes.push(table(groups.sort((a, b) => b.pnl - a.pnl), [[title, (part) => part.name], ["trades", (part) => part.count], ["won", (part) => percent(part.won, 0)], profit], ""));
  }
  $("breakdown").replaceChildren(...boxes.map((made) => { const box = element("div"); box.append(made); return box; }));
}
