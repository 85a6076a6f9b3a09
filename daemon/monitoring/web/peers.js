"use strict";
// Other daemons of the configuration, as this one has heard them: it asks them, the page asks nobody else.
const PEERS_MS = 5_000, SILENT_MS = 120_000, MOST_HELD = 6;
const PEER_WORDS = { asking: "asking", live: "live", stale: "stale", lost: "not reached", itself: "this daemon" };

class PeerList {
  constructor() { this.timer = null; }
  async load() {
    clearTimeout(this.timer);
    let found;
    try { found = await ask("peers"); }
    catch (problem) { if (!$("peers-section").hidden) { $("peers-state").textContent = `They could not be asked for: ${problem.message}`; this.again(PEERS_MS); } return; }
    $("peers-state").textContent = "";
    $("peers-section").hidden = !found.peers.length;
    $("peers").replaceChildren(...found.peers.map((peer) => this.card(peer, found.now_ms)));
    if (found.peers.length) this.again(found.peers.some((peer) => peer.state === "asking") ? 500 : PEERS_MS);
  }
  again(ms) { this.timer = setTimeout(() => this.load(), ms); }
  card(peer, nowMs) {
    const made = element("article", undefined, `card peer ${peer.state}`), head = element("p"), link = element("a", peer.name);
    link.href = peer.url; link.rel = "noopener noreferrer"; link.target = "_blank";
    head.append(link, element("span", PEER_WORDS[peer.state], "state"));
    made.append(head);
    if (peer.reason) made.append(element("p", `${peer.reason[0].toUpperCase()}${peer.reason.slice(1)}.${peer.status ? ` What follows is ${age(nowMs - peer.heard_ms)} old.` : ""}`, peer.state === "itself" ? "quiet" : "warn"));
    if (peer.status) made.append(this.facts(peer));
    else if (peer.state === "lost") made.append(element("p", "It has said nothing since this daemon began.", "quiet"));
    return made;
  }
  facts(peer) {
    const { status } = peer, { account } = status, list = element("dl");
    const say = (name, text, className) => list.append(element("dt", name), element("dd", text, className));
    say("account", `${money(account.equity, account.money_places)} ${account.currency}`);
    say("realised", signed(account.realised_pnl, account.money_places), tone(account.realised_pnl));
    say("below its peak", percent(account.drawdown_ratio), account.drawdown_ratio > 0.2 ? "bad" : "");
    say("entries", status.halted.length ? `halted: ${status.halted.join(", ")}` : "open", status.halted.length ? "bad" : "");
    for (const held of status.positions.slice(0, MOST_HELD)) say(held.symbol, `${held.quantity > 0 ? "long" : "short"} ${amount(Math.abs(held.quantity))}, ${signed(held.unrealised_pnl, account.money_places)}`, tone(held.unrealised_pnl));
    const more = Math.max(0, status.positions.length - MOST_HELD) + peer.more_positions;
    if (more) say("further positions", more.toLocaleString("en-US"));
    if (!status.positions.length) say("positions", "flat");
    say("feed", ...this.feed(status));
    say("newest candle", status.last_input ? moment(status.last_input.time_ms) : "none yet");
    say("model", status.model.version ? `version ${status.model.version}, ${status.model.kind}` : "none");
    say("runs", `${status.venue}, version ${status.version}${status.is_ready ? "" : ", not ready"}`);
    return list;
  }
  // By the clock of that daemon, which is the one that heard its feed.
  feed(status) {
    const feed = status.feeds[0], heard = (feed?.symbols ?? []).map((each) => each.last_message_ms).filter((ms) => ms !== null), theirs = status.started_ms + status.uptime_s * 1000;
    if (!feed) return ["none", "bad"];
    if (!feed.is_connected) return [`${feed.name} is down`, "bad"];
    if (!heard.length) return [`${feed.name}, nothing heard yet`, "warn"];
    const silentMs = theirs - Math.max(...heard);
    return [`${feed.name}, heard ${age(silentMs)} before`, silentMs > SILENT_MS ? "bad" : ""];
  }
}
