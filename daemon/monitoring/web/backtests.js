"use strict";
// The list of backtests: what waits and runs and how far it is, what was found, and each report in a page of its own.
const FOLLOW_MS = 1_000, OPEN_STATES = ["queued", "running"], PIECE = 250_000;

class BacktestList {
  constructor(needToken) {
    this.needToken = needToken; this.jobs = []; this.timer = null; this.drawn = ""; this.sure = null;
    this.asking = new Asking((job) => { this.note(`backtest ${job.number} waits for its turn`); this.load(); });
    $("compare").onclick = () => drawComparison($("compare-first").value, $("compare-second").value);
  }
  note(text) { $("backtests-state").textContent = text; }
  // Followed every second while something waits or runs, and with the rest of the page otherwise.
  async load(isOffered = this.isOffered) {
    this.isOffered = isOffered;
    $("ask-backtest").disabled = !isOffered;
    clearTimeout(this.timer);
    if (!isOffered) { $("backtests").replaceChildren(element("p", "This daemon makes none: backtests.at_once is 0 in its configuration.", "none")); return; }
    let found;
    try { found = await ask("backtests"); }
    catch (problem) { $("backtests").replaceChildren(element("p", `They could not be loaded: ${problem.message}`, "none")); this.drawn = ""; return; }
    this.jobs = found.jobs; this.older = found.older;
    if (this.jobs.some((job) => OPEN_STATES.includes(job.state))) this.timer = setTimeout(() => this.load(), FOLLOW_MS);
    this.draw();
  }
  draw() {
    const text = JSON.stringify([this.jobs, this.sure]);
    if (text === this.drawn) return;
    this.drawn = text;
    const focused = document.activeElement?.id, figure = (name, kind) => (job) => (job.figures[name] === undefined || job.figures[name] === null ? "–" : shown(job.figures[name], kind));
    $("backtests").replaceChildren(table(this.jobs, [
      ["#", (job) => job.number], ["name", (job) => job.name || "–"], ["strategy", (job) => job.strategy.split(":").pop()], ["tapes", (job) => job.tapes.join(", ") || "the sample", "minor"], ["state", (job) => this.state(job), (job) => (job.state === "done" ? "gain" : ["failed", "timeout"].includes(job.state) ? "loss" : "")],
      ["return", figure("total_return", "percent"), (job) => tone(job.figures.total_return)], ["max drawdown", figure("max_drawdown", "percent"), "minor"], ["Sharpe", figure("sharpe", "number"), "minor"], ["trades", figure("trades", "count"), "minor"], ["asked", (job) => clock(job.created_ms), "minor"], ["took", (job) => (job.started_ms && job.ended_ms ? age(job.ended_ms - job.started_ms) : "–"), "minor"], ["", (job) => this.actions(job)],
    ], "None yet. A backtest replays recorded candles with any configuration, beside the account and without touching it."));
    if (this.older) $("backtests").append(element("p", `${this.older} older ones are kept and not listed.`, "none"));
    if (focused) $(focused)?.focus();
    this.offer();
  }
  state(job) {
    if (job.state !== "running") return job.reason ? `${job.state}: ${job.reason}` : job.state;
    const made = element("span", job.step ? `${job.step} ` : "begins ");
    if (job.total) {
      const bar = element("progress"), share = job.done / job.total;
      Object.assign(bar, { max: job.total, value: job.done });
      bar.setAttribute("aria-label", `backtest ${job.number}: ${job.step}`);
      made.append(bar, ` ${Math.floor(100 * share)} %`);
    }
    return made;
  }
  actions(job) {
    const made = element("span", undefined, "acts"), button = (id, text, act) => { const one = element("button", text); one.type = "button"; one.id = `${id}-${job.number}`; one.setAttribute("aria-label", `${text}: backtest ${job.number}`); one.onclick = act; made.append(one); };
    if (OPEN_STATES.includes(job.state)) button("cancel", this.sure === job.number ? "really cancel" : "cancel", () => this.cancel(job));
    if (job.state === "done") { button("report", "report", () => this.report(job)); button("beside", "beside live", () => { $("compare-first").value = job.number; $("compare-second").value = LIVE; $("compare").click(); }); }
    return made;
  }
  offer() {
    const done = this.jobs.filter((job) => job.state === "done"), named = (job) => new Option(`${job.number} ${job.name || job.strategy}`, job.number);
    for (const [id, more] of [["compare-first", []], ["compare-second", [new Option("the live account", LIVE)]]]) {
      const chosen = $(id).value;
      $(id).replaceChildren(...more, ...done.map(named));
      if ([...$(id).options].some((option) => option.value === chosen)) $(id).value = chosen;
    }
    $("comparing").hidden = !done.length;
  }
  // Once to ask, once to do it.
  async cancel(job) {
    if (!token()) { this.needToken("Cancelling a backtest needs the token."); return; }
    if (this.sure !== job.number) { this.sure = job.number; this.draw(); return; }
    this.sure = null;
    try { await tell(`backtests/${job.number}/cancel`, {}); this.note(`backtest ${job.number} is cancelled`); }
    catch (problem) { this.note(problem.message); if (problem.status === 401) this.needToken(problem.message); }
    this.load();
  }
  // A page of its own without origin or network takes the report, in pieces as the API gives it.
  async report(job) {
    const view = window.open(`/viewer#${document.documentElement.dataset.theme}`);
    if (!view) { this.note("the browser let no page open; allow it for this address"); return; }
    const ready = new Promise((go) => { const hear = (event) => { if (event.source !== view || event.data !== "ready") return; removeEventListener("message", hear); go(); }; addEventListener("message", hear); });
    try {
      this.note(`loading the report of backtest ${job.number}`);
      const text = await this.file(job.number, "report.html");
      await ready;
      view.postMessage(text, "*"); // a page without origin has no name to address
      this.note("");
    } catch (problem) { view.close(); this.note(`the report could not be loaded: ${problem.message}`); }
  }
  async file(number, name) {
    const parts = [];
    for (let offset = 0, last = PIECE; last === PIECE; offset += last) {
      const answer = await fetch(`/api/v1/backtests/${number}/files/${name}?offset=${offset}`, { headers: bearer() }).catch(() => { throw new Problem(0, "no connection"); });
      if (!answer.ok) throw new Problem(answer.status, (await answer.json()).detail);
      parts.push(await answer.arrayBuffer());
      last = parts.at(-1).byteLength;
    }
    return new Blob(parts).text();
  }
}
