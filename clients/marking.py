"""Marks and those who wait for their answers: the rim of `marks.py`."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from fanbell.clients.errors import Closed, MarkFailed, MarkForeign, MarkLate, MarkRefused
from fanbell.clients.marks import Mark
from fanbell.clients.state import State

Ids = Iterable[str] | Literal["all"]


class Marking:
    """Of one client. `wake` is called when what is shown, or what waits to be sent, has changed."""

    def __init__(self, state: State, wait_s: float, wake: Callable[[], None]) -> None:
        self._state = state
        self._wait_s = wait_s
        self._wake = wake
        self._answers: dict[str, asyncio.Future[None]] = {}
        self._closed = False

    async def mark(self, verb: str, ids: Ids) -> None:
        """Show it, have it sent, and wait for the answer. Raises MarkFailed, with what was shown taken back."""
        if isinstance(ids, str) and ids != "all":
            raise TypeError('ids must be several ids, or "all"')
        named = None if ids == "all" else list(dict.fromkeys(ids))
        if self._closed:
            raise Closed(verb, named or (), "the client is closed")
        made = self._state.mark(verb, named)
        answers = {mark.ref: asyncio.get_running_loop().create_future() for mark in made}
        self._answers |= answers
        self._wake()
        try:
            await self._all(verb, named or (), made, list(answers.values()))
        finally:
            for ref in answers:
                del self._answers[ref]
                self._state.marks.drop(ref)
            self._wake()

    async def _all(
        self, verb: str, ids: Sequence[str], made: Sequence[Mark], answers: Sequence[asyncio.Future[None]]
    ) -> None:
        """Wait for all `answers`, or the first that is a failure."""
        try:
            async with asyncio.timeout(self._wait_s):
                await asyncio.gather(*answers)
        except TimeoutError:
            raise MarkLate(verb, ids, any(mark.tried for mark in made)) from None

    def answered(self, frame: Mapping[str, Any]) -> None:
        """The edge's answer to a mark. One to a token changes nothing: if it was refused, a close code follows."""
        ref = str(frame.get("ref"))
        if frame["type"] == "accepted":
            self._state.accepted(ref)
            if (answer := self._answers.get(ref)) is not None and not answer.done():
                answer.set_result(None)
        elif (mark := self._state.marks.drop(ref)) is not None:
            reason, detail = frame.get("reason", "refused"), frame.get("detail", "")
            error = MarkRefused(mark.verb, list(mark.ids), reason, detail, frame.get("retry_after_s"))
            self._fail(ref, error)

    def in_log(self, epoch: str) -> None:
        """The log is the one named `epoch`: marks of another fail."""
        for mark in self._state.foreign(epoch):
            self._fail(mark.ref, MarkForeign(mark.verb, list(mark.ids), "the log was replaced"))

    def close(self) -> None:
        """No more answers come: all that wait raise Closed."""
        self._closed = True
        for ref in list(self._answers):
            if (mark := self._state.marks.drop(ref)) is not None:
                self._fail(ref, Closed(mark.verb, list(mark.ids), "the client was closed before an answer"))

    def _fail(self, ref: str, error: MarkFailed) -> None:
        if (answer := self._answers.get(ref)) is not None and not answer.done():
            answer.set_exception(error)
