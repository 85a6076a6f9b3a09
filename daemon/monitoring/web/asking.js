"use strict";
// The form of a backtest: what may be chosen comes from the daemon, and the daemon checks what was chosen.
const isTable = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const merged = (below, above) => { const found = { ...below }; for (const [key, value] of Object.entries(above)) found[key] = isTable(value) && isTable(found[key]) ? merged(found[key], value) : value; return found; };

class Asking {
  constructor(onStarted) {
    this.onStarted = onStarted; this.choices = null; this.sent = null;
    $("ask-backtest").onclick = () => this.open();
    $("bt-leave").onclick = () => $("asking").close();
    $("bt-base").onchange = () => this.begin();
    $("bt-strategy").onchange = () => this.parameters();
    $("bt-token").oninput = () => this.allow();
    $("asking-form").onsubmit = (event) => { event.preventDefault(); this.send(); };
  }
  async open() {
    $("bt-token").value = token();
    this.say("loading what may be chosen");
    this.choices = null; // what stands there is of the last time, and is drawn anew once they are here
    this.allow();
    $("asking").showModal();
    try { this.choices = await ask("backtests/choices"); } catch (problem) { this.choices = null; this.say(problem.message, "loss"); this.allow(); return; }
    this.say("");
    this.offer();
    this.begin();
  }
  say(text, className = "") { $("bt-answer").textContent = text; $("bt-answer").className = className; }
  allow() { $("bt-send").disabled = !this.choices || !$("bt-token").value; }
  offer() {
    const { strategies, tapes, timeframes, sizings, more_tapes: more } = this.choices;
    $("bt-strategy").replaceChildren(...strategies.map((one) => new Option(one.is_own ? `${one.name} (this account's)` : one.name, one.name)));
    $("bt-timeframe").replaceChildren(new Option("the tape's own", ""), ...timeframes.map((name) => new Option(name, name)));
    $("bt-sizing").replaceChildren(...sizings.map((name) => new Option(name.replace("_", " "), name)));
    $("bt-tapes").replaceChildren(...tapes.map((tape) => {
      const span = tape.first_ms ? `${moment(tape.first_ms).slice(0, 10)} to ${moment(tape.last_ms).slice(0, 10)}, ${tape.candles.toLocaleString("en-US")} candles` : tape.is_sample ? "the embedded sample" : tape.problem;
      const label = toggle(tape.name, false, () => {}), box = label.firstChild;
      box.value = tape.name; box.disabled = Boolean(tape.problem);
      label.append(element("small", ` ${span}`));
      return label;
    }), ...(more ? [element("p", `${more} further tapes are not listed; name one under "every other key".`, "none")] : []));
  }
  // The form as a configuration has it.
  begin() {
    this.base = $("bt-base").value === "own" ? this.choices.own : {};
    const { strategy, account, data, signals } = this.base;
    $("bt-strategy").value = strategy?.name ?? "confluence";
    $("bt-timeframe").value = data?.timeframe ?? "";
    this.span = ["start", "end"].map((key) => { const field = $(`bt-${key}`), given = data?.[key] ?? null; field.value = (given ?? "").slice(0, 10); return { key, field, given, drawn: field.value }; });
    $("bt-capital").value = account?.capital ?? ""; $("bt-capital").placeholder = "10000";
    $("bt-sizing").value = account?.sizing ?? "risk";
    $("bt-models").value = signals?.use_ml === false ? "no" : "";
    for (const box of this.boxes()) box.checked = (data?.tapes ?? []).includes(box.value) || (!data?.tapes?.length && this.boxes().length === 1 && !box.disabled);
    this.parameters();
    this.allow();
  }
  boxes() { return [...$("bt-tapes").querySelectorAll("input")]; }
  parameters() {
    const chosen = this.choices.strategies.find((one) => one.name === $("bt-strategy").value), given = this.given(chosen?.name);
    $("bt-parameters").replaceChildren(...(chosen?.parameters ?? []).map((one) => this.field(one, given[one.name])));
    if (chosen && !chosen.parameters.length) $("bt-parameters").append(element("p", chosen.is_declared ? "It declares none." : "Its code is not loaded here; name its parameters under \"every other key\".", "none"));
  }
  given(name) { return this.base.strategy && (this.base.strategy.name ?? "confluence") === name ? this.base.strategy.parameters ?? {} : {}; }
  field(one, value) {
    const label = element("label", one.name), options = one.type === "bool" ? [true, false] : one.choices;
    const input = element(options.length ? "select" : "input");
    label.title = [one.help, one.range].filter(Boolean).join("; ");
    if (options.length) input.append(new Option(`${one.default} (default)`, ""), ...options.map((each) => new Option(each, JSON.stringify(each))));
    else if (one.type !== "str") Object.assign(input, { type: "number", step: one.step ?? (one.type === "int" ? 1 : "any"), min: one.low ?? "", max: one.high ?? "", placeholder: one.default });
    else input.placeholder = one.default;
    if (value !== undefined) input.value = options.length ? JSON.stringify(value) : value;
    input.dataset.name = one.name; input.dataset.type = options.length ? "json" : one.type;
    label.append(" ", input);
    return label;
  }
  // What is left as it was found is not said: the daemon has its defaults.
  config() {
    const name = $("bt-strategy").value, data = {}, account = {}, parameters = {};
    for (const input of $("bt-parameters").querySelectorAll("[data-name]")) if (input.value !== "") parameters[input.dataset.name] = input.dataset.type === "json" ? JSON.parse(input.value) : input.dataset.type === "str" ? input.value : Number(input.value);
    const same = (this.base.strategy?.name ?? "confluence") === name, known = this.choices.strategies.find((one) => one.name === name)?.is_declared;
    const strategy = { ...(same ? this.base.strategy : {}), name, parameters: known ? parameters : this.given(name) };
    data.tapes = this.boxes().filter((box) => box.checked).map((box) => box.value);
    data.timeframe = $("bt-timeframe").value || null;
    for (const { key, field, given, drawn } of this.span) data[key] = field.value === drawn ? given : field.value || null; // a day hides a time of day
    if ($("bt-capital").value) account.capital = Number($("bt-capital").value);
    account.sizing = $("bt-sizing").value;
    const chosen = merged({ ...this.base, strategy }, { data, account, ...($("bt-models").value && { signals: { use_ml: $("bt-models").value === "yes" } }) });
    const more = $("bt-more").value.trim() ? JSON.parse($("bt-more").value) : {};
    if (!isTable(more)) throw new Problem(0, "every other key: it has to be an object, such as {\"signals\": {\"use_smc\": false}}");
    return merged(chosen, more);
  }
  async send() {
    KEPT.set("token", $("bt-token").value.trim(), sessionStorage);
    $("bt-send").disabled = true;
    try {
      const body = { name: $("bt-name").value, config: this.config() }, text = JSON.stringify(body);
      if (this.sent?.text !== text) this.sent = { text, key: oneKey() };
      this.say("asking");
      const job = await tell("backtests", body, this.sent.key);
      this.sent = null;
      $("asking").close();
      this.onStarted(job);
    } catch (problem) { this.say(problem instanceof SyntaxError ? `every other key: it is no JSON: ${problem.message}` : problem.message, "loss"); }
    this.allow();
  }
}
