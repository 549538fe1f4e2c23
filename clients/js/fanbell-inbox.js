// <fanbell-inbox user token url locale filter theme>: a person's inbox, live. What people wrote is put in as text only.
import { FanbellInbox } from "./fanbell.js";

const TICK_MS = 30_000; // relative times, while they are seen
const TOAST_MS = 5_000;
const SEEN_MS = 1_000; // in sight, before a row counts as seen
const SCREEN_ROWS = 16; // are drawn first, and what lies below a moment later
const FILTERS = ["all", "unread", "archived"];
const ENGLISH = {
  title: "Notifications", all: "All", unread: "Unread", archived: "Archived", readAll: "Mark all as read", preferences: "Preferences",
  read: "Mark as read", unreadOne: "Mark as unread", archive: "Archive", unarchive: "Move back to the inbox", mute: "Mute {}",
  empty: { all: "All quiet", unread: "All read", archived: "Nothing archived" }, hint: "What happens around you shows up here the moment it does.",
  offline: "Offline. Trying again…", closed: "Not connected.", retry: "Try again", failed: "That did not work.", loading: "Loading…", muted: "Muted",
};
const PATHS = {
  check: "M5 13l4 4L19 7", dot: "M12 8a4 4 0 1 0 .1 0", archive: "M3 5h18v4H3zM5 9v10h14V9M10 13h4", unarchive: "M4 14v5h16v-5M12 15V4M8 8l4-4 4 4", settings: "M4 8h8M18 8h2M15 5v6M4 16h2M12 16h8M9 13v6", mute: "M11 5L6 9H3v6h3l5 4zM16 9l5 6M21 9l-5 6",
  bell: "M6 17V11a6 6 0 0 1 12 0v6l2 1H4zM10 21h4", like: "M12 20S4 15 4 9a4 4 0 0 1 8-1 4 4 0 0 1 8 1c0 6-8 11-8 11z", comment: "M4 5h16v11H10l-5 4v-4H4z", reply: "M9 6L4 11l5 5M4 11h10a6 6 0 0 1 6 6v2", repost: "M17 3l3 3-3 3M20 6H8a4 4 0 0 0-4 4M7 21l-3-3 3-3M4 18h12a4 4 0 0 0 4-4",
  follow: "M9 4a4 4 0 1 0 .1 0M2 20a7 7 0 0 1 14 0M19 8v6M16 11h6", post: "M4 20l1-5L16 4l4 4L9 19z", mention: "M12 8a4 4 0 1 0 .1 0M16 12v2a3 3 0 0 0 5-2 9 9 0 1 0-4 7", message: "M3 6h18v12H3zM3 7l9 7 9-7",
};

export function make(tag, attributes = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...inside);
  return node;
}

const icons = new Map(); // made once each, and copied

function icon(name) {
  if (!icons.has(name)) {
    const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", Object.hasOwn(PATHS, name) ? PATHS[name] : PATHS.bell);
    svg.append(path);
    icons.set(name, svg);
  }
  return icons.get(name).cloneNode(true);
}

// An address that is safe to go to: relative or http(s), read by browsers as it stands.
export function fitUrl(url) {
  if (typeof url !== "string" || !url || /[\x00-\x20\x7f\\]/.test(url) || url.startsWith("//")) return null;
  return /^[a-z][a-z0-9+.-]*:/i.test(url) && !/^https?:\/\//i.test(url) ? null : url;
}

function ago(time, format) {
  const seconds = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  for (const [unit, size] of [["day", 86_400], ["hour", 3600], ["minute", 60]]) if (seconds >= size) return format.format(-Math.floor(seconds / size), unit);
  return format.format(0, "second");
}

function initials(name) {
  const words = name.match(/[\p{L}\p{N}]+/gu) || ["?"];
  return [words[0], ...(words.length > 1 ? [words.at(-1)] : [])].map((word) => [...word][0]).join("").toUpperCase();
}

class Inbox extends HTMLElement {
  static observedAttributes = ["user", "token", "url", "locale", "filter", "title-badge"];
  #root = this.attachShadow({ mode: "open" });
  #box = make("div", { class: "box", hidden: true });
  #ends = [];
  #own = false;
  #words = ENGLISH;
  #tag;
  #formats = null; // of times: costly to make, so not before the first rows are seen
  #late = 0;
  #drawn = new Map(); // id to {node, said, item, told: whether it was marked as seen}
  #fresh = new Set();
  #at = null; // id of the row that the keyboard is at
  #panel = null;
  #frame = 0;
  #timer;
  #seen; // tells whether the end is in sight
  #eye; // tells which rows are
  #inSight = new Set(); // ids of those that are not marked as seen
  #glance = 0;
  #stuck = false; // older rows could not be loaded: not again before something changes
  #parts = {};

  constructor() {
    super();
    const show = () => { this.#box.hidden = false; };
    this.#root.append(make("link", { rel: "stylesheet", href: new URL("fanbell-inbox.css", import.meta.url), load: show, error: show }), this.#box);
  }

  connectedCallback() {
    queueMicrotask(() => this.isConnected && this.#start()); // frameworks set properties first
  }

  disconnectedCallback() {
    queueMicrotask(() => this.isConnected || this.#stop()); // moving is not leaving
  }

  attributeChangedCallback(name, before, after) {
    if (!this.#ends.length || before === after) return;
    if (name === "token") this.inbox.setToken(after);
    else if (name === "filter") this.#show();
    else {
      this.#stop();
      this.#start();
    }
  }

  async #start() {
    const user = this.getAttribute("user");
    if (this.#ends.length || !(user || this.inbox)) return;
    const attribute = (name) => this.getAttribute(name) || undefined;
    this.#own = !this.inbox;
    const locale = attribute("locale");
    this.inbox ??= new FanbellInbox({
      user, locale, token: attribute("token"), url: attribute("url") ?? new URL(import.meta.url).origin, transport: attribute("transport") ?? "auto",
      share: attribute("share") !== "false", storage: attribute("storage") ?? "memory", getToken: this.getToken && (() => this.getToken()),
    });
    const { inbox } = this;
    this.#ends = [
      inbox.subscribe(() => this.#soon()),
      inbox.on("status", (status) => {
        this.#stuck = false;
        this.#tell("status", { status });
      }),
      inbox.on("counts", (counts) => this.#tell("counts", counts)),
      inbox.on("error", ({ verb }) => verb === "seen" || this.#toast(this.#words.failed)), // nobody has asked for that
      inbox.on("notification", (item) => {
        this.#fresh.add(item.id);
        const wanted = this.#tell("notification", item);
        this.#toast(item.text, wanted && (this.#parts.scroll.scrollTop > 40 || this.filter !== "all" || this.#panel));
      }),
    ];
    if (this.hasAttribute("title-badge")) import("./badge.js").then(({ showBadge }) => this.inbox === inbox && this.#ends.push(showBadge(inbox)));
    if (this.#own) inbox.start();
    this.#tag = locale || document.documentElement.lang || navigator.language;
    await this.#speak();
    if (inbox !== this.inbox || !this.#ends.length) return;
    this.#build();
    const tick = setInterval(() => { if (!document.hidden && this.#formats) this.#sayTimes(); }, TICK_MS);
    this.#ends.push(() => clearInterval(tick));
    this.#show();
  }

  #stop() {
    this.#ends.splice(0).forEach((end) => end());
    clearTimeout(this.#timer);
    this.#blink();
    this.#inSight.clear();
    cancelAnimationFrame(this.#frame);
    cancelAnimationFrame(this.#late);
    this.#frame = this.#late = 0;
    this.#formats = null;
    if (this.#own) {
      this.inbox.stop();
      this.inbox = undefined;
    }
    this.#box.replaceChildren();
    this.#drawn.clear();
  }

  async #speak() {
    const language = this.#tag.toLowerCase().split("-")[0];
    const others = language === "en" ? {} : (await import("./words.js")).WORDS;
    const own = Object.hasOwn(others, language) ? others[language] : {};
    this.#words = { ...ENGLISH, ...own, ...this.strings, kinds: { ...own.kinds, ...this.strings?.kinds } };
    const rtl = ["ar", "he", "fa", "ur"].includes(language);
    this.#box.dir = rtl && !this.hasAttribute("dir") ? "rtl" : "";
  }

  get filter() {
    const filter = this.getAttribute("filter");
    return FILTERS.includes(filter) ? filter : "all";
  }

  set filter(filter) { this.setAttribute("filter", filter); }

  #build() {
    const words = this.#words;
    const p = this.#parts = {};
    const button = (name, label, act) => make("button", { class: "tool", part: "button", type: "button", title: label, "aria-label": label, click: act }, icon(name));
    p.badge = make("span", { class: "badge", part: "badge", hidden: true });
    p.all = button("check", words.readAll, () => this.inbox.read("all").catch(() => {}));
    p.settings = button("settings", words.preferences, () => this.#togglePanel());
    p.settings.setAttribute("aria-expanded", "false");
    p.tabs = make("div", { class: "tabs", part: "tabs", role: "tablist", "aria-label": words.title, keydown: (event) => this.#tabKey(event) },
      ...FILTERS.map((filter) => make("button", { id: filter, type: "button", role: "tab", part: "tab", "aria-controls": "panel", click: () => { this.filter = filter; } }, words[filter])));
    p.bar = make("div", { class: "bar", part: "status", role: "status", hidden: true });
    p.list = make("ul", { part: "list", role: "list", keydown: (event) => this.#rowKey(event), focusin: (event) => this.#focusRow(event) });
    p.note = make("div");
    p.end = make("div");
    p.view = make("div", { id: "panel", role: "tabpanel" }, p.list, p.note, p.end);
    p.scroll = make("div", { class: "scroll", part: "scroll" }, p.view);
    p.toast = make("div", { class: "hush", part: "toast", role: "status", "aria-live": "polite" });
    this.#box.replaceChildren(make("header", { part: "header" }, make("h2", { part: "title" }, words.title, p.badge), p.all, p.settings), p.tabs, p.bar, p.scroll, p.toast);
    this.#seen = new IntersectionObserver((entries) => entries.at(-1).isIntersecting && this.#more(), { root: p.scroll, rootMargin: "300px" });
    this.#eye = new IntersectionObserver((entries) => {
      for (const { target, intersectionRatio } of entries) this.#inSight[intersectionRatio < 0.5 ? "delete" : "add"](target.dataset.id);
      this.#look();
    }, { threshold: 0.5 });
    const turned = () => { this.#blink(); this.#look(); };
    document.addEventListener("visibilitychange", turned);
    this.#ends.push(() => this.#seen.disconnect(), () => this.#eye.disconnect(), () => document.removeEventListener("visibilitychange", turned));
  }

  // Rows that stay in sight of a person for a moment are seen; each is said once, together with the others.
  #look() {
    if (this.#glance || !this.#inSight.size || document.hidden || this.getAttribute("mark-seen") === "false") return;
    const before = new Map([...this.#inSight].map((id) => [id, this.#drawn.get(id)]));
    this.#glance = setTimeout(() => {
      this.#glance = 0;
      const seen = [...this.#inSight].filter((id) => before.get(id) && before.get(id) === this.#drawn.get(id));
      for (const id of seen) {
        this.#drawn.get(id).told = true;
        this.#lose(id);
      }
      if (seen.length) this.inbox.seen(seen).catch(() => {});
      this.#look();
    }, SEEN_MS);
  }

  #blink() {
    this.#glance = clearTimeout(this.#glance) || 0;
  }

  // What is shown

  #soon() {
    if (!this.#drawn.size) this.#draw(); // the first rows wait for no frame
    else this.#frame ||= requestAnimationFrame(() => { this.#frame = 0; this.#draw(); });
  }

  #show() {
    if (!this.#parts.tabs) return;
    for (const tab of this.#parts.tabs.children) {
      const chosen = tab.id === this.filter;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
    }
    this.#parts.view.setAttribute("aria-labelledby", this.filter);
    this.#parts.scroll.scrollTop = 0;
    this.#stuck = false;
    this.#draw();
  }

  #visible(snapshot = this.inbox.getSnapshot()) {
    if (this.filter === "archived") return snapshot.archived.items;
    return this.filter === "unread" ? snapshot.items.filter((item) => !item.read) : snapshot.items;
  }

  #more() {
    const { hasMore, archived, loading } = this.inbox.getSnapshot();
    const inArchive = this.filter === "archived";
    if (!loading && (inArchive ? archived.hasMore : hasMore)) this.inbox.loadMore({ archived: inArchive }).catch(() => { this.#stuck = true; this.#toast(this.#words.failed); });
  }

  #draw() {
    if (!this.#parts.list) return;
    const p = this.#parts;
    const words = this.#words;
    const snapshot = this.inbox.getSnapshot();
    const items = this.#visible(snapshot);
    const { unread } = snapshot.counts;
    p.badge.hidden = p.all.disabled = !unread;
    p.badge.textContent = unread > 999 ? "999+" : unread;
    p.badge.setAttribute("aria-label", `${words.unread}: ${unread}`);
    this.#drawRows(this.#formats ? items : items.slice(0, SCREEN_ROWS));
    if (items.length && !this.#formats) this.#late ||= requestAnimationFrame(() => setTimeout(() => this.#drawRest()));
    this.#drawBar(snapshot);
    const more = this.filter === "archived" ? snapshot.archived.hasMore : snapshot.hasMore;
    const waits = snapshot.loading || (more && !items.length);
    const note = waits ? "loading" : items.length || snapshot.status === "closed" ? "" : this.filter;
    if (note !== p.note.dataset.of) {
      p.note.dataset.of = note;
      p.note.replaceChildren(...(waits ? bones(words.loading, items.length ? 1 : 5) : note ? [make("div", { class: "empty", part: "empty" }, icon("bell"), make("b", {}, words.empty[note]), note === "all" ? words.hint : "")] : []));
    }
    p.list.hidden = !items.length;
    this.#seen.unobserve(p.end); // so that it tells again whether the end is in sight
    if (more && !this.#stuck) this.#seen.observe(p.end);
    this.#panel?.draw(snapshot);
  }

  // The first rows are painted by now: the rest, and times.
  #drawRest() {
    if (!this.#ends.length || this.#formats) return;
    const date = { dateStyle: "medium", timeStyle: "short" };
    const make = (tag) => [new Intl.RelativeTimeFormat(tag, { numeric: "auto", style: "short" }), new Intl.DateTimeFormat(tag, date)];
    try {
      this.#formats = make(this.#tag);
    } catch {
      this.#formats = make(); // not a language tag
    }
    this.#sayTimes();
    this.#draw();
  }

  #drawRows(items) {
    const { list } = this.#parts;
    const active = this.#root.activeElement;
    const held = active?.closest(".row")?.dataset.id;
    const ids = items.map((item) => item.id);
    const place = [...list.children].findIndex((node) => node.dataset.id === held);
    for (const [id, { node }] of this.#drawn) if (!ids.includes(id)) { this.#lose(id); node.remove(); this.#drawn.delete(id); }
    if (!ids.includes(this.#at)) this.#at = held && ids.length ? ids[Math.min(Math.max(place, 0), ids.length - 1)] : ids[0];
    items.forEach((item, index) => {
      const said = JSON.stringify({ ...item, seen: true }); // which does not show
      let known = this.#drawn.get(item.id);
      if (known?.said !== said) {
        const node = this.#row(item);
        this.#lose(item.id);
        known?.node.replaceWith(node);
        this.#drawn.set(item.id, known = { node, said });
      }
      known.item = item;
      if (item.seen) this.#lose(item.id);
      else if (!known.told) this.#eye.observe(known.node);
      if (this.#fresh.delete(item.id)) known.node.classList.add("new");
      if (list.children[index] !== known.node) list.insertBefore(known.node, list.children[index] || null);
    });
    this.#fresh.clear(); // what is not in this list arrives no more
    this.#rove();
    if (held !== undefined && !this.#root.activeElement) {
      const kept = this.#drawn.get(ids.includes(held) ? held : this.#at)?.node;
      (kept?.querySelector(`[data-act="${active.dataset.act}"]`) || kept?.querySelector(".main") || this.#parts.tabs.querySelector("[tabindex='0']")).focus();
    }
  }

  #lose(id) {
    this.#inSight.delete(id);
    if (this.#drawn.has(id)) this.#eye.unobserve(this.#drawn.get(id).node);
  }

  #row(item) {
    const words = this.#words;
    const actor = item.actors[0] || { id: item.kind, name: "" };
    const url = fitUrl(item.url);
    const kind = item.reason === "mention" ? "mention" : item.kind;
    const quote = item.count < 2 && typeof item.data?.text === "string" ? item.data.text : "";
    const about = typeof item.data?.title === "string" ? ` · ${item.data.title}` : "";
    const time = make("time", { datetime: item.updated_at }, "\u00a0");
    if (this.#formats) this.#sayTime(time);
    const main = make(url ? "a" : "button", { class: "main", part: "link", "data-act": "open", ...(url ? { href: url } : { type: "button" }), click: (event) => this.#open(event, item) },
      make("span", { part: "text", dir: "auto" }, ...sentence(item)), quote && make("span", { class: "quote", dir: "auto" }, quote),
      make("span", { class: "meta" }, time, about), item.read ? "" : make("span", { class: "hush" }, words.unread));
    const tool = (name, label, verb) => make("button", { class: "tool", part: "button", type: "button", title: label, "aria-label": label, "data-act": name, click: () => this.#do(verb, item) }, icon(name));
    const tools = make("div", { class: "tools" }, item.read ? tool("dot", words.unreadOne, "unread") : tool("check", words.read, "read"),
      item.archived ? tool("unarchive", words.unarchive, "unarchive") : tool("archive", words.archive, "archive"));
    if (actor.name) tools.append(tool("mute", words.mute.replace("{}", actor.name), "mute"));
    return make("li", { class: item.read ? "row" : "row unread", part: item.read ? "row" : "row row-unread", "data-id": item.id },
      make("span", { class: "face", "aria-hidden": "true" }, face(actor), make("span", { class: "kind" }, icon(kind))), main, tools);
  }

  #drawBar({ status, error }) {
    const { bar } = this.#parts;
    const said = { closed: `${this.#words.closed} ${error?.reason || ""}`, offline: this.#words.offline }[status] || "";
    bar.hidden = !said;
    if (bar.dataset.said === said) return;
    bar.dataset.said = said;
    bar.replaceChildren(said, status === "closed" ? make("button", { type: "button", click: () => { this.inbox.stop(); this.inbox.start(); } }, this.#words.retry) : "");
  }

  #sayTimes() {
    for (const time of this.#root.querySelectorAll("time")) this.#sayTime(time);
  }

  #sayTime(time) {
    const [relative, date] = this.#formats;
    const said = ago(time.dateTime, relative);
    if (said === time.textContent) return;
    time.textContent = said;
    time.title = date.format(new Date(time.dateTime));
  }

  #toast(text, shown = true) {
    const { toast } = this.#parts;
    if (!toast) return;
    toast.textContent = text;
    toast.className = shown ? "toast" : "hush";
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => { toast.className = "hush"; toast.textContent = ""; }, TOAST_MS);
  }

  async #togglePanel() {
    const { settings, view, scroll, tabs } = this.#parts;
    if (!this.#panel) {
      const { Panel } = await import("./inbox-panel.js");
      this.#panel ??= new Panel(this.inbox, this.#words, this.kinds, (error) => this.#toast(error.message));
      scroll.append(this.#panel.node);
      this.#panel.draw(this.inbox.getSnapshot());
    } else {
      this.#panel.node.remove();
      this.#panel = null;
    }
    view.hidden = tabs.hidden = Boolean(this.#panel);
    settings.setAttribute("aria-expanded", Boolean(this.#panel));
  }

  // Whether the page lets us go on.
  #tell(name, detail) {
    return this.dispatchEvent(new CustomEvent(`fanbell-${name}`, { detail, bubbles: true, composed: true, cancelable: true }));
  }

  // What people do

  #do(verb, item) {
    const done = verb === "mute" ? this.inbox.mute(`author:${item.actors[0].id}`).then(() => this.#toast(`${this.#words.muted}: ${item.actors[0].name}`)) : this.inbox[verb](item.id);
    done.catch(() => this.#toast(this.#words.failed));
  }

  #open(event, item) {
    if (!this.#tell("open", item)) event.preventDefault();
    if (!item.clicked || !item.read) this.#do("click", item);
  }

  #focusRow(event) {
    this.#at = event.target.closest(".row")?.dataset.id ?? this.#at;
    this.#rove();
  }

  // One row is in the order of the tab key; arrows go from row to row.
  #rove() {
    for (const [id, { node }] of this.#drawn) for (const part of node.querySelectorAll("[data-act]")) part.tabIndex = id === this.#at ? 0 : -1;
  }

  #rowKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const rows = [...this.#parts.list.children];
    const index = rows.findIndex((node) => node.dataset.id === this.#at);
    const to = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: rows.length - 1 }[event.key];
    const item = this.#visible().find(({ id }) => id === this.#at);
    if (to !== undefined) rows[Math.min(Math.max(to, 0), rows.length - 1)]?.querySelector(".main").focus();
    else if (item && event.key === "r") this.#do(item.read ? "unread" : "read", item);
    else if (item && event.key === "e") this.#do(item.archived ? "unarchive" : "archive", item);
    else return;
    event.preventDefault();
  }

  #tabKey(event) {
    const forward = getComputedStyle(this.#parts.tabs).direction === "rtl" ? -1 : 1;
    const at = FILTERS.indexOf(this.filter);
    const to = { ArrowRight: at + forward, ArrowLeft: at - forward, Home: 0, End: 2 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.filter = FILTERS[(to + 3) % 3];
    this.#parts.tabs.children[(to + 3) % 3].focus();
  }
}

// The text comes ready from the server; names in it stand out.
function sentence({ text, actors }) {
  const parts = [];
  let rest = text;
  for (const { name } of actors) {
    const at = name ? rest.indexOf(name) : -1;
    if (at < 0) continue;
    parts.push(rest.slice(0, at), make("b", {}, name));
    rest = rest.slice(at + name.length);
  }
  return [...parts, rest];
}

function face({ id, name, avatar_url }) {
  const plain = make("span", { class: "pic" }, initials(name || id));
  plain.style.setProperty("--hue", [...id].reduce((hash, char) => (hash * 31 + char.codePointAt(0)) % 360, 7));
  const src = fitUrl(avatar_url);
  if (!src) return plain;
  return make("img", { class: "pic", src, alt: "", loading: "lazy", referrerpolicy: "no-referrer", error: (event) => event.target.replaceWith(plain) });
}

function bones(label, count) {
  const bone = () => make("div", { class: "row bone", "aria-hidden": "true" }, make("span", { class: "face" }, make("i")), make("span", { class: "main" }, make("i"), make("i")));
  return [make("span", { class: "hush" }, label), ...Array.from({ length: count }, bone)];
}

customElements.get("fanbell-inbox") || customElements.define("fanbell-inbox", Inbox);
export { ENGLISH, FanbellInbox };
