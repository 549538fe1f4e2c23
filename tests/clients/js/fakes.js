// An edge, an API and Web Locks under a test's control; and the smallest inbox to talk about.

export const item = (id, more = {}) => ({
  id, cursor: `c-${id}`, kind: "like", reason: "like", text: `${id} happened`, url: null, actors: [], count: 1, object: "p", target: null, scope: null, data: null,
  created_at: "2026-01-01T00:00:00.000Z", updated_at: `2026-01-01T00:00:${id.replace(/\D/g, "").padStart(2, "0")}.000Z`,
  seen: false, read: false, archived: false, clicked: false, ...more,
});

export const counts = (unread, more = {}) => ({ unread, unseen: unread, kinds: unread ? { like: unread } : {}, scopes: {}, ...more });

export const hello = (more = {}) => ({ type: "hello", epoch: "e", cursor: null, recovered: false, counts: counts(2), ...more });

export const page = (items, more = {}) => ({ type: "page", items, cursor: "c-page", next: null, prev: null, total: items.length, ...more });

// Promises that are settled have been told of.
export const settled = async () => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

const TURNS_MAX = 200_000; // some seconds: a test that waits for ever says nothing

// For what comes from outside of this thread: channels between tabs, modules that are loaded.
export async function until(holds) {
  for (let turns = 0; !holds(); turns += 1) {
    if (turns > TURNS_MAX) throw new Error(`never: ${holds}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

// WebSockets as a browser has them; the test plays the server.
export class FakeEdge {
  sockets = [];
  asked = []; // HTTP requests
  answers = new Map(); // "METHOD /path" to [status, body] or a function
  place = { url: "ws://edge.test/?p=3", port: 1, stream: "/v1/users/ana/stream?p=3" };
  refuses = false; // WebSockets fail to open

  constructor() {
    const edge = this;
    this.WebSocket = class {
      readyState = 0;
      sent = [];
      constructor(url, protocol) {
        Object.assign(this, { url, protocol });
        edge.sockets.push(this);
        queueMicrotask(() => (edge.refuses ? this.drop(1006) : this.#opened()));
      }
      #opened() {
        if (this.readyState !== 0) return;
        this.readyState = 1;
        this.onopen?.();
      }
      send(text) { this.sent.push(JSON.parse(text)); }
      close() { this.readyState = 3; }
      // From here on: what the server does.
      say(...frames) { for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) }); }
      drop(code, reason = "") {
        this.readyState = 3;
        this.onclose?.({ code, reason });
      }
      marks() { return this.sent.filter(({ type }) => !["connect", "ping", "token"].includes(type)); }
    };
    this.fetch = async (url, { method = "GET", headers = {}, body } = {}) => {
      const path = new URL(url).pathname + new URL(url).search;
      this.asked.push({ method, path, headers, body: body && JSON.parse(body) });
      const answer = path.startsWith("/v1/edge?user=") ? [200, this.place] : this.answers.get(`${method} ${path.split("?")[0]}`) ?? [404, {}];
      const [status, value] = typeof answer === "function" ? await answer() : answer;
      return value instanceof ReadableStream ? new Response(value, { status }) : Response.json(value, { status });
    };
  }

  get last() { return this.sockets.at(-1); }

  options(more = {}) {
    return { url: "http://api.test", user: "ana", WebSocket: this.WebSocket, fetch: this.fetch, share: false, ...more };
  }
}

// One lock after the other for those who ask, as navigator.locks gives them.
export class FakeLocks {
  #waiting = new Map();

  request(name, { signal }, held) {
    if (!this.#waiting.has(name)) this.#waiting.set(name, []);
    const line = this.#waiting.get(name);
    return new Promise((resolve, reject) => {
      const one = { held, resolve, reject };
      signal?.addEventListener("abort", () => {
        if (line.indexOf(one) < 1) return; // held already: it is for the holder to let go
        line.splice(line.indexOf(one), 1);
        reject(Object.assign(new Error("aborted"), { name: "AbortError" }));
      });
      line.push(one);
      if (line.length === 1) this.#grant(line);
    });
  }

  async #grant(line) {
    const [one] = line;
    one.resolve(await one.held());
    line.shift();
    if (line.length) this.#grant(line);
  }
}
