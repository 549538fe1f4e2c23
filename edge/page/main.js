// The demo page: two devices of one user, side by side, and what happens around them.

import { $, api, of, toast } from "./tools.js";
import { compose, followed, learn } from "./composer.js";
import { Device } from "./device.js";
import * as frames from "./frames.js";
import * as wishes from "./wishes.js";

const RTL = new Set(["ar", "fa", "he", "ur"]);
const CHOSEN = ["locale", "dir", "theme"];
const CLOCK_MS = 10_000;

const about = { user: "", people: [], posts: {} };
const asked = new URLSearchParams(location.search);
let devices = [];

const everybody = () => {
  const user = $("user").value;
  return about.people.some((one) => one.id === user) ? about.people : [{ id: user, name: $("user").selectedOptions[0].text }, ...about.people];
};

function chosen() {
  const locale = $("locale").value;
  const dir = $("dir").value === "auto" ? (RTL.has(locale) ? "rtl" : "ltr") : $("dir").value;
  return { user: $("user").value, locale, dir, theme: $("theme").value };
}

/** The choices stand in the address, so that a reload and a link show the same. */
function remember() {
  const params = new URLSearchParams();
  if ($("user").value !== about.user) params.set("user", $("user").value);
  for (const name of CHOSEN) if ($(name).selectedIndex > 0) params.set(name, $(name).value);
  const query = params.toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}

function style() {
  const now = chosen();
  document.documentElement.dataset.theme = now.theme;
  for (const device of devices) if (device.element) device.style(now);
}

function show() {
  const now = chosen();
  style();
  remember();
  for (const device of devices) device.show(now);
  const posts = now.user === about.user ? about.posts : {};
  compose(now.user, everybody(), posts, []);
  wishes.wishes(now.user, everybody(), devices[1].inbox);
  followed(now.user).then((near) => { if ($("user").value === now.user) compose(now.user, everybody(), posts, near); });
}

const tell = {
  frame: frames.tell,
  news(device, item) {
    learn(item);
    for (const other of devices) if (other !== device && other.isCut) other.missed();
  },
  changed(device) {
    if (device !== devices[1]) return;
    wishes.changed();
    const { unread } = device.inbox.getSnapshot().counts ?? {};
    document.title = unread ? `(${unread > 99 ? "99+" : unread}) Fanbell` : "Fanbell";
  },
};

function clock() {
  const now = new Date();
  for (const node of document.querySelectorAll(".clock")) node.textContent = now.toLocaleTimeString($("locale").value, { hour: "numeric", minute: "2-digit", hourCycle: "h23", numberingSystem: "latn" });
}

async function begin() {
  Object.assign(about, await api("GET", "/page/about.json"));
  const wanted = asked.get("user") || about.user;
  const people = [...about.people].sort((one, other) => one.name.localeCompare(other.name));
  if (!people.some((one) => one.id === wanted)) people.unshift({ id: wanted, name: (await api("GET", of(wanted))).name || wanted });
  $("user").replaceChildren(...people.map((one) => new Option(one.name, one.id)));
  $("user").value = wanted;
  for (const name of CHOSEN) {
    const value = asked.get(name);
    if (value && [...$(name).options].some((option) => option.value === value)) $(name).value = value;
  }
  devices = [...document.querySelectorAll("[data-device]")].map((root) => new Device(root, tell));
  for (const name of ["user", "locale"]) $(name).addEventListener("change", () => { show(); clock(); });
  for (const name of ["dir", "theme"]) $(name).addEventListener("change", () => { style(); remember(); });
  $("settings").addEventListener("submit", (event) => event.preventDefault());
  show();
  clock();
  setInterval(clock, CLOCK_MS);
}

begin().catch((error) => toast(error.message));
