// Two ways to hear the same frames: a WebSocket, or a stream of Server-Sent Events where proxies break those.
//
// Both take {url, first, heard, closed} and give {send, check, close}. `closed(code, reason)` is called once, unless
// we close. A connection without a word for too long is dead, whatever the system thinks.
import { CLOSE_CODES, WAIT_MS_MAX } from "./close_codes.js";

const OPEN_MS = 10_000; // until the first frame
const PING_MS = 25_000; // without a word, before we ask for one
const PONG_MS = 10_000; // until it must be there
const SILENCE_MS = 45_000; // of a stream, in which a comment is due every 15 s
const EVENT_CHARS_MAX = 8 * 1024 * 1024; // of one event that has not ended; a page is far below

export function comesBack(code) {
  if (code === 1000) return true; // we did not close, so a proxy did
  return CLOSE_CODES[code]?.[1] ?? (!(code >= 4000 && code < 4500) && code !== 1003 && code !== 1008);
}

// How long to wait before coming back after `failures` in a row, with `chance` in 0..1.
export function waitMs(code, failures, chance) {
  const first = CLOSE_CODES[code]?.[2] ?? 1000;
  const doubled = Math.min(WAIT_MS_MAX, Math.max(first, failures ? 200 : 0) * 2 ** Math.min(failures, 16));
  return Math.floor(doubled * (0.5 + chance / 2));
}

// Ends once, with all timers: `due(ms, then)` replaces the timer before it.
function life(closed, release) {
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

export function openStream({ fetch, url, token, heard, closed }) {
  const abort = new AbortController();
  const { due, end } = life(closed, () => abort.abort());
  const word = () => due(SILENCE_MS, () => end(1006, "silent"));
  due(OPEN_MS, () => end(1006, "silent"));
  (async () => {
    const headers = { accept: "text/event-stream", ...(token && { authorization: `Bearer ${token}` }) };
    const answer = await fetch(url, { headers, signal: abort.signal, cache: "no-store" });
    if (!answer.ok) return end({ 401: 4401, 403: 4403, 429: 4503, 503: 4503 }[answer.status] || 1006, answer.statusText);
    const events = eventParser();
    for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
      const { value, done } = await reader.read();
      if (done) return end(1006);
      word();
      for (const { event, data } of events(value)) {
        const said = JSON.parse(data);
        if (event === "close") return end(said.code, said.reason);
        heard(said);
      }
    }
  })().catch((error) => end(1006, error.message));
  return { send: () => false, check: () => {}, close: () => end(0) };
}

// Text as it comes in, cut anywhere, to whole events. A carriage return at the end of a piece waits for the next.
export function eventParser() {
  let rest = "";
  let lines = [];
  let chars = 0;
  return (text) => {
    const events = [];
    const parts = (rest + text).split(/\r\n|\n|\r(?=[^])/);
    rest = parts.pop();
    chars += text.length;
    if (chars > EVENT_CHARS_MAX) throw new Error("an event without an end");
    for (const line of parts) {
      if (line) {
        lines.push(line);
        continue;
      }
      chars = rest.length;
      const found = { event: "message", id: undefined, data: [] };
      for (const [, name, value] of lines.map((one) => /^([^:]*):? ?(.*)$/.exec(one))) {
        if (name === "data") found.data.push(value);
        else if (name in found) found[name] = value;
      }
      lines = [];
      if (found.data.length) events.push({ ...found, data: found.data.join("\n") });
    }
    return events;
  };
}
