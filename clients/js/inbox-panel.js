// The preferences of the element: which kinds show up, who is muted. Loaded when it is opened.
import { make } from "./fanbell-inbox.js";
import { WORDS } from "./words.js";

const isPlain = (item, kind) => (item.kind ?? "*") === kind && ["inbox", "*"].includes(item.channel ?? "*") && (item.scope ?? "*") === "*";

export class Panel {
  #inbox;
  #words;
  #kinds = [];
  #whole = false; // whether these are all there are
  #failed;
  #said = "";

  constructor(inbox, words, kinds, failed) {
    this.#inbox = inbox;
    this.#words = { ...WORDS.en, ...words };
    this.#words.kinds = { ...WORDS.en.kinds, ...words.kinds };
    this.#failed = failed;
    this.#ask(kinds);
    this.node = make("section", { class: "panel", part: "preferences", "aria-label": words.preferences });
    Promise.all([inbox.getPreferences(), inbox.getMutes()]).catch(failed);
  }

  // Those that the page names; else those that the server does; else, where it cannot say, those that ship.
  async #ask(kinds) {
    try {
      this.#kinds = kinds ?? (await this.#inbox.getKinds()).map(({ kind }) => kind);
      this.#whole = !kinds;
    } catch {
      this.#kinds = Object.keys(this.#words.kinds);
    }
    this.draw(this.#inbox.getSnapshot());
  }

  // Anew where something changed, with the focus where it was.
  draw({ preferences, mutes, counts, items }) {
    const heard = this.#whole ? [] : [...Object.keys(counts.kinds), ...items.map((item) => item.kind)];
    const kinds = [...new Set([...this.#kinds, ...heard])];
    const said = JSON.stringify([preferences, mutes, kinds]);
    if (said === this.#said) return;
    this.#said = said;
    const at = this.node.getRootNode().activeElement?.dataset.of;
    const words = this.#words;
    this.node.replaceChildren(
      make("h3", {}, words.hear),
      make("ul", { role: "list" }, ...kinds.map((kind) => this.#line(kind, preferences ?? []))),
      ...(mutes?.length ? [make("h3", {}, words.muted), make("ul", { role: "list" }, ...mutes.map((mute) => this.#mute(mute, items)))] : []),
    );
    if (at) this.node.querySelector(`[data-of="${CSS.escape(at)}"]`)?.focus();
  }

  #line(kind, preferences) {
    const found = preferences.find((item) => isPlain(item, kind)) ?? preferences.find((item) => isPlain(item, "*"));
    const on = found?.value !== "off";
    const label = Object.hasOwn(this.#words.kinds, kind) ? this.#words.kinds[kind] : kind.replaceAll("_", " ");
    const others = preferences.filter((item) => !isPlain(item, kind));
    const change = () => this.#inbox.setPreferences([...others, { kind, channel: "inbox", scope: "*", value: on ? "off" : "on" }]).catch(this.#failed);
    return make("li", {}, make("span", {}, label), make("button", { class: "switch", part: "switch", type: "button", role: "switch", "aria-checked": String(on), "aria-label": label, "data-of": kind, click: change }));
  }

  #mute(mute, items) {
    const [aspect, id] = [mute.slice(0, mute.indexOf(":")), mute.slice(mute.indexOf(":") + 1)];
    const person = items.flatMap((item) => item.actors).find((actor) => actor.id === id);
    const name = aspect === "author" ? person?.name || id : mute;
    const label = this.#words.unmute.replace("{}", name);
    return make("li", {}, make("span", {}, name), make("button", { class: "tool", type: "button", title: label, "aria-label": label, click: () => this.#inbox.unmute(mute).catch(this.#failed) }, "×"));
  }
}
