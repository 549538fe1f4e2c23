import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { FanbellInbox } from "../../../clients/js/fanbell.js";
import { counts, FakeEdge, hello, item, page, settled, until } from "./fakes.js";

let edge;
const started = [];
beforeEach(() => {
  edge = new FakeEdge();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_767_225_600_000 });
});
afterEach(() => {
  started.splice(0).forEach((inbox) => inbox.stop());
  mock.timers.reset();
});

function opened(more = {}) {
  const inbox = new FanbellInbox(edge.options(more));
  started.push(inbox);
  inbox.start();
  return inbox;
}

async function live(more = {}, items = [item("a2"), item("a1")]) {
  const inbox = opened(more);
  await settled();
  edge.last.say(hello(), page(items));
  await settled();
  return inbox;
}

const wait = async (ms) => { mock.timers.tick(ms); await settled(); };
const refusal = (promise) => promise.then(() => assert.fail("not refused"), (error) => error.reason);
const jwt = (endsInS) => `e30.${Buffer.from(JSON.stringify({ exp: Date.now() / 1000 + endsInS })).toString("base64url")}.${Math.random()}`;

test("the first frame says who it is, and the store fills", async () => {
  const inbox = opened({ token: "t", locale: "de" });
  assert.deepEqual([inbox.getSnapshot().status, inbox.getSnapshot().loading], ["connecting", true]);
  await settled();
  assert.equal(edge.last.url, "ws://edge.test/?p=3");
  assert.equal(edge.last.protocol, "fanbell.v1");
  assert.deepEqual(edge.last.sent, [{ type: "connect", user: "ana", locale: "de", token: "t" }]);
  edge.last.say(hello(), page([item("a1")]));
  const { status, items, counts: counted, loading, hasMore } = inbox.getSnapshot();
  assert.deepEqual([status, items.length, counted.unread, loading, hasMore], ["live", 1, 2, false, false]);
});

test("rows are there before the edge is, and give way to what it says", async () => {
  edge.answers.set("GET /v1/users/ana/notifications", [200, page([item("a1")], { unread: 1, unseen: 1 })]);
  const inbox = opened({ token: "t" });
  const told = [];
  inbox.on("notification", ({ id }) => told.push(id));
  await settled();
  const { items, counts: counted, status, loading } = inbox.getSnapshot();
  assert.deepEqual([items[0].id, counted.unread, status, loading], ["a1", 1, "connecting", true]);
  assert.deepEqual(edge.asked.map(({ path, headers }) => [path, headers.authorization]), [["/v1/edge?user=ana", undefined], ["/v1/users/ana/notifications?limit=50", "Bearer t"]]);
  assert.equal(edge.last.sent[0].cursor, undefined);
  edge.last.say(hello(), page([item("a2"), item("a1")]));
  assert.deepEqual([inbox.getSnapshot().items.map(({ id }) => id), told], [["a2", "a1"], []]);
});

test("rows that come by HTTP after the edge has spoken change nothing", async () => {
  let answer;
  edge.answers.set("GET /v1/users/ana/notifications", () => new Promise((resolve) => { answer = resolve; }));
  const inbox = await live();
  answer([200, page([item("a9")], { unread: 9, unseen: 9 })]);
  await settled();
  assert.deepEqual([inbox.getSnapshot().items.length, inbox.getSnapshot().counts.unread], [2, 2]);
});

test("a snapshot is the same until something changes, and cannot be changed", async () => {
  const inbox = await live();
  const before = inbox.getSnapshot();
  let calls = 0;
  const end = inbox.subscribe(() => { calls += 1; });
  edge.last.say({ type: "pong", cursor: "c-page" }, { type: "unheard of" });
  assert.equal(inbox.getSnapshot(), before);
  assert.equal(calls, 0);
  edge.last.say({ type: "counts", ...counts(7) });
  assert.notEqual(inbox.getSnapshot(), before);
  assert.equal(calls, 1);
  end();
  edge.last.say({ type: "counts", ...counts(8) });
  assert.equal(calls, 1);
  assert.throws(() => { "use strict"; inbox.getSnapshot().items.push(1); }, TypeError);
});

test("after a lost line it comes back with the cursor it has", async () => {
  const inbox = await live();
  edge.last.say({ type: "notification", item: item("a3"), cursor: "c-3" });
  edge.last.drop(1006);
  assert.equal(inbox.getSnapshot().status, "connecting");
  await wait(200);
  assert.equal(edge.sockets.length, 2);
  assert.equal(edge.last.sent[0].cursor, "c-3");
  edge.last.say(hello({ recovered: true, cursor: "c-3" }));
  assert.deepEqual(inbox.getSnapshot().items.map(({ id }) => id), ["a3", "a2", "a1"]);
});

test("it waits longer after each failure, and not at all once the network is back", async () => {
  await live();
  edge.refuses = true;
  edge.last.drop(1006);
  await wait(200);
  await wait(400);
  const { length } = edge.sockets;
  await wait(100);
  assert.equal(edge.sockets.length, length);
  globalThis.dispatchEvent?.(new Event("online"));
  started.at(-1).cutLine();
  edge.refuses = false;
  started.at(-1).restoreLine();
  await settled();
  assert.equal(edge.sockets.length, length + 1);
});

test("a code that asks to stay away ends it, and says why", async () => {
  const inbox = await live();
  const closed = [];
  inbox.on("closed", (why) => closed.push(why));
  edge.last.drop(4403, "not yours");
  await wait(60_000);
  assert.equal(inbox.getSnapshot().status, "closed");
  assert.deepEqual(closed, [{ code: 4403, reason: "not yours" }]);
  assert.equal(edge.sockets.length, 1);
});

test("a token that has expired is asked for anew", async () => {
  let n = 0;
  await live({ token: "old", getToken: async () => `new-${++n}` });
  edge.last.drop(4501);
  await wait(0);
  await wait(1);
  assert.equal(edge.last.sent[0].token, "new-1");
});

test("a token that does not count is asked for anew once, and not for ever", async () => {
  let n = 0;
  const inbox = opened({ token: "old", getToken: async () => `new-${++n}` });
  await settled();
  edge.last.drop(4401);
  await wait(1);
  assert.equal(edge.last.sent[0].token, "new-1");
  edge.last.drop(4401, "no");
  await wait(60_000);
  assert.deepEqual([inbox.getSnapshot().status, n], ["closed", 1]);
  inbox.setToken("good");
  await settled();
  assert.equal(edge.last.sent[0].token, "good");
});

test("before a token ends, a new one is told in place", async () => {
  const inbox = opened({ token: jwt(100), getToken: async () => jwt(1000) });
  await settled();
  edge.last.say(hello({ user: "ana" }), page([]));
  await wait(71_000);
  const told = edge.last.sent.find(({ type }) => type === "token");
  assert.ok(told.token);
  assert.equal(edge.sockets.length, 1);
  assert.equal(inbox.getSnapshot().status, "live");
});

test("a token that does not come is not waited for for ever", async () => {
  const inbox = opened({ getToken: () => new Promise(() => {}) });
  const errors = [];
  inbox.on("error", ({ message }) => errors.push(message));
  await settled();
  await wait(15_000);
  assert.deepEqual(errors, ["no token came"]);
});

test("a token that is set is told in place where the edge takes it, and else by coming back", async () => {
  const inbox = await live({ token: "old" });
  inbox.setToken("new");
  await settled();
  assert.deepEqual([edge.sockets.length, edge.last.sent[0].token, edge.last.sent[0].cursor], [2, "new", "c-page"]);
  edge.last.say(hello({ user: "ana", recovered: true, cursor: "c-page" }));
  inbox.setToken("newer");
  assert.deepEqual(edge.last.sent.at(-1), { type: "token", token: "newer", ref: "token" });
  assert.equal(edge.sockets.length, 2);
});

test("a mark shows at once and holds when it is accepted", async () => {
  const inbox = await live();
  let done = false;
  const marked = inbox.read(["a2"]).then(() => { done = true; });
  const { items, counts: counted, pending } = inbox.getSnapshot();
  assert.deepEqual([items[0].read, counted.unread, pending], [true, 1, 1]);
  const [frame] = edge.last.marks();
  assert.deepEqual([frame.type, frame.ids, frame.cursors], ["read", ["a2"], ["c-a2"]]);
  await settled();
  assert.ok(!done);
  edge.last.say({ type: "accepted", ref: frame.ref });
  await marked;
  assert.deepEqual([inbox.getSnapshot().items[0].read, inbox.getSnapshot().pending], [true, 0]);
});

test("a mark that is refused is taken back, and told", async () => {
  const inbox = await live();
  const errors = [];
  inbox.on("error", (error) => errors.push(error.reason));
  const marked = inbox.archive("a2");
  assert.deepEqual(inbox.getSnapshot().items.map(({ id }) => id), ["a1"]);
  edge.last.say({ type: "refused", ref: edge.last.marks()[0].ref, reason: "busy" });
  assert.equal(await refusal(marked), "busy");
  assert.deepEqual(inbox.getSnapshot().items.map(({ id, read }) => [id, read]), [["a2", false], ["a1", false]]);
  assert.equal(inbox.getSnapshot().counts.unread, 2);
  assert.deepEqual(errors, ["busy"]);
});

test("one refusal takes back one mark of several", async () => {
  const inbox = await live();
  const [first, second] = [inbox.read("a2"), inbox.read("a1")];
  const [one, two] = edge.last.marks();
  edge.last.say({ type: "refused", ref: one.ref, reason: "busy" }, { type: "accepted", ref: two.ref });
  assert.equal(await refusal(first), "busy");
  await second;
  assert.deepEqual(inbox.getSnapshot().items.map(({ read }) => read), [false, true]);
});

test("everything is marked up to what is known", async () => {
  const inbox = await live();
  inbox.read("all");
  const [frame] = edge.last.marks();
  assert.deepEqual([frame.type, frame.up_to, frame.ids], ["read", "c-page", undefined]);
  assert.equal(inbox.getSnapshot().counts.unread, 0);
});

test("marks made offline show, wait, and go out in order when the line is back", async () => {
  const inbox = await live();
  inbox.cutLine();
  inbox.read("a2");
  inbox.archive("a1");
  assert.equal(inbox.getSnapshot().status, "offline");
  assert.deepEqual(inbox.getSnapshot().items.map(({ id, read }) => [id, read]), [["a2", true]]);
  inbox.restoreLine();
  await settled();
  assert.deepEqual(edge.last.marks(), []);
  edge.last.say(hello({ recovered: true, cursor: "c-page" }));
  assert.deepEqual(edge.last.marks().map(({ type, ids }) => [type, ids[0]]), [["read", "a2"], ["archive", "a1"]]);
});

test("a mark whose answer was lost with the line is sent again", async () => {
  const inbox = await live();
  const marked = inbox.read("a2");
  edge.last.drop(1006);
  await wait(200);
  edge.last.say(hello({ recovered: true, cursor: "c-page" }));
  edge.last.say({ type: "accepted", ref: edge.last.marks()[0].ref });
  await marked;
  assert.equal(inbox.getSnapshot().pending, 0);
});

test("what waits is bounded", async () => {
  const inbox = await live();
  inbox.cutLine();
  for (let n = 0; n < 500; n += 1) inbox.read("a2");
  assert.equal(await refusal(inbox.read("a1")), "full");
  assert.equal(inbox.getSnapshot().pending, 500);
});

test("many ids go out in frames that the edge takes", async () => {
  const inbox = await live();
  inbox.read(Array.from({ length: 250 }, (_, n) => `x${n}`));
  assert.deepEqual(edge.last.marks().map(({ ids, cursors }) => [ids.length, cursors]), [[100, undefined], [100, undefined], [50, undefined]]);
});

test("each notification is told once", async () => {
  const inbox = await live();
  const told = [];
  inbox.on("notification", ({ id, count }) => told.push(`${id} ${count}`));
  const grown = { type: "notification", item: item("a3", { count: 2, cursor: "c-4" }), cursor: "c-4" };
  edge.last.say({ type: "notification", item: item("a3"), cursor: "c-3" }, grown, grown);
  assert.deepEqual(told, ["a3 1", "a3 2"]);
});

test("a quiet line is asked for a word, and given up without one", async () => {
  await live();
  await wait(25_000);
  assert.equal(edge.last.sent.at(-1).type, "ping");
  edge.last.say({ type: "pong", cursor: "c-page" });
  await wait(25_000);
  assert.equal(edge.sockets.length, 1);
  await wait(10_000);
  await wait(200);
  assert.equal(edge.sockets.length, 2);
});

test("an edge that never says hello is given up", async () => {
  opened();
  await settled();
  await wait(10_000);
  await wait(200);
  assert.equal(edge.sockets.length, 2);
});

test("older rows come by HTTP, below the others", async () => {
  const inbox = opened();
  await settled();
  edge.last.say(hello(), page([item("a9")], { next: "c-9" }));
  let answer;
  edge.answers.set("GET /v1/users/ana/notifications", () => new Promise((resolve) => { answer = resolve; }));
  assert.ok(inbox.getSnapshot().hasMore);
  const more = inbox.loadMore();
  assert.equal(more, inbox.loadMore());
  await settled();
  assert.match(edge.asked.at(-1).path, /before=c-9/);
  edge.last.say({ type: "retract", id: "a7", cursor: "c-new" });
  answer([200, { items: [item("a8"), item("a7")], next: null }]);
  await more;
  assert.deepEqual(inbox.getSnapshot().items.map(({ id }) => id), ["a9", "a8"]);
  assert.ok(!inbox.getSnapshot().hasMore);
});

test("a page that was overtaken by a fresh one is dropped", async () => {
  const inbox = opened();
  await settled();
  edge.last.say(hello(), page([item("a9")], { next: "c-9" }));
  let answer;
  edge.answers.set("GET /v1/users/ana/notifications", () => new Promise((resolve) => { answer = resolve; }));
  const more = inbox.loadMore();
  await settled();
  edge.last.say(hello(), page([item("b1")]));
  answer([200, { items: [item("a8")], next: null }]);
  await more;
  assert.deepEqual(inbox.getSnapshot().items.map(({ id }) => id), ["b1"]);
});

test("the archive is a list of its own", async () => {
  const inbox = await live();
  edge.answers.set("GET /v1/users/ana/notifications", [200, { items: [item("a0", { archived: true })], next: null }]);
  assert.deepEqual(inbox.getSnapshot().archived, { items: [], hasMore: true, loaded: false });
  await inbox.loadMore({ archived: true });
  assert.deepEqual(inbox.getSnapshot().archived.items.map(({ id }) => id), ["a0"]);
  assert.equal(inbox.getSnapshot().items.length, 2);
  inbox.unarchive("a0");
  assert.equal(inbox.getSnapshot().items.length, 3);
});

test("preferences show at once, and as before if they are refused", async () => {
  const inbox = await live();
  edge.answers.set("GET /v1/users/ana/preferences", [200, { items: [] }]);
  await inbox.getPreferences();
  edge.answers.set("PUT /v1/users/ana/preferences", [422, { errors: [{ message: "no such channel" }] }]);
  const items = [{ kind: "like", channel: "fax", scope: "*", value: "off" }];
  const saved = inbox.setPreferences(items);
  assert.equal(inbox.getSnapshot().preferences, items);
  await assert.rejects(saved, /no such channel/);
  assert.deepEqual(inbox.getSnapshot().preferences, []);
});

test("preferences and mutes are asked for again when it is not known what was missed", async () => {
  const inbox = await live();
  edge.answers.set("GET /v1/users/ana/preferences", [200, { items: [] }]).set("GET /v1/users/ana/mutes", [200, { items: ["author:ben"] }]);
  await Promise.all([inbox.getPreferences(), inbox.getMutes()]);
  const items = [{ kind: "like", value: "off" }];
  edge.answers.set("GET /v1/users/ana/preferences", [200, { items }]).set("GET /v1/users/ana/mutes", [200, { items: [] }]);
  edge.last.drop(1006);
  await wait(200);
  edge.last.say(hello());
  assert.deepEqual([inbox.getSnapshot().preferences, inbox.getSnapshot().mutes], [[], ["author:ben"]]); // until the answer is here
  await settled();
  assert.deepEqual([inbox.getSnapshot().preferences, inbox.getSnapshot().mutes], [items, []]);
  const asked = edge.asked.length;
  edge.last.say(page([item("a1")]));
  edge.last.drop(1006);
  await wait(400);
  edge.last.say(hello({ recovered: true, cursor: "c-page" }));
  await settled();
  assert.deepEqual(edge.asked.slice(asked).map(({ path }) => path).filter((path) => !path.startsWith("/v1/edge")), []);
});

test("nothing is asked again that nobody has asked for", async () => {
  await live();
  assert.deepEqual(edge.asked.filter(({ path }) => /mutes|preferences/.test(path)), []);
});

test("a mute goes out under its whole name", async () => {
  const inbox = await live();
  edge.answers.set("GET /v1/users/ana/mutes", [200, { items: [] }]).set("PUT /v1/users/ana/mutes/author%3Ab%2Fe%20n", [202, {}]);
  await inbox.getMutes();
  await inbox.mute("author:b/e n");
  assert.deepEqual(inbox.getSnapshot().mutes, ["author:b/e n"]);
});

test("a call that is told 401 is made again with a new token", async () => {
  const inbox = await live({ token: "old", getToken: async () => "new" });
  edge.answers.set("GET /v1/users/ana/preferences", () => (edge.asked.at(-1).headers.authorization === "Bearer new" ? [200, { items: [] }] : [401, {}]));
  assert.deepEqual(await inbox.getPreferences(), []);
});

test("where WebSockets do not open, the stream is read, and marks go by HTTP", async () => {
  edge.refuses = true;
  let stream;
  const sent = (frame) => stream.enqueue(new TextEncoder().encode(`id: c\nevent: ${frame.type}\ndata: ${JSON.stringify(frame)}\n\n`));
  edge.answers.set("GET /v1/users/ana/stream", [200, new ReadableStream({ start(controller) { stream = controller; } })]);
  edge.answers.set("POST /v1/users/ana/notifications/read", [202, {}]);
  const inbox = opened({ token: "secret" });
  await settled();
  await wait(200);
  await wait(400);
  await until(() => stream && edge.asked.at(-1).path.includes("/stream"));
  const asked = edge.asked.at(-1);
  assert.deepEqual([asked.headers.authorization, asked.path.includes("secret")], ["Bearer secret", false]);
  sent(hello());
  sent(page([item("a1")]));
  await until(() => inbox.getSnapshot().items.length);
  assert.deepEqual([inbox.getSnapshot().status, inbox.getSnapshot().items.length], ["live", 1]);
  await inbox.read("a1");
  assert.deepEqual(edge.asked.at(-1).body, { ids: ["a1"], cursors: ["c-a1"] });
  edge.answers.set("GET /v1/users/ana/stream", [200, new ReadableStream()]);
  stream.enqueue(new TextEncoder().encode('event: close\ndata: {"code": 1001, "reason": "restart"}\n\n'));
  await until(() => inbox.getSnapshot().status !== "live");
  await wait(2000); // the third failure in a row
  await until(() => /stream\?p=3&cursor=c-page/.test(edge.asked.at(-1).path));
});

test("by HTTP too, a mark is taken back if it is refused, and sent again if nobody answered", async () => {
  const streams = [];
  const bytes = (frame) => new TextEncoder().encode(`data: ${JSON.stringify(frame)}\n\n`);
  edge.answers.set("GET /v1/users/ana/stream", () => [200, new ReadableStream({ start: (controller) => { streams.push(controller); } })]);
  edge.answers.set("POST /v1/users/ana/notifications/read", [422, { detail: "no such row" }]);
  edge.answers.set("POST /v1/users/ana/notifications/archive", [503, {}]);
  const inbox = opened({ transport: "sse" });
  await until(() => streams.length === 1);
  for (const frame of [hello(), page([item("a2"), item("a1")])]) streams[0].enqueue(bytes(frame));
  await until(() => inbox.getSnapshot().items.length);
  assert.equal(await refusal(inbox.read("a1")), "no such row");
  assert.ok(!inbox.getSnapshot().items[1].read);
  const archived = inbox.archive("a1");
  await until(() => inbox.getSnapshot().status !== "live");
  edge.answers.set("POST /v1/users/ana/notifications/archive", [202, {}]);
  await wait(200);
  await until(() => streams.length === 2);
  streams[1].enqueue(bytes(hello({ recovered: true, cursor: "c-page" })));
  await archived;
  assert.equal(inbox.getSnapshot().items.length, 1);
});

test("where no WebSocket can be made, or no edge is known, the stream is read", async () => {
  const locked = class { constructor() { throw new Error("insecure"); } };
  for (const more of [{ WebSocket: locked }, { url: "http://api.test/without-edge" }, { WebSocket: null }]) {
    const before = edge.asked.length;
    opened(more);
    for (const ms of [0, 200, 400]) {
      await wait(ms);
      await settled();
    }
    await until(() => edge.asked.slice(before).some(({ path }) => path.includes("/stream")));
  }
});

test("a stream that refuses the token is taken at its word", async () => {
  edge.answers.set("GET /v1/users/ana/stream", [403, {}]);
  const inbox = opened({ transport: "sse" });
  await until(() => inbox.getSnapshot().status === "closed");
  assert.equal(edge.asked.filter(({ path }) => path.includes("/stream")).length, 1);
});

test("what is stopped stays stopped", async () => {
  const inbox = await live();
  const marked = inbox.read("a2");
  inbox.cutLine();
  inbox.stop();
  await assert.rejects(marked, /stopped/);
  await wait(60_000);
  assert.deepEqual([edge.sockets.length, inbox.getSnapshot().status], [1, "closed"]);
  await assert.rejects(inbox.read("a1"), /not started/);
});

test("an inbox is somebody's", () => {
  assert.throws(() => new FanbellInbox({ url: "http://x" }), /needs a user/);
});
