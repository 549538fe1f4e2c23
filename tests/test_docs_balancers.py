"""docs/balancers.md: each of its files, run by the balancer that it is for, before real edges."""

import asyncio
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Origin, Subprotocol

import fanbell
from fanbell.edge.auth import make_token
from fanbell.edge.close_codes import BY_NAME
from fanbell.edge.tickets import MemoryTickets
from fanbell.infra.settings import Settings, load
from fanbell.infra.up import Opened, Parts, Running, running
from tests.edge.certificates import Pair, trusting
from tests.edge.http.streaming import Heard
from tests.infra.memory_cluster import MemoryCluster
from tests.infra.test_cluster import until

PAGE: Final = (Path(__file__).parent.parent / "docs" / "balancers.md").read_text(encoding="utf-8")
SECRET: Final = "0123456789abcdef0123456789abcdef"
ANA: Final = {"Authorization": f"Bearer {make_token(SECRET, 'ana', ['user', 'producer'], 3_600)}"}
NAME: Final = "bell.example"
FAR: Final = "203.0.113.9"
OURS: Final = tuple(map(str, ip_network("0.0.0.0/0").address_exclude(ip_network(FAR))))
"""Who is believed: all but FAR. Of whom it is asked from its own machine, Envoy tells by one of its other addresses."""
PER_ADDRESS: Final = 25
PATIENCE_S: Final = 120  # a test that hangs
PLACE: Final = re.compile(
    r"\b(?P<name>(?:api|edge)-\d)(?P<between>:|, port_value: )(?P<port>\d+)"
    r"(?P<health>(?: port | \} \}\s+health_check_config: \{ port_value: )(?=\d))?(?(health)\d+)"
)
"""Where a file names a process of ours, and perhaps the port of its health."""

NGINX: Final = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{sample}
}}
"""


@dataclass(frozen=True)
class Balancer:
    """One that there is a file for: `check` and `run` are what it is asked by, `around` what the file lies in."""

    name: str
    language: str
    check: tuple[str, ...]
    run: tuple[str, ...]
    around: str = "{sample}"

    @property
    def sample(self) -> str:
        (found,) = re.findall(rf"^```{self.language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
        return str(found)


BALANCERS: Final = (
    Balancer("nginx", "nginx", ("-t", "-p", ".", "-c"), ("-p", ".", "-c"), NGINX),
    Balancer("haproxy", "haproxy", ("-c", "-f"), ("-db", "-f")),
    Balancer("envoy", "yaml", ("--mode", "validate", "-c"), ("--concurrency", "1", "-c")),
)


def test_the_settings_on_the_page_are_good(tmp_path: Path) -> None:
    """
    The settings that APIs and edges are told can be read.
    """
    (file,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "fanbell.toml").write_text(file)

    settings = load({}, {}, tmp_path / "fanbell.toml")

    assert settings.allowed_hosts == (NAME,)
    assert settings.edge_url == f"wss://{NAME}/"


@pytest.mark.parametrize("balancer", BALANCERS, ids=lambda balancer: balancer.name)
def test_people_are_served_through_it(balancer: Balancer, tmp_path: Path) -> None:
    """
    Through the file on the page go calls, sockets by partition, and streams; an edge's people come back at another's.
    """
    if shutil.which(balancer.name) is None:
        pytest.skip(f"{balancer.name} is not installed here")

    async def story() -> str:
        async with asyncio.timeout(PATIENCE_S), site() as served:
            with balancing(balancer, served.places(), tmp_path) as door:
                await door.opened()
                await calls_pass(door)
                await sockets_go_by_partition(door, served)
                await addresses_are_told(door)
                await people_come_back_elsewhere(door, served)
                return await a_stream_passes(door, served)

    ticket = asyncio.run(story())
    logged = "".join(path.read_text() for path in tmp_path.glob("*.log"))

    assert "/v1/users/ana/stream" in logged
    assert ticket not in logged


@dataclass
class Site:
    """An API and two edges over one log."""

    cluster: MemoryCluster
    api: Running
    edges: list[Running]

    def places(self) -> dict[str, tuple[int, int]]:
        """Each by its name on the page: the HTTP port, and that of the WebSockets (0: none)."""
        apis = dict.fromkeys(("api-1", "api-2"), (self.api.settings.port, 0))
        return apis | {
            f"edge-{number}": (live.settings.port, live.settings.edge_port)
            for number, live in enumerate(self.edges, 1)
        }

    def sockets(self) -> list[int]:
        """How many each edge has."""
        return [int(str(live.edge.stats()["sockets"])) for live in self.edges if live.edge is not None]

    async def tell(self, door: "Door", id_: str) -> None:
        """Ben likes ana's post-`id_`, of which she hears."""
        async with door.http() as client:
            body = {"id": id_, "kind": "like", "actor": "ben", "object": f"post-{id_}", "owner": "ana"}
            answer = await client.post("/v1/activities", json=[body])
        assert answer.status_code == 202, answer.text
        await self.cluster.workers.fold()


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """All that the page's balancer stands before."""
    settings = Settings(
        port=0, token_secret=SECRET, allowed_hosts=(NAME,), trusted_proxies=OURS,
        edge_url=f"wss://{NAME}/", sessions_per_address=PER_ADDRESS,
    )  # fmt: skip
    tickets = MemoryTickets()  # as those in Cassandra: of all processes
    async with MemoryCluster() as cluster:

        @asynccontextmanager
        async def opened(_: Settings, *, edge: bool) -> AsyncIterator[Opened]:
            backend = await cluster.another(on_demand=edge, hears_presence=not edge)
            backend.tickets = tickets
            yield Opened(backend, backend.failed)

        of_edge, of_api = partial(opened, edge=True), partial(opened, edge=False)
        async with (
            running(settings, opened=of_api, parts=Parts(edge=False)) as api,
            running(settings, opened=of_edge, parts=Parts(api=False)) as one,
            running(settings, opened=of_edge, parts=Parts(api=False)) as other,
        ):
            yield Site(cluster, api, [one, other])


@dataclass
class Door:
    """Where people come in."""

    port: int
    tls: ssl.SSLContext
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def http(self, **more: Any) -> httpx.AsyncClient:
        headers = {"Host": NAME} | ANA | more
        return httpx.AsyncClient(
            base_url=f"https://{self.place}",
            verify=self.tls,
            headers=headers,
            trust_env=False,
            timeout=PATIENCE_S,
        )

    async def opened(self) -> None:
        """Wait until it lets people in to an API."""
        while True:
            assert self.process.poll() is None, self.log.read_text()
            try:
                async with self.http() as client:
                    if (await client.get("/v1/edge")).status_code == 200:
                        return
            except httpx.TransportError:
                pass  # it does not listen yet
            await asyncio.sleep(0.05)

    async def socket(self, p: int, forwarded_for: str | None = None) -> ClientConnection:
        """A WebSocket of a page of the site."""
        headers = ANA | ({"X-Forwarded-For": forwarded_for} if forwarded_for else {})
        return await websockets.connect(
            f"wss://{NAME}/?p={p}", host="127.0.0.1", port=self.port, ssl=self.tls, server_hostname="127.0.0.1",
            proxy=None, origin=Origin(f"https://{NAME}"), subprotocols=[Subprotocol("fanbell.v1")],
            additional_headers=headers,
        )  # fmt: skip


@contextmanager
def balancing(balancer: Balancer, places: dict[str, tuple[int, int]], folder: Path) -> Iterator[Door]:
    """The balancer with the file on the page, but for addresses and the places of files, until the block ends."""
    pair = Pair(folder)
    certificate = pair.write(NAME)
    (folder / f"{NAME}.pem").write_bytes(certificate + pair.keyfile.read_bytes())
    pair.certfile.rename(folder / f"{NAME}.crt")
    pair.keyfile.rename(folder / f"{NAME}.key")
    port = free_port()
    text = PLACE.sub(partial(placed, places), balancer.sample)
    text = re.sub(r"/etc/(ssl|haproxy)|/var/log/nginx", str(folder), text)
    text = re.sub(r"\b(listen |bind :|0\.0\.0\.0, port_value: )443\b", partial(listening, port), text)
    file = folder / f"balancer.{'yaml' if balancer.language == 'yaml' else 'conf'}"
    file.write_text(balancer.around.format(folder=folder, sample=text))
    checked = subprocess.run(
        [balancer.name, *balancer.check, file], cwd=folder, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    log = folder / "said.log"
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [balancer.name, *balancer.run, file], cwd=folder, stdout=said, stderr=said
        ) as process,
    ):
        try:
            yield Door(port, trusting(certificate), process, log)
            process.terminate()
            process.wait(PATIENCE_S)
        finally:
            process.kill()


def placed(places: dict[str, tuple[int, int]], found: "re.Match[str]") -> str:
    """The same address with the ports that are true here: 8787 is HTTP, 8788 the WebSockets."""
    http, edge = places[found["name"]]
    port = {"8787": http, "8788": edge}[found["port"]]
    return f"127.0.0.1{found['between']}{port}" + (f"{found['health']}{http}" if found["health"] else "")


def listening(port: int, found: "re.Match[str]") -> str:
    return {
        "listen ": f"listen 127.0.0.1:{port}",
        "bind :": f"bind 127.0.0.1:{port}",
        "0.0.0.0, port_value: ": f"127.0.0.1, port_value: {port}",
    }[found[1]]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def calls_pass(door: Door) -> None:
    """What people call comes to an API, ids with a slash and large bodies too; what is for operators does not."""
    async with door.http() as client:
        assert (await client.get("/v1/edge")).json()["url"] == f"wss://{NAME}/"
        assert (await client.get("/v1/users/ana/counts")).json()["unread"] == 0
        assert (
            await client.get("/v1/users/a%2Fb/counts")
        ).status_code == 403  # 404, were it not as it was sent
        assert (await client.get("/client/fanbell.js")).status_code == 200
        large = await client.post("/v1/activities", content=b" " * 2_000_000)
        assert large.status_code == 415  # an API's own answer
        for path in ("/metrics", "/readyz", "/healthz"):
            assert (await client.get(path)).status_code == 404


async def a_stream_passes(door: Door, served: Site) -> str:
    """A stream that a ticket opens tells what happens, though one edge lets nobody in, and ends; the ticket."""
    async with door.http() as client:
        ticket = str((await client.post("/v1/tickets", json={})).json()["ticket"])
        del client.headers["Authorization"]
        async with client.stream("GET", "/v1/users/ana/stream", params={"ticket": ticket}) as answer:
            assert answer.status_code == 200, await answer.aread()
            heard = Heard(answer)
            await heard.hear("page")
            await served.tell(door, "a1")
            assert (await heard.hear("notification"))["item"]["object"] == "post-a1"
            for live in served.edges:
                await live.drain(0.001, asyncio.Event())
            assert (await heard.closed())["code"] == BY_NAME["restart"].code
    return ticket


async def sockets_go_by_partition(door: Door, served: Site) -> None:
    """All who say the same partition are at one edge, and by many partitions both are used."""
    there = [await at_home(door, p=3) for _ in range(4)]
    assert sorted(served.sockets()) == [0, 4]
    there += [await at_home(door, p) for p in range(20)]
    assert min(served.sockets()) > 0
    await asyncio.gather(*(one.close() for one in there))


async def at_home(door: Door, p: int, forwarded_for: str | None = None) -> ClientConnection:
    """A WebSocket that was told of the inbox."""
    there = await door.socket(p, forwarded_for)
    await there.send('{"type":"connect"}')
    await there.recv()
    return there


async def addresses_are_told(door: Door) -> None:
    """Limits count for whom the balancer was asked by: here for another one, which says that it was asked by FAR."""
    there = [await at_home(door, 3, FAR) for _ in range(PER_ADDRESS)]
    one_more = await door.socket(3, FAR)
    await one_more.wait_closed()
    assert one_more.close_code == BY_NAME["too_many_here"].code
    await asyncio.gather(*(one.close() for one in there))


async def people_come_back_elsewhere(door: Door, served: Site) -> None:
    """Who was at an edge that stops hears the rest from the other: that one lets nobody in, and is passed over."""
    url, token = f"wss://{door.place}/?p=3", ANA["Authorization"].removeprefix("Bearer ")
    async with fanbell.connect(url, token, ssl=door.tls) as inbox:
        await served.tell(door, "b1")
        assert (await anext(aiter(inbox)))["object"] == "post-b1"
        await until(lambda: sorted(served.sockets()) == [0, 1])
        leaves = served.sockets().index(1)
        await served.edges[leaves].drain(0.001, asyncio.Event())
        await until(lambda: served.sockets()[1 - leaves] == 1)
        await served.tell(door, "b2")
        assert (await anext(aiter(inbox)))["object"] == "post-b2"
