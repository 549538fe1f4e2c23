// Whether a device whose line was cut has everything again. Not taken on trust: its rows are compared with the API's.

import { api, of } from "./tools.js";

const LIVE_WITHIN_MS = 30_000;
const TRIES = 12; // things go on happening, so that the list and the device may differ for a moment
const BETWEEN_MS = 250;
const ROWS = 50;

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** In words, what the device had missed when its rows were `before` (id → cursor), and how much of it is lost. */
export async function caughtUp(inbox, user, before) {
  if (!(await isLive(inbox))) return "Still no connection.";
  let missed = 0;
  let lost = 0;
  for (let turn = 0; turn < TRIES; turn += 1) {
    const page = await api("GET", of(user, `/notifications?limit=${ROWS}`)).catch(() => null);
    if (page) {
      const changed = page.items.filter((item) => before.get(item.id) !== item.cursor);
      const here = new Map(inbox.getSnapshot().items.map((item) => [item.id, item.cursor]));
      missed = changed.length;
      lost = changed.filter((item) => here.get(item.id) !== item.cursor).length;
      if (!lost) break;
    }
    await pause(BETWEEN_MS);
  }
  return `Caught up: ${missed}${missed === ROWS ? "+" : ""} missed, ${lost} lost.`;
}

/** Whether the inbox is live, as soon as it is. */
function isLive(inbox) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => done(false), LIVE_WITHIN_MS);
    const look = () => { if (inbox.getSnapshot().status === "live") done(true); };
    const leave = inbox.subscribe(look);
    function done(is) {
      clearTimeout(timer);
      leave();
      resolve(is);
    }
    look();
  });
}
