"use strict";
// Puts the page together: what is loaded once, what the stream brings, what is asked for now and then.
const SLOW_MS = 30_000;

class Page {
  constructor() {
    setTheme(KEPT.get("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
    $("theme").onclick = () => { const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark"; setTheme(name); KEPT.set("theme", name); };
    this.status = null; this.markets = []; this.tape = new Tape();
    this.candles = new CandleView((symbol, row, sizeMs) => why(symbol, row, sizeMs, this.frameMs, this.status));
    this.equity = new EquityView();
    this.replay = new Replay(this.candles, [this.equity]);
    this.trades = new TradeList((trade) => this.choose(trade));
    this.controls = new Controls(() => this.slow());
    this.backtests = new BacktestList((why) => this.controls.open(why));
    this.peers = new PeerList();
    $("symbol").onchange = () => this.show($("symbol").value);
    this.stream = new Stream({ onSnapshot: (message) => this.whole(message), onDelta: (message) => this.delta(message), onLine: (state, text) => this.line(state, text) });
    // Candles are drawn before the stream tells how the account stands, and loaded again then, for some may have come in between.
    // Where reading needs the token too, the stream is refused without a word; a question is told why.
    this.begun = this.showMarkets().catch((problem) => this.trouble(problem)).finally(() => EARLY.clear());
    setInterval(() => this.slow(), SLOW_MS);
    setInterval(() => this.status && strip(this.status, this.skewMs), 1000); // ages go on, also without a connection
  }
  line(state, text) {
    const isOther = document.documentElement.dataset.line !== state;
    document.documentElement.dataset.line = state;
    if (isOther && this.status) strip(this.status, this.skewMs);
    if ($("line-text").textContent !== text) $("line-text").textContent = text;
    const banner = $("banner");
    banner.className = state === "stale" ? "mild" : "";
    banner.textContent = state === "lost" ? "Not connected: what is shown is as it was. Trading does not depend on this page." : state === "stale" ? "The daemon says nothing; what is shown may be old." : "";
    banner.hidden = state === "live";
  }
  // After the first connection and after every gap everything is loaded again.
  async whole(message) {
    this.take(message.status);
    await this.begun;
    this.candles.isTold = true;
    try {
      await Promise.all([this.showMarkets(), this.equity.load(true), this.trades.load(), this.fill(), this.slow(), this.peers.load()]);
    } catch (problem) { this.trouble(problem); }
  }
  async showMarkets() {
    const found = await ask("markets");
    this.frameMs = found.timeframe_ms; this.markets = found.markets;
    $("title").textContent = found.strategy.split(":").pop();
    $("badges").replaceChildren(element("span", "PAPER", "badge loud"), element("span", found.venue, "badge"), element("span", `decides every ${lengthOf(found.timeframe_ms)}`, "badge"));
    document.title = `${found.strategy.split(":").pop()} · Papertape`;
    const known = [this.candles.symbol, KEPT.get("symbol")].find((symbol) => found.markets.some((market) => market.symbol === symbol));
    const chosen = known ?? found.markets[0]?.symbol;
    $("symbol").replaceChildren(...found.markets.map((market) => new Option(market.symbol, market.symbol, false, market.symbol === chosen)));
    await this.show(chosen);
  }
  // A connection that is gone is the line's to tell; the daemon's own words, and faults of this page, are told here.
  trouble(problem) {
    if (problem.status === 0) return;
    if (problem.status === 401 && !$("dialog").open) this.controls.open("This daemon needs its token, also to be read.");
    document.documentElement.dataset.trouble = problem.message;
    $("banner").textContent = `Not everything could be loaded: ${problem.message}`;
    $("banner").className = "mild";
    $("banner").hidden = false;
  }
  async show(symbol) {
    const market = this.markets.find((each) => each.symbol === symbol);
    if (market) { KEPT.set("symbol", symbol); await this.candles.show(market, this.frameMs); }
    this.levels();
  }
  async choose(trade) {
    if (trade.symbol !== this.candles.symbol) { $("symbol").value = trade.symbol; await this.show(trade.symbol); }
    this.candles.choose(trade);
  }
  async fill() {
    const kinds = TAPE_KINDS;
    const pages = await Promise.all(kinds.map((kind) => ask(kind, { limit: 60 })));
    kinds.forEach((kind, i) => this.tape.add(kind, pages[i].rows));
    this.tape.draw();
  }
  take(status) {
    this.status = status;
    moneyPlaces = status.account.money_places;
    this.skewMs = status.started_ms + status.uptime_s * 1000 - Date.now();
    strip(status, this.skewMs);
    holdings(status);
    this.equity.now(status);
    this.levels();
  }
  // The replay stays with what was open when it began.
  levels() {
    if (!this.status || this.candles.until !== Infinity) return;
    this.candles.position = this.status.positions.find((each) => each.symbol === this.candles.symbol) ?? null;
    this.candles.mix();
  }
  delta(message) {
    this.take(message.status);
    for (const [symbol, ...values] of message.candles) if (symbol === this.candles.symbol) this.candles.add(...values);
    for (const [symbol, ...values] of message.features ?? []) if (symbol === this.candles.symbol) this.candles.addFeatures(...values);
    if (message.events?.some((each) => each.symbol === this.candles.symbol)) this.candles.changed();
    for (const kind of TAPE_KINDS) if (message[kind]) this.tape.add(kind, message[kind], true);
    if (TAPE_KINDS.some((kind) => message[kind])) this.tape.draw();
    if (message.trades) { this.trades.add(message.trades); this.equity.load(); }
    if (message.fills || message.trades || message.orders) this.candles.loadTrades();
    if (message.models) this.slow();
  }
  async slow() {
    if (document.documentElement.dataset.line !== "live") return;
    try {
      const [counts, attempts, drift, runs, audits, notices, said, unseen] = await Promise.all([ask("refusals"), ask("attempts", { limit: 12 }), ask("drift", { limit: 1 }), ask("jobs", { limit: 6 }), ask("audits", { limit: 4 }), ask("notices", { limit: 8 }), ask("calibration"), ask("shadow")]);
      refusals(counts.refusals);
      calibration(said);
      shadow(unseen);
      jobs(runs.rows, audits.rows);
      if (this.status) { models(this.status, attempts.rows, drift.rows[0], this.status.last_input?.time_ms ?? Date.now()); feed(this.status, notices.rows); }
      this.equity.load(true);
      this.backtests.load(this.status?.makes_backtests ?? false);
    } catch (problem) { this.trouble(problem); }
  }
}
// Built when what is drawn first has come: a chart without candles would be painted before the one with them.
let PAGE;
Promise.allSettled(EARLY.values()).then(() => { PAGE = new Page(); });
