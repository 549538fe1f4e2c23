// The one connection of a client: opened, resumed and given up as the close codes say, with a token that counts.
import { CLOSE_CODES, WAIT_MS_MAX } from "./close_codes.js";

const STEADY_MS = 5_000; // a connection that lived so long was none of the failures in a row
const UNOPENED_MAX = 2; // WebSockets in a row that never said hello, before the stream is tried
const EARLY_MS = 30_000; // before its end a token is replaced
const TOKEN_MS = 15_000; // until one must have come
const EARLIEST_MS = 10_000; // a wrong clock takes every token for an old one
const TIMER_MS_MAX = 86_400_000; // beyond 24 days timers would fire at once

// When a JWT ends, Unix ms; Infinity if it does not say.
export function endOf(token) {
  try {
    const { exp } = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return exp > 0 ? exp * 1000 : Infinity;
  } catch {
    return Infinity; // another kind of token: its server will tell
  }
}

export class Line {
  cut = false;
  #on; // {options, edge, stream, post, first, heard, status, failed}
  #link = null;
  #turn = 0; // what belongs to an earlier turn comes too late
  #open = false;
  #failures = 0;
  #unopened = 0;
  #liveMs = 0;
  #retry = null;
  #refresh = null;
  #stale = false; // the token was refused
  #renewed = false; // and this one is the one after it
  #byStream = false;
  #inPlace = false;
  #asked = null;

  constructor(on) {
    this.#on = on;
  }

  get live() { return this.#liveMs > 0; }

  open() {
    this.#open = true;
    this.#failures = this.#unopened = 0;
    this.#renewed = false;
    this.#connect();
  }

  close() {
    this.#open = false;
    this.#leave();
  }

  send(frame) {
    return Boolean(this.#link?.send(frame));
  }

  // The network may be back, or a person looks: no reason to wait any longer.
  wake() {
    if (!this.#open || this.cut) return;
    if (this.live) this.#link.check();
    else if (this.#retry) this.open();
  }

  lose(reason) {
    if (this.#open && (this.#link || this.#retry)) this.#lost(1006, reason);
  }

  setCut(cut) {
    this.cut = cut;
    if (!this.#open) return;
    this.#leave();
    if (cut) this.#on.status("offline");
    else this.open();
  }

  setToken(token) {
    this.#on.options.token = token;
    this.#stale = false;
    if (!this.#open) return false;
    if (this.live && this.#inPlace) this.#tellToken();
    else if (this.live || this.#retry) this.open();
    return true;
  }

  // The token to use now. Raises what `getToken` raises.
  async token(refused) {
    const { options } = this.#on;
    if (refused !== undefined && refused === options.token) this.#stale = true;
    const good = options.token && !this.#stale && endOf(options.token) > Date.now();
    if (good || !options.getToken) return options.token;
    this.#asked ??= this.#ask().finally(() => { this.#asked = null; }); // one for all who ask
    options.token = await this.#asked;
    this.#stale = false;
    return options.token;
  }

  async #ask() {
    let timer;
    const late = new Promise((_, reject) => { timer = setTimeout(reject, TOKEN_MS, new Error("no token came")); });
    return Promise.race([this.#on.options.getToken(), late]).finally(() => clearTimeout(timer));
  }

  #leave() {
    this.#turn += 1;
    this.#link?.close();
    this.#link = this.#retry = clearTimeout(this.#retry) || null;
    clearTimeout(this.#refresh);
    this.#liveMs = 0;
  }

  async #connect() {
    this.#leave();
    const turn = this.#turn;
    const { options, edge, stream, post, first, status } = this.#on;
    const { transport, WebSocket } = options;
    this.#byStream = transport === "sse" || !WebSocket || (transport === "auto" && this.#unopened >= UNOPENED_MAX);
    status(this.#failures > 1 || globalThis.navigator?.onLine === false ? "offline" : "connecting");
    let tried = false;
    const mine = (then) => (...given) => { if (turn === this.#turn) then(...given); };
    try {
      const [token, url] = await Promise.all([this.token(), this.#byStream ? stream() : edge()]);
      const openStream = this.#byStream && (await import("./stream.js")).openStream;
      if (turn !== this.#turn) return;
      const told = { url, token, heard: mine((frame) => this.#heard(frame)), closed: mine((code, reason) => this.#lost(code, reason)) };
      tried = true;
      this.#link = this.#byStream
        ? openStream({ ...told, post, fetch: options.fetch })
        : openSocket({ ...told, WebSocket, first: { ...first(), token } });
    } catch (error) {
      mine(() => { this.#on.failed(error); this.#lost(1006, error.message, tried || error.status === 404); })(); // 404: this API knows of no edge
    }
  }

  #heard(frame) {
    if (frame.type === "hello") {
      this.#liveMs = Date.now();
      if (!this.#byStream) this.#unopened = 0;
      this.#renewed = false;
      this.#inPlace = Boolean(frame.user) && !this.#byStream; // an edge that says whom it knows takes a new token
      this.#keepToken();
    }
    this.#on.heard(frame);
  }

  #lost(code, reason, tried = true) {
    const wasLive = this.#liveMs;
    this.#leave();
    if (wasLive && Date.now() - wasLive > STEADY_MS) this.#failures = 0;
    if (tried && !wasLive) this.#unopened = this.#byStream ? 0 : this.#unopened + 1;
    const asksToken = code === 4401 || code === 4501;
    if (asksToken) this.#stale = true;
    const again = asksToken ? Boolean(this.#on.options.getToken) && !(code === 4401 && this.#renewed) : comesBack(code);
    if (!again) {
      this.#open = false;
      return this.#on.status("closed", { code, reason });
    }
    this.#renewed = code === 4401;
    this.#retry = setTimeout(() => this.#connect(), waitMs(code, this.#failures, Math.random()));
    this.#failures += 1;
    this.#on.status(this.#failures > 1 || globalThis.navigator?.onLine === false ? "offline" : "connecting", { code, reason });
  }

  #keepToken() {
    const { options } = this.#on;
    const leftMs = endOf(options.token || "") - Date.now();
    clearTimeout(this.#refresh);
    if (!this.#inPlace || !options.getToken || leftMs === Infinity) return;
    this.#refresh = setTimeout(async () => {
      this.#stale = true;
      try {
        await this.token();
        this.#tellToken();
      } catch (error) {
        this.#on.failed(error); // the edge will end the session, and then we ask once more
      }
    }, Math.min(TIMER_MS_MAX, Math.max(EARLIEST_MS, leftMs - EARLY_MS, leftMs / 2)));
  }

  #tellToken() {
    this.#keepToken();
    this.send({ type: "token", token: this.#on.options.token, ref: "token" });
  }
}

// One connection by WebSocket: takes {url, first, heard, closed}, gives {send, check, close}. stream.js is the same by
// Server-Sent Events. `closed(code, reason)` is called once, unless we close. A connection without a word for too long
// is dead, whatever the system thinks.
export const OPEN_MS = 10_000; // until the first frame
const PING_MS = 25_000; // without a word, before we ask for one
const PONG_MS = 10_000; // until it must be there

export function comesBack(code) {
  if (code === 1000) return true; // we did not close, so a proxy did
  return Boolean(CLOSE_CODES[code]?.[0] ?? (!(code >= 4000 && code < 4500) && code !== 1003 && code !== 1008));
}

// How long to wait before coming back after `failures` in a row, with `chance` in 0..1.
export function waitMs(code, failures, chance) {
  const first = CLOSE_CODES[code]?.[1] ?? 1000;
  const doubled = Math.min(WAIT_MS_MAX, Math.max(first, failures ? 200 : 0) * 2 ** Math.min(failures, 16));
  return Math.floor(doubled * (0.5 + chance / 2));
}

// The life of a connection, which ends once: `due(ms, then)` sets its only timer anew.
export function life(closed, release) {
  let over = false;
  let timer;
  return {
    due(ms, then) {
      clearTimeout(timer);
      if (!over) timer = setTimeout(then, ms);
    },
    end(code, reason = "") {
      if (over) return;
      over = true;
      clearTimeout(timer);
      release();
      if (code) closed(code, reason);
    },
  };
}

export function openSocket({ WebSocket, url, first, heard, closed }) {
  const socket = new WebSocket(url, "fanbell.v1");
  const { due, end } = life(closed, () => {
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {}; // of a socket that we have left
    socket.close();
  });
  const send = (frame) => socket.readyState === 1 && (socket.send(JSON.stringify(frame)), true);
  const check = (ms = PONG_MS) => send({ type: "ping" }) && due(ms, () => end(1006, "silent"));
  due(OPEN_MS, () => end(1006, "silent"));
  socket.onopen = () => send(first);
  socket.onmessage = ({ data }) => {
    due(PING_MS, check);
    heard(JSON.parse(data));
  };
  socket.onerror = () => {}; // a close follows, with all there is to know
  socket.onclose = ({ code, reason }) => end(code, reason);
  return { send, check: () => check(PONG_MS / 2), close: () => end(0) };
}
