// The number of unread ones before the page's title, and on the app's icon where there is one. Returns what ends it.
export function showBadge(inbox) {
  const title = document.title.replace(/^\(\d+\+?\) /, "");
  const show = (count) => {
    document.title = count ? `(${count > 99 ? "99+" : count}) ${title}` : title;
    navigator.setAppBadge?.(count).catch(() => {}); // only installed apps may
  };
  const update = () => show(inbox.getSnapshot().counts.unread);
  const end = inbox.subscribe(update);
  update();
  return () => { end(); show(0); };
}
