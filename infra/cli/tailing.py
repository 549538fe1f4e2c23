"""`fanbell tail`: a user's inbox live, a line for each thing that happens."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from fanbell.edge.close_codes import BY_NAME
from fanbell.infra.cli import options, show
from fanbell.infra.cli.exits import Exit, Failed

UNAUTHORISED: Final = {BY_NAME[name].code for name in ("unauthorized", "forbidden")}
Locale = Annotated[str | None, typer.Option("--locale", help="Language, such as de.", show_default=False)]


def tail(
    user: options.User,
    locale: Locale = None,
    url: options.Url = options.DEFAULT_URL,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Follow a user's inbox live.

    Until Ctrl-C; comes back by itself when the connection breaks.
    """
    with options.client(url, token) as client:
        edge = client.get("/v1/edge")["url"]
    try:
        asyncio.run(_tail(edge, user, token, locale, json))
    except KeyboardInterrupt:
        raise Failed(Exit.INTERRUPTED, "") from None


async def _tail(edge: str, user: str, token: str | None, locale: str | None, json: bool) -> None:
    from fanbell.clients.tail import Refused
    from fanbell.clients.tail import tail as frames

    try:
        # Closed by us: a reader that has left ends the loop (Rich's way is SystemExit) while it waits.
        async with aclosing(frames(edge, user, token=token, locale=locale)) as told:
            async for frame in told:
                if json:
                    show.as_json(frame)
                else:
                    _show(frame)
    except Refused as refused:
        if refused.code in UNAUTHORISED:
            raise Failed(
                Exit.UNAUTHORISED, str(refused), "set FANBELL_TOKEN to a token of this user"
            ) from None
        raise Failed(Exit.REFUSED, str(refused)) from None


def _show(frame: Mapping[str, Any]) -> None:
    for line in lines(frame):
        clock = show.text(f"{datetime.now():%H:%M:%S}  ", "dim")  # noqa: DTZ005 - a person's clock on the wall
        show.out().print(clock + line, soft_wrap=True)


def lines(frame: Mapping[str, Any]) -> Iterator[Text]:
    """What a frame tells a person; a frame of a type that we do not know is shown as its type."""
    match frame["type"]:
        case "hello":
            yield _quiet(f"connected; {_counted(frame['counts'])}")
        case "page":
            yield from (_item(item, new=False) for item in reversed(frame["items"]))
        case "notification":
            yield _item(frame["item"], new=True)
        case "state":
            yield from (_quiet(f"{_state(item)}: {item['text']}") for item in frame["items"])
        case "retract":
            yield show.text(f"✕ taken back: {frame['id']}", "yellow")
        case "counts":
            yield _quiet(_counted(frame))
        case "wish":
            yield _quiet(" ".join(str(part) for part in (frame["kind"], frame.get("object")) if part))
        case "kept":
            pass  # what a client may drop; we keep nothing
        case other:
            yield _quiet(other)


def _item(item: Mapping[str, Any], new: bool) -> Text:
    """A notification; a full dot is one that has just come."""
    style = "bold" if new else "" if not item["read"] else "dim"
    dot = (
        show.text("● ", "bold bright_blue") if new else show.text("○ ", "blue" if not item["read"] else "dim")
    )
    return dot + show.text(item["text"], style) + show.text(f"  {item['kind']} {item['id']}", "dim")


def _state(item: Mapping[str, Any]) -> str:
    marks = [name for name in ("archived", "clicked", "read", "seen") if item[name]]
    return marks[0] if marks else "unread"


def _counted(counts: Mapping[str, Any]) -> str:
    return f"{counts['unread']} unread, {counts['unseen']} unseen"


def _quiet(line: str) -> Text:
    return show.text(f"· {line}", "dim")
