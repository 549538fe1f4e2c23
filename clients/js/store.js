// What a client knows of an inbox, folded out of the server's frames; pure, so that tabs, tests and servers agree.
//
// `state` is what the server has said. A mark that is not answered yet lies over it, as `view` shows, and is lifted
// again if the server refuses it: so a mark shows at once, and never outlives a refusal.

const KEEP = 200; // rows of an inbox, where the server does not say

export const VERBS = {
  read: { read: true, seen: true },
  unread: { read: false },
  seen: { seen: true },
  archive: { archived: true, read: true, seen: true },
  unarchive: { archived: false },
  click: { clicked: true, read: true, seen: true },
};

const NO_COUNTS = { unread: 0, unseen: 0, kinds: {}, scopes: {} };

// `next`: cursor of the page below; null at the end. `older` is the same of the archive, undefined until it was asked for.
export const empty = () => ({ epoch: null, cursor: null, keep: KEEP, items: [], counts: NO_COUNTS, next: null, older: undefined, preferences: null, mutes: null });

const countsOf = ({ unread, unseen, kinds, scopes }) => ({ unread, unseen, kinds, scopes });
const without = (items, ids) => items.filter((item) => !ids.has(item.id));

// A row that is new to us, at its place. One beyond what was loaded is left out: its page will bring it.
function place(state, item) {
  const end = item.archived ? state.older : state.next;
  const at = state.items.findIndex((other) => other.updated_at < item.updated_at);
  const below = at < 0 ? [] : state.items.slice(at);
  if (end === undefined || (end !== null && !below.some((other) => other.archived === item.archived))) return state.items;
  return [...state.items.slice(0, state.items.length - below.length), item, ...below];
}

function put(state, item) {
  if (!state.items.some((other) => other.id === item.id)) return { ...state, items: place(state, item) };
  return { ...state, items: state.items.map((other) => (other.id === item.id ? item : other)) };
}

const FOLDS = {
  hello(state, frame) {
    // Not recovered: a page follows, and until it is here we have nothing to resume from. Wishes are asked for again.
    const { items, preferences, mutes } = state;
    const known = frame.recovered ? from(frame.oldest, state) : { ...empty(), items, preferences, mutes };
    return { ...known, epoch: frame.epoch, keep: frame.keep || state.keep, counts: countsOf(frame.counts) };
  },
  page(state, frame) {
    return { ...state, items: frame.items, next: frame.next, older: undefined };
  },
  notification(state, { item }) {
    return { ...state, items: [item, ...without(state.items, new Set([item.id]))] };
  },
  state: (state, frame) => frame.items.reduce(put, state),
  retract: (state, frame) => ({ ...state, items: without(state.items, new Set([frame.id])) }),
  gone: (state, frame) => ({ ...state, items: without(state.items, new Set(frame.ids)) }),
  kept(state, frame) {
    const kept = new Set(frame.ids);
    return { ...state, items: state.items.filter((item) => kept.has(item.id)) };
  },
  counts: (state, frame) => ({ ...state, counts: countsOf(frame) }),
  wish(state, { kind, object, items }) {
    if (kind === "preferences") return { ...state, preferences: items };
    const mutes = state.mutes?.filter((mute) => mute !== object);
    if (!mutes || (kind !== "mute" && kind !== "unmute")) return state;
    return { ...state, mutes: kind === "mute" ? [...mutes, object] : mutes };
  },
};

// The state after `frame`. A frame of a type that is not known here changes nothing: it is of a later server.
export function fold(state, frame) {
  const after = Object.hasOwn(FOLDS, frame.type) ? FOLDS[frame.type](state, frame) : state;
  const cursor = frame.cursor && !(frame.type === "hello" && !frame.recovered) ? frame.cursor : after.cursor;
  return trimmed(cursor === after.cursor ? after : { ...after, cursor });
}

// Nine bytes that grow with the place in a log, whose name follows; "" of what is no cursor of ours.
function placeOf(cursor) {
  try {
    return atob(cursor.slice(0, 12).replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    return "";
  }
}

// Whether rows are being told again that a page was ahead of: some have left since, and are yet to be taken back.
const behind = ({ items: [newest], cursor }) =>
  cursor?.slice(12) === newest.cursor.slice(12) && placeOf(cursor) < placeOf(newest.cursor);

// Without the rows below `oldest`: a full inbox has pushed them out.
function from(oldest, state) {
  const items = oldest ? state.items.filter((item) => placeOf(item.cursor) >= placeOf(oldest)) : state.items;
  return items.length < state.items.length ? { ...state, items, next: null } : state;
}

function trimmed(state) {
  if (state.items.length <= state.keep || behind(state)) return state;
  return { ...state, items: state.items.slice(0, state.keep), next: null };
}

// A page that was asked for by HTTP, below what is there. `heard`: frames that came while it was on its way, and win.
export function append(state, page, archived, heard) {
  const known = new Set(state.items.map((item) => item.id));
  const fresh = page.items.filter((item) => !known.has(item.id));
  const items = [...state.items, ...fresh].sort((a, b) => (a.updated_at < b.updated_at ? 1 : a.updated_at > b.updated_at ? -1 : 0));
  const longer = { ...state, items, [archived ? "older" : "next"]: page.next };
  const changes = heard.filter((frame) => ["state", "retract", "gone", "kept"].includes(frame.type));
  return { ...changes.reduce(fold, trimmed(longer)), cursor: state.cursor };
}

// `mark`: {verb, shown: Map of id to the cursor it was shown with, all}. A row that has grown since is not meant.
export function lay(state, mark) {
  const set = VERBS[mark.verb];
  const counts = { ...state.counts, kinds: { ...state.counts.kinds }, scopes: { ...state.counts.scopes } };
  const items = state.items.map((item) => {
    if (mark.shown.get(item.id) !== item.cursor || Object.keys(set).every((name) => item[name] === set[name])) return item;
    const after = { ...item, ...set };
    count(counts, item, -1);
    count(counts, after, 1);
    return after;
  });
  if (!mark.all) return { ...state, items, counts };
  // Rows that are not loaded were meant too: what is left is what has come since, and that is loaded.
  const left = { unread: 0, unseen: 0, kinds: {}, scopes: {} };
  items.forEach((item) => count(left, item, 1));
  return { ...state, items, counts: { ...(set.read ? left : counts), unseen: set.seen ? left.unseen : counts.unseen } };
}

function count(counts, item, by) {
  if (item.archived) return;
  if (!item.seen) counts.unseen = Math.max(0, counts.unseen + by);
  if (item.read) return;
  counts.unread = Math.max(0, counts.unread + by);
  for (const [numbers, name] of [[counts.kinds, item.kind], [counts.scopes, item.scope]]) {
    if (name == null) continue;
    const left = (numbers[name] || 0) + by;
    if (left > 0) numbers[name] = left;
    else delete numbers[name];
  }
}

// What is shown: the state with the marks over it that are not answered yet.
export const view = (state, marks) => marks.reduce(lay, state);
