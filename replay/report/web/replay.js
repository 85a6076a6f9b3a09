"use strict";
// The replay: candle by candle through what was known then. Arrow keys, a slider and a button that plays.
const REPLAY_SPAN = [60, 400], REPLAY_PLACE = 0.8, PLAY_MS = 200;
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -50, PageDown: 50 };

class Replay {
  constructor(view, others) {
    this.view = view; this.others = others; this.step = null; this.timer = null; this.span = REPLAY_SPAN[0];
    $("replay-begin").onclick = () => (this.step === null ? this.begin() : this.end());
    $("replay-back").onclick = () => this.go(this.step - 1);
    $("replay-forward").onclick = () => this.go(this.step + 1);
    $("replay-play").onclick = () => this.play();
    $("replay-slider").oninput = () => this.go(Number($("replay-slider").value));
    $("candles").onkeydown = (event) => this.key(event);
    view.onCandle = (n) => this.explain(n);
    view.onLeave = () => this.end();
    $("replay").hidden = !view.whole.length;
  }
  // Where the chart ends now, or a fifth of the way where all of it is seen.
  begin() {
    const { view } = this, n = view.whole.length;
    if (!n) return;
    const [from, to] = view.seen() ?? [0, n];
    this.span = Math.min(Math.max(to - from, REPLAY_SPAN[0]), REPLAY_SPAN[1]);
    this.go(view.isWhole ? Math.floor(n / 5) : Math.floor(to) - 1);
    $("candles").focus();
    // What has to be fetched first is told once it is there.
    view.prepare?.().then(() => { if (this.step !== null) this.show(); });
  }
  go(step) {
    const { view } = this, last = view.whole.length - 1;
    this.step = Math.min(Math.max(step, 0), last);
    view.at(this.step, this.step - this.span * REPLAY_PLACE, this.step + this.span * (1 - REPLAY_PLACE));
    for (const other of this.others) other.at(view.until);
    this.show();
    if (this.step === last) this.stop();
  }
  end() {
    if (this.step === null) return;
    this.stop();
    this.step = null;
    this.view.at(null);
    for (const other of this.others) other.at(Infinity);
    $("why").hidden = true;
    this.show();
  }
  play() {
    if (this.timer !== null) { this.stop(); return; }
    if (this.step === this.view.whole.length - 1) this.go(0);
    this.timer = setInterval(() => this.go(this.step + Number($("replay-speed").value)), PLAY_MS);
    this.show();
  }
  stop() {
    clearInterval(this.timer);
    this.timer = null;
    $("replay-play").textContent = "play";
  }
  show() {
    const isOn = this.step !== null, { view } = this;
    $("replay-begin").textContent = isOn ? "end the replay" : "replay";
    $("replay-begin").setAttribute("aria-pressed", String(isOn));
    $("replay-controls").hidden = !isOn;
    $("replay-play").textContent = this.timer === null ? "play" : "pause";
    if (!isOn) return;
    const candle = view.whole[this.step], text = `candle ${shown(this.step + 1, "count")} of ${shown(view.whole.length, "count")}, ${stamp(candle.time)}`;
    $("replay-slider").max = view.whole.length - 1;
    $("replay-slider").value = this.step;
    $("replay-slider").setAttribute("aria-valuetext", text);
    $("replay-time").textContent = text;
    this.explain(this.step);
  }
  explain(n) { drawWhy($("why"), this.view.stateAt(n), this.view.whole[n]); }
  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const by = (STEPS[event.key] ?? 0) * (event.shiftKey ? 10 : 1), ends = { Home: 0, End: this.view.whole.length - 1 };
    if (this.step === null) { if (!["Enter", "ArrowLeft", "ArrowRight"].includes(event.key)) return; this.begin(); }
    else if (by) this.go(this.step + by);
    else if (event.key in ends) this.go(ends[event.key]);
    else if (event.key === " ") this.play();
    else if (event.key === "Enter") { $("why").tabIndex = -1; $("why").focus(); }
    else if (event.key === "Escape") this.end();
    else return;
    event.preventDefault();
  }
}
