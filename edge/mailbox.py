"""Frames that wait for a client which reads slower than we write.

Bounded in frames and in bytes. A frame that says the whole state of a notification makes the one about the
same notification that still waits useless: that one is left out and the new one goes to the end. This keeps
what a cursor promises: whoever has received a frame has received everything up to its cursor, or will
receive, or get again by resuming from it, something newer about it.
"""

from collections.abc import Iterator

from fanbell.edge.frames import Frame


class Mailbox:
    """Waiting frames, oldest first."""

    __slots__ = ("_bytes", "_bytes_max", "_frames", "_frames_max", "_next", "_places")

    def __init__(self, frames_max: int, bytes_max: int) -> None:
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._frames: dict[
            int, Frame
        ] = {}  # by order of arrival; a dict, so that one in the middle goes cheaply
        self._places: dict[str, int] = {}
        self._bytes = 0
        self._next = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def bytes(self) -> int:
        return self._bytes

    def put(self, frame: Frame) -> bool:
        """Add `frame` at the end; False, and nothing changes, if that would pass a bound."""
        useless = self._places.get(frame.key) if frame.key else None
        frames, size = len(self._frames) + 1, self._bytes + len(frame.data)
        if useless is not None:
            frames, size = frames - 1, size - len(self._frames[useless].data)
        if frames > self._frames_max or size > self._bytes_max:
            return False
        if useless is not None:
            del self._frames[useless]
        self._frames[self._next] = frame
        if frame.key:
            self._places[frame.key] = self._next
        self._next += 1
        self._bytes = size
        return True

    def take(self) -> Frame:
        """Remove and return the oldest. Raises KeyError if none waits."""
        if not self._frames:
            raise KeyError("the mailbox is empty")
        place = next(iter(self._frames))
        frame = self._frames.pop(place)
        if frame.key and self._places.get(frame.key) == place:
            del self._places[frame.key]
        self._bytes -= len(frame.data)
        return frame

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames.values())

    def clear(self) -> None:
        self._frames.clear()
        self._places.clear()
        self._bytes = 0
