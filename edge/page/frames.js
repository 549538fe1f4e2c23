// The log of frames, for the curious: bounded, and drawn only while it is open.

import { $, make } from "./tools.js";

const KEPT = 200; // frames; older ones are of no interest
const SHOWN_CHARS = 600; // of one frame; a page of an inbox is long
const all = [];
let total = 0;
let drawing = 0;

/** A WebSocket that tells `hear` of every frame that goes through it. */
export const listened = (hear) => class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => hear({ direction: "in", frame: JSON.parse(data) }));
  }

  send(data) {
    hear({ direction: "out", frame: JSON.parse(data) });
    super.send(data);
  }
};

/** A frame that `device` heard or said: {direction: "in" | "out", frame}. */
export function tell(device, { direction, frame }) {
  total += 1;
  all.unshift({ at: new Date(), device: device.name, direction, frame });
  all.length = Math.min(all.length, KEPT);
  if (!drawing) drawing = requestAnimationFrame(draw);
}

function draw() {
  drawing = 0;
  $("frames-count").textContent = String(total);
  if (!$("frames").open) return;
  $("frames-list").replaceChildren(...all.map(line));
}

function line({ at, device, direction, frame }) {
  const node = make("li", direction);
  const time = make("time", "", at.toLocaleTimeString("en-GB"));
  time.dateTime = at.toISOString();
  const { type, ...rest } = frame;
  delete rest.token; // the demo has none; whoever copies this page may
  const text = JSON.stringify(rest);
  const more = make("code", "", text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text);
  node.append(time, make("span", "of", device), make("span", "way", direction === "in" ? "↓" : "↑"), make("b", "", type), more);
  return node;
}

$("frames").addEventListener("toggle", draw);
$("frames-clear").addEventListener("click", () => {
  all.length = 0;
  total = 0;
  draw();
});
