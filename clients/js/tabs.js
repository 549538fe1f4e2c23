// Several tabs, one connection: the tab that holds the lock leads; the others hear what it hears, and tell it what to mark.
//
// The leader numbers what it says. A follower that misses a number, or meets another leader, asks for the whole state;
// since a channel keeps order, that state is at its number and the next one follows. When a leader closes, the lock goes
// to the next tab by itself, which goes on from the cursor of what it has heard.

export class Tabs {
  #name;
  #on; // {lead(), hear(message), adopt(state), offer(), resend()}
  #locks;
  #channel;
  #release = null;
  #abort = new AbortController();
  #id = Math.random().toString(36).slice(2);
  #leader = null;
  #heard = 0;
  #said = 0;
  leads = false;

  constructor(name, { locks, BroadcastChannel, ...on }) {
    this.#name = name;
    this.#on = on;
    this.#locks = locks;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
  }

  join() {
    this.ask();
    const { signal } = this.#abort;
    this.#locks.request(this.#name, { signal }, () => {
      if (signal.aborted) return undefined;
      this.leads = true;
      this.#say({ type: "lead", at: this.#on.offer().state.cursor });
      this.#on.lead();
      return new Promise((release) => { this.#release = release; });
    }).catch((error) => { if (error.name !== "AbortError") throw error; });
  }

  // To all who follow, from the leader.
  say(message) {
    if (this.leads) this.#say({ ...message, n: ++this.#said });
  }

  // To the leader, from who follows.
  tell(message) {
    if (!this.leads) this.#say(message);
  }

  ask() {
    this.#leader = null;
    this.tell({ type: "ask" });
  }

  // Lead no longer, but go on listening to who does then.
  yield() {
    this.leads = false;
    this.#release?.();
    this.#release = null;
  }

  leave() {
    this.#abort.abort();
    this.yield();
    this.#channel.close();
  }

  #say(message) {
    this.#channel.postMessage({ from: this.#id, ...message });
  }

  #hear(message) {
    const { type, from, to, n, said } = message;
    if (this.leads) {
      if (type === "ask") this.#say({ type: "whole", to: from, said: this.#said, ...this.#on.offer() });
      else if (type === "mark") this.#on.hear(message);
    } else if (type === "lead") {
      if (message.at === this.#on.offer().state.cursor) [this.#leader, this.#heard] = [from, 0];
      else this.ask();
      this.#on.resend();
    } else if (type === "whole" && to === this.#id) {
      [this.#leader, this.#heard] = [from, said];
      this.#on.adopt(message);
      this.#on.resend();
    } else if (n && from === this.#leader) {
      if (n !== ++this.#heard) this.ask();
      else this.#on.hear(message);
    }
  }
}
