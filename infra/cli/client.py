"""The command line's way to a server: requests, bounded retries, and refusals turned into words."""

import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from fanbell.infra.cli.exits import Exit, Failed

CONNECT_S: Final = 5.0
ANSWER_S: Final = 60.0  # a full batch with a slow disk behind it takes seconds, never this long
TRIES_MAX: Final = 20  # of one request that is answered "busy" or cut off
WAIT_S_MAX: Final = 30.0  # one pause between tries, whatever Retry-After says
PATIENCE_S: Final = 20.0  # all pauses of one request together, while a person waits for an answer
CUT_MAX: Final = (
    6  # failed connections of one request to a server that did answer before: a restart takes that long
)
BUSY: Final = (429, 502, 503, 504)
START_HINT: Final = "is it running? `fanbell up --data DIR` starts one; --url or FANBELL_URL says where it is"
CODES: Final = {401: Exit.UNAUTHORISED, 403: Exit.UNAUTHORISED, 404: Exit.NOT_FOUND}
HINTS: Final = {
    401: "set FANBELL_TOKEN; `fanbell token USER` makes a token where the server's secret is known",
    403: "the token does not allow this; `fanbell token USER --role operator` makes one that does",
}


class Refused(Failed):
    """The server understood and refused; `errors` as it sent them: `{item, field, message}` each."""

    def __init__(self, code: Exit, message: str, hint: str, errors: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(code, message, hint, [fault_line(error) for error in errors])
        self.errors = errors


def fault_line(error: Mapping[str, Any]) -> str:
    """One entry of a problem's `errors` as a line."""
    item = error.get("item")
    where = [f"item {item}"] if item is not None else []
    where += [f"line {error['line']}"] if error.get("line") else []
    where += [str(error["field"])] if error.get("field") else []
    return ": ".join([*where, str(error.get("message", ""))])


def path(*parts: str) -> str:
    """`/v1/` and the parts, each escaped: ids may hold `/`, `%` and `..`."""
    escaped = [
        quote(part, safe="").replace(".", "%2E") if part in (".", "..") else quote(part, safe="")
        for part in parts
    ]
    return "/v1/" + "/".join(escaped)


class Client:
    """One connection's worth of requests. Raises Failed for whatever does not work out."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        on_wait: Callable[[float, str], None] = lambda seconds, why: None,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
        verify: bool = True,
    ) -> None:
        """Before each pause, `on_wait(seconds, why)` tells; the pauses of one request are `patience_s` at most.

        `verify`: whether the server must show a certificate for its name.
        """
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise Failed(Exit.USAGE, f"--url: {error}") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise Failed(Exit.USAGE, f"--url must look like http://127.0.0.1:8787, not {url!r}")
        self.url = str(parsed).rstrip("/")
        self.on_wait = on_wait
        self._patience_s = patience_s
        self._sleep = sleep
        self._reached = False
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            headers=headers | {"Accept": "application/json"},
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            verify=verify,
            trust_env=not _is_loopback(parsed.host),  # a proxy knows nothing of this machine's loopback
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, at: str, **query: object) -> Any:
        """The JSON at `at`; parameters that are None are left out."""
        wanted = {name: _query_value(value) for name, value in query.items() if value is not None}
        return self._answer("GET", at, params=wanted)

    def post(self, at: str, body: object) -> Any:
        """What the server answers to `body`; bytes are JSON already."""
        if isinstance(body, bytes):
            return self._answer("POST", at, content=body, headers={"Content-Type": "application/json"})
        return self._answer("POST", at, json=body)

    def put(self, at: str, body: object) -> Any:
        """As `post`."""
        return self._answer("PUT", at, json=body)

    def status(self, at: str) -> tuple[int, str]:
        """Status and text at `at`, whatever they are; for probes."""
        answer = self._send("GET", at)
        return answer.status_code, answer.text

    def _answer(self, method: str, at: str, **request: Any) -> Any:
        """Try until there is an answer that is not "busy". All our requests may be repeated: they are idempotent."""
        waited, cut = 0.0, 0
        for tried in range(1, TRIES_MAX + 1):
            try:
                answer = self._send(method, at, **request)
                failure = Failed(Exit.BUSY, f"{self.url} is busy: {_detail(answer)}", "try again later")
            except Failed as unreachable:
                cut += 1
                if not self._reached or cut > CUT_MAX:
                    raise
                answer, failure = None, unreachable
            if answer is not None and answer.status_code not in BUSY:
                return _json_of(answer)
            pause = min(_retry_after_s(answer) or 0.5 * 2 ** min(tried, 5), WAIT_S_MAX)
            if tried == TRIES_MAX or waited + pause > self._patience_s:
                raise failure
            self.on_wait(pause, failure.message)
            self._sleep(pause)
            waited += pause
        raise AssertionError("the last try returns or raises")

    def _send(self, method: str, at: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, self.url + at, **request)
        except httpx.TimeoutException:
            raise Failed(Exit.UNREACHABLE, f"{self.url} did not answer in time", START_HINT) from None
        except httpx.TransportError as error:
            raise Failed(
                Exit.UNREACHABLE, f"cannot reach {self.url}: {error or type(error).__name__}", START_HINT
            ) from None
        self._reached = True
        return answer


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _query_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _retry_after_s(answer: httpx.Response | None) -> float | None:
    """What Retry-After says in seconds; its other form, a date, counts as absent."""
    given = answer.headers.get("Retry-After", "") if answer is not None else ""
    return float(given) if given.isdecimal() and 0 < int(given) < 86_400 else None


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _detail(answer: httpx.Response) -> str:
    return str(_problem(answer).get("detail") or f"{answer.status_code} {answer.reason_phrase}")


def _json_of(answer: httpx.Response) -> Any:
    """The body of a good answer. Raises Refused or Failed for any other."""
    if answer.is_success:
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise Failed(
                Exit.FAILED, f"{answer.url} did not answer with JSON", "is that Fanbell's address?"
            ) from None
    code = CODES.get(answer.status_code, Exit.REFUSED if answer.is_client_error else Exit.FAILED)
    problem = _problem(answer)
    hint = HINTS.get(answer.status_code, "" if problem else "is that Fanbell's address?")
    errors = problem.get("errors")
    raise Refused(code, _detail(answer), hint, errors if isinstance(errors, list) else [])
