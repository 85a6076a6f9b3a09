"use strict";
// What protected the account and what it paid: a list of everything, newest first, a kind at a time or all together.
const EVENTS_SHOWN = 50;

async function drawAccountEvents() {
  const found = DATA.account_events;
  if (!found) return;
  const columns = await tableOf(found), n = columns.time.length;
  if (!n) return;
  $("account-events-section").hidden = false;
  const counts = found.kinds.map((_, kind) => columns.kind.reduce((sum, value) => sum + (value === kind), 0) + found.earlier[kind]);
  const kinds = $("account-events-kind");
  kinds.append(new Option(`all ${shown(counts.reduce((a, b) => a + b), "count")}`, "-1"));
  found.kinds.forEach((name, kind) => { if (counts[kind]) kinds.append(new Option(`${name} ${shown(counts[kind], "count")}`, String(kind))); });
  const earlier = found.earlier.reduce((a, b) => a + b);
  $("account-events-earlier").textContent = earlier ? `The first ${shown(earlier, "count")} are in the files of the result alone.` : "";
  let most = EVENTS_SHOWN;
  const draw = () => {
    const kind = Number(kinds.value), rows = [];
    for (let i = n - 1; i >= 0 && rows.length <= most; i--) if (kind < 0 || columns.kind[i] === kind) rows.push(i);
    $("account-events-more").hidden = rows.length <= most;
    const titles = [["time", (i) => stamp(columns.time[i])], ["", (i) => found.kinds[columns.kind[i]]], ["symbol", (i) => (columns.symbol[i] < 0 ? "the account" : found.symbols[columns.symbol[i]])], ["why", (i) => found.reasons[columns.reason[i]]],
      [SUMMARY.quote ?? "quote", (i) => columns.amount[i], "money", "tone"], ["share or rate", (i) => shown(columns.value[i], found.kinds[columns.kind[i]] === "funding" ? "rate" : "percent"), "", "minor"]];
    $("account-events").replaceChildren(table(rows.slice(0, most), titles));
  };
  kinds.onchange = () => { most = EVENTS_SHOWN; draw(); };
  $("account-events-more").onclick = () => { most += 10 * EVENTS_SHOWN; draw(); };
  draw();
}
