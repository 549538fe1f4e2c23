"""A real server among garbage: it closes with the code from the table, and nothing is left of it.

Bytes are drawn from a seed that a failure prints; FANBELL_TEST_FUZZ_SEED draws others.
"""

import asyncio
import json
import os
from random import Random
from typing import Any, Final

import pytest

from fanbell.edge import socket as socket_module
from fanbell.edge.close_codes import BY_CODE
from tests.edge.test_socket import PATIENCE_S, Server, running, until

pytestmark = pytest.mark.anyio
SEED: Final = int(os.environ.get("FANBELL_TEST_FUZZ_SEED", "20261128"))
ROUNDS: Final = 60
HANDSHAKE: Final = (
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: fanbell.v1\r\n\r\n"
)
MASK: Final = b"\x11\x22\x33\x44"
CONNECT: Final = json.dumps({"type": "connect", "user": "ana"}).encode()
WORDS: Final = (
    b'{"type":', b'"connect"', b'"read"', b'"ping"', b'"ids":["a"]', b'"user":"ana"', b",", b"}", b"[", b"null",
    b"1e999", b"\x00", b"\xff", b"\\ud800",
)  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def frame(payload: bytes, opcode: int = 1, *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """A WebSocket frame, as a client sends it, or as none should."""
    size, head = len(payload), bytes(((fin << 7) | (rsv << 4) | opcode,))
    bit = masked << 7
    if size < 126:
        head += bytes((bit | size,))
    elif size < 65_536:
        head += bytes((bit | 126,)) + size.to_bytes(2)
    else:
        head += bytes((bit | 127,)) + size.to_bytes(8)
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[place % 4] for place, byte in enumerate(payload))


async def answer(server: Server, sent: bytes, *, shakes: bool = True, stays: bool = False) -> bytes:
    """All that the server says to `sent`; the client `stays` until it is closed, or ends its half at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.edge.port)
    said = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            if shakes:
                writer.write(HANDSHAKE.format(port=server.edge.port).encode())
                said = await reader.readuntil(b"\r\n\r\n")
            writer.write(sent)
            if not stays:
                writer.write_eof()
            while code_of(said) is None and (more := await reader.read(65_536)):
                said += more
    except ConnectionError:
        pass  # the server would not listen any longer, which it may
    finally:
        writer.close()
    return said


def code_of(said: bytes) -> int | None:
    """The close code in what the server said after its handshake; None if it said none."""
    data, code = said.partition(b"\r\n\r\n")[2], None
    while len(data) >= 2:
        opcode, size, head = data[0] & 15, data[1], 2
        if size == 126:
            size, head = int.from_bytes(data[2:4]), 4
        elif size == 127:
            size, head = int.from_bytes(data[2:10]), 10
        if opcode == 8:
            code = int.from_bytes(data[head : head + 2])
        data = data[head + size :]
    return code


async def is_quiet(server: Server) -> None:
    """Wait until nothing is left of anybody."""
    stats = server.edge.stats
    await until(lambda: (stats()["sockets"], stats()["users"], stats()["strangers"]) == (0, 0, 0))


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b"{"), 4400),
        (frame(b"[1]"), 4400),
        (frame(b'{"type":1}'), 4400),
        (frame(b'{"type":"connect","type":"connect","user":"ana"}'), 4400),
        (frame(b'{"type":"connect","user":""}'), 4400),
        (frame(b'{"type":"connect","user":"\\ud800"}'), 4400),
        (frame(b'{"type":"typing"}'), 4404),
        (frame(b'{"type":"ping"}'), 4404),
        (frame(CONNECT) + frame(CONNECT), 4404),
        (frame(CONNECT) + frame(b'{"type":"read","ids":[]}'), 4400),
        (frame(CONNECT) + frame(b'{"type":"read","up_to":"nonsense"}'), 4400),
        (frame(CONNECT, opcode=2), 4400),
        (frame(b"\xff\xfe"), 1007),
        (frame(b"a", fin=False) + frame(b"\xff", opcode=0), 1007),
        (frame(b"x" * 70_000), 1009),
        (frame(b"x" * 40_000, fin=False) + frame(b"x" * 40_000, opcode=0), 1009),
        (bytes((0x81, 0xFF)) + (2**62).to_bytes(8) + MASK, 1009),
        (bytes((0x81, 0xFF)) + (2**64 - 1).to_bytes(8) + MASK, 1009),
        (frame(CONNECT, masked=False), 1002),
        (frame(CONNECT, rsv=4), 1002),
        (frame(CONNECT, opcode=3), 1002),
        (frame(CONNECT, opcode=0), 1002),
        (frame(b"a", fin=False) + frame(b"b"), 1002),
        (frame(b"x" * 126, opcode=9), 1002),
        (frame(b"", opcode=9, fin=False), 1002),
        (frame(b"\x03", opcode=8), 1002),
        (frame((1005).to_bytes(2), opcode=8), 1002),
        (frame((1000).to_bytes(2) + b"\xff", opcode=8), 1007),
        (frame((1000).to_bytes(2), opcode=8), 1000),
    ],
)  # fmt: skip
async def test_what_must_not_be_sent_is_answered_by_its_code(sent: bytes, code: int) -> None:
    """
    Each way to break the protocol has the close code that the table says, and leaves nothing behind.
    """
    async with running() as server:
        assert code_of(await answer(server, sent, stays=True)) == code
        await is_quiet(server)
    assert code in BY_CODE


def garbage(chance: Random) -> bytes:
    """Something between random bytes and frames that nearly make sense."""
    out = b""
    for _ in range(chance.randint(1, 6)):
        match chance.randrange(5):
            case 0:
                out += chance.randbytes(chance.randint(1, 40))
            case 1:
                out += frame(CONNECT)
            case 2:
                out += frame(b"".join(chance.choices(WORDS, k=chance.randint(1, 6))))
            case 3:
                out += frame(
                    chance.randbytes(chance.randint(0, 130)), chance.randrange(16), fin=chance.random() < 0.8,
                    masked=chance.random() < 0.9, rsv=chance.choice((0, 0, 0, 1, 4)),
                )  # fmt: skip
            case 4:
                out += frame(b'{"type":"read","ids":["a"],"ref":"r"}') + frame(b"", opcode=9)
    return out


@pytest.mark.parametrize("handshake", [True, False], ids=["after a handshake", "instead of one"])
async def test_garbage_leaves_nothing_behind(
    handshake: bool, record_property: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whatever bytes come, after a handshake or instead of one: the server goes on, with codes of the table and no other,
    and when all have gone, no session, user, stranger or task is left.
    """
    monkeypatch.setattr(socket_module, "CLOSE_TIMEOUT_S", 0.2)  # who has gone agrees to nothing
    record_property("seed", SEED)
    chance = Random(SEED + handshake)
    async with running() as server:
        before = len(asyncio.all_tasks())
        for number in range(ROUNDS // 12):
            sent = [garbage(chance) for _ in range(12)]
            said = await asyncio.gather(
                *(answer(server, each, shakes=handshake) for each in sent), return_exceptions=True
            )
            for each, heard in zip(sent, said, strict=True):
                assert isinstance(heard, bytes), f"seed {SEED}, round {number}: {each!r} gave {heard!r}"
                code = code_of(heard) if handshake else None
                assert code is None or code in BY_CODE, f"seed {SEED}, round {number}: {each!r} gave {code}"
        await is_quiet(server)
        await until(lambda: len(asyncio.all_tasks()) <= before)
        async with server.as_user("ana") as client:  # and everybody else is served as ever
            await client.hear("page")
