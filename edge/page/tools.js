// Small tools of the page. What people wrote goes in as text, never as markup.

export const $ = (id) => document.getElementById(id);

const TOAST_MS = 4_000;
let toastTimer = 0;

/** An element with a class and a text. */
export function make(tag, className = "", text = undefined) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** One of the page's icons. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

/** Tell something that passes. */
export function toast(text) {
  const node = $("toast");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { node.hidden = true; }, TOAST_MS);
}

/** What the API answers. Throws an Error whose message is the server's reason. */
export async function api(method, path, body = undefined) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(value.errors?.[0]?.message || value.detail || value.title || `HTTP ${answer.status}`);
  return value;
}

/** The path of something of a user's. */
export const of = (user, rest = "") => `/v1/users/${encodeURIComponent(user)}${rest}`;

/** What `work` gives; null where it failed, which is told. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    toast(error.message || "That did not work.");
    return null;
  }
}

/** An id that nobody else makes. */
export const newId = (what) => `${what}-${crypto.randomUUID()}`;
