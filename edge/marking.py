"""What people mark over their sessions, into the log."""

import secrets
import time
from typing import Any

from fanbell.edge.backend import Backend, Busy, Unavailable
from fanbell.edge.cursor import BadCursor, decode_cursor
from fanbell.edge.frames import Marks
from fanbell.edge.link import SocketLink
from fanbell.edge.roll_call import RollCall
from fanbell.projections.store import StoreFailed
from fanbell.schemas.records import Change


class Marker:
    """Puts marks into the log; `roll_call` hears who was active."""

    def __init__(self, backend: Backend, roll_call: RollCall) -> None:
        self._backend = backend
        self._roll_call = roll_call

    async def mark(self, link: SocketLink, marks: Marks) -> None:
        """Put marks into the log. Answers only if the client gave a ref, and then only once they are durable."""
        assert link.feed is not None
        self._roll_call.active(link.feed.user, link.feed.partition.index)
        answer: dict[str, Any]
        try:
            change = await self._change_of(link.feed.user, marks)
            if change is not None:
                await self._backend.change([change])
            answer = {"type": "accepted"}
        except BadCursor:
            return link.end("malformed")
        except Busy as error:
            answer = {"type": "refused", "reason": "busy", "retry_after_s": error.retry_after_s}
        except (Unavailable, StoreFailed) as error:
            answer = {"type": "refused", "reason": "unavailable", "detail": str(error)}
        if marks.ref is not None:
            link.say(answer | {"ref": marks.ref})
        return None

    async def _change_of(self, user: str, marks: Marks) -> Change | None:
        """The change that `marks` asks for; None if nothing it names is there. Raises BadCursor, StoreFailed."""
        epoch = self._backend.epoch
        seqs: dict[str, int] = {}
        up_to = None
        if marks.up_to is not None:
            up_to = decode_cursor(marks.up_to, epoch)
        elif marks.cursors is not None:
            seqs = {
                id_: decode_cursor(text, epoch) for id_, text in zip(marks.ids, marks.cursors, strict=True)
            }
        else:
            seqs = await self._backend.store.seqs_of(user, list(dict.fromkeys(marks.ids)))
        if up_to is None and not seqs:
            return None
        return Change(
            id=secrets.token_hex(16),
            kind="mark",
            user=user,
            side="user",
            verb=marks.verb,
            ids=list(seqs),
            seqs=list(seqs.values()),
            up_to=up_to,
            occurred_at=time.time_ns() // 1_000_000,
        )
