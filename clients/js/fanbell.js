// One person's inbox, live: a store with `subscribe` and `getSnapshot` that any framework can use.
import { Line } from "./line.js";
import { append, empty, fold, lay, VERBS, view } from "./store.js";
import { Tabs } from "./tabs.js";

const MARKS_MAX = 500; // that wait for an answer; who is offline for so long reads on paper
const IDS_MAX = 100; // of one mark: with their cursors some 32 KB, and a frame may have 64
const PAGE_ROWS = 50;
const ANSWER_MS = 15_000; // of the HTTP API
const HEARD_MAX = 1000; // frames during one request for a page; then the page is asked for again
const TOLD_MAX = 256; // notifications of which we know that we told them

const failure = (message, more) => Object.assign(new Error(message), more);

export class FanbellInbox {
  #options;
  #line;
  #tabs = null;
  #state = empty();
  #marks = []; // not answered yet, of this tab and, in the one that leads, of others
  #status = "connecting";
  #error = null;
  #running = false;
  #snapshot = null;
  #subscribers = new Set();
  #listeners = new Map();
  #loads = new Map(); // what is being loaded: {promise, heard}
  #told = new Set();
  #edge = null;
  #name = Math.random().toString(36).slice(2);
  #refs = 0;

  constructor(options) {
    const { fetch, WebSocket, BroadcastChannel, navigator } = globalThis;
    this.#options = {
      transport: "auto", share: true, storage: "memory", WebSocket, BroadcastChannel, locks: navigator?.locks,
      fetch: (...given) => fetch(...given), ...options, url: String(options.url ?? "").replace(/\/+$/, ""),
    };
    if (!this.#options.user) throw new TypeError("FanbellInbox needs a user");
    this.#line = new Line({
      options: this.#options,
      edge: async () => (await this.#where()).url,
      stream: () => this.#stream(),
      post: (verb, body) => this.#api("POST", this.#mine(`/notifications/${verb}`), body),
      first: () => ({ type: "connect", user: this.#options.user, locale: this.#options.locale, cursor: this.#state.cursor ?? undefined }),
      heard: (frame) => { this.#tabs?.say({ type: "frame", frame }); this.#hear(frame); },
      status: (status, why) => { this.#edge = why ? null : this.#edge; this.#tell(status, why); },
      failed: (error) => this.#fail(error),
    });
  }

  // Life

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#status = "connecting";
    this.#recall();
    for (const [target, name, act] of this.#wakes) target?.addEventListener?.(name, act);
    const { share, locks, BroadcastChannel, url, user, locale } = this.#options;
    if (share && locks && BroadcastChannel) {
      this.#tabs = new Tabs(`fanbell ${url} ${user} ${locale || ""}`, {
        locks, BroadcastChannel,
        lead: () => this.#line.open(),
        hear: (message) => this.#hearTab(message),
        offer: () => ({ state: this.#state, status: this.#status }),
        adopt: (whole) => this.#adopt(whole),
        resend: () => this.#flush(true),
      });
      this.#tabs.join();
    } else this.#line.open();
    this.#lookAhead();
    this.#changed();
  }

  stop() {
    if (!this.#running) return;
    this.#running = false;
    this.#remember();
    for (const [target, name, act] of this.#wakes) target?.removeEventListener?.(name, act);
    this.#line.close();
    this.#tabs?.leave();
    this.#tabs = null;
    for (const mark of this.#marks.splice(0)) mark.reject?.(failure("stopped"));
    this.#tell("closed", { reason: "stopped" });
  }

  // Behave as a lost connection, until the line is restored: for demonstrations and tests.
  cutLine() {
    this.#line.setCut(true);
    this.#tell("offline");
  }

  restoreLine() {
    this.#line.setCut(false);
    if (this.#tabs && !this.#tabs.leads) {
      this.#status = "connecting";
      this.#tabs.ask();
    }
    this.#changed();
  }

  // A new token: told in place, or used to come back where the old one had ended it.
  setToken(token) {
    if (this.#line.setToken(token) || !this.#running || this.#status !== "closed") return;
    this.stop();
    this.start();
  }

  // Store

  subscribe = (listener) => {
    this.#subscribers.add(listener);
    return () => this.#subscribers.delete(listener);
  };

  getSnapshot = () => {
    if (this.#snapshot) return this.#snapshot;
    const { items, counts, next, older, preferences, mutes, cursor } = view(this.#state, this.#marks.filter((mark) => !mark.of));
    const of = (archived) => Object.freeze(items.filter((item) => item.archived === archived));
    this.#snapshot = Object.freeze({
      status: this.#status, error: this.#error, items: of(false), counts, hasMore: next !== null, loading: this.#loads.size > 0 || (cursor === null && this.#status !== "closed"),
      archived: Object.freeze({ items: of(true), hasMore: older !== null, loaded: older !== undefined }),
      preferences, mutes, pending: this.#marks.length,
    });
    return this.#snapshot;
  };

  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name).delete(listener);
  }

  // Marks: they show at once, wait while there is no connection, and are taken back if the server refuses them

  static {
    for (const verb in VERBS) this.prototype[verb] = function mark(which) { return this.#mark(verb, which); };
  }

  #mark(verb, which) {
    const all = which === "all";
    const ids = all ? [] : [].concat(which);
    const known = new Map(this.#state.items.map((item) => [item.id, item.cursor]));
    const given = [];
    if (all && this.#state.cursor) given.push({ all, shown: known, body: { up_to: this.#state.cursor } });
    for (let at = 0; at < ids.length; at += IDS_MAX) {
      const some = ids.slice(at, at + IDS_MAX);
      const shown = new Map(some.filter((id) => known.has(id)).map((id) => [id, known.get(id)]));
      const cursors = shown.size === some.length ? { cursors: [...shown.values()] } : {};
      given.push({ all, shown, body: { ids: shown.size === some.length ? [...shown.keys()] : some, ...cursors } });
    }
    if (!this.#running) return Promise.reject(failure("not started"));
    if (this.#marks.length + given.length > MARKS_MAX) return Promise.reject(failure("too many marks wait", { reason: "full" }));
    const promise = Promise.all(given.map((one) => new Promise((resolve, reject) => {
      this.#marks.push({ ...one, verb, ref: `${this.#name}-${++this.#refs}`, resolve, reject });
    }))).then(() => {});
    promise.catch(() => {}); // whoever does not wait for it hears of it as an error
    this.#changed();
    this.#flush();
    return promise;
  }

  // Send what was not sent yet; `again`: over a new connection, what was not answered.
  #flush(again = false) {
    if (again) for (const mark of this.#marks) mark.sent = false;
    if (this.#line.cut) return;
    const follows = this.#tabs && !this.#tabs.leads;
    for (const mark of this.#marks.filter((one) => !one.sent)) {
      const { verb, ref, body } = mark;
      if (follows) this.#tabs.tell({ type: "mark", mark: { verb, ref, body } });
      else if (!this.#line.live || !this.#line.send({ type: verb, ref, ...body })) return;
      mark.sent = true;
    }
  }

  #settle({ ref, refused }) {
    const mark = this.#marks.find((one) => one.ref === ref);
    if (!mark) return;
    this.#marks = this.#marks.filter((one) => one !== mark);
    if (mark.of) return this.#tabs?.say({ type: "settled", ref, refused });
    if (refused) {
      const error = failure(`the mark was refused: ${refused}`, { reason: refused, verb: mark.verb });
      mark.reject(error);
      this.#fail(error);
    } else {
      this.#state = lay(this.#state, mark);
      mark.resolve();
    }
    this.#changed();
  }

  // What comes in

  #hear(frame) {
    const before = this.#state;
    for (const load of this.#loads.values()) load.heard.push(frame);
    this.#state = fold(before, frame);
    if (frame.type === "accepted") this.#settle({ ref: frame.ref });
    else if (frame.type === "refused") this.#settle({ ref: frame.ref, refused: frame.reason || "refused" });
    else if (frame.type === "hello") {
      this.#tell("live");
      this.#flush(true);
      if (!frame.recovered) this.#askAgain();
    } else if (frame.type === "notification") this.#notify(frame.item);
    if (this.#state === before) return;
    this.#changed();
    if (this.#state.counts !== before.counts) this.#emit("counts", this.getSnapshot().counts);
  }

  // Each notification once, also when another tab hears some of it again as it takes the lead.
  #notify(item) {
    const key = `${item.id} ${item.cursor}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    if (this.#told.size > TOLD_MAX) this.#told.delete(this.#told.values().next().value);
    this.#emit("notification", item);
  }

  #hearTab(message) {
    if (this.#line.cut) return;
    if (message.type === "frame") this.#hear(message.frame);
    else if (message.type === "status") this.#tell(message.status, message.why);
    else if (message.type === "settled") this.#settle(message);
    else if (message.type === "mark" && this.#marks.every((mark) => mark.ref !== message.mark.ref)) {
      if (this.#marks.length >= MARKS_MAX) return this.#tabs.say({ type: "settled", ref: message.mark.ref, refused: "full" });
      this.#marks.push({ ...message.mark, of: message.from });
      this.#flush();
    }
  }

  #adopt({ state, status }) {
    if (this.#line.cut) return;
    const before = this.#state;
    this.#edge = null; // by the time that we lead it may be another
    if (state.epoch !== null) { // who leads may know nothing yet
      this.#state = { ...state, preferences: state.preferences ?? before.preferences, mutes: state.mutes ?? before.mutes };
      this.#askAgain();
    }
    const first = state.items.findIndex((item) => before.items.some((had) => had.id === item.id && had.cursor === item.cursor));
    if (before.cursor !== null) state.items.slice(0, Math.max(0, first)).reverse().forEach((item) => this.#notify(item));
    this.#tell(status);
    this.#changed();
  }

  #tell(status, why) {
    if (this.#tabs?.leads) {
      this.#tabs.say({ type: "status", status, why });
      if (status === "closed") this.#tabs.yield(); // the token of another tab may do
    }
    if (this.#line.cut && status !== "closed") status = "offline";
    this.#error = status === "closed" ? why : null;
    if (status === this.#status) return;
    this.#status = status;
    this.#changed();
    this.#emit("status", status);
    if (status === "closed") this.#emit("closed", why);
  }

  #fail(error) {
    this.#emit("error", error);
  }

  #changed() {
    this.#snapshot = null;
    for (const listener of [...this.#subscribers]) listener();
  }

  #emit(name, detail) {
    for (const listener of [...(this.#listeners.get(name) || [])]) listener(detail);
  }

  // What is asked for by HTTP

  // While the lock and the connection are on their way: where the edge is, and rows to show until it says its own.
  // What fails here, the line meets as well, and tells.
  #lookAhead() {
    this.#where().catch(() => {});
    if (this.#state.epoch !== null) return;
    this.#api("GET", this.#mine(`/notifications?${this.#query({ limit: PAGE_ROWS })}`)).then(({ items, unread, unseen }) => {
      if (this.#state.epoch !== null || !this.#running) return;
      this.#state = { ...this.#state, items, counts: { ...this.#state.counts, unread, unseen } };
      this.#changed();
    }).catch(() => {});
  }

  async #where() {
    const asked = (this.#edge ??= this.#api("GET", `/v1/edge?${new URLSearchParams({ user: this.#options.user })}`));
    try {
      return await asked;
    } catch (error) {
      if (this.#edge === asked) this.#edge = null;
      throw error;
    }
  }

  // With the partition, if that is known.
  async #stream() {
    const { stream = null } = await this.#where().catch(() => ({}));
    const path = stream ?? this.#mine("/stream?");
    return `${this.#options.url}${path}${path.endsWith("?") ? "" : "&"}${this.#query({ cursor: this.#state.cursor })}`;
  }

  // The page below what is there; of the archive, if so asked.
  loadMore({ archived = false } = {}) {
    const { [archived ? "older" : "next"]: before, cursor } = this.#state;
    if (before === null || cursor === null) return Promise.resolve();
    if (!this.#loads.has(archived)) {
      const load = { heard: [] };
      load.promise = this.#load(archived, before, load).finally(() => { this.#loads.delete(archived); this.#changed(); });
      load.promise.catch(() => {});
      this.#loads.set(archived, load);
      this.#changed();
    }
    return this.#loads.get(archived).promise;
  }

  async #load(archived, before, load) {
    const page = await this.#api("GET", this.#mine(`/notifications?${this.#query({ limit: PAGE_ROWS, before, archived: archived ? "only" : null })}`));
    if (load.heard.length > HEARD_MAX || load.heard.some(({ type }) => type === "page")) return; // it fits no more
    this.#state = append(this.#state, page, archived, load.heard);
  }

  // What may have been changed elsewhere while we did not hear.
  #askAgain() {
    const { preferences, mutes } = this.#state;
    if (preferences) this.getPreferences().catch((error) => this.#fail(error));
    if (mutes) this.getMutes().catch((error) => this.#fail(error));
  }

  getPreferences = async () => this.#know("preferences", (await this.#api("GET", this.#mine("/preferences"))).items);

  // [{kind, channels}]: what preferences can be about.
  getKinds = async () => (await this.#api("GET", this.#mine("/kinds"))).items;

  async setPreferences(items) {
    const before = this.#state.preferences;
    this.#know("preferences", items);
    try {
      await this.#api("PUT", this.#mine("/preferences"), { items });
    } catch (error) {
      if (this.#state.preferences === items) this.#know("preferences", before);
      throw error;
    }
  }

  getMutes = async () => this.#know("mutes", (await this.#api("GET", this.#mine("/mutes?limit=1000"))).items);

  // `target` is "author:ID", "entity:ID", "thread:ID" or "scope:ID".
  mute = (target) => this.#wish("mute", "PUT", target);
  unmute = (target) => this.#wish("unmute", "DELETE", target);

  async #wish(kind, method, target) {
    await this.#api(method, this.#mine(`/mutes/${encodeURIComponent(target)}`));
    this.#state = fold(this.#state, { type: "wish", kind, object: target });
    this.#changed();
  }

  #know(name, value) {
    this.#state = { ...this.#state, [name]: value };
    this.#changed();
    return value;
  }

  #mine = (rest) => `/v1/users/${encodeURIComponent(this.#options.user)}${rest}`;

  #query(given) {
    const { locale } = this.#options;
    return new URLSearchParams(Object.entries({ ...given, locale }).filter(([, value]) => value != null && value !== ""));
  }

  async #api(method, path, body, again = true) {
    const { url, fetch } = this.#options;
    if (this.#line.cut) throw failure("offline");
    const token = path.startsWith("/v1/edge?") ? null : await this.#line.token();
    const headers = { ...(body && { "content-type": "application/json" }), ...(token && { authorization: `Bearer ${token}` }) };
    const answer = await fetch(url + path, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(ANSWER_MS) });
    const value = await answer.json().catch(() => ({})); // of a page by a proxy only the status counts
    if (answer.ok) return value;
    if (answer.status === 401 && again && (await this.#line.token(token)) !== token) return this.#api(method, path, body, false);
    throw failure(value.errors?.[0]?.message || value.detail || `HTTP ${answer.status}`, { status: answer.status });
  }

  // Over a reload: rows and cursor together, or what lies between would be lost

  #key = () => `fanbell ${this.#options.url} ${this.#options.user} ${this.#options.locale || ""}`;

  #recall() {
    if (this.#options.storage !== "session") return;
    try {
      this.#state = { ...empty(), ...JSON.parse(globalThis.sessionStorage.getItem(this.#key())) };
    } catch {
      // forbidden, or of another version: the server sends a page
    }
  }

  #remember = () => {
    if (this.#options.storage !== "session") return;
    try {
      globalThis.sessionStorage.setItem(this.#key(), JSON.stringify(this.#state));
    } catch {
      // full or forbidden: a reload asks for a page
    }
  };

  #wakes = [
    [globalThis, "online", () => this.#line.wake()],
    [globalThis, "offline", () => this.#line.lose("the network is gone")],
    [globalThis, "pagehide", this.#remember],
    [globalThis.document, "visibilitychange", () => { if (!globalThis.document.hidden) this.#line.wake(); }],
  ];
}

export { VERBS };
