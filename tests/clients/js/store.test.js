import assert from "node:assert/strict";
import { test } from "node:test";
import { append, empty, fold, lay } from "../../../clients/js/store.js";
import { counts, hello, item, page } from "./fakes.js";

const after = (...frames) => frames.reduce(fold, empty());
const ids = (state) => state.items.map(({ id }) => id);
const opened = (items = [item("a2"), item("a1")], more = {}) => after(hello(more), page(items, more));
const mark = (verb, items, more = {}) => ({ verb, shown: new Map(items.map(({ id, cursor }) => [id, cursor])), ...more });

test("a page replaces all that was there", () => {
  const state = fold(fold(opened(), hello()), page([item("b1")]));
  assert.deepEqual(ids(state), ["b1"]);
  assert.equal(state.cursor, "c-page");
});

test("until the page is here there is nothing to resume from, and the old rows stay in sight", () => {
  const state = fold(opened(), hello({ cursor: "c-ahead", epoch: "other" }));
  assert.equal(state.cursor, null);
  assert.deepEqual(ids(state), ["a2", "a1"]);
});

test("what is resumed keeps its rows and goes on from the cursor that was sent", () => {
  const state = fold(opened(), hello({ recovered: true, cursor: "c-page", counts: counts(1) }));
  assert.deepEqual(ids(state), ["a2", "a1"]);
  assert.equal(state.cursor, "c-page");
  assert.equal(state.counts.unread, 1);
});

test("a notification goes first, in place of one with the same id", () => {
  const state = fold(opened(), { type: "notification", item: item("a1", { count: 2, cursor: "c-new" }), cursor: "c-new" });
  assert.deepEqual(ids(state), ["a1", "a2"]);
  assert.equal(state.items[0].count, 2);
  assert.equal(state.cursor, "c-new");
});

test("a row that changed keeps its place, and a new one finds its own", () => {
  const state = fold(opened([item("a3"), item("a1")]), { type: "state", items: [item("a1", { read: true }), item("a2"), item("a0")], cursor: "c-9" });
  assert.deepEqual(ids(state), ["a3", "a2", "a1", "a0"]);
  assert.ok(state.items[2].read);
});

test("a changed row below what was loaded is left to its page", () => {
  assert.deepEqual(ids(fold(opened([item("a9")], { next: "c-below" }), { type: "state", items: [item("a1")] })), ["a9"]);
});

test("what is retracted, gone or not kept is dropped", () => {
  const rows = [item("a4"), item("a3"), item("a2"), item("a1")];
  assert.deepEqual(ids(fold(opened(rows), { type: "retract", id: "a3", cursor: "c-7" })), ["a4", "a2", "a1"]);
  assert.deepEqual(ids(fold(opened(rows), { type: "gone", ids: ["a1", "a2"] })), ["a4", "a3"]);
  assert.deepEqual(ids(fold(opened(rows), { type: "kept", ids: ["a1", "elsewhere"] })), ["a1"]);
});

test("an inbox is its newest so many", () => {
  const state = fold(opened([item("a2"), item("a1")], { keep: 2 }), { type: "notification", item: item("a3"), cursor: "c-3" });
  assert.deepEqual(ids(state), ["a3", "a2"]);
});

const at = (seq) => `${btoa(String.fromCharCode(1, 0, 0, 0, 0, 0, 0, 0, seq))}ZQ`;
const row = (seq) => item(`a${seq}`, { cursor: at(seq) });

test("rows below the oldest of the inbox are dropped by the hello that says which it is", () => {
  const state = after(hello(), page([row(8), row(5), row(3)], { next: "c-3" }));
  assert.equal(fold(state, hello({ recovered: true, oldest: null })).items.length, 3);
  const left = fold(state, hello({ recovered: true, oldest: at(5) }));
  assert.deepEqual([ids(left), left.next], [["a8", "a5"], null]);
});

test("what is told again pushes nothing out before what has left since is taken back", () => {
  const again = (seq) => ({ type: "notification", item: row(seq), cursor: at(seq) });
  const cut = after(hello({ keep: 2 }), page([row(8), row(5)], { cursor: at(3) }), hello({ recovered: true, cursor: at(3), keep: 2 }));
  const told = [again(4), again(5), again(6), { type: "retract", id: "a6", cursor: at(7) }].reduce(fold, cut);
  assert.ok(ids(told).includes("a5"));
  assert.deepEqual(ids(fold(told, again(8))), ["a8", "a5"]);
});

test("a frame of a later server changes nothing, whatever it is called", () => {
  const state = opened();
  for (const type of ["sparkle", "toString", "__proto__", "constructor"]) assert.deepEqual(fold(state, { type }), state);
});

test("preferences and mutes of another device arrive", () => {
  const state = { ...opened(), mutes: ["author:ben"] };
  assert.deepEqual(fold(state, { type: "wish", kind: "mute", object: "thread:t", cursor: "c" }).mutes, ["author:ben", "thread:t"]);
  assert.deepEqual(fold(state, { type: "wish", kind: "unmute", object: "author:ben", cursor: "c" }).mutes, []);
  assert.deepEqual(fold(state, { type: "wish", kind: "preferences", items: [], cursor: "c" }).preferences, []);
  assert.equal(fold(opened(), { type: "wish", kind: "mute", object: "author:ben", cursor: "c" }).mutes, null);
});

test("a mark changes rows and counters alike", () => {
  const state = opened();
  const read = lay(state, mark("read", [state.items[0]]));
  assert.deepEqual([read.items[0].read, read.items[0].seen, read.items[1].read], [true, true, false]);
  assert.deepEqual(read.counts, counts(1));
  assert.deepEqual(lay(read, mark("unread", [read.items[0]])).counts, { ...counts(2), unseen: 1 });
  assert.deepEqual(lay(state, mark("archive", state.items)).counts, counts(0));
  assert.deepEqual(lay(read, mark("read", [read.items[0]])).counts, counts(1));
});

test("what a row has gained since it was shown stays unread", () => {
  const state = opened();
  assert.ok(!lay(state, mark("read", [{ ...state.items[0], cursor: "c-earlier" }])).items[0].read);
});

test("a mark on everything counts what is not loaded, too", () => {
  const state = opened([item("a2"), item("a1")], { counts: counts(40), next: "c-below" });
  assert.equal(lay(state, mark("read", state.items, { all: true })).counts.unread, 0);
  assert.deepEqual(lay(state, mark("seen", state.items, { all: true })).counts, { ...counts(40), unseen: 0 });
  const grown = fold(state, { type: "notification", item: item("a9"), cursor: "c-9" });
  assert.equal(lay(grown, mark("read", state.items, { all: true })).counts.unread, 1);
});

test("a page of older rows goes below, without those that are known", () => {
  const state = opened([item("a9"), item("a8")], { next: "c-8" });
  const more = append(state, { items: [item("a8", { read: true }), item("a7")], next: "c-7" }, false, []);
  assert.deepEqual(ids(more), ["a9", "a8", "a7"]);
  assert.ok(!more.items[1].read);
  assert.equal(more.next, "c-7");
  assert.equal(more.cursor, "c-page");
});

test("what was heard while an older page was on its way wins over it", () => {
  const state = opened([item("a9")], { next: "c-9" });
  const heard = [{ type: "state", items: [item("a7", { read: true })], cursor: "c-new" }, { type: "retract", id: "a6", cursor: "c-new" }];
  const more = append(state, { items: [item("a8"), item("a7"), item("a6")], next: null }, false, heard);
  assert.deepEqual(ids(more), ["a9", "a8", "a7"]);
  assert.ok(more.items[2].read);
});

test("the archive has an end of its own", () => {
  const state = append(opened([item("a9")], { next: "c-9" }), { items: [item("a5", { archived: true })], next: "c-5" }, true, []);
  assert.deepEqual([state.next, state.older], ["c-9", "c-5"]);
  const more = fold(state, { type: "state", items: [item("a6", { archived: true }), item("a4", { archived: true })] });
  assert.deepEqual(ids(more), ["a9", "a6", "a5"]);
});
