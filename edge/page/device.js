// One device of the user: a frame with an inbox element of its own in it, and a line that can be cut.
// Its session is its own too (`share` off): two tabs of one browser would otherwise have one socket for both.

import { FanbellInbox } from "/client/fanbell-inbox.js";
import { listened } from "./frames.js";
import { caughtUp } from "./line.js";
import { make } from "./tools.js";

const STATES = { connecting: "Connecting", live: "Live", offline: "Offline", closed: "Closed" };

export class Device {
  /** @param {HTMLElement} root  the frame, as the page has it
   *  @param {{frame: Function, news: Function, changed: Function}} tell  whom to tell of frames, of rows that are new or have grown, of each new snapshot */
  constructor(root, tell) {
    this.root = root;
    this.name = root.dataset.device;
    this.tell = tell;
    this.isCut = false;
    this.waiting = 0; // what happened while the line was cut, as the other device heard it
    this.inbox = null; // the SDK's, behind the element
    this.element = null;
    this.screen = root.querySelector(".screen");
    this.button = root.querySelector(".cut");
    this.button.addEventListener("click", () => (this.isCut ? this.restore() : this.cut()));
  }

  /** Show the user's inbox; what was shown before ends. */
  show({ user, locale, dir, theme }) {
    this.inbox?.stop();
    this.element?.remove();
    this.user = user;
    this.isCut = false;
    this.waiting = 0;
    const WebSocket = listened((frame) => this.tell.frame(this, frame));
    const inbox = new FanbellInbox({ url: location.origin, user, locale, share: false, WebSocket });
    const element = make("fanbell-inbox");
    element.setAttribute("locale", locale);
    element.inbox = inbox;
    Object.assign(this, { inbox, element });
    element.addEventListener("fanbell-open", (event) => event.preventDefault()); // the town's posts have no pages to go to
    const ours = (then) => (...given) => { if (inbox === this.inbox) then(...given); };
    inbox.subscribe(ours(() => this.draw()));
    inbox.on("notification", ours((item) => this.tell.news(this, item)));
    this.style({ dir, theme });
    this.screen.replaceChildren(element);
    this.note("");
    inbox.start();
    this.draw();
  }

  /** How it looks, without a new session. */
  style({ dir, theme }) {
    this.element.setAttribute("dir", dir);
    this.element.setAttribute("theme", theme);
  }

  cut() {
    this.isCut = true;
    this.waiting = 0;
    this.before = new Map(this.inbox.getSnapshot().items.map((item) => [item.id, item.cursor]));
    this.inbox.cutLine();
    this.note("Nothing reaches this device now.");
    this.draw();
  }

  async restore() {
    this.isCut = false;
    const { user, inbox, before } = this;
    this.note("Catching up…");
    inbox.restoreLine();
    this.draw();
    const told = await caughtUp(inbox, user, before);
    if (this.inbox === inbox && !this.isCut) this.note(told);
  }

  /** Something happened that this device cannot hear now. */
  missed() {
    this.waiting += 1;
    this.note(this.waiting === 1 ? "1 change waits for this device." : `${this.waiting} changes wait for this device.`);
  }

  note(text) { this.root.querySelector(".note").textContent = text; }

  draw() {
    const { status, counts } = this.inbox.getSnapshot();
    const state = this.isCut ? "offline" : status;
    const pill = this.root.querySelector(".state");
    if (pill.dataset.state !== state || this.drawn !== state) {
      pill.dataset.state = state;
      pill.querySelector("[role=status]").textContent = STATES[state] ?? state;
      this.root.dataset.state = state;
      this.drawn = state;
    }
    this.button.setAttribute("aria-pressed", String(this.isCut));
    this.button.querySelector("span").textContent = this.isCut ? "Restore the line" : "Cut the line";
    this.button.querySelector("use").setAttribute("href", this.isCut ? "#i-line" : "#i-cut");
    this.badge(counts?.unread ?? 0);
    this.tell.changed(this);
  }

  badge(unread) {
    const badge = this.root.querySelector(".badge");
    const text = unread > 99 ? "99+" : String(unread);
    if (badge.textContent === text && badge.hidden === !unread) return;
    const grew = unread > (this.unread ?? 0);
    this.unread = unread;
    badge.textContent = text;
    badge.hidden = !unread;
    badge.setAttribute("title", `${unread} unread`);
    if (!grew) return;
    badge.classList.remove("bump");
    void badge.offsetWidth; // so that the motion starts anew
    badge.classList.add("bump");
  }
}
