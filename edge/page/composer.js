// Acting as somebody else of the town: what they do is published by the API, as any producer would.

import { $, api, attempt, make, newId, of, toast } from "./tools.js";

const TARGETS_MAX = 12; // of the user's posts, the latest
const WAVE = 14; // likes at once: enough for a group to grow under one's eyes
const TRACE_TRIES = 50; // ten seconds: a busy machine takes its time, and nobody has to wait for it
const TRACE_MS = 200;

let user = "";
let people = [];
let posts = new Map(); // posts of the user that can be liked or commented on: id → title, the latest last

/** Compose for this user; `near` are those whom they follow, whose posts they hear of. */
export function compose(who, everybody, ownPosts, near) {
  user = who;
  people = everybody.filter((one) => one.id !== user);
  posts = new Map(Object.entries(ownPosts));
  drawPeople(new Set(near));
  drawTargets();
  drawFields();
}

/** A row that the user has heard of: a like of theirs says which post is theirs. */
export function learn(item) {
  const own = { like: item.object, repost: item.object, comment: item.target, reply: item.target }[item.reason];
  if (!own || posts.has(own)) return;
  posts.set(own, String(item.data?.title ?? "an earlier post"));
  drawTargets();
}

function drawPeople(near) {
  const options = (among) => among.map((one) => new Option(one.name, one.id));
  const followed = make("optgroup");
  followed.label = "People whom they follow";
  followed.append(...options(people.filter((one) => near.has(one.id))));
  const others = make("optgroup");
  others.label = "Others in town";
  others.append(...options(people.filter((one) => !near.has(one.id))));
  $("actor").replaceChildren(...[followed, others].filter((group) => group.children.length));
}

function drawTargets() {
  const select = $("target");
  const kept = select.value;
  const known = [...posts].slice(-TARGETS_MAX).reverse();
  select.replaceChildren(...known.map(([id, title]) => new Option(`“${title}”`, id)), new Option("a new post of theirs", ""));
  select.value = posts.has(kept) ? kept : select.options[0].value;
}

const verb = () => new FormData($("compose")).get("verb");

function drawFields() {
  $("target-field").hidden = !["like", "comment"].includes(verb());
  $("text-field").hidden = !["post", "comment", "message"].includes(verb());
}

/** The activities that say that `actor` does `what`; a post of the user's before them, if there is none to react to. */
function activities(what, actors, text) {
  const out = [];
  const titled = (title) => ({ title, synthetic: true });
  let target = $("target").value;
  if (["like", "comment"].includes(what) && !target) {
    target = newId("p");
    posts.set(target, "Hello from the demo page");
    out.push({ id: newId("a"), kind: "post", actor: user, object: target, data: titled(posts.get(target)) });
    drawTargets();
    $("target").value = target;
  }
  const about = { owner: user, data: titled(posts.get(target)) };
  for (const actor of actors) {
    const one = { id: newId("a"), kind: what, actor };
    if (what === "post") Object.assign(one, { object: newId("p"), data: titled(text || "Something new") });
    if (what === "like") Object.assign(one, { object: target, ...about });
    if (what === "comment") Object.assign(one, { object: newId("c"), target, ...about, data: { ...about.data, text: text || "Nice!" } });
    if (what === "message") Object.assign(one, { object: newId("m"), target: `talk-${actor}-${user}`, recipients: [user], data: { text: text || "Hello!", synthetic: true } });
    if (what === "follow") one.object = user;
    out.push(one);
  }
  return out;
}

async function publish(what, actors, text) {
  const told = $("told");
  told.textContent = "Sending…";
  const sent = activities(what, actors, text);
  const answer = await attempt(() => api("POST", "/v1/activities", sent));
  if (!answer) {
    told.textContent = "";
    return false;
  }
  told.textContent = "Sent.";
  const trace = await outcome(sent.at(-1).id);
  if (trace && told.textContent === "Sent.") told.textContent = inWords(what, actors, trace);
  return true;
}

async function outcome(id) {
  for (let turn = 0; turn < TRACE_TRIES; turn += 1) {
    const trace = await api("GET", `/v1/activities/${encodeURIComponent(id)}/trace`).catch(() => null);
    if (trace?.state === "routed" || trace?.state === "dead") return trace;
    await new Promise((resolve) => { setTimeout(resolve, TRACE_MS); });
  }
  return null;
}

function inWords(what, actors, trace) {
  if (actors.length > 1) return `${actors.length} likes sent.`;
  const silenced = Object.values(trace.silenced ?? {}).reduce((sum, count) => sum + count, 0);
  const heard = trace.heard === 1 ? "1 person hears of it" : `${trace.heard ?? 0} people hear of it`;
  return silenced ? `${heard}; ${silenced} silenced it.` : `${heard}.`;
}

$("compose").addEventListener("change", drawFields);
$("compose").addEventListener("submit", async (event) => {
  event.preventDefault();
  const actor = $("actor").value;
  if (!actor) return toast("Nobody is there to act.");
  if (await publish(verb(), [actor], $("text").value.trim())) $("text").value = "";
});
$("wave").addEventListener("click", () => {
  const from = Math.floor(Math.random() * Math.max(1, people.length - WAVE));
  publish("like", people.slice(from, from + WAVE).map((one) => one.id), "");
});

/** Whom the user follows. */
export async function followed(who) {
  const answer = await api("GET", of(who, "/follows?limit=200")).catch(() => ({ items: [] }));
  return answer.items;
}
