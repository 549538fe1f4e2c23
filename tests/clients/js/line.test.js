import assert from "node:assert/strict";
import { test } from "node:test";
import { CLOSE_CODES } from "../../../clients/js/close_codes.js";
import { comesBack, endOf, waitMs } from "../../../clients/js/line.js";
import { eventParser } from "../../../clients/js/stream.js";

test("the table decides who comes back; the range decides for a code that is not in it", () => {
  for (const [code, [again]] of Object.entries(CLOSE_CODES)) if (code !== "1000") assert.equal(comesBack(Number(code)), again === 1, code);
  for (const code of [1005, 1012, 3000, 4599, 4999]) assert.ok(comesBack(code), `${code}`);
  for (const code of [1003, 1008, 4000, 4499]) assert.ok(!comesBack(code), `${code}`);
});

test("waits double up to half a minute, and are spread over their upper half", () => {
  assert.deepEqual([0, 1, 2, 3].map((failures) => waitMs(1006, failures, 1)), [200, 400, 800, 1600]);
  assert.equal(waitMs(1006, 3, 0), 800);
  assert.equal(waitMs(1006, 60, 1), 30_000);
  assert.equal(waitMs(4500, 0, 1), 0);
  assert.equal(waitMs(4503, 0, 1), 5000);
  assert.equal(waitMs(4777, 0, 1), 1000);
});

test("a token says when it ends, or it does not", () => {
  const token = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;
  assert.equal(endOf(token({ exp: 1_900_000_000, sub: "ána ÿ?>" })), 1_900_000_000_000);
  for (const other of [token({}), "opaque", "", "a.b.c"]) assert.equal(endOf(other), Infinity);
});

test("events are found wherever the text is cut", () => {
  const text = ": hi\n\nretry: 500\n\nid: c1\nevent: state\ndata: {\"a\":\r\ndata: 1}\r\n\r\nevent:close\rdata:{}\r\rdata\n\n: bye\n\n";
  const wanted = [{ event: "state", id: "c1", data: "{\"a\":\n1}" }, { event: "close", id: undefined, data: "{}" }, { event: "message", id: undefined, data: "" }];
  for (const size of [1, 2, 3, 7, 1000]) {
    const events = eventParser();
    const found = [];
    for (let at = 0; at < text.length; at += size) found.push(...events(text.slice(at, at + size)));
    assert.deepEqual(found, wanted, `pieces of ${size}`);
  }
});

test("an event without an end is not collected for ever", () => {
  const events = eventParser();
  assert.throws(() => { for (let n = 0; n < 20; n += 1) events(`data: ${"x".repeat(1 << 20)}\n`); }, /without an end/);
});
