"""One user's inbox, live in a Python program: what `fanbell.connect` gives.

    async with fanbell.connect("http://127.0.0.1:8787", token) as inbox:
        async for item in inbox:
            print(item["text"])

What is known and decided is in `state.py`, the connection in `line.py`; this binds them to one event loop: a task hears
the edge, one sends marks, one sees to the token. Whoever reads slowly holds up the task that hears, and so the edge,
which asks to resume once its mailbox is full: nothing grows without bound, and nothing is lost.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self

from fanbell.clients.line import PING_EVERY_S, SILENCE_S, Address, Line, Status
from fanbell.clients.marking import Ids, Marking
from fanbell.clients.marks import Item
from fanbell.clients.state import State
from fanbell.clients.tokens import AWAY, GetToken, Identity

NEWS_MAX: Final = 10_000  # notifications nobody has asked for yet: some 10 MB; an inbox holds a few hundred
FRAMES_MAX: Final = 256  # for each reader of `frames`
MARKS_WAIT_S: Final = 60.0  # a person who marked something in a tunnel is out of it by then
MARKS_APART_S: Final = 0.025  # the edge takes 50 frames a second from a client for long
log = logging.getLogger("fanbell.clients")


def connect(
    url: str,
    token: str | None = None,
    user: str | None = None,
    locale: str | None = None,
    cursor: str | None = None,
    *,
    get_token: GetToken | None = None,
    marks_wait_s: float = MARKS_WAIT_S,
    ping_every_s: float = PING_EVERY_S,
    silence_s: float = SILENCE_S,
    ssl: SSLContext | None = None,
) -> "Inbox":
    """The inbox of `user`, or of whom the token names; use it by `async with`.

    `url`: the API's (http, https), which is asked where the edge is, or the edge's own (ws, wss). `cursor`: up to where
    it is known already. `get_token` gives the next token, before this one ends and when it does not count. A mark that
    is not answered for `marks_wait_s` is taken back. After `ping_every_s` of silence the edge is pinged; after
    `silence_s` more the connection is given up for a new one. Raises ValueError.
    """
    identity = Identity(user, token, get_token)
    if get_token is None and identity.user is None:
        raise ValueError("say which user's inbox: by user, or by a token that names one")
    return Inbox(Address(url, ssl), identity, locale, cursor, marks_wait_s, ping_every_s, silence_s)


class Inbox:
    """Iterate for what is new; read the rest. Of one event loop, and used once."""

    def __init__(
        self,
        address: Address,
        identity: Identity,
        locale: str | None,
        cursor: str | None,
        marks_wait_s: float,
        ping_every_s: float,
        silence_s: float,
    ) -> None:
        self._address = address
        self._identity = identity
        self._locale = locale
        self._state = State(cursor)
        self._marking = Marking(self._state, marks_wait_s, self._wake)
        self._status: Status = "connecting"
        self._line = Line(
            address,
            identity,
            locale,
            ping_every_s=ping_every_s,
            silence_s=silence_s,
            on_status=self._on_status,
        )
        self._news: deque[tuple[Item, str | None]] = deque()
        """What is new, each with the cursor from before it."""
        self._iterated = False
        self._readers: set[asyncio.Queue[Mapping[str, Any]]] = set()
        self._event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._why: BaseException | None = None

    # Life

    async def __aenter__(self) -> Self:
        """Connect, and wait for the inbox as it is. Raises Refused."""
        assert self._task is None, "an inbox is connected once"
        self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            while self._status not in ("live", "closed"):
                await self.changed()
        except BaseException:
            await self.close()
            raise
        if self._why is not None:
            await self.close()
            raise self._why
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave. Marks that wait for an answer raise Closed; iteration ends."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,))
        self._end(None)

    async def _run(self) -> None:
        why: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send_marks())
                tasks.create_task(self._keep_token())
                await self._listen()
        except ExceptionGroup as group:
            why = _first(group)
        finally:
            self._end(why)

    def _end(self, why: BaseException | None) -> None:
        """No more comes; `why` if it is not by our own will."""
        self._why = self._why or why
        self._state.cut()
        self._marking.close()
        self._on_status("closed")

    # What is known

    @property
    def status(self) -> Status:
        """connecting, live, offline (between two tries), closed."""
        return self._status

    @property
    def user(self) -> str | None:
        """Whose inbox it is."""
        return self._identity.user

    @property
    def items(self) -> list[Item]:
        """The newest rows, newest first, archived ones aside; marks that wait count as made."""
        return self._state.items

    @property
    def counts(self) -> dict[str, Any]:
        """`unread`, `unseen`; of the unread, `kinds` and `scopes`. Of the whole inbox, marks that wait included."""
        return self._state.counts

    @property
    def cursor(self) -> str | None:
        """Up to where everything was given out by iterating: what to pass to `connect` another day."""
        return self._news[0][1] if self._news else self._state.cursor

    async def changed(self) -> None:
        """Wait until anything of the above may have changed."""
        await self._event.wait()

    def _wake(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()

    # What comes

    def __aiter__(self) -> Self:
        self._iterated = True
        return self

    async def __anext__(self) -> Item:
        """The next notification that is new or has grown; each once, in order. Raises Refused."""
        self._iterated = True
        while not self._news:
            if self._status == "closed":
                raise StopAsyncIteration if self._why is None else self._why
            await self.changed()
        item, _ = self._news.popleft()
        self._wake()
        return item

    async def frames(self) -> AsyncGenerator[Mapping[str, Any], None]:
        """Every frame of the edge from now on, as it came; ends when the inbox is closed. Raises Refused."""
        queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(FRAMES_MAX)
        self._readers.add(queue)
        try:
            while True:
                while queue.empty():
                    if self._status == "closed":
                        if self._why is not None:
                            raise self._why
                        return
                    await self.changed()
                frame = queue.get_nowait()
                self._wake()
                yield frame
        finally:
            self._readers.discard(queue)
            self._wake()

    async def _listen(self) -> None:
        """Hear the edge, until it refuses us. Raises Refused."""
        async with aclosing(self._line.frames(lambda: self._state.cursor)) as frames:
            async for frame in frames:
                await self._take(frame)

    async def _take(self, frame: Mapping[str, Any]) -> None:
        before = self._state.cursor
        if frame["type"] == "page":
            frame = await self._whole(frame)
        self._news += [(item, before) for item in self._state.hear(frame)]
        match frame["type"]:
            case "hello":
                self._marking.in_log(frame["epoch"])
            case "accepted" | "refused":
                self._marking.answered(frame)
        if self._state.live and self._status != "live":
            self._on_status("live")
        for queue in list(self._readers):
            while queue.full() and queue in self._readers:
                await self.changed()
            queue.put_nowait(frame)
        self._wake()
        while self._iterated and len(self._news) >= NEWS_MAX:
            await self.changed()
        while len(self._news) > NEWS_MAX:
            self._news.popleft()  # nobody iterates: they are in `items`

    async def _whole(self, page: Mapping[str, Any]) -> Mapping[str, Any]:
        """A fresh page, and what is new below it, as far as the API gives that."""
        while self._state.lacks(page):
            more = await self._address.older(
                self.user or "", self._identity.token, page["next"], self._locale
            )
            if more is None:
                log.warning("what is new below a fresh page is not given out: the API does not give it")
                break
            page = {**page, "items": [*page["items"], *more["items"]], "next": more["next"]}
        return page

    def _on_status(self, status: Status) -> None:
        if status == "offline":
            self._state.cut()
        self._status = status
        self._wake()

    # What goes out

    async def read(self, ids: Ids) -> None:
        """Mark as read, and seen. As all marks: shown here at once, and done once this returns.

        `ids` or "all" that was shown so far. Offline, it waits for the line. Raises MarkFailed, with what was shown
        taken back; where there are many ids, a part of them may be marked by then.
        """
        await self._marking.mark("read", ids)

    async def unread(self, ids: Ids) -> None:
        """Mark as unread. Raises MarkFailed."""
        await self._marking.mark("unread", ids)

    async def seen(self, ids: Ids) -> None:
        """Mark as seen. Raises MarkFailed."""
        await self._marking.mark("seen", ids)

    async def archive(self, ids: Ids) -> None:
        """Put into the archive; also read. Raises MarkFailed."""
        await self._marking.mark("archive", ids)

    async def unarchive(self, ids: Ids) -> None:
        """Take out of the archive. Raises MarkFailed."""
        await self._marking.mark("unarchive", ids)

    async def click(self, ids: Ids) -> None:
        """Mark as clicked; also read. Raises MarkFailed."""
        await self._marking.mark("click", ids)

    async def _send_marks(self) -> None:
        """Send what waits, oldest first, whenever there is a line."""
        while True:
            mark = self._state.marks.next() if self._status == "live" else None
            if mark is None:
                await self.changed()
                continue
            mark.sent = mark.tried = True  # before it goes: a line that breaks meanwhile says otherwise
            if not await self._line.say(mark.frame()):
                mark.sent = False
                await self.changed()
            await asyncio.sleep(MARKS_APART_S)

    async def _keep_token(self) -> None:
        """Give the edge a new token before the old one ends. If it is not taken, the edge will say so by a code."""
        while True:
            left_s = self._identity.renews_in_s()
            if left_s is None or self._status != "live":
                await self.changed()
                continue
            try:
                async with asyncio.timeout(left_s):
                    await self._not_live()
            except TimeoutError:
                await self._renew_in_place()

    async def _not_live(self) -> None:
        """Wait until the line is not live."""
        while self._status == "live":
            await self.changed()

    async def _renew_in_place(self) -> None:
        try:
            is_new = await self._identity.renew()
        except AWAY:
            return  # there is time left, and a part of it is waited again
        if is_new:
            await self._line.say({"type": "token", "token": self._identity.token, "ref": "token"})


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
