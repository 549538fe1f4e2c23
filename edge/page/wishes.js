// What the user wants to hear of: preferences by kind, and muted people. Kept by the server, so for every device.

import { $, attempt, icon, make, toast } from "./tools.js";

const KINDS = { post: "Posts", comment: "Comments", reply: "Replies", like: "Likes", repost: "Reposts", follow: "New followers", mention: "Mentions", message: "Messages" };

let inbox = null;
let names = new Map();
let drawn = null; // the preferences that are shown
let drawnMutes = null;
let asking = null; // the inbox that is being asked

/** Show the wishes of this user, through the SDK's `sdk`. */
export function wishes(user, everybody, sdk) {
  inbox = sdk;
  names = new Map(everybody.map((one) => [one.id, one.name]));
  drawn = null;
  drawPreferences([]);
  drawMutes([]);
  const others = everybody.filter((one) => one.id !== user);
  $("mute-id").replaceChildren(...others.map((one) => new Option(one.name, one.id)));
  changed();
}

/** A new snapshot: a wish may have changed, on another device too. */
export function changed() {
  if (!inbox) return;
  const { status, preferences, mutes } = inbox.getSnapshot();
  if (status === "live" && !(preferences && mutes)) ask(); // not known yet, or no more: after too long an absence
  if (preferences && preferences !== drawn) drawPreferences(preferences);
  if (mutes && mutes !== drawnMutes) drawMutes(mutes);
}

async function ask() {
  const of = inbox;
  if (asking === of) return;
  asking = of;
  await attempt(() => Promise.all([of.getPreferences(), of.getMutes()]));
  if (asking === of) asking = null;
}

const isPlain = (item, kind) => (item.kind ?? "*") === kind && item.channel === "inbox" && (item.scope ?? "*") === "*";
const isWanted = (items, kind) => (items.find((item) => isPlain(item, kind)) ?? items.find((item) => isPlain(item, "*")))?.value !== "off";

function drawPreferences(items) {
  drawn = items;
  const focused = document.activeElement?.dataset?.kind;
  $("preferences").replaceChildren(...Object.entries(KINDS).map(([kind, label]) => {
    const line = make("li");
    const name = make("span");
    name.append(icon(kind === "reply" ? "comment" : kind), label);
    const knob = make("button", "switch");
    knob.type = "button";
    knob.dataset.kind = kind;
    knob.setAttribute("role", "switch");
    knob.setAttribute("aria-label", label);
    knob.setAttribute("aria-checked", String(isWanted(items, kind)));
    knob.addEventListener("click", () => prefer(kind, !isWanted(drawn, kind)));
    line.append(name, knob);
    return line;
  }));
  if (focused) $("preferences").querySelector(`[data-kind="${CSS.escape(focused)}"]`)?.focus();
}

async function prefer(kind, on) {
  const before = drawn;
  const items = before.filter((item) => !isPlain(item, kind));
  if (!on || !isWanted(items, kind)) items.push({ kind, channel: "inbox", scope: "*", value: on ? "on" : "off" });
  drawPreferences(items);
  if ((await attempt(async () => { await inbox.setPreferences(items); return true; })) === null) drawPreferences(before);
}

function drawMutes(targets) {
  drawnMutes = targets;
  const chips = targets.map((target) => {
    const [aspect, id] = [target.slice(0, target.indexOf(":")), target.slice(target.indexOf(":") + 1)];
    return chip(aspect === "author" ? names.get(id) ?? id : `${aspect} ${id}`, () => attempt(() => inbox.unmute(target)));
  });
  $("mutes").replaceChildren(...(chips.length ? chips : [make("li", "soft", "Nobody is muted.")]));
}

function chip(label, remove) {
  const node = make("li", "chip");
  const cross = make("button", "", "×");
  cross.type = "button";
  cross.setAttribute("aria-label", `Hear ${label} again`);
  cross.addEventListener("click", remove);
  node.append(make("span", "", label), cross);
  return node;
}

$("mute").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = $("mute-id").value;
  attempt(async () => {
    await inbox.mute(`author:${id}`);
    toast(`${names.get(id) ?? id} is not heard from now on.`);
  });
});
