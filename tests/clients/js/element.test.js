import assert from "node:assert/strict";
import { test } from "node:test";
import { WORDS } from "../../../clients/js/words.js";

globalThis.HTMLElement ??= class {}; // enough to load the module; pages are tested in a browser
globalThis.customElements ??= { get: () => true };
const { ENGLISH, fitUrl } = await import("../../../clients/js/fanbell-inbox.js");

test("only addresses that are relative or http(s) are gone to", () => {
  for (const url of ["/posts/1", "posts/1?a=b#c", "?q", "#top", "https://a.example/ü", "HTTP://a.example", "./a:b"]) assert.equal(fitUrl(url), url);
  for (const url of ["javascript:alert(1)", "JaVaScRiPt:x", " javascript:x", "java\nscript:x", "data:text/html,x", "//evil.example", "\\\\evil.example", "mailto:a", "vbscript:x", "", null, undefined, 7, {}]) {
    assert.equal(fitUrl(url), null, `${url}`);
  }
});

test("every language says all that English says", () => {
  const english = { ...ENGLISH, ...WORDS.en };
  const shape = (words) => Object.entries(words).map(([name, word]) => [name, typeof word === "string" ? word.includes("{}") : Object.keys(word).sort()]).sort();
  for (const [language, words] of Object.entries(WORDS)) if (language !== "en") assert.deepEqual(shape(words), shape(english), language);
});
