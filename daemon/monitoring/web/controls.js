"use strict";
// Commands, behind the token and a confirmation of their own.
const COMMANDS = {
  pause: ["No new entries; brackets and exits go on.", false],
  resume: ["Entries again, also after a limit or a kill.", false],
  flatten: ["Every position is closed at the next open, resting orders are taken back.", true],
  kill: ["Flatten, and stay paused until somebody resumes.", true],
  scale: ["New entries get this share of their size; 1 brings the whole size back.", false],
  retrain: ["Train a model before its time; the gate decides as ever.", false],
  snapshot: ["Write the engine's state to the journal.", false],
};

class Controls {
  constructor(onToken) {
    this.onToken = onToken; this.sent = null;
    $("command").append(...Object.keys(COMMANDS).map((name) => new Option(name, name)));
    $("command").onchange = () => this.draw();
    $("sure").onchange = () => this.draw(false);
    $("token").oninput = () => this.draw(false);
    $("keep").onclick = () => { KEPT.set("token", $("token").value.trim(), sessionStorage); $("dialog").close(); this.onToken(); };
    $("leave").onclick = () => $("dialog").close();
    $("act").onclick = () => this.open();
    $("form").onsubmit = (event) => { event.preventDefault(); this.send(); };
    this.draw();
  }
  open(message = "") { $("token").value = token(); $("answer").textContent = message; this.draw(); $("dialog").showModal(); }
  draw(isOther = true) {
    const name = $("command").value, [about, isHeavy] = COMMANDS[name];
    if (isOther) $("sure").checked = false;
    $("about").textContent = about;
    $("size-row").hidden = name !== "scale";
    $("sure-text").textContent = isHeavy ? `yes, ${name} this account now` : `yes, ${name}`;
    $("send").className = isHeavy ? "heavy" : "";
    $("send").textContent = name[0].toUpperCase() + name.slice(1);
    $("send").disabled = !$("sure").checked || !$("token").value;
    $("keep").disabled = !$("token").value;
  }
  async send() {
    const name = $("command").value, body = { reason: $("why-command").value };
    if (name === "scale") body.value = Number($("size").value);
    KEPT.set("token", $("token").value, sessionStorage);
    // Sent again because no answer came, it is the same command and not done twice.
    const text = JSON.stringify([name, body]);
    if (this.sent?.text !== text) this.sent = { text, key: oneKey() };
    $("send").disabled = true;
    $("answer").textContent = "sending"; $("answer").className = "";
    try {
      const told = await tell(`commands/${name}`, body, this.sent.key);
      this.sent = null;
      $("answer").textContent = told.sequence !== null ? `done: input ${told.sequence}` : `done: ${told.detail}`;
      $("answer").className = "gain";
      this.onToken();
    } catch (problem) {
      $("answer").textContent = problem.message; $("answer").className = "loss";
    }
    $("sure").checked = false;
    this.draw();
  }
}
