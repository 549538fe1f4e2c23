import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { FanbellInbox } from "../../../clients/js/fanbell.js";
import { FakeEdge, FakeLocks, hello, item, page, settled, until } from "./fakes.js";

let edge;
let locks;
let tabs;
let channels = 0;
beforeEach(() => {
  edge = new FakeEdge();
  locks = new FakeLocks();
  tabs = [];
  channels += 1;
});
afterEach(() => tabs.forEach((tab) => tab.stop()));

function tab() {
  const inbox = new FanbellInbox(edge.options({ share: true, locks, user: `ana ${channels}` }));
  inbox.told = [];
  inbox.on("notification", ({ id, count }) => inbox.told.push(`${id} ${count}`));
  tabs.push(inbox);
  inbox.start();
  return inbox;
}

const ids = (inbox) => inbox.getSnapshot().items.map(({ id }) => id).join();
const news = (id, more) => ({ type: "notification", item: item(id, more), cursor: `c-${id}` });

async function three() {
  const some = [tab(), tab(), tab()];
  await until(() => edge.last?.sent.length);
  edge.last.say(hello(), page([item("a1")]));
  await until(() => some.every((one) => ids(one) === "a1" && one.getSnapshot().status === "live"));
  return some;
}

test("several tabs hear the same by one socket", { timeout: 10_000 }, async () => {
  const some = await three();
  edge.last.say(news("a2"), news("a3"));
  await until(() => some.every((one) => ids(one) === "a3,a2,a1"));
  assert.equal(edge.sockets.length, 1);
  for (const one of some) assert.deepEqual(one.told, ["a2 1", "a3 1"]);
});

test("who leads without rows takes none from a tab that has some", { timeout: 10_000 }, async () => {
  const leader = tab();
  await settled();
  edge.answers.set(`GET /v1/users/${encodeURIComponent(`ana ${channels}`)}/notifications`, [200, page([item("a1")], { unread: 1, unseen: 1 })]);
  const follower = tab();
  await until(() => ids(follower) === "a1" && edge.last.sent.length);
  follower.restoreLine(); // asks who leads for all it has, which is nothing
  await until(() => follower.getSnapshot().status === "connecting");
  await settled();
  assert.deepEqual([ids(leader), ids(follower)], ["", "a1"]);
  edge.last.say(hello(), page([item("a2")]));
  await until(() => ids(follower) === "a2");
});

test("a tab that comes later has what was there, and hears on", { timeout: 10_000 }, async () => {
  await three();
  edge.last.say(news("a2"));
  const late = tab();
  await until(() => ids(late) === "a2,a1");
  edge.last.say(news("a3"));
  await until(() => ids(late) === "a3,a2,a1");
  assert.deepEqual(late.told, ["a3 1"]);
});

test("what a tab marks goes out by the tab that leads, and is answered there", { timeout: 10_000 }, async () => {
  const [leader, follower, other] = await three();
  const marked = follower.read("a1");
  assert.ok(follower.getSnapshot().items[0].read);
  await until(() => edge.last.marks().length);
  const [{ ref }] = edge.last.marks();
  edge.last.say({ type: "state", items: [item("a1", { read: true })], cursor: "c-9" }, { type: "accepted", ref });
  await marked;
  await until(() => [leader, other].every((one) => one.getSnapshot().items[0].read));
  const refused = follower.unread("a1");
  await until(() => edge.last.marks().length === 2);
  edge.last.say({ type: "refused", ref: edge.last.marks()[1].ref, reason: "busy" });
  await assert.rejects(refused, { reason: "busy" });
  assert.ok(follower.getSnapshot().items[0].read);
});

test("when the leader closes, another goes on from where it was: nothing lost, nothing twice", { timeout: 10_000 }, async () => {
  const [leader, second, third] = await three();
  edge.last.say(news("a2"));
  await until(() => [second, third].every((one) => ids(one) === "a2,a1"));
  leader.stop();
  await until(() => edge.sockets.length === 2 && edge.last.sent.length);
  assert.equal(edge.last.sent[0].cursor, "c-a2");
  edge.last.say(hello({ recovered: true, cursor: "c-a2" }), news("a3"));
  await until(() => [second, third].every((one) => ids(one) === "a3,a2,a1"));
  assert.deepEqual([second.told, third.told], [["a2 1", "a3 1"], ["a2 1", "a3 1"]]);
});

test("a mark that the leader took with it is sent by the next one", { timeout: 10_000 }, async () => {
  const [leader, second, third] = await three();
  const marked = [second.read("a1"), third.seen("a1")];
  await until(() => edge.last.marks().length === 2);
  leader.stop();
  await until(() => edge.sockets.length === 2 && edge.last.sent.length);
  edge.last.say(hello({ recovered: true, cursor: "c-page" }));
  await until(() => edge.last.marks().length === 2);
  for (const { ref } of edge.last.marks()) edge.last.say({ type: "accepted", ref });
  await Promise.all(marked);
});

test("a leader whose token does not count lets another tab try", { timeout: 10_000 }, async () => {
  const [leader, second] = await three();
  edge.last.drop(4403, "no");
  await until(() => edge.sockets.length === 2 && edge.last.sent.length);
  edge.last.say(hello({ recovered: true, cursor: "c-page" }));
  await until(() => [leader, second].every((one) => one.getSnapshot().status === "live"));
});

test("a tab whose line is cut hears nothing, and has everything once it is back", { timeout: 10_000 }, async () => {
  const [leader, follower] = await three();
  follower.cutLine();
  edge.last.say(news("a2"));
  await until(() => ids(leader) === "a2,a1");
  await settled();
  assert.deepEqual([ids(follower), follower.getSnapshot().status], ["a1", "offline"]);
  follower.restoreLine();
  await until(() => ids(follower) === "a2,a1");
  assert.deepEqual([follower.told, follower.getSnapshot().status], [["a2 1"], "live"]);
});

test("tabs that have nothing to say are silent", { timeout: 10_000 }, async () => {
  const said = [];
  const listening = new BroadcastChannel(`fanbell http://api.test ana ${channels} `);
  listening.onmessage = ({ data }) => said.push(data.type);
  await three();
  await until(() => said.filter((type) => type === "frame").length === 2);
  listening.close();
  assert.ok(said.filter((type) => type === "whole").length <= 4, said.join());
});

test("tabs of different people do not meet", { timeout: 10_000 }, async () => {
  await three();
  const ben = new FanbellInbox(edge.options({ share: true, locks, user: "ben" }));
  tabs.push(ben);
  ben.start();
  await until(() => edge.sockets.length === 2 && edge.last.sent.length);
  assert.equal(edge.last.sent[0].user, "ben");
});
