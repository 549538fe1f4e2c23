"""The JavaScript client at `/client/…`: read once, kept ready to send, for pages of any origin.

Scripts are sent without comments and indentation, which a browser does not read: a third of their size. Each line
stays on its line, so what a browser says of line 120 is true of line 120 here. Our scripts keep to the form that
makes this safe: a comment begins its line or follows ` // ` and has no quotes, and no string goes over lines.

The element is sent in one file with all that it imports: a browser knows of imports only once it has read what asks for
them, and then asks for each. In that file every module but the last is a function that returns what it exports.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".ts": b"text/plain; charset=utf-8",
}
PREFIX: Final = "/client/"
ELEMENT: Final = "fanbell-inbox.js"
_UNREAD: Final = re.compile(r"""^ +| +// [^"'`\n]*$""", re.MULTILINE)

_IMPORT: Final = re.compile(r"""^import (?:(\{.+\}) from )?"\./(.+)";$""", re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=(?:const|class|function|async function) (\w+))", re.MULTILINE)
_EXPORTS: Final = re.compile(r"^export \{ (.+) \};$", re.MULTILINE)


class File(NamedTuple):
    """A file as it is sent: plain, compressed, with its type and the tag of what is in it."""

    body: bytes
    packed: bytes
    kind: bytes
    etag: bytes


def client_files() -> dict[str, File]:
    """Path under which a file is served: the file."""
    folder = files("fanbell.clients").joinpath("js")
    texts = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if _suffix(path.name) in TYPES:
            text = path.read_text(encoding="utf-8")
            texts[path.name] = slim(text) if path.name.endswith(".js") else text
    texts[ELEMENT] = joined(ELEMENT, texts)
    return {PREFIX + name: _ready(text, TYPES[_suffix(name)]) for name, text in texts.items()}


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def slim(script: str) -> str:
    """`script` without comments and indentation, line by line."""
    return _UNREAD.sub("", re.sub(r"(?m)^ *//.*$", "", script))


def joined(name: str, scripts: Mapping[str, str]) -> str:
    """The script `name` of `scripts` in one with all that it imports at once, and what these import."""
    modules = [_as_function(one, scripts[one]) for one in _imported(name, scripts) if one != name]
    return "".join(modules) + _IMPORT.sub(_taken, scripts[name])


def _imported(name: str, scripts: Mapping[str, str]) -> list[str]:
    """What the script imports, each before those that import it; then itself."""
    found: dict[str, None] = {}
    for _, other in _IMPORT.findall(scripts[name]):
        found |= dict.fromkeys(_imported(other, scripts))
    return [*found, name]


def _as_function(name: str, script: str) -> str:
    exported = [*_EXPORT.findall(script), *_EXPORTS.findall(script)]
    body = _EXPORTS.sub("", _EXPORT.sub("", _IMPORT.sub(_taken, script)))
    return f"const {_constant(name)} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();\n"


def _taken(found: re.Match[str]) -> str:
    names, name = found.groups()
    return f"const {names} = {_constant(name)};" if names else ""


def _constant(name: str) -> str:
    """What holds the exports of the script `name`."""
    return "$" + name.removesuffix(".js").replace("-", "_")


def _ready(text: str, kind: bytes) -> File:
    body = text.encode()
    etag = b'"%s"' % hashlib.sha256(body).hexdigest()[:20].encode()
    return File(body, gzip.compress(body, 9, mtime=0), kind, etag)


def mount_client(app: ASGIApp) -> ASGIApp:
    """`app` with the client's files in front of it."""
    known = client_files()

    async def client(scope: Scope, receive: Receive, send: Send) -> None:
        file = known.get(scope.get("path", "")) if scope["type"] == "http" else None
        if file is None or scope["method"] not in ("GET", "HEAD"):
            return await app(scope, receive, send)
        asked = dict(scope["headers"])
        headers = [
            (b"etag", file.etag),
            (b"cache-control", b"no-cache"),  # asked for by tag each time: scripts of two versions never meet
            (b"vary", b"accept-encoding"),
            (b"access-control-allow-origin", b"*"),
            (b"cross-origin-resource-policy", b"cross-origin"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if is_known(asked.get(b"if-none-match", b""), file.etag):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return None
        packed = takes_gzip(asked.get(b"accept-encoding", b""))
        body = file.packed if packed else file.body
        headers += [(b"content-type", file.kind), (b"content-length", b"%d" % len(body))]
        if packed:
            headers.append((b"content-encoding", b"gzip"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        return None

    return client


def is_known(tags: bytes, etag: bytes) -> bool:
    """Whether an If-None-Match header names `etag`, weakly or not."""
    named = [tag.strip().removeprefix(b"W/") for tag in tags.split(b",")]
    return etag in named or b"*" in named


def takes_gzip(encodings: bytes) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for named in encodings.lower().split(b","):
        coding, _, weight = named.partition(b";")
        if coding.strip() in (b"gzip", b"*"):
            return re.fullmatch(rb"\s*q=0(\.0*)?\s*", weight) is None
    return False
