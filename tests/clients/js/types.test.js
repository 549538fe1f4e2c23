// The types that are shipped name what there is, no more and no less.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { FanbellInbox } from "../../../clients/js/fanbell.js";

const TYPES = readFileSync(new URL("../../../clients/js/fanbell.d.ts", import.meta.url), "utf8");

const declared = (what) => {
  const [, body] = TYPES.match(new RegExp(`export (?:declare )?(?:class|interface) ${what} {\\n([\\s\\S]*?)\\n}`));
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[<(:]/gm)].map(([, name]) => name).filter((name) => name !== "constructor");
};
const made = () => new FanbellInbox({ url: "https://bell.example", user: "ana", share: false });

test("every method of the store has its type, and every type its method", () => {
  const inbox = made();
  const names = [...Object.getOwnPropertyNames(FanbellInbox.prototype), ...Object.keys(inbox)];
  assert.deepEqual(declared("FanbellInbox").sort(), names.filter((name) => name !== "constructor").sort());
  for (const name of declared("FanbellInbox")) assert.equal(typeof inbox[name], "function", name);
});

test("a snapshot has what its type says", () => {
  assert.deepEqual(declared("Snapshot").sort(), Object.keys(made().getSnapshot()).sort());
});
