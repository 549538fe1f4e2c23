// How the element looks. A constructed sheet: a policy without 'unsafe-inline' lets it be.
const css = `
:host { --bg: var(--fanbell-background, light-dark(#fff, #1b1a19)); --ink: var(--fanbell-text, light-dark(#1d1b19, #f2efea)); --soft: var(--fanbell-text-soft, light-dark(#68625b, #aaa39a));
  --line: var(--fanbell-line, light-dark(#ebe7e1, #33302d)); --hover: var(--fanbell-hover, light-dark(#f7f5f2, #242220)); --accent: var(--fanbell-accent, light-dark(#c93a22, #ff7a61));
  --on-accent: var(--fanbell-on-accent, light-dark(#fff, #240b05)); --tint: var(--fanbell-unread, light-dark(#fdf5f2, #26201d));
  color-scheme: light dark; display: flex; flex-direction: column; position: relative; overflow: clip; block-size: var(--fanbell-height, 600px); container-type: inline-size; background: var(--bg); color: var(--ink);
  border: 1px solid var(--line); border-radius: var(--fanbell-radius, 16px); font: var(--fanbell-font, 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif); }
:host([theme=light]) { color-scheme: light; }
:host([theme=dark]) { color-scheme: dark; }
:host([hidden]), [hidden] { display: none !important; }
* { box-sizing: border-box; margin: 0; }
button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
svg { inline-size: 18px; block-size: 18px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; display: block; }
.hush { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
header { display: flex; align-items: center; gap: 4px; padding-block: 16px 8px; padding-inline: 20px 12px; }
h2 { font-size: 1.2em; font-weight: 660; letter-spacing: -.015em; flex: 1; }
.badge { display: inline-block; min-inline-size: 22px; padding: 0 7px; margin-inline-start: 9px; border-radius: 99px; background: var(--accent); color: var(--on-accent); font-size: 12px; line-height: 22px; text-align: center; vertical-align: 2px; letter-spacing: 0; font-variant-numeric: tabular-nums; }
.tool { display: grid; place-items: center; inline-size: 34px; block-size: 34px; border-radius: 10px; color: var(--soft); transition: background .15s, color .15s; }
.tool:hover, .tool[aria-expanded=true] { background: var(--line); color: var(--ink); }
.tool:disabled { opacity: .35; pointer-events: none; }
.tabs { display: flex; gap: 4px; padding: 0 14px 12px; border-block-end: 1px solid var(--line); }
.tabs button { padding: 4px 12px; border-radius: 99px; color: var(--soft); font-size: .93em; font-weight: 520; transition: background .15s; }
.tabs button:hover { background: var(--hover); color: var(--ink); }
.tabs [aria-selected=true] { background: var(--ink) !important; color: var(--bg) !important; }
.bar { display: flex; justify-content: center; gap: 12px; padding: 7px 16px; background: var(--hover); border-block-end: 1px solid var(--line); color: var(--soft); font-size: .87em; }
.bar button, .more { color: var(--ink); font-weight: 600; text-decoration: underline; }
.scroll { flex: 1; overflow-y: auto; overscroll-behavior: contain; scrollbar-width: thin; scrollbar-color: var(--line) transparent; }
ul { list-style: none; padding: 0; }
.row { position: relative; display: flex; gap: 14px; padding-block: 14px; padding-inline: 24px 20px; border-block-end: 1px solid var(--line); transition: background .15s; }
.row:hover, .row:focus-within { background: var(--hover); }
.unread { background: var(--tint); }
.unread::before { content: ""; position: absolute; inset-inline-start: 8px; inset-block-start: 31px; inline-size: 8px; block-size: 8px; border-radius: 50%; background: var(--accent); }
.new { animation: arrive .4s cubic-bezier(.2, .8, .2, 1); }
.face { position: relative; flex: none; inline-size: 42px; block-size: 42px; }
.pic { display: grid; place-items: center; inline-size: 100%; block-size: 100%; border-radius: 50%; object-fit: cover; font-size: 15px; font-weight: 620; color: #fff; background: linear-gradient(145deg, oklch(.58 .12 var(--hue)), oklch(.48 .13 calc(var(--hue) + 30))); user-select: none; }
.kind { position: absolute; inset-inline-end: -5px; inset-block-end: -4px; padding: 4px; border-radius: 50%; background: var(--bg); color: var(--accent); box-shadow: 0 0 0 1px var(--line); }
.kind svg { inline-size: 12px; block-size: 12px; stroke-width: 2.4; }
.main { flex: 1; min-inline-size: 0; text-align: start; color: inherit; text-decoration: none; outline-offset: 6px; border-radius: 4px; overflow-wrap: anywhere; }
.main::after { content: ""; position: absolute; inset: 0; }
.main span { display: block; text-align: match-parent; }
.row:not(.unread) .main { color: var(--soft); }
b { font-weight: 620; color: var(--ink); }
.quote, .meta { color: var(--soft); font-size: .9em; margin-block-start: 2px; overflow: hidden; display: -webkit-box !important; -webkit-box-orient: vertical; -webkit-line-clamp: 2; }
.meta { font-size: .83em; -webkit-line-clamp: 1; }
.tools { position: absolute; z-index: 1; inset-block-start: 8px; inset-inline-end: 10px; display: flex; opacity: 0; border-radius: 10px; background: var(--hover); box-shadow: 0 0 8px 8px var(--hover); transition: opacity .12s; }
.row:hover .tools, .row:focus-within .tools { opacity: 1; }
@media (hover: none) { .tools { position: static; align-self: start; opacity: 1; background: none; box-shadow: none; } .tools :not(:first-child) { display: none; } }
.empty { padding: 72px 24px; text-align: center; color: var(--soft); }
.empty svg { inline-size: 40px; block-size: 40px; margin: 0 auto 12px; stroke-width: 1.2; }
.empty b { display: block; }
.bone { pointer-events: none; }
.bone i { display: block; block-size: 11px; margin-block: 5px 10px; border-radius: 6px; background: var(--line); animation: breathe 1.4s ease-in-out infinite; }
.bone .face i { block-size: 42px; margin: 0; border-radius: 50%; }
.bone .main i + i { inline-size: 40%; }
.toast { position: absolute; z-index: 2; inset-inline: 16px; inset-block-end: 16px; inline-size: fit-content; max-inline-size: calc(100% - 32px); margin-inline: auto; padding: 9px 16px; border-radius: 12px; background: var(--ink); color: var(--bg); font-size: .93em; box-shadow: 0 8px 30px #0004; animation: arrive .25s; }
.panel { padding: 8px 20px 20px; }
.panel h3 { margin-block: 16px 6px; font-size: .83em; font-weight: 600; color: var(--soft); }
.panel li { display: flex; align-items: center; gap: 12px; min-block-size: 40px; }
.panel li span { flex: 1; overflow-wrap: anywhere; }
.switch { inline-size: 40px; block-size: 24px; border-radius: 99px; background: var(--soft); transition: background .15s; }
.switch::after { content: ""; display: block; inline-size: 18px; block-size: 18px; margin-inline: 3px; border-radius: 50%; background: var(--bg); transition: margin .15s; }
.switch[aria-checked=true] { background: var(--accent); }
.switch[aria-checked=true]::after { margin-inline: 19px 3px; }
@container (max-width: 420px) { .row { gap: 12px; padding-inline: 20px 12px; } .unread::before { inset-inline-start: 6px; } }
@keyframes arrive { from { opacity: 0; transform: translateY(-8px); } }
@keyframes breathe { 50% { opacity: .45; } }
@media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important; } }
@media (forced-colors: active) { .unread::before, .badge, .switch { forced-color-adjust: none; } }
`;

export const sheet = new CSSStyleSheet();
sheet.replaceSync(css);
