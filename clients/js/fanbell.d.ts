// Types of fanbell.js, of badge.js and of the element in fanbell-inbox.js.

export type Status = "connecting" | "live" | "offline" | "closed";
export type Verb = "read" | "unread" | "seen" | "archive" | "unarchive" | "click";

export interface Actor {
  id: string;
  name: string | null;
  avatar_url: string | null;
}

/** A notification as it is shown. All of it is text that people wrote: put it in as text. */
export interface Item {
  id: string;
  cursor: string;
  kind: string;
  reason: string;
  text: string;
  /** Relative or http(s); null where there is nowhere to go. */
  url: string | null;
  actors: Actor[];
  count: number;
  object: string;
  target: string | null;
  scope: string | null;
  data: Record<string, unknown> | null;
  created_at: string;
  updated_at: string;
  seen: boolean;
  read: boolean;
  archived: boolean;
  clicked: boolean;
}

export interface Counts {
  unread: number;
  unseen: number;
  /** Of the unread. */
  kinds: Record<string, number>;
  scopes: Record<string, number>;
}

export interface Preference {
  kind?: string;
  channel?: string;
  scope?: string;
  value: "on" | "off" | "digest";
}

/** Why the edge ended the session: a close code and its reason. */
export interface Closed {
  code?: number;
  reason: string;
}

/** Frozen, and the same object until something changes. */
export interface Snapshot {
  readonly status: Status;
  readonly error: Closed | null;
  /** Newest first, without archived ones. */
  readonly items: readonly Item[];
  readonly counts: Counts;
  readonly hasMore: boolean;
  readonly loading: boolean;
  readonly archived: { readonly items: readonly Item[]; readonly hasMore: boolean; readonly loaded: boolean };
  /** Null until `getPreferences` was called. */
  readonly preferences: readonly Preference[] | null;
  /** Null until `getMutes` was called. */
  readonly mutes: readonly string[] | null;
  /** Marks that are not answered yet. */
  readonly pending: number;
}

export interface Options {
  /** Address of the API, such as https://bell.example. */
  url: string;
  user: string;
  token?: string;
  /** A fresh token for the user. Called where there is none, before one ends, and when one was refused. */
  getToken?: () => string | Promise<string>;
  locale?: string;
  transport?: "auto" | "websocket" | "sse";
  /** Whether tabs share one connection; true. */
  share?: boolean;
  /** "session" keeps rows and cursor over a reload of the tab; "memory". */
  storage?: "memory" | "session";
  /** For Node below 22, and for tests. */
  WebSocket?: unknown;
  fetch?: typeof fetch;
  locks?: LockManager;
  BroadcastChannel?: unknown;
}

export interface Events {
  /** Once for each notification that is new or has grown. */
  notification: Item;
  counts: Counts;
  status: Status;
  closed: Closed;
  error: Error;
}

export declare class FanbellInbox {
  constructor(options: Options);
  start(): void;
  stop(): void;
  subscribe: (listener: () => void) => () => void;
  getSnapshot: () => Snapshot;
  on<Name extends keyof Events>(name: Name, listener: (detail: Events[Name]) => void): () => void;

  // Marks. They show at once; the promise waits for the server, which may be long while offline, and rejects if it refuses.
  read(which: string | string[] | "all"): Promise<void>;
  unread(which: string | string[]): Promise<void>;
  seen(which: string | string[] | "all"): Promise<void>;
  archive(which: string | string[] | "all"): Promise<void>;
  unarchive(which: string | string[]): Promise<void>;
  click(which: string | string[]): Promise<void>;

  loadMore(options?: { archived?: boolean }): Promise<void>;
  getPreferences: () => Promise<Preference[]>;
  setPreferences(items: Preference[]): Promise<void>;
  /** What preferences can be about, as the server's rules have it. */
  getKinds: () => Promise<{ kind: string; channels: string[] }[]>;
  getMutes: () => Promise<string[]>;
  /** "author:ID", "entity:ID", "thread:ID" or "scope:ID". */
  mute: (target: string) => Promise<void>;
  unmute: (target: string) => Promise<void>;

  setToken(token: string): void;
  cutLine(): void;
  restoreLine(): void;
}

/** Of badge.js: the unread count in the page's title and on the app's icon. Returns what ends it. */
export declare function showBadge(inbox: FanbellInbox): () => void;

export interface FanbellInboxElement extends HTMLElement {
  inbox?: FanbellInbox;
  getToken?: () => string | Promise<string>;
  filter: "all" | "unread" | "archived";
  /** Kinds that the preferences list, in their order, in place of those that the server names. */
  kinds?: string[];
  /** Words of one's own, in place of those of the language. */
  strings?: Record<string, unknown>;
}

declare global {
  interface HTMLElementTagNameMap {
    "fanbell-inbox": FanbellInboxElement;
  }
  interface HTMLElementEventMap {
    "fanbell-status": CustomEvent<{ status: Status }>;
    "fanbell-counts": CustomEvent<Counts>;
    "fanbell-notification": CustomEvent<Item>;
    "fanbell-open": CustomEvent<Item>;
  }
}
