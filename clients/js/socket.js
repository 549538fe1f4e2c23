// One connection by WebSocket: takes {url, first, heard, closed}, gives {send, check, close}. stream.js is the same by
// Server-Sent Events. `closed(code, reason)` is called once, unless we close. A connection without a word for too long
// is dead, whatever the system thinks.
import { CLOSE_CODES, WAIT_MS_MAX } from "./close_codes.js";

export const OPEN_MS = 10_000; // until the first frame
const PING_MS = 25_000; // without a word, before we ask for one
const PONG_MS = 10_000; // until it must be there

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
