// Against a real server, which FANBELL_URL names: its first frames, marks, resuming, and two devices of one person.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { FanbellInbox } from "../../../clients/js/fanbell.js";

const url = process.env.FANBELL_URL;
const skip = !url || typeof WebSocket === "undefined" ? "no server, or no WebSocket in this Node" : false;
const started = [];
let people = 0;
after(() => started.forEach((inbox) => inbox.stop()));

function device(user, more = {}) {
  const inbox = new FanbellInbox({ url, user, share: false, ...more });
  started.push(inbox);
  inbox.start();
  return inbox;
}

// As soon as the store says so.
function once(inbox, holds) {
  return new Promise((resolve) => {
    const look = () => {
      if (!holds(inbox.getSnapshot())) return;
      end();
      resolve(inbox.getSnapshot());
    };
    const end = inbox.subscribe(look);
    look();
  });
}

const likes = (user, from, to) => Array.from({ length: to - from }, (_, n) => (
  { id: `like-${user}-${from + n}`, kind: "like", actor: `fan${from + n}`, object: `post-${user}-${from + n}`, owner: user }));

async function publish(activities) {
  const answer = await fetch(`${url}/v1/activities`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(activities) });
  assert.equal(answer.status, 202);
}

const person = () => `ana${Date.now()}${people++}`;
const options = { skip, timeout: 20_000 };

test("what is published arrives live, with its counters", options, async () => {
  const ana = person();
  const inbox = device(ana);
  await once(inbox, ({ status, loading }) => status === "live" && !loading);
  await publish(likes(ana, 0, 3));
  const { items } = await once(inbox, ({ items: some, counts }) => some.length === 3 && counts.unread === 3);
  assert.ok(items.every(({ text, cursor, read }) => text && cursor && !read));
});

test("read on one device is read on the other", options, async () => {
  const ana = person();
  const [phone, laptop] = [device(ana), device(ana)];
  await publish(likes(ana, 0, 2));
  for (const inbox of [phone, laptop]) await once(inbox, ({ items }) => items.length === 2);
  await phone.read(phone.getSnapshot().items[0].id);
  await once(laptop, ({ counts, items }) => counts.unread === 1 && items[0].read);
  await laptop.archive("all");
  await once(phone, ({ counts, items }) => counts.unread === 0 && items.length === 0);
});

test("after a cut line everything is there once, in order, and marks made meanwhile hold", options, async () => {
  const ana = person();
  const inbox = device(ana);
  await publish(likes(ana, 0, 2));
  const before = await once(inbox, ({ items, status, loading }) => items.length === 2 && status === "live" && !loading);
  const told = [];
  inbox.on("notification", ({ object }) => told.push(object));
  inbox.cutLine();
  const marked = inbox.read(before.items[0].id);
  await publish(likes(ana, 2, 30));
  inbox.restoreLine();
  await marked;
  const { items } = await once(inbox, ({ items: some, counts }) => some.length === 30 && counts.unread === 29);
  assert.deepEqual(items.map(({ object }) => object), Array.from({ length: 30 }, (_, n) => `post-${ana}-${29 - n}`));
  assert.deepEqual(told, Array.from({ length: 28 }, (_, n) => `post-${ana}-${n + 2}`));
});

test("what does not fit the first page is loaded below it", options, async () => {
  const ana = person();
  await publish(likes(ana, 0, 120));
  const inbox = device(ana);
  await once(inbox, ({ counts }) => counts.unread === 120);
  while (inbox.getSnapshot().hasMore) await inbox.loadMore();
  const { items } = inbox.getSnapshot();
  assert.deepEqual(items.map(({ object }) => object), Array.from({ length: 120 }, (_, n) => `post-${ana}-${119 - n}`));
  await inbox.archive(items[0].id);
  await inbox.loadMore({ archived: true });
  assert.deepEqual(inbox.getSnapshot().archived.items.map(({ id }) => id), [items[0].id]);
});

test("preferences and mutes are kept, and reach the other device", options, async () => {
  const ana = person();
  const [phone, laptop] = [device(ana), device(ana)];
  for (const inbox of [phone, laptop]) {
    await once(inbox, ({ status }) => status === "live");
    await Promise.all([inbox.getPreferences(), inbox.getMutes()]);
  }
  const wish = { kind: "like", channel: "inbox", scope: "*", value: "off" };
  await phone.setPreferences([wish]);
  await phone.mute("author:ben");
  await once(laptop, ({ preferences, mutes }) => preferences[0]?.value === "off" && mutes[0] === "author:ben");
  await laptop.unmute("author:ben");
  await once(phone, ({ mutes }) => mutes.length === 0);
});
