"use strict";
// Trades that have closed: filtered, loaded page by page, written as CSV.
const CSV_COLUMNS = ["number", "symbol", "side", "decided_ms", "entry_ms", "exit_ms", "entry_price", "exit_price", "quantity", "stop_price", "target_price", "exit_reason", "bars", "pnl", "fees", "slippage", "spread", "funding", "mae_price", "mfe_price", "confidence", "score_model", "score_smc", "score_technical", "model_version"];

class TradeList {
  constructor(onChoose) {
    this.rows = []; this.next = null; this.onChoose = onChoose;
    for (const id of ["side", "outcome", "reason"]) $(id).onchange = () => this.draw();
    $("more").onclick = () => this.load(this.next);
    $("csv").onclick = () => this.save();
  }
  async load(cursor = null) {
    try {
      const page = await ask("trades", { limit: 200, cursor });
      if (cursor === null) this.rows = [];
      this.rows.push(...page.rows); this.next = page.next;
    } catch (problem) { $("trades").replaceChildren(element("p", `trades could not be loaded: ${problem.message}`, "none")); return; }
    const chosen = $("reason").value;
    $("reason").replaceChildren(new Option("every exit", ""), ...[...new Set(this.rows.map((row) => row.exit_reason))].sort().map((name) => new Option(name, name, false, name === chosen)));
    this.draw();
  }
  add(rows) {
    const known = new Set(this.rows.map((row) => row.number));
    const fresh = rows.filter((row) => !known.has(row.number)).reverse();
    if (!fresh.length) return;
    this.rows.unshift(...fresh);
    this.draw();
  }
  chosen() {
    const [side, outcome, reason] = ["side", "outcome", "reason"].map((id) => $(id).value);
    return this.rows.filter((row) => (!side || row.side === side) && (!outcome || (outcome === "win") === row.pnl > 0) && (!reason || row.exit_reason === reason));
  }
  draw() {
    const when = new Set(this.rows.map((row) => moment(row.entry_ms).slice(0, 4))).size > 1 ? moment : clock;
    const rows = this.chosen(), won = rows.filter((row) => row.pnl > 0).length, sum = rows.reduce((total, row) => total + row.pnl, 0);
    $("count").textContent = rows.length ? `${rows.length.toLocaleString("en-US")} ${rows.length === 1 ? "trade" : "trades"}, ${percent(won / rows.length, 0)} won, ${signed(sum)}${this.next ? "; older ones are not loaded" : ""}` : "";
    $("more").hidden = this.next === null;
    $("csv").disabled = !rows.length;
    drawBreakdown(rows);
    $("trades").replaceChildren(table(rows.slice(0, 100), [
      ["#", (t) => t.number], ["symbol", (t) => t.symbol], ["side", (t) => t.side], ["entry", (t) => when(t.entry_ms)], ["exit", (t) => when(t.exit_ms), "minor"], ["at", (t) => price(t.entry_price), "minor"], ["out at", (t) => price(t.exit_price), "minor"],
      ["by", (t) => t.exit_reason], ["profit", (t) => signed(t.pnl), (t) => tone(t.pnl)], ["costs", (t) => money(t.fees + t.slippage + t.spread + t.funding), "minor"], ["conf.", (t) => digits(t.confidence, 2), "minor"], ["model", (t) => t.model_version || "–", "minor"],
    ], this.rows.length ? "No trade is like that." : "No trade has closed yet.", (line, row) => {
      line.tabIndex = 0;
      line.onclick = () => this.onChoose(row);
      line.onkeydown = (event) => { if (event.key === "Enter") this.onChoose(row); };
    }));
  }
  save() {
    const cell = (value) => (value === null || value === undefined ? "" : /[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
    const text = [CSV_COLUMNS.join(","), ...this.chosen().map((row) => CSV_COLUMNS.map((name) => cell(row[name])).join(","))].join("\n") + "\n";
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "trades.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
}
