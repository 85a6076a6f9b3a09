"use strict";
// Why, and why not: what was known and said at one close, in words and figures. Takes a state of `stateAt`.
const WANTS = { "-1": "short", 0: "flat", 1: "long", 2: "keep what is held" };
const COMPONENTS = [["score_model", "model"], ["score_smc", "structure"], ["score_technical", "technical"]];
const NOT_KEPT = "not kept";
// A report holds all of a run; a page in a browser only what is in its window, and says since when.
const counted = (state) => (state.since === undefined ? "so far" : `since ${stamp(state.since)}`);
const figure = (x, kind) => (x === undefined ? NOT_KEPT : shown(x, kind));

function facts(title, rows) {
  const box = element("div", undefined, "facts"), list = element("dl");
  box.append(element("h3", title), list);
  for (const [name, value, className] of rows) list.append(element("dt", name), value instanceof Node ? value : element("dd", value, className));
  return box;
}

// A contribution as a bar from the middle: left pulls down, right up.
function scoreBar(value) {
  const cell = element("dd"), bar = element("span", undefined, "score"), part = element("i");
  part.style.cssText = `${value >= 0 ? "left" : "right"}:50%;width:${Math.min(Math.abs(value), 1) * 50}%;background:var(--${value >= 0 ? "gain" : "loss"})`;
  bar.append(part);
  cell.append(shown(value, "number"), bar);
  return cell;
}

function accountFacts(state, close) {
  const held = state.position, rows = [["equity", state.equity === undefined ? NOT_KEPT : state.equity ? `${shown(state.equity.equity, "money")} ${SUMMARY.quote ?? ""}${state.equity.time < state.until ? ` at ${stamp(state.equity.time).slice(11)}` : ""}` : "no mark"]];
  rows.push(["position", held ? `${held.quantity > 0 ? "long" : "short"} ${amount(Math.abs(held.quantity))}` : "flat"]);
  if (held) {
    rows.push(["since", stamp(held.since)], ["average entry", shown(held.entry, "price")], ["stop", shown(held.stop, "price")], ["target", shown(held.target, "price")]);
    const open = held.quantity * (close - held.entry);
    rows.push(["open, before costs", shown(open, "money"), tone(open)]);
  }
  const closed = state.trades.filter((trade) => !trade.isOpen);
  rows.push([`trades closed ${counted(state)}`, shown(closed.length, "count")]);
  return facts("Account", rows);
}

const ORDERS_SHOWN = 6;
function orderFacts(state) {
  const rows = state.orders.slice(-ORDERS_SHOWN).map((order) => [`${order.side > 0 ? "buy" : "sell"} ${order.kind}${order.tag ? ` “${order.tag}”` : ""}`, `${amount(order.quantity)} at ${order.path.length ? shown(order.path[order.path.length - 1][1], "price") : "–"}`]);
  if (state.orders.length > ORDERS_SHOWN) rows.unshift(["older ones", shown(state.orders.length - ORDERS_SHOWN, "count")]);
  return facts("Resting orders", rows.length ? rows : [["none", ""]]);
}

// A decision is what changed something; the answer is what a strategy in kernels said at every close.
function decisionFacts(state) {
  const rows = [], found = state.decision ?? state.answer;
  rows.push(["decided", state.decision === undefined ? NOT_KEPT : state.decision ? WANTS[state.decision.target] : "nothing new"]);
  for (const text of state.refused) rows.push(["refused", text, "loss"]);
  if (state.decision) {
    const level = (name) => state.decision[name + "_price"] || state.decision[name + "_distance"];
    for (const name of ["stop", "target"]) if (level(name)) rows.push([state.decision[name + "_price"] ? name : `${name} away from the fill`, shown(level(name), "price")]);
    if (state.decision.size_scale !== 1) rows.push(["share of the size", shown(state.decision.size_scale, "percent")]);
  } else if (state.answer) rows.push(["answered", WANTS[state.answer.target]]);
  if (!found) { if (state.answer === undefined) rows.push(["scores", NOT_KEPT]); return facts("Decision", rows); }
  if (Number.isNaN(found.confidence)) rows.push(["confidence", "not known yet"]);
  else rows.push(["confidence", shown(found.confidence, "number")], ...COMPONENTS.filter(([name]) => found[name]).map(([name, title]) => [title, scoreBar(found[name])]));
  return facts("Decision", rows);
}

// A condition that is only true or false has no figures.
const compared = (value, threshold, kind) => (Number.isNaN(value) || Number.isNaN(threshold) ? [] : [["value", shown(value, kind)], ["threshold", shown(threshold, kind)], ["distance", shown(Math.abs(value - threshold), kind)]]);

// The first condition that was not met: what the strategy said with `view.why`, or the threshold of the score.
function whyNotFacts(state) {
  const rows = [], said = state.unmet, needed = (SUMMARY.symbol_parameters?.[$("symbol").value] ?? SUMMARY.parameters)?.confidence_threshold, answer = state.answer;
  if (said) rows.push(["not met", said.condition], ...compared(said.value, said.threshold, "price"));
  else if (answer && needed !== undefined && !(answer.confidence > needed)) rows.push(["not met", "confidence above its threshold"], ...compared(answer.confidence, needed, "number"));
  else if (said === undefined && answer === undefined) rows.push(["conditions", SUMMARY.conditions ? NOT_KEPT : "the strategy says none; view.why tells them"]);
  else rows.push(["conditions", "none was said to be unmet"]);
  return facts("Why not", rows);
}

function modelFacts(state) {
  if (state.prediction === null) return facts("Model", [["probability of a rise", "no opinion"]]);
  if (state.prediction === undefined) return facts("Model", [["model", (SUMMARY.model?.versions ?? []).length ? NOT_KEPT : "none in force"]]);
  return facts("Model", [["probability of a rise", shown(state.prediction.probability, "percent")], ["version", String(state.prediction.version)]]);
}

const MOST_FACTS = 24;
function featureFacts(state) {
  const rows = state.features.slice(0, MOST_FACTS).map(([name, value]) => [name, shown(value, "price")]);
  return facts("Features", rows.length ? rows : [["none", "the strategy names none, or only structure"]]);
}

function structureFacts(state) {
  const count = (found, name) => (["breaks", "sweeps"].includes(name) ? shown(found.known, "count") : `${shown(found.alive, "count")} of ${shown(found.known, "count")}`);
  const rows = STRUCTURE_GROUPS.map(([name, title], i) => [title, state.structure[i], name]).filter(([, found]) => found.known);
  return facts("Structure, still in force of all", rows.length ? rows.map(([title, found, name]) => [title, count(found, name)]) : [["none", ""]]);
}

function refusalFacts(state) {
  const title = `Refusals ${counted(state)}`;
  if (state.refusals === undefined) return facts(title, [["refusals", NOT_KEPT]]);
  return facts(title, state.refusals.length ? state.refusals.map(({ reason, count }) => [reason, shown(count, "count")]) : [["none", ""]]);
}

// The whole panel for one candle {time, close}; says when it closed.
function drawWhy(place, state, candle) {
  place.replaceChildren(
    element("h3", `What was known when the candle of ${stamp(candle.time)} closed, at ${stamp(state.until)} UTC`),
    ...[accountFacts(state, candle.close), decisionFacts(state), whyNotFacts(state), modelFacts(state), featureFacts(state), orderFacts(state), structureFacts(state), refusalFacts(state)],
  );
  place.hidden = false;
}
