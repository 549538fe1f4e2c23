"""`fanbell inbox`, `stats`, `trace`: what the server knows, for people to read."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from fanbell.infra.cli import options, show

ID_COLUMNS = 20  # longer ids are folded, so that the text keeps its room
TEXT_CHARS_MAX = 120  # of a line in the table; a notification is a sentence
STATES = {
    "accepted": "in the log, not routed yet",
    "waiting": "waits for the entity that it is about, which nobody has posted yet",
    "routed": "done",
    "dead": "a dead letter: `fanbell dead list` shows it",
}


def inbox(
    user: options.User,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=200, help="At most so many, the newest.")
    ] = 20,
    unread: Annotated[bool, typer.Option("--unread", help="Unread ones only.")] = False,
    kind: Annotated[str | None, typer.Option("--kind", help="Of this kind only.", show_default=False)] = None,
    scope: Annotated[
        str | None, typer.Option("--scope", help="In this scope only.", show_default=False)
    ] = None,
    locale: Annotated[
        str | None, typer.Option("--locale", help="Language, such as de.", show_default=False)
    ] = None,
    url: options.Url = options.DEFAULT_URL,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Show a user's inbox, newest first."""
    from fanbell.infra.cli.client import path

    with options.client(url, token) as client:
        page = client.get(
            path("users", user, "notifications"),
            limit=limit,
            unread=unread or None,
            kind=kind,
            scope=scope,
            locale=locale,
        )
    if json:
        show.as_json(page)
    else:
        _show_page(user, page)


def _show_page(user: str, page: Mapping[str, Any]) -> None:
    console = show.out()
    title = show.text(user, "bold") + show.text(
        f"  {page['unread']} unread, {page['unseen']} unseen, {page['total']} in all", "dim"
    )
    if not page["items"]:
        console.print(title)
        console.print(show.text("nothing here", "dim"))
        return
    table = show.table("", "what", "kind", ">when", "id", title=title)
    table.columns[-1].max_width = ID_COLUMNS
    for item in page["items"]:
        table.add_row(*_cells(item))
    console.print(table)
    if page.get("next"):
        console.print(
            show.text(f"{page['total'] - len(page['items'])} older ones: -n {min(200, page['total'])}", "dim")
        )


def _cells(item: Mapping[str, Any]) -> tuple[Text, ...]:
    """One notification as a row: a full dot is unread, a ring is unseen as well."""
    dot = Text("  ") if item["read"] else Text("● ", style="bold bright_blue" if not item["seen"] else "blue")
    said = show.clean(item["text"] or f"{item['kind']} {item['object']}")
    said = said if len(said) <= TEXT_CHARS_MAX else said[: TEXT_CHARS_MAX - 1] + "…"
    return (
        dot,
        Text(said, style="" if item["read"] else "bold"),
        show.text(item["kind"], "cyan"),
        show.text(show.ago(_ms(item["updated_at"])), "dim"),
        show.text(item["id"], "dim"),
    )


def _ms(moment: str | int) -> int:
    """Unix ms of a time in an answer."""
    return moment if isinstance(moment, int) else round(datetime.fromisoformat(moment).timestamp() * 1000)


def stats(
    url: options.Url = options.DEFAULT_URL, token: options.Token = None, json: options.Json = False
) -> None:
    """Show the server's counters and positions."""
    with options.client(url, token) as client:
        found = client.get("/v1/stats")
    if json:
        show.as_json(found)
    else:
        show.out().print(show.pairs(_in_a_line(found)))


def _in_a_line(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of partitions as their sum, and where the most is: a cluster has many. `--json` has them all."""
    shown: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(value, Mapping):
            shown[name] = value
        elif value and all(key.isdecimal() for key in value):
            most = max(value, key=lambda partition: value[partition])
            in_all = show.number(sum(value.values()))
            shown[name] = (
                f"{in_all}, most in partition {most}: {show.number(value[most])}" if value[most] else in_all
            )
        else:
            shown[name] = _in_a_line(value)
    return shown


def trace(
    activity: Annotated[str, typer.Argument(metavar="ID", help="The activity's id.", show_default=False)],
    url: options.Url = options.DEFAULT_URL,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Tell what became of an activity.

    How many heard of it, and how many each rule silenced.
    """
    from fanbell.infra.cli.client import path

    with options.client(url, token) as client:
        found = client.get(path("activities", activity, "trace"))
    if json:
        show.as_json(found)
        return
    silenced = found.get("silenced") or {}
    console = show.out()
    console.print(show.text(activity, "bold"))
    state = found["state"]
    lines: dict[str, Any] = {"state": f"{state}: {found.get('reason') or STATES.get(state, '')}"}
    lines |= {
        "heard by": found.get("heard", 0),
        "silenced": silenced or "nobody",
        "in the inboxes": found.get("stored", False),
    }
    console.print(show.pairs(lines))
