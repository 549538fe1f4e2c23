"""One session's end at its socket: what goes out at once, what waits, what is counted.

A link is the same whatever its frames travel by, a WebSocket (`Connection`) or an HTTP answer that goes on
(`sse.HttpWire`): that is its *wire*. As long as the client keeps up, what a link says in one turn of the loop goes
into a WebSocket's transport at its end, in one write: no task, no queue. Once the transport's buffer is over its
mark, frames wait in the mailbox until it has drained; a mailbox that is full ends the session with "resume".
`websockets` frames and sends one message in 12 µs by `send` and 10 µs by `broadcast`; ready bytes into the transport
take about 2 µs less again, because the header is made once per notice and not once per recipient. What is relied on:
server frames are not masked, there is no compression, and nobody else sends data frames on the connection.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any, Final, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.protocol import Event, State

from fanbell.edge import frames
from fanbell.edge.addresses import EXEMPT
from fanbell.edge.close_codes import BY_NAME, CloseCode
from fanbell.edge.feed import Feed
from fanbell.edge.frames import Ping
from fanbell.edge.hub import Hub
from fanbell.edge.limits import Bucket
from fanbell.edge.mailbox import UNKEYED, Frame, Mailbox
from fanbell.edge.session import Close, Ended, Gone, Input, Output, Pong, Send, Session
from fanbell.edge.start import start
from fanbell.projections.rows import Counts

COUNTS_EVERY_MS: Final = 100  # counters of one session, at most so often; the last always
SLOTS: Final = 10  # the sessions' turns are spread over that time, so that a thousand never come at once
SEND_BUFFER_BYTES: Final = 128 * 1024  # in the kernel; it would grow to 4 MB for a client that does not read
WRITE_BUFFER_BYTES: Final = 32 * 1024  # in the transport; past it frames wait in the mailbox
FORGOTTEN: Final = Request("/", Headers())
TIMER_MAX_S: Final = 86_400.0  # a session that lives longer than a day may as well start anew


class Traffic:
    """What all links have done, for people and programs."""

    __slots__ = ("bytes_sent", "closed", "frames_sent", "frames_waited")

    def __init__(self) -> None:
        self.frames_sent = 0
        self.frames_waited = 0
        self.bytes_sent = 0
        self.closed: dict[str, int] = {}


class Wire(Protocol):
    """What a link's frames travel by. It calls the link's `flush` once it takes bytes again."""

    link: "SocketLink | None"

    @property
    def put_out(self) -> Callable[[bytes], object]:
        """Send bytes, whole WebSocket frames of ours; never blocks. Only while `is_open`."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether anything may still be sent."""
        ...

    @property
    def paused(self) -> bool:
        """Whether the client has so much before it that frames had better wait."""
        ...

    def end(self, row: CloseCode) -> None:
        """Say why, and close; at once, or as soon as the client takes it. A second call does nothing."""
        ...

    def abort(self) -> None:
        """Drop the connection without another word."""
        ...


class Connection(ServerConnection):
    """A connection of `websockets` that says when its transport takes data again: a `Wire`."""

    link: "SocketLink | None" = None
    address = EXEMPT
    """What limits by address count for."""
    bucket: Bucket | None = None
    """Of the frames that may come, control frames and fragments included; None is any number."""
    connections_max = 0
    """Of one server, those included whose handshake has not come; past it new ones are dropped. 0 is no bound."""
    put_out: Callable[[bytes], object]
    _closing: "asyncio.Task[None] | None" = None

    @property
    def is_open(self) -> bool:
        return self.protocol.state is State.OPEN

    def process_event(self, event: Event) -> None:
        if self.bucket is not None and self.link is not None and not self.bucket.take(time.monotonic()):
            self.link.end("too_fast")
        super().process_event(event)

    def end(self, row: CloseCode) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self.close(row.code, row.reason))

    def abort(self) -> None:
        self.transport.abort()

    def take_authorization(self) -> str | None:
        """What the handshake's Authorization header said; forgotten with this, for a session lasts for days."""
        request = self.request
        if request is None or "Authorization" not in request.headers:
            return None
        said = request.headers["Authorization"]
        del request.headers["Authorization"]
        return said

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.put_out = self.transport.write
        if 0 < self.connections_max < len(self.server.handler_tasks):  # it has a task for each
            self.transport.abort()
            return
        socket = transport.get_extra_info("socket")
        if socket is not None:
            socket.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES)

    def forget_handshake(self) -> None:
        """Let go of the headers of both sides, once what they say has been looked at: 2 KB of each idle socket."""
        self.response = None
        self.request = FORGOTTEN  # by having a request, `websockets` knows that the handshake is done

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.link is not None:
            self.link.flush()


def connections_of(most: int) -> type[Connection]:
    """Connections of a server that holds at most so many at once."""
    return type("Connection", (Connection,), {"connections_max": most})


class Turn:
    """What a link says within one turn of the loop goes out at its end, in one write.

    A call into the kernel costs as much as everything else that a frame does, and records come in batches.
    """

    def __init__(self) -> None:
        self._links: list[SocketLink] = []

    def add(self, link: "SocketLink") -> None:
        if not self._links:
            asyncio.get_running_loop().call_soon(self._end)
        self._links.append(link)

    def _end(self) -> None:
        links, self._links = self._links, []
        for link in links:
            link.write_out()


class Pacer:
    """Gives each link that has something to count one turn per 100 ms."""

    def __init__(self) -> None:
        self.turn = Turn()
        self._slots: list[list[SocketLink]] = [[] for _ in range(SLOTS)]
        self._links = 0
        self._next = 0
        self._slot = 0
        self._timer: asyncio.TimerHandle | None = None

    def slot(self) -> int:
        """The slot of a new link."""
        self._slot = (self._slot + 1) % SLOTS
        return self._slot

    def add(self, link: "SocketLink") -> None:
        """Give `link`, which waits for none, a turn."""
        self._slots[link.slot].append(link)
        self._links += 1
        if self._timer is None:
            self._wait()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(COUNTS_EVERY_MS / SLOTS / 1000, self._turn)

    def _turn(self) -> None:
        self._next = (self._next + 1) % SLOTS
        links, self._slots[self._next] = self._slots[self._next], []
        self._links -= len(links)
        for link in links:
            link.paced = False
            link.send_counts()
        if self._links:
            self._wait()
        else:
            self._timer = None


class SocketLink:
    """Drives one `Session` and does what it says."""

    def __init__(
        self,
        wire: Wire,
        hub: Hub,
        pacer: Pacer,
        traffic: Traffic,
        frames_max: int,
        bytes_max: int,
    ) -> None:
        self.session = Session(frames_max, bytes_max)
        self.mailbox = Mailbox(frames_max, bytes_max)
        self.locale = ""
        self.feed: Feed | None = None
        self.slot = pacer.slot()
        self.paced = False
        """Whether a turn of the pacer is to come."""
        self.why: str | None = None
        """Why it was ended from our side; None if it was not."""
        self._wire = wire
        self._hub = hub
        self._pacer = pacer
        self._turn = pacer.turn
        self._out = b""
        self._traffic = traffic
        self._counts: Counts | None = None
        self._counted_ms = 0
        self._has_counts = False
        self._pulsed = 0
        self._deadline: asyncio.TimerHandle | None = None
        wire.link = self

    # The hub's side

    def tell(self, frame: Frame) -> None:
        session = self.session
        if session.state != "live":
            self.do(session.step(frame))
        elif session.is_news(frame):
            counted = self._counts_due()
            self.write((frame,) if counted is None else (frame, counted))
            self._has_counts = counted is not None

    def count(self) -> None:
        if self._has_counts:
            self._has_counts = False
        elif not self.paced and self.session.state == "live":
            self.paced = True
            self._pacer.add(self)

    def end(self, why: str) -> None:
        self.do(self.session.step(Ended(why)))

    # The session's side

    async def begin(self, cursor: str | None) -> None:
        """Start the session, which has just joined its feed, from `cursor` on. Raises StoreFailed."""
        assert self.feed is not None
        self.give(await start(self._hub, self.feed, cursor, self.locale))
        self._pulsed = self.session.seq

    def give(self, given: Input) -> list[Output]:
        """Step the session, do what can be done at once, and return the rest."""
        return self.do(self.session.step(given))

    def do(self, outputs: Sequence[Output]) -> list[Output]:
        """Do what needs no waiting, and return the rest."""
        rest: list[Output] = []
        for output in outputs:
            if isinstance(output, Send):
                self.write(output.frames)
            elif isinstance(output, Close):
                self._close(output.why)
            elif isinstance(output, Pong):
                self._pong(output.ref)
            else:
                rest.append(output)
        return rest

    def write(self, told: Sequence[Frame]) -> None:
        wire, mailbox = self._wire, self.mailbox
        for frame in told:
            if not wire.paused and not len(mailbox):
                self._put_out(frame.data)
            elif not wire.is_open:
                return
            elif mailbox.put(frame):
                self._traffic.frames_waited += 1
            else:
                self.end("resume")
                return

    def say(self, message: dict[str, Any], key: str = UNKEYED) -> None:
        """Send a frame that is this session's alone."""
        self.write((frames.framed(message, key=key),))

    def flush(self) -> None:
        """Write what waits, as far as the transport takes it."""
        if not self._wire.is_open:
            return
        while len(self.mailbox) and not self._wire.paused:
            self._put_out(self.mailbox.take().data)
            self.write_out()

    def send_counts(self) -> None:
        """The counters as they are now, unless the client has just these."""
        if self.session.state != "live" or self.feed is None:
            return
        now_ms = int(time.time() * 1000)
        if now_ms - self._counted_ms < COUNTS_EVERY_MS:  # they went out with a notification since
            self.count()
            return
        frame = self._counts_frame(self.feed, now_ms)
        if frame is not None:
            self.write((frame,))

    def _counts_due(self) -> Frame | None:
        """The counters, if none were sent for so long that they may go out at once."""
        now_ms = int(time.time() * 1000)
        if self.feed is None or now_ms - self._counted_ms < COUNTS_EVERY_MS:
            return None
        return self._counts_frame(self.feed, now_ms)

    def _counts_frame(self, feed: Feed, now_ms: int) -> Frame | None:
        """The counters of `feed`, if they are not those that were sent last."""
        counts = feed.tally.counts(now_ms)
        if counts == self._counts:
            return None
        self._counts, self._counted_ms = counts, now_ms
        return frames.counts(counts)

    def ends_in(self, delay_s: float, why: str) -> None:
        """End the session after `delay_s` seconds, instead of when was said before."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(min(delay_s, TIMER_MAX_S), self.end, why)

    def gone(self) -> None:
        """The connection is no more."""
        self.session.step(Gone())
        self.mailbox.clear()
        if self._deadline is not None:
            self._deadline.cancel()
        if self.feed is not None:
            self._hub.leave(self.feed, self)

    def abort(self) -> None:
        """Drop the connection without another word."""
        self._wire.abort()

    def pulse(self) -> None:
        """For who cannot ping: a pong now and then, once there is a newer cursor to tell."""
        if self.feed is not None and (heard := self._heard(self.feed)) > self._pulsed:
            self._pulsed = heard
            self.give(Ping())

    def _pong(self, ref: str | None) -> None:
        """Answer, with how far the session has come: what the partition had for others makes its cursor grow too."""
        message: dict[str, Any] = {"type": "pong"}
        if ref is not None:
            message["ref"] = ref
        if self.session.state == "live" and self.feed is not None:
            message["cursor"] = self._hub.cursor(self._heard(self.feed))
        self.say(message, key="pong")

    def _heard(self, feed: Feed) -> int:
        """Seq up to which there is nothing that the client has not been told."""
        heard = self.session.seq if feed.waiting is not None else feed.partition.told
        return max(heard, self.session.seq)

    def _close(self, why: str) -> None:
        row = BY_NAME[why]
        self.why = why
        self.mailbox.clear()
        self.write_out()
        if self.feed is not None:
            self._hub.leave(self.feed, self)
        self._wire.end(row)

    def _put_out(self, data: bytes) -> None:
        """Write `data` at the end of this turn of the loop, with whatever else comes until then."""
        self._traffic.frames_sent += 1
        if not self._out:
            self._out = data
            self._turn.add(self)
        else:
            self._out += data
            if len(self._out) > WRITE_BUFFER_BYTES:  # the transport is to say whether it takes more
                self.write_out()

    def write_out(self) -> None:
        """Write what has come in this turn, unless the connection has gone meanwhile."""
        out, self._out = self._out, b""
        if out and self._wire.is_open:
            self._wire.put_out(out)
            self._traffic.bytes_sent += len(out)
