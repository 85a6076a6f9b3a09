"use strict";
// The stream: a snapshot, then numbered deltas. After a break it goes on where it was, or says that everything has to be loaded again.
const STALE_MS = 12_000, RETRY_MS = [500, 1000, 2000, 4000, 8000];

class Stream {
  constructor({ onSnapshot, onDelta, onLine }) {
    Object.assign(this, { onSnapshot, onDelta, onLine });
    this.run = null; this.number = null; this.tries = 0; this.heardMs = 0;
    setInterval(() => this.look(), 1000);
    this.open();
  }
  open() {
    const url = new URL("/api/v1/stream", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    if (this.run !== null) { url.searchParams.set("run", this.run); url.searchParams.set("after", this.number); }
    const protocols = ["papertape"];
    if (token()) protocols.push("bearer." + btoa(token()).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""));
    this.socket = new WebSocket(url, protocols);
    this.socket.onmessage = (event) => this.take(JSON.parse(event.data));
    this.socket.onclose = (event) => this.lose(event.code);
  }
  take(message) {
    this.heardMs = performance.now(); this.tries = 0;
    const isNext = message.kind === "delta" && message.run === this.run && message.number === this.number + 1;
    this.run = message.run; this.number = message.number;
    this.onLine("live", "live");
    if (message.kind === "snapshot" || !isNext || message.reload) this.onSnapshot(message);
    else this.onDelta(message);
  }
  lose(code) {
    const wait = RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)];
    this.onLine("lost", code === 4008 ? "too slow for the stream, connecting again" : "no connection, trying again");
    if (code === 1006) this.why();
    setTimeout(() => this.open(), wait);
  }
  // A browser does not tell why a socket was refused; the same question without one is answered in words.
  async why() {
    const problem = await ask("stream").catch((refused) => refused);
    if (problem.status === 503 && this.socket.readyState === WebSocket.CLOSED) this.onLine("lost", `${problem.message}; trying again`);
  }
  // A line that is open and silent is stale: the daemon says something every five seconds.
  look() {
    const silentMs = performance.now() - this.heardMs;
    if (this.socket.readyState === WebSocket.OPEN && this.heardMs && silentMs > STALE_MS) this.onLine("stale", `silent for ${age(silentMs)}`);
  }
}
