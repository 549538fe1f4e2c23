// One person's inbox, live. Everything that people wrote is put in as text, never as markup.

const VERBS = { post: "Posts", comment: "Comments", reply: "Replies", like: "Likes", repost: "Reposts", follow: "New followers", mention: "Mentions", message: "Messages" };
const ICONS = { reply: "comment" };
const ROWS_MAX = 200; // as many as an inbox keeps
const PAGE_ROWS = 50; // of the server's first page
const PING_MS = 25_000;
const SILENCE_MS = 40_000; // no word for so long: the connection is dead, whatever the browser thinks
const $ = (id) => document.getElementById(id);

const about = { user: "", people: [] };
const names = new Map(); // id -> name
let user = "";
let token = new URLSearchParams(location.hash.slice(1)).get("token");
let locale = localStorage.getItem("fanbell.locale") || "en";
let filter = "all";
let archived = null; // rows of the archive, while it is shown
let inbox = empty();
let socket = null;
let failures = 0;
let timer = 0;
let lastWord = 0;
let older = null; // cursor of the page below

function empty() { return { epoch: null, cursor: null, items: [], unread: 0 }; }

// Small tools

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${ICONS[name] || name}`);
  svg.append(use);
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

function hueOf(text) {
  let hash = 7;
  for (const char of text) hash = (hash * 31 + char.codePointAt(0)) % 360_007;
  return hash % 360;
}

function initials(name) {
  const words = name.replace(/[^\p{L}\p{N} ]/gu, " ").split(" ").filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0]).join("").toUpperCase() || "?";
}

function avatar(id, name) {
  const face = make("span", "avatar", initials(name || id));
  face.style.setProperty("--hue", hueOf(id));
  face.setAttribute("aria-hidden", "true");
  return face;
}

function ago(time) {
  const seconds = Math.max(0, (Date.now() - new Date(time).getTime()) / 1000);
  const format = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });
  if (seconds < 45) return format.format(0, "second");
  if (seconds < 3600) return format.format(-Math.max(1, Math.round(seconds / 60)), "minute");
  if (seconds < 86_400) return format.format(-Math.round(seconds / 3600), "hour");
  return format.format(-Math.round(seconds / 86_400), "day");
}

const nameOf = (id) => names.get(id) || id;
const idOf = (text) => about.people.find((one) => one.name === text || one.id === text)?.id || text;

let toastTimer = 0;
function toast(text) {
  const node = $("toast");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { node.hidden = true; }, 3500);
}

// The API

async function api(method, path, body) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(value.errors?.[0]?.message || value.detail || value.title || `HTTP ${answer.status}`);
  return value;
}

const mine = (rest) => `/v1/users/${encodeURIComponent(user)}${rest}`;

async function attempt(work) {
  try { return await work(); } catch (error) { toast(error.message || "That did not work."); return null; }
}

// What is kept over a reload: rows and cursor together, or a reload could lose what lies between

const keyOf = () => `fanbell.inbox.${locale}.${user}`;

function remember() {
  try { localStorage.setItem(keyOf(), JSON.stringify(inbox)); } catch { /* full or forbidden: a reload asks for a page */ }
}

function recall() {
  try { return { ...empty(), ...JSON.parse(localStorage.getItem(keyOf()) || "{}") }; } catch { return empty(); }
}

let saving = 0;
function changed() {
  inbox.items = inbox.items.slice(0, ROWS_MAX);
  if (!saving) saving = requestAnimationFrame(() => { saving = 0; draw(); });
  clearTimeout(changed.timer);
  changed.timer = setTimeout(remember, 120);
}

// The socket

function state(name, text) {
  $("connection").dataset.state = name;
  $("connection").querySelector("b").textContent = text;
}

async function connect() {
  clearTimeout(timer);
  state("connecting", failures ? "Reconnecting" : "Connecting");
  const who = user;
  let url;
  try {
    url = (await api("GET", "/v1/edge")).url;
  } catch { return again(null); }
  if (who !== user) return;
  const ws = socket = new WebSocket(url, "fanbell.v1");
  ws.onopen = () => {
    lastWord = Date.now();
    const first = { type: "connect", user, locale };
    if (token) first.token = token;
    if (inbox.cursor) first.cursor = inbox.cursor;
    ws.send(JSON.stringify(first));
  };
  ws.onmessage = (message) => {
    if (ws !== socket) return;
    lastWord = Date.now();
    hear(JSON.parse(message.data));
  };
  ws.onclose = (event) => { if (ws === socket) { socket = null; again(event); } };
}

// As the table of close codes says: 4000–4499 ask for something else to change first.
function again(event) {
  const code = event?.code ?? 1006;
  if (code >= 4000 && code < 4500) {
    state("off", event.reason || "Refused");
    return;
  }
  const first = { 4500: 0, 4503: 5000, 4513: 2000 }[code] ?? 250;
  const wait = Math.min(15_000, Math.max(first, failures ? 250 : 0) * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);
  failures += 1;
  state("connecting", navigator.onLine ? "Reconnecting" : "Offline");
  timer = setTimeout(connect, wait);
}

function reconnect() {
  clearTimeout(timer);
  const old = socket;
  socket = null;
  old?.close(1000);
  failures = 0;
  connect();
}

function tell(frame) {
  if (socket?.readyState === WebSocket.OPEN) { socket.send(JSON.stringify(frame)); return true; }
  toast("Not connected. Try again in a moment.");
  return false;
}

setInterval(() => {
  if (socket?.readyState !== WebSocket.OPEN) return;
  if (Date.now() - lastWord > SILENCE_MS) { const dead = socket; socket = null; dead.close(); again(null); return; }
  if (Date.now() - lastWord > PING_MS - 1000) socket.send('{"type":"ping"}');
}, 5_000);
addEventListener("online", () => { if (!socket) { failures = 0; connect(); } });
document.addEventListener("visibilitychange", () => { if (!document.hidden && !socket) { failures = 0; connect(); } });

const HEARD = {
  hello(frame) {
    failures = 0;
    state("live", frame.recovered ? "Live, resumed" : "Live");
    if (frame.recovered) setTimeout(() => { if ($("connection").dataset.state === "live") state("live", "Live"); }, 4000);
    inbox.epoch = frame.epoch;
    inbox.unread = frame.counts.unread;
    if (frame.recovered && !older && inbox.items.length >= PAGE_ROWS) older = inbox.items.at(-1).cursor;
  },
  page(frame) {
    inbox.items = frame.items;
    older = frame.next;
  },
  notification(frame) {
    inbox.items = [frame.item, ...inbox.items.filter((item) => item.id !== frame.item.id)];
    fresh.add(frame.item.id);
    learn(frame.item);
  },
  retract(frame) { inbox.items = inbox.items.filter((item) => item.id !== frame.id); },
  kept(frame) {
    const kept = new Set(frame.ids);
    inbox.items = inbox.items.filter((item) => kept.has(item.id));
  },
  state(frame) { frame.items.forEach(put); },
  counts(frame) { inbox.unread = frame.unread; },
  wish(frame) {
    if (frame.kind === "preferences") drawPreferences(frame.items);
    else if (frame.kind !== "profile") loadLists();
  },
  refused(frame) { toast(frame.detail || "The server is busy. Try again in a moment."); },
};

function hear(frame) {
  HEARD[frame.type]?.(frame); // a type that this page does not know is of a later server
  if (frame.cursor) inbox.cursor = frame.cursor;
  changed();
}

function put(item) {
  const place = inbox.items.findIndex((other) => other.id === item.id);
  if (place >= 0) inbox.items[place] = item;
  else {
    const below = inbox.items.findIndex((other) => other.updated_at < item.updated_at);
    inbox.items.splice(below < 0 ? inbox.items.length : below, 0, item);
  }
  if (archived) archived = item.archived ? [item, ...archived.filter((other) => other.id !== item.id)] : archived.filter((other) => other.id !== item.id);
}

// The list: rows are kept by id, so that what does not change does not move

const fresh = new Set();
const drawn = new Map(); // id -> { node, said }

function visible() {
  if (filter === "archived") return archived || [];
  const here = inbox.items.filter((item) => !item.archived);
  return filter === "unread" ? here.filter((item) => !item.read) : here;
}

function draw() {
  const items = visible();
  const list = $("rows");
  const wanted = new Set(items.map((item) => item.id));
  for (const [id, { node }] of drawn) if (!wanted.has(id)) { node.remove(); drawn.delete(id); }
  let before = list.firstChild;
  for (const item of items) {
    const said = JSON.stringify(item);
    let known = drawn.get(item.id);
    if (!known || known.said !== said) {
      const node = row(item);
      if (known) { if (known.node === before) before = before.nextSibling; known.node.remove(); }
      known = { node, said };
      drawn.set(item.id, known);
    }
    if (fresh.delete(item.id)) known.node.classList.add("new");
    if (known.node === before) before = before.nextSibling;
    else list.insertBefore(known.node, before);
  }
  $("empty").hidden = items.length > 0;
  $("empty-title").textContent = { all: "All quiet", unread: "All read", archived: "Nothing archived" }[filter];
  $("empty-more").hidden = filter !== "all";
  $("older").hidden = !(older && filter !== "archived");
  drawUnread();
}

let shownUnread = -1;
function drawUnread() {
  const count = inbox.unread;
  document.title = count ? `(${count > 99 ? "99+" : count}) Fanbell` : "Fanbell";
  $("read-all").disabled = !count;
  const badge = $("unread");
  badge.hidden = !count;
  badge.textContent = count > 999 ? "999+" : count;
  badge.setAttribute("aria-label", `${count} unread`);
  if (count > shownUnread && shownUnread >= 0) { badge.classList.remove("bump"); void badge.offsetWidth; badge.classList.add("bump"); }
  shownUnread = count;
}

function row(item) {
  const node = make("li", item.read ? "row" : "row unread");
  node.tabIndex = 0;
  node.dataset.id = item.id;
  const faces = make("div", item.actors.length > 1 ? "faces many" : "faces");
  for (const actor of item.actors.slice(0, 2)) faces.append(avatar(actor.id, actor.name));
  const mark = make("span", "mark");
  mark.dataset.kind = item.reason === "mention" ? "mention" : item.kind;
  mark.append(icon(item.reason === "mention" ? "mention" : VERBS[item.kind] ? item.kind : "bell"));
  faces.append(mark);

  const words = make("div");
  words.append(sentence(item));
  const quote = typeof item.data?.text === "string" ? item.data.text : "";
  if (quote && item.count < 2) words.append(make("p", "row-quote", quote));
  const meta = make("p", "row-meta");
  const time = make("time", "", ago(item.updated_at));
  time.dateTime = item.updated_at;
  time.title = new Date(item.updated_at).toLocaleString(locale);
  meta.append(time);
  const title = item.kind !== "post" && typeof item.data?.title === "string" ? item.data.title : posts.get(item.target || item.object);
  if (title) meta.append(make("span", "", "·"), make("span", "about", title));
  if (item.scope) meta.append(make("span", "", "·"), make("span", "", item.scope));
  words.append(meta);

  const tools = make("div", "row-tools");
  tools.append(
    tool(item.read ? "bell" : "check", item.read ? "Mark unread" : "Mark read", () => markOne(item, item.read ? "unread" : "read")),
    tool("archive", item.archived ? "Put back" : "Archive", () => markOne(item, item.archived ? "unarchive" : "archive")),
  );
  const more = tool("more", "More", () => openMenu(more, node, item));
  more.classList.add("always");
  more.setAttribute("aria-haspopup", "menu");
  tools.append(more);
  node.append(faces, words, tools);
  return node;
}

// The text comes ready from the server; names in it are set in bold.
function sentence(item) {
  const line = make("p", "row-text");
  let rest = item.text;
  for (const actor of [...item.actors]) {
    const at = actor.name ? rest.indexOf(actor.name) : -1;
    if (at < 0) continue;
    line.append(rest.slice(0, at), make("b", "", actor.name));
    rest = rest.slice(at + actor.name.length);
  }
  line.append(rest);
  return line;
}

function tool(name, label, act) {
  const button = make("button", "tool");
  button.type = "button";
  button.title = label;
  button.setAttribute("aria-label", label);
  button.append(icon(name));
  button.addEventListener("click", (event) => { event.stopPropagation(); act(); });
  return button;
}

// A mark names the cursor that was shown, so what a group gained meanwhile stays unread.
function markOne(item, verb) {
  if (!tell({ type: verb, ids: [item.id], cursors: [item.cursor], ref: verb })) return;
  if (verb === "archive") drawn.get(item.id)?.node.classList.add("leaving");
}

$("rows").addEventListener("click", (event) => open(event));
$("rows").addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.matches(".row")) open(event); });
function open(event) {
  const node = event.target.closest(".row");
  const item = node && visible().find((one) => one.id === node.dataset.id);
  if (item && !item.read) markOne(item, "click");
}
$("read-all").addEventListener("click", () => { if (inbox.cursor) tell({ type: "read", up_to: inbox.cursor, ref: "all" }); });

$("older").addEventListener("click", () => attempt(async () => {
  const page = await api("GET", mine(`/notifications?locale=${locale}&before=${encodeURIComponent(older)}`));
  const known = new Set(inbox.items.map((item) => item.id));
  inbox.items.push(...page.items.filter((item) => !known.has(item.id)));
  older = page.next;
  changed();
}));

for (const button of document.querySelectorAll("[data-filter]")) {
  button.addEventListener("click", async () => {
    filter = button.dataset.filter;
    for (const other of document.querySelectorAll("[data-filter]")) other.setAttribute("aria-pressed", String(other === button));
    if (filter === "archived") archived = (await attempt(() => api("GET", mine(`/notifications?locale=${locale}&archived=only`))))?.items || [];
    draw();
  });
}

// A row's menu

function openMenu(button, node, item) {
  const menu = $("menu");
  menu.replaceChildren();
  const add = (text, act) => {
    const entry = make("button", "", text);
    entry.type = "button";
    entry.setAttribute("role", "menuitem");
    entry.addEventListener("click", () => { closeMenu(); act(); });
    menu.append(entry);
  };
  add(item.read ? "Mark unread" : "Mark read", () => markOne(item, item.read ? "unread" : "read"));
  add(item.archived ? "Put back into the inbox" : "Archive", () => markOne(item, item.archived ? "unarchive" : "archive"));
  for (const actor of item.actors.slice(0, 1)) add(`Mute ${actor.name}`, () => mute(`author:${actor.id}`, `${actor.name} is muted from now on.`));
  const thread = item.target || (item.kind === "follow" ? null : item.object);
  if (thread) add("Mute this thread", () => mute(`thread:${thread}`, "You hear no more of this thread."));
  add(`Turn off ${(VERBS[item.kind] || item.kind).toLowerCase()}`, () => prefer(item.kind, false));
  const at = button.getBoundingClientRect();
  menu.hidden = false;
  menu.style.left = `${Math.max(8, Math.min(at.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 8)) + scrollX}px`;
  const below = at.bottom + menu.offsetHeight + 12 < innerHeight;
  menu.style.top = `${(below ? at.bottom + 4 : at.top - menu.offsetHeight - 4) + scrollY}px`;
  node.classList.add("menu-open");
  menu.firstChild.focus();
}

function closeMenu() {
  $("menu").hidden = true;
  document.querySelector(".menu-open")?.classList.remove("menu-open");
}
document.addEventListener("click", (event) => { if (!event.target.closest("#menu")) closeMenu(); });
addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenu();
  if (!$("menu").hidden && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    const entries = [...$("menu").children];
    const at = entries.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    entries[(at + entries.length) % entries.length].focus();
  }
});

const mute = (what, told) => attempt(async () => {
  await api("PUT", mine(`/mutes/${encodeURIComponent(what)}`));
  toast(told);
});

// Wishes

let preferences = [];

function drawPreferences(items) {
  preferences = items;
  const list = $("preferences");
  list.replaceChildren();
  for (const [kind, label] of Object.entries(VERBS)) {
    const line = make("li");
    const name = make("span");
    name.append(icon(kind), label);
    const knob = make("button", "switch");
    knob.type = "button";
    knob.setAttribute("role", "switch");
    knob.setAttribute("aria-label", label);
    knob.setAttribute("aria-checked", String(wanted(kind)));
    knob.addEventListener("click", () => prefer(kind, knob.getAttribute("aria-checked") !== "true"));
    line.append(name, knob);
    list.append(line);
  }
}

const isPlain = (item, kind) => item.kind === kind && item.channel === "inbox" && item.scope === "*";
const wanted = (kind) => (preferences.find((item) => isPlain(item, kind)) || preferences.find((item) => isPlain(item, "*")) || {}).value !== "off";

const prefer = (kind, on) => attempt(async () => {
  const items = preferences.filter((item) => !isPlain(item, kind));
  if (!on) items.push({ kind, channel: "inbox", scope: "*", value: "off" });
  drawPreferences(items);
  await api("PUT", mine("/preferences"), { items });
  toast(`${VERBS[kind] || kind} ${on ? "show up again" : "no longer show up"}.`);
});

function chip(id, label, remove) {
  const node = make("li", "chip");
  const cross = make("button", "", "×");
  cross.type = "button";
  cross.setAttribute("aria-label", `Remove ${label}`);
  cross.addEventListener("click", remove);
  node.append(avatar(id, label), make("span", "", label), cross);
  return node;
}

async function loadLists() {
  const who = user;
  const [follows, mutes] = await Promise.all([api("GET", mine("/follows?limit=200")), api("GET", mine("/mutes?limit=200"))]).catch(() => []);
  if (!mutes || who !== user) return;
  await meet([...follows.items, ...mutes.items.map((what) => what.slice(what.indexOf(":") + 1))].slice(0, 60));
  $("follows-count").textContent = follows.items.length ? `${follows.items.length}${follows.next ? "+" : ""}` : "";
  $("follows").replaceChildren(...follows.items.map((id) => chip(id, nameOf(id), () => attempt(() => api("DELETE", mine(`/follows/${encodeURIComponent(id)}`)).then(loadLists)))));
  if (!follows.items.length) $("follows").append(make("li", "soft", "Nobody yet."));
  $("mutes-part").hidden = !mutes.items.length;
  $("mutes").replaceChildren(...mutes.items.map((what) => {
    const [aspect, id] = [what.slice(0, what.indexOf(":")), what.slice(what.indexOf(":") + 1)];
    const label = aspect === "author" ? nameOf(id) : `${aspect} ${titleOf(id)}`;
    return chip(id, label, () => attempt(() => api("DELETE", mine(`/mutes/${encodeURIComponent(what)}`)).then(loadLists)));
  }));
}

async function meet(ids) {
  const strangers = [...new Set(ids)].filter((id) => !names.has(id)).slice(0, 20);
  await Promise.all(strangers.map((id) => api("GET", `/v1/users/${encodeURIComponent(id)}`).then((one) => names.set(id, one.name || id)).catch(() => {})));
}

$("follow").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = idOf($("follow-id").value.trim());
  if (id) attempt(async () => { await api("PUT", mine(`/follows/${encodeURIComponent(id)}`)); $("follow-id").value = ""; loadLists(); });
});

// Acting as somebody else

const posts = new Map(); // my posts that can be liked or answered: id -> title, the latest last

const titleOf = (id) => posts.get(id) || about.posts?.[id] || `post ${id.slice(-6)}`;

// A like of mine, an answer to mine: so this is a post of mine.
function learn(item) {
  const own = item.reason === "like" || item.reason === "repost" ? item.object : item.reason === "comment" || item.reason === "reply" ? item.target : null;
  if (own && !posts.has(own)) { posts.set(own, String(item.data?.title || titleOf(own))); drawTargets(); }
}

function drawTargets() {
  const select = $("act-target");
  const kept = select.value;
  select.replaceChildren(new Option("your next post", ""));
  for (const [id, title] of [...posts].slice(-12)) select.add(new Option(`“${title}”`, id), 0);
  select.value = posts.has(kept) ? kept : select.options[0].value;
}

function drawAct() {
  const verb = $("act-verb").value;
  $("act-target-label").hidden = !["like", "unlike", "comment"].includes(verb);
  $("act-text-label").hidden = !["comment", "post", "message"].includes(verb);
}
$("act-verb").addEventListener("change", drawAct);

function drawPeople() {
  const others = about.people.filter((one) => one.id !== user);
  $("people").replaceChildren(...about.people.map((one) => { const option = new Option(one.id, one.name); return option; }));
  const select = $("act-person");
  select.replaceChildren(...others.map((one) => new Option(one.name, one.id)));
  if (others.length) select.selectedIndex = Math.floor(others.length / 3);
}

const newId = (what) => `${what}-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;

$("act").addEventListener("submit", (event) => {
  event.preventDefault();
  const actor = $("act-person").value;
  const verb = $("act-verb").value;
  const text = $("act-text").value.trim();
  if (!actor) return;
  attempt(async () => {
    $("act-told").textContent = "Sending…";
    const activities = [];
    let target = $("act-target").value;
    if (!$("act-target-label").hidden && !target) { // a post of mine first, so that there is something to like
      target = newId("post");
      posts.set(target, "a post from this page");
      activities.push({ id: newId("a"), kind: "post", actor: user, object: target, data: { title: "a post from this page" } });
      drawTargets();
      $("act-target").value = target;
    }
    const one = { id: newId("a"), kind: verb, actor, object: newId(verb), data: text ? { text } : undefined };
    if (verb === "post") one.data = { title: text || "something new" };
    if (verb === "like" || verb === "unlike") Object.assign(one, { object: target, owner: user, data: { title: titleOf(target) } });
    if (verb === "comment") Object.assign(one, { target, owner: user, data: { ...one.data, title: titleOf(target) } });
    if (verb === "message") Object.assign(one, { target: `talk-${actor}-${user}`, recipients: [user] });
    if (verb === "follow") { one.object = user; delete one.data; }
    activities.push(one);
    await api("POST", "/v1/activities", activities);
    $("act-text").value = "";
    $("act-told").textContent = "Sent.";
    setTimeout(() => outcome(one), 400);
  }).then((done) => { if (done === null) $("act-told").textContent = ""; });
});

async function outcome(activity) {
  const trace = await api("GET", `/v1/activities/${encodeURIComponent(activity.id)}/trace`).catch(() => null);
  if (!trace || trace.state !== "routed") return;
  const silenced = Object.values(trace.silenced || {}).reduce((sum, count) => sum + count, 0);
  const heard = trace.heard === 1 ? "1 person hears of it" : `${trace.heard} people hear of it`;
  $("act-told").textContent = ["unlike"].includes(activity.kind) ? "Taken back." : silenced ? `${heard}, ${silenced} silenced.` : `${heard}.`;
}

// Who is shown, in which language, which part on a narrow screen

async function show(id) {
  user = id;
  history.replaceState(null, "", `?user=${encodeURIComponent(id)}${location.hash}`);
  inbox = recall();
  archived = null;
  older = null;
  posts.clear();
  for (const [post, title] of Object.entries(about.user === id ? about.posts || {} : {})) posts.set(post, title);
  inbox.items.forEach(learn);
  drawMe();
  drawPeople();
  drawTargets();
  draw();
  reconnect();
  meet([id]).then(drawMe);
  loadLists();
  drawPreferences([]);
  api("GET", mine("/preferences")).then((answer) => drawPreferences(answer.items)).catch(() => {});
}

function drawMe() {
  $("me-name").textContent = nameOf(user);
  $("me").title = `The inbox of ${nameOf(user)}. Click for another.`;
  $("me-avatar").replaceChildren(avatar(user, nameOf(user)));
}

$("me").addEventListener("click", () => { $("who-id").value = ""; $("who-id").placeholder = nameOf(user); $("who").showModal(); });
$("who").addEventListener("close", () => {
  const id = idOf($("who-id").value.trim());
  if ($("who").returnValue === "go" && id && id !== user) show(id);
});
$("locale").value = locale;
$("locale").addEventListener("change", () => {
  locale = $("locale").value;
  localStorage.setItem("fanbell.locale", locale);
  document.documentElement.lang = locale;
  inbox = recall();
  drawn.clear();
  $("rows").replaceChildren();
  draw();
  reconnect();
});
for (const button of document.querySelectorAll("[data-tab]")) {
  if (button === document.body) continue;
  button.addEventListener("click", () => {
    document.body.dataset.tab = button.dataset.tab;
    for (const other of document.querySelectorAll(".tabs button")) other.setAttribute("aria-current", String(other === button));
    scrollTo(0, 0);
  });
}
setInterval(() => { for (const time of document.querySelectorAll("time")) time.textContent = ago(time.dateTime); }, 20_000);
addEventListener("pagehide", remember);

document.body.dataset.tab = "inbox";
document.documentElement.lang = locale;
drawAct();
Object.assign(about, await fetch("/page/about.json").then((answer) => answer.json()).catch(() => ({})));
for (const one of about.people || []) names.set(one.id, one.name);
show(new URLSearchParams(location.search).get("user") || about.user || "ana");
