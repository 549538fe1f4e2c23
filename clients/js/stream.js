// The same frames by Server-Sent Events, where proxies break WebSockets: read by fetch, so that the token is in a header.
import { life, OPEN_MS } from "./line.js";

const SILENCE_MS = 45_000; // a comment is due every 15 s
const EVENT_CHARS_MAX = 8 * 1024 * 1024; // of one event that has not ended; a page is far below

export function openStream({ fetch, url, token, post, heard, closed }) {
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
  let last = Promise.resolve(); // marks in their order
  // There is no way back in a stream: a mark goes by HTTP, and its answer is heard as if it had come here. Without an
  // answer the stream ends, and the mark is sent again once there is another.
  function send({ type, ref, ...body }) {
    last = last.then(() => post(type, body)).then(() => heard({ type: "accepted", ref }), ({ status, message }) => {
      if (status >= 400 && status < 500 && ![401, 408, 429].includes(status)) heard({ type: "refused", ref, reason: message });
      else end(1006, message);
    });
    return true;
  }
  return { send, check: () => {}, close: () => end(0) };
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
