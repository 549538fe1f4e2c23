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
from collections.abc import Sequence
from typing import Any, Final

from fanbell.edge import frames
from fanbell.edge.close_codes import BY_NAME
from fanbell.edge.feed import Feed, Link
from fanbell.edge.frames import UNKEYED, Frame, Ping
from fanbell.edge.hub import Hub
from fanbell.edge.mailbox import Mailbox
from fanbell.edge.pacer import COUNTS_EVERY_MS, Pacer
from fanbell.edge.ports import WRITE_BUFFER_BYTES, Wire
from fanbell.edge.session import Session
from fanbell.edge.start import start
from fanbell.edge.steps import Close, Ended, Gone, Input, Output, Pong, Send
from fanbell.projections.rows import Counts

TIMER_MAX_S: Final = 86_400.0  # a session that lives longer than a day may as well start anew


class Traffic:
    """What all links have done, for people and programs."""

    __slots__ = ("bytes_sent", "closed", "frames_sent", "frames_waited")

    def __init__(self) -> None:
        self.frames_sent = 0
        self.frames_waited = 0
        self.bytes_sent = 0
        self.closed: dict[str, int] = {}


class SocketLink(Link):
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
        super().__init__("")
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
        self._waits = False
        """Whether there is something in the mailbox."""
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
            self._has_counts = counted is not None
            if self._waits or self._wire.paused:
                self.write((frame,) if counted is None else (frame, counted))
            else:  # as nearly always
                self._put_out(frame.data)
                if counted is not None:
                    self._put_out(counted.data)

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
            if not self._waits and not wire.paused:
                self._put_out(frame.data)
            elif not wire.is_open:
                return
            elif mailbox.put(frame):
                self._waits = True
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
        while self._waits and not self._wire.paused:
            self._put_out(self.mailbox.take().data)
            self._waits = len(self.mailbox) > 0
            self.write_out()

    def send_counts(self) -> None:
        """The counters as they are now, unless the client has just these."""
        if self.session.state != "live" or self.feed is None:
            return
        now_ms = self._hub.now_ms()
        if now_ms - self._counted_ms < COUNTS_EVERY_MS:  # they went out with a notification since
            self.count()
            return
        frame = self._counts_frame(self.feed, now_ms)
        if frame is not None:
            self.write((frame,))

    def _counts_due(self) -> Frame | None:
        """The counters, if none were sent for so long that they may go out at once."""
        now_ms = self._hub.now_ms()
        if self.feed is None or now_ms - self._counted_ms < COUNTS_EVERY_MS:
            return None
        return self._counts_frame(self.feed, now_ms)

    def _counts_frame(self, feed: Feed, now_ms: int) -> Frame | None:
        """The counters of `feed`, if they are not those that were sent last."""
        counts = feed.tally.counts(now_ms)
        if counts is self._counts or counts == self._counts:
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
        self._forget_waiting()
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
            message["cursor"] = self._hub.wording.cursor(self._heard(self.feed))
        self.say(message, key="pong")

    def _heard(self, feed: Feed) -> int:
        """Seq up to which there is nothing that the client has not been told."""
        heard = self.session.seq if feed.waiting is not None else feed.partition.told
        return max(heard, self.session.seq)

    def _close(self, why: str) -> None:
        row = BY_NAME[why]
        self.why = why
        self._forget_waiting()
        self.write_out()
        if self.feed is not None:
            self._hub.leave(self.feed, self)
        self._wire.end(row)

    def _forget_waiting(self) -> None:
        self.mailbox.clear()
        self._waits = False

    def _put_out(self, data: bytes) -> None:
        """Write `data` at the end of this turn of the loop, with whatever else comes until then."""
        self._traffic.frames_sent += 1
        out = self._out
        if not out:
            self._out = data
            self._turn.add(self)
        else:
            self._out = out + data
            if len(out) + len(data) > WRITE_BUFFER_BYTES:  # the transport is to say whether it takes more
                self.write_out()

    def write_out(self) -> None:
        """Write what has come in this turn, unless the connection has gone meanwhile."""
        out, self._out = self._out, b""
        if out and self._wire.is_open:
            self._wire.put_out(out)
            self._traffic.bytes_sent += len(out)
