"use strict";
// The model in force, what its recipe has shown over time with the boundary, and what the gate said of every challenger,
// whether it trades or not. Times of models are the venue's, and at speed not this machine's.
const LOSSES = ["challenger", "champion", "logistic", "majority"];
const MOST_DRIFTED = 8;

function models(status, attempts, drift, nowMs) {
  const model = status.model, recipe = attempts[0]?.gate?.recipe, running = status.model.attempt;
  const rows = [
    ["in force", model.version ? `version ${model.version}, ${model.kind}` : "none: rules alone decide"],
    ["learnt up to", model.data_end_ms ? `${moment(model.data_end_ms)}, ${age(nowMs - model.data_end_ms)} old` : "–"],
    ["drift", drift ? `level ${drift.level}, ${drift.detail.reason ?? ""}, at ${moment(drift.time_ms)}` : model.drift ?? "not looked at yet"],
    ["evidence of the recipe", recipe ? `${scaled(recipe.capital)} of ${scaled(recipe.boundary)}${recipe.state.is_passed ? ", passed" : ""}${recipe.state.fades ? `, faded ${recipe.state.fades === 1 ? "once" : `${recipe.state.fades} times`} before` : ""}; policy ${recipe.policy}` : "none before a gate"],
    ["training", running && !running.outcome ? `since ${clock(running.started_ms)}` : attempts.length ? `not now; the latest attempt was ${attempts[0].outcome}` : "no attempt yet"],
  ];
  const facts = table(rows, [["", (row) => row[0]], ["", (row) => row[1]]], "");
  facts.tHead.remove();
  $("models").replaceChildren(facts, ...drifted(drift));
  const oldestFirst = [...attempts].reverse();
  const shown = evidenceOf(oldestFirst);
  $("model-evidence").replaceChildren(...(shown.length ? shown : [element("h3", "evidence of the recipe"), element("p", "Nothing yet: it begins with the second model, on rows that the first one had not seen.", "none")]));
  $("model-worth").replaceChildren(...worthOf(oldestFirst));
  $("attempts").replaceChildren(table(attempts, [
    ["attempt", (a) => clock(a.started_ms)], ["by", (a) => a.cause.replace("_", " "), "minor"], ["outcome", (a) => a.outcome, (a) => (a.outcome === "promoted" ? "gain" : a.outcome === "failed" ? "loss" : "")],
    ...LOSSES.filter((name) => attempts.some((a) => a.gate?.contenders?.[name])).map((name) => [name === "challenger" ? "log-loss: challenger" : name, (a) => digits(a.gate?.contenders?.[name]?.log_loss, 4), "minor"]),
    ["net, per trade", (a) => percent(a.gate?.contenders?.challenger?.net_return, 3), (a) => tone(a.gate?.contenders?.challenger?.net_return)],
    ["evidence", (a) => (a.gate?.recipe ? scaled(a.gate.recipe.capital) : "–"), "minor"], ["because", (a) => a.reason],
  ], "No attempt to replace the model yet."));
}

// What the models in force said against what came; what is not known yet is counted and not drawn.
function calibration(found) {
  const counts = [found.waiting && `${found.waiting.toLocaleString("en-US")} wait for their outcome`, found.unknown && `of ${found.unknown.toLocaleString("en-US")} it cannot be told`].filter(Boolean).join(", ");
  const nodes = [element("h3", "reliability of probabilities"), ...reliabilityOf(found.buckets, `of the models in force${found.since_ms === null ? "" : ` since ${moment(found.since_ms)}`}`)];
  if (found.reason) nodes.push(element("p", `Nothing to draw: ${found.reason}.`, "none"));
  if (counts) nodes.push(element("p", `Of further predictions ${counts}.`, "quiet"));
  $("model-reliability").replaceChildren(...nodes);
  const filled = filledBuckets(found.buckets), box = $("model-scores");
  box.replaceChildren();
  if (filled.length) box.append(element("h3", "stated and realised"), table(filled, [["confidence", (b) => b.name], ["stated", (b) => percent(b.stated, 1)], ["realised", (b) => percent(b.realised, 1)], ["predictions", (b) => b.rows.toLocaleString("en-US")]], ""));
  if (found.versions.length) box.append(element("h3", "each model on what it said itself"), table(found.versions, [["version", (m) => m.version], ["predictions", (m) => m.rows.toLocaleString("en-US")], ["accuracy", (m) => percent(m.accuracy, 1)], ["log-loss", (m) => digits(m.log_loss, 4)], ["Brier", (m) => digits(m.brier, 4), "minor"], ["ECE", (m) => digits(m.ece, 4), "minor"], ["AUC", (m) => digits(m.auc, 3), "minor"]], ""));
}

// What trained models would have earned, beside what the account did: none of it was traded, and what is not known is not zero.
function shadow(found) {
  const nodes = [element("h3", "what the models would have earned on paper, not in the account")];
  if (found.reason) nodes.push(element("p", `Nothing to tell: ${found.reason}.`, "none"));
  else {
    const first = element("p");
    first.append(element("b", percent(found.net_return, 2), tone(found.net_return)), element("span", ` of one stake after costs, in ${found.trades.toLocaleString("en-US")} paper trades of ${found.n_models === 1 ? "one model" : `${found.n_models} models`} since ${moment(found.since_ms)}, up to ${moment(found.until_ms)}`));
    nodes.push(first, ...shadowCurve(found.time_ms, found.total_return), element("p", `The gate's plain rule on closes that each model had not seen, one position a symbol, every trade with the same stake. It is no part of the account's equity${found.policy === "shadow" ? "; by policy shadow no model trades" : ""}.`, "quiet"));
  }
  $("model-shadow").replaceChildren(...nodes);
  $("equity-shadow").hidden = Boolean(found.reason);
  $("equity-shadow").textContent = found.reason ? "" : `Beside it, on paper and not in the account: ${percent(found.net_return, 2)} of one stake by the models, in ${found.trades.toLocaleString("en-US")} trades after costs.`;
  $("shadows").replaceChildren(...(found.models.length ? [table(found.models, [
    ["model", (m) => `v${m.version}`], ["trades the account", (m) => (m.is_in_force ? "yes" : "no")], ["since", (m) => moment(m.since_ms)], ["up to", (m) => moment(m.until_ms), "minor"],
    ["paper trades", (m) => m.trades.toLocaleString("en-US")], ["after costs", (m) => percent(m.net_return, 2), (m) => tone(m.net_return)],
    ["log-loss", (m) => digits(m.log_loss, 4), "minor"], ["of the known share", (m) => digits(m.majority_log_loss, 4), "minor"], ["closes judged", (m) => m.rows.toLocaleString("en-US"), "minor"], ["waiting", (m) => m.waiting.toLocaleString("en-US"), "minor"],
  ], "")] : []));
}

// What models would have earned by close, as nodes for a page, none before a trade was over.
function shadowCurve(times, returns) {
  if (!times.length) return [];
  const percents = returns.map((v) => v * 100), ends = [times[0], times[times.length - 1]];
  const low = Math.min(0, ...percents), high = Math.max(0, ...percents), room = (high - low || 1) * 0.05;
  const { picture, x, y, foot } = frame(620, 200, ends, [low - room, high + room], 4, (v, step) => `${byStep(v, step)} %`);
  picture.setAttribute("aria-label", "what the models would have earned on paper");
  picture.append(svg("line", { x1: x(ends[0]), x2: x(ends[1]), y1: y(0), y2: y(0), stroke: "var(--quiet)", "stroke-dasharray": "4 4" }));
  // A result stands until the next trade is over.
  const path = times.map((t, i) => `${i ? `H${x(t)} V${y(percents[i])}` : `M${x(t)} ${y(percents[i])}`}`).join(" ");
  picture.append(svg("path", { d: path, fill: "none", stroke: "var(--accent)", "stroke-width": 1.6, "stroke-dasharray": "6 3" }));
  ends.forEach((at, i) => picture.append(svg("text", { x: x(at), y: foot, "text-anchor": i ? "end" : "start" }, stamp(at / 1000).slice(0, 16))));
  return [picture];
}

// The features that moved farthest from the training, as bars of their stability index.
function drifted(drift) {
  const found = Object.entries(drift?.detail.features ?? {}).filter(([, one]) => one?.psi).sort((a, b) => b[1].psi - a[1].psi).slice(0, MOST_DRIFTED);
  if (!found.length) return [];
  const bar = (psi) => { const meter = element("meter"); Object.assign(meter, { min: 0, max: 0.5, low: 0.1, high: 0.25, optimum: 0, value: Math.min(psi, 0.5) }); meter.setAttribute("aria-label", "stability index"); return meter; };
  return [element("h3", "how far inputs moved from the training"), table(found, [["feature", ([name]) => name], ["", ([, one]) => bar(one.psi)], ["index", ([, one]) => digits(one.psi, 2)]], "")];
}

const scaled = (x) => (x === 0 || (Math.abs(x) >= 0.01 && Math.abs(x) < 10_000) ? String(Number(x.toPrecision(3))) : x.toExponential(1));
