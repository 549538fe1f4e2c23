"""Every setting in one table. Values come from flags, then `FANBELL_*` variables, then a TOML file.

The file is named by the flag `--config` or by FANBELL_CONFIG; its keys are the names below. An unknown name,
in the file or among the variables, is an error: a misspelt setting would otherwise silently be the default.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, get_type_hints

from fanbell.compiled import INTERPRETED

PREFIX: Final = "FANBELL_"
CONFIG: Final = "FANBELL_CONFIG"
CLIENT_VARIABLES: Final = (
    "FANBELL_URL",
    "FANBELL_TOKEN",
)  # what the command line's clients read; not settings of a server
TESTS: Final = "FANBELL_TEST_"  # what variables begin with that say how tests run: no setting is named so
SECONDS_MAX: Final = 86_400 * 365
COUNT_MAX: Final = 10**12


class BadSetting(ValueError):
    """A setting that cannot be used; the message names it, where it stood, and what would be right."""


class Rule(NamedTuple):
    """What is known of a setting beside its name, type and default."""

    meaning: str
    unit: str = ""
    least: float = 0
    most: float = COUNT_MAX
    secret: bool = False
    among: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """The values in force. Made by `load`; by hand in tests."""

    data: Annotated[Path, Rule("folder that holds the log, the inboxes and the snapshots")] = Path(
        "fanbell-data"
    )
    host: Annotated[str, Rule("address to listen on; other than loopback needs a token secret")] = "127.0.0.1"
    port: Annotated[int, Rule("port of the HTTP API; 0 takes a free one", most=65_535)] = 8787
    edge_port: Annotated[
        int, Rule("port of the WebSocket edge; 0 is the next after `port` of the edge's process", most=65_535)
    ] = 0
    edge_url: Annotated[
        str, Rule("address of the edge to tell clients, behind a proxy; empty derives it")
    ] = ""
    partitions: Annotated[
        int, Rule("partitions of a new data folder; an existing one keeps its number", least=1, most=1_024)
    ] = 8
    inbox_keep: Annotated[
        int, Rule("an inbox is the newest so many", "notifications", least=1, most=100_000)
    ] = 200
    inbox_keep_days: Annotated[
        int, Rule("older notifications leave the inbox; 0 is no limit", "days", most=36_500)
    ] = 0
    token_secret: Annotated[
        str, Rule("turns on tokens (JWT, HS256): what they are signed with, at least 32 bytes", secret=True)
    ] = ""
    token_secret_previous: Annotated[
        str, Rule("the secret before it, still accepted while tokens are being renewed", secret=True)
    ] = ""
    token_jwks_url: Annotated[
        str,
        Rule(
            "turns on tokens of an identity provider: where its keys are (JWKS), https other than on loopback"
        ),
    ] = ""
    token_jwks_refresh_s: Annotated[
        int,
        Rule("its keys are fetched again after so long; one taken back counts until then", "s", 10, 86_400),
    ] = 600
    token_jwks_keep_s: Annotated[
        int, Rule("while they cannot be fetched, the last ones count for so long", "s", 60, SECONDS_MAX)
    ] = 86_400
    token_audience: Annotated[
        tuple[str, ...], Rule("services of which tokens must name one (aud); empty asks nothing")
    ] = ()
    token_issuer: Annotated[
        tuple[str, ...], Rule("issuers of which tokens must name one (iss); empty asks nothing")
    ] = ()
    token_leeway_s: Annotated[
        int,
        Rule("clocks may differ by so much: a token counts so much before nbf and after exp", "s", most=300),
    ] = 5
    token_roles_claim: Annotated[
        str, Rule("claim of the provider's tokens that names roles; dots lead into it, as realm_access.roles")
    ] = "roles"  # noqa: S105 - the name of a claim
    token_default_role: Annotated[
        str,
        Rule("role of the provider's tokens without that claim; none refuses them", among=("user", "none")),
    ] = "user"  # noqa: S105 - the name of a role
    tls_certfile: Annotated[
        str,
        Rule("turns on TLS for API and edge: PEM file of the certificate chain; read anew when it changes"),
    ] = ""
    tls_keyfile: Annotated[str, Rule("PEM file of its key, if that is not in the same file")] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        Rule(
            "addresses or networks of proxies before us whose X-Forwarded-For is believed, for limits by address"
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...], Rule("names in the Host header to answer, beside loopback's and `host`; * is any")
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Rule("web origins that may call, such as https://example.org, beside the server's own"),
    ] = ()
    rate_limit_per_token: Annotated[
        float, Rule("requests in the name of one token's user; 0 is off", "requests/s", most=1e6)
    ] = 1_000.0
    rate_limit_per_address: Annotated[
        float, Rule("requests from one address, loopback exempt; 0 is off", "requests/s", most=1e6)
    ] = 2_000.0
    backlog_max: Annotated[
        int, Rule("accepted but not yet in inboxes; past it publishers get 503", "records", least=1)
    ] = 200_000
    snapshot_every_records: Annotated[int, Rule("a snapshot after so many", "records", least=1)] = 200_000
    snapshot_every_s: Annotated[
        int, Rule("a snapshot after so long, if anything happened", "s", least=1, most=SECONDS_MAX)
    ] = 300
    log_keep_hours: Annotated[
        int, Rule("older records leave the log once no snapshot needs them; 0 keeps all", "h", most=876_000)
    ] = 0
    sockets_max: Annotated[
        int, Rule("sockets of the edge; 0 is what the limit of open files allows", "sockets")
    ] = 0
    strangers_max: Annotated[
        int,
        Rule(
            "sockets that have not said who they are; as many as a restart brings back at once", "sockets", 1
        ),
    ] = 8_192
    connect_timeout_s: Annotated[
        float,
        Rule("for a handshake, and then to say who one is; a slow phone needs one or two", "s", 0.05, 300),
    ] = 10.0
    sessions_per_user: Annotated[
        int, Rule("tabs and devices of one person; more is a fault or an attack", "sessions", least=1)
    ] = 64
    sessions_per_address: Annotated[
        int, Rule("of one address (IPv6: of a /64), loopback exempt; 0 is no limit", "sessions")
    ] = 2_000
    connects_per_address: Annotated[
        float,
        Rule("of one address, and five seconds' worth at once, loopback exempt; 0 is off", "connects/s"),
    ] = 100.0
    frames_per_session: Annotated[
        float, Rule("from one client, control frames too: far more than hands can do; 0 is off", "frames/s")
    ] = 50.0
    frames_burst: Annotated[
        int, Rule("at once, after a silence: what a client queued while it was offline", "frames", least=1)
    ] = 500
    client_frame_bytes: Annotated[
        int,
        Rule("of one frame of a client; marks of more ids go by HTTP, or as up_to", "B", 1_024, 16_777_216),
    ] = 65_536
    drain_s: Annotated[
        float,
        Rule(
            "an edge that is told to stop asks its sessions to go elsewhere over so long; 0 is at once, as always "
            "with `fanbell up`, which nobody takes over from",
            "s",
            most=3_600,
        ),
    ] = 10.0
    mailbox_frames: Annotated[
        int, Rule("waiting for a slow client; past it the client is asked to resume", "frames", least=1)
    ] = 256
    mailbox_bytes: Annotated[int, Rule("the same in bytes", "B", least=1_024)] = 1_048_576
    kafka_bootstrap_servers: Annotated[
        tuple[str, ...], Rule("brokers of the cluster's Kafka, as host:port; one that answers is enough")
    ] = ()
    kafka_topic_prefix: Annotated[str, Rule("what the names of the topics begin with")] = "fanbell."
    kafka_security_protocol: Annotated[
        str, Rule("how brokers are spoken to", among=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"))
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[
        str, Rule("how to log in with SASL_*", among=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"))
    ] = "PLAIN"
    kafka_sasl_username: Annotated[str, Rule("who logs in")] = ""
    kafka_sasl_password: Annotated[str, Rule("the password of that user", secret=True)] = ""
    kafka_ssl_cafile: Annotated[
        str, Rule("PEM file of the authorities that sign brokers' certificates; empty are the system's")
    ] = ""
    kafka_ssl_certfile: Annotated[str, Rule("PEM file of our certificate, if brokers ask for one")] = ""
    kafka_ssl_keyfile: Annotated[str, Rule("PEM file of its key")] = ""
    kafka_compression: Annotated[str, Rule("of what is appended", among=("zstd", "lz4", "none"))] = "zstd"
    kafka_acks: Annotated[
        str, Rule("who has an append before it counts; less than all in sync could lose it", among=("all",))
    ] = "all"
    kafka_replication_factor: Annotated[
        int, Rule("copies of each record in topics that are made", least=1, most=32)
    ] = 3
    kafka_min_insync_replicas: Annotated[
        int, Rule("copies that there are before a record is acknowledged; 0 is one less than all", most=32)
    ] = 0
    kafka_session_timeout_s: Annotated[
        float,
        Rule("a worker that is silent for so long loses its partitions to others", "s", least=1, most=300),
    ] = 12.0
    worker_stages: Annotated[
        tuple[str, ...], Rule("what a worker does: route, fan_out, forward, project_inbox")
    ] = ("route", "fan_out", "forward", "project_inbox")
    health_port: Annotated[
        int, Rule("port where a worker tells its health and metrics; 0 takes a free one", most=65_535)
    ] = 0
    ready_lag_max: Annotated[
        int,
        Rule(
            "of one partition and not done yet; with more a process of a cluster is not ready",
            "records",
            least=1,
        ),
    ] = 20_000
    kafka_request_timeout_ms: Annotated[
        int, Rule("a call to Kafka that takes longer has failed", "ms", least=1_000, most=600_000)
    ] = 15_000
    start_wait_s: Annotated[
        float,
        Rule(
            "a process of a cluster that starts waits so long for Kafka, and for Cassandra, to answer",
            "s",
            most=86_400,
        ),
    ] = 60.0
    schema_registry_url: Annotated[
        str, Rule("schema registry, for producers that write in Confluent's framing; empty is none")
    ] = ""
    schema_registry_username: Annotated[str, Rule("user of the schema registry, if it asks for one")] = ""
    schema_registry_password: Annotated[str, Rule("the user's password", secret=True)] = ""
    log_format: Annotated[
        str, Rule("auto is text on a terminal and JSON elsewhere", among=("auto", "json", "text"))
    ] = "auto"
    cassandra_contact_points: Annotated[
        tuple[str, ...],
        Rule("servers of Cassandra to ask first, as host:port; the others are learnt of them"),
    ] = ()
    cassandra_keyspace: Annotated[str, Rule("keyspace of the inboxes and shared snapshots")] = "fanbell"
    cassandra_replication: Annotated[
        str, Rule("copies of every row: a number, or one for each data centre, as dc1:3,dc2:3")
    ] = "1"
    cassandra_local_dc: Annotated[
        str, Rule("data centre of this process; empty takes that of the contact points")
    ] = ""
    cassandra_username: Annotated[str, Rule("user of Cassandra, if it asks for one")] = ""
    cassandra_password: Annotated[str, Rule("the user's password", secret=True)] = ""
    cassandra_tls: Annotated[
        bool, Rule("TLS with servers whose certificates the system's authorities sign: true or false")
    ] = False
    cassandra_ssl_cafile: Annotated[
        str, Rule("turns on TLS: certificates (PEM) that Cassandra's are signed by")
    ] = ""
    cassandra_ssl_certfile: Annotated[str, Rule("turns on TLS: our certificate (PEM), if Cassandra asks")] = (
        ""
    )
    cassandra_ssl_keyfile: Annotated[
        str, Rule("the key of our certificate, if it is not in the same file")
    ] = ""
    cassandra_consistency: Annotated[
        str,
        Rule("of reads and writes; less would not read what was written", among=("LOCAL_QUORUM", "QUORUM")),
    ] = "LOCAL_QUORUM"
    cassandra_request_timeout_ms: Annotated[
        int,
        Rule("a request to Cassandra fails after so long, retries included", "ms", least=100, most=600_000),
    ] = 5_000

    def __repr__(self) -> str:
        """As `fanbell settings` shows them: secrets get into logs by way of somebody's repr."""
        return f"Settings({', '.join(f'{line.name}={line.value}' for line in self.describe())})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The token secrets in force, the current one first; empty if tokens are off."""
        return tuple(secret for secret in (self.token_secret, self.token_secret_previous) if secret)

    @property
    def needs_tokens(self) -> bool:
        """Whether callers need a token."""
        return bool(self.secrets or self.token_jwks_url)

    def describe(self) -> list["Described"]:
        """The table with the values in force, secrets redacted."""
        return [
            Described(
                name=name,
                variable=variable_of(name),
                value=_shown(getattr(self, name), rule),
                default=_shown(default, rule),
                unit=rule.unit,
                meaning=rule.meaning,
            )
            for name, (default, rule) in TABLE.items()
        ]


class Described(NamedTuple):
    """One line of `fanbell settings`."""

    name: str
    variable: str
    value: str
    default: str
    unit: str
    meaning: str


_HINTS: Final = get_type_hints(Settings, include_extras=True)
TABLE: Final[dict[str, tuple[Any, Rule]]] = {
    item.name: (item.default, _HINTS[item.name].__metadata__[0]) for item in fields(Settings)
}
"""name: (default, what is known of it)"""


def variable_of(name: str) -> str:
    """The environment variable of the setting `name`."""
    return PREFIX + name.upper()


def load(flags: Mapping[str, object], environ: Mapping[str, str], file: Path | None = None) -> Settings:
    """The settings in force. A flag that is None was not given. Raises BadSetting.

    `file` is the TOML file that a flag named; without one, FANBELL_CONFIG may name it.
    """
    config = file or (Path(environ[CONFIG]) if environ.get(CONFIG) else None)
    values: dict[str, Any] = {}
    if config is not None:
        values.update(_from_file(config))
    values.update(_from_environ(environ))
    for name, given in flags.items():
        if name not in TABLE:
            raise BadSetting(f"flag {name!r}: no such setting{_hint(name, TABLE)}")
        if given is not None:
            values[name] = _value(name, given, f"flag --{name.replace('_', '-')}")
    settings = Settings(**values)
    if settings.token_secret_previous and not settings.token_secret:
        raise BadSetting("token_secret_previous is set without token_secret: set the current secret too")
    if settings.tls_keyfile and not settings.tls_certfile:
        raise BadSetting("tls_keyfile is set without tls_certfile: name the certificate too")
    return settings


def _from_file(path: Path) -> dict[str, Any]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSetting(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path} is not valid TOML: {error}") from None
    for name in tree:
        if name not in TABLE:
            raise BadSetting(f"{path}: no setting is named {name!r}{_hint(name, TABLE)}")
    return {name: _value(name, given, str(path)) for name, given in tree.items()}


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    known = {variable_of(name): name for name in TABLE}
    values = {}
    for variable, given in environ.items():
        if not variable.startswith(PREFIX) or variable.startswith(TESTS):
            continue
        if variable in (CONFIG, INTERPRETED, *CLIENT_VARIABLES):
            continue
        if variable not in known:
            raise BadSetting(f"{variable}: no such setting{_hint(variable, known)}")
        values[known[variable]] = _value(known[variable], given, variable)
    return values


def _hint(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else "; `fanbell settings` lists them"


def _value(name: str, given: object, where: str) -> Any:
    default, rule = TABLE[name]
    try:
        value = _CONVERT[type(default)](given)
    except (ValueError, TypeError, OverflowError):
        wanted = _WANTED[type(default)]
        shown = "" if rule.secret else f", not {given!r}"
        raise BadSetting(f"{where}: {name} must be {wanted}{shown}") from None
    if isinstance(value, int | float) and not rule.least <= value <= rule.most:
        raise BadSetting(f"{where}: {name} must lie between {rule.least:,} and {rule.most:,.0f}, not {value}")
    if rule.among and value not in rule.among:
        raise BadSetting(f"{where}: {name} must be one of {', '.join(rule.among)}, not {value!r}")
    return value


def _truth(given: object) -> bool:
    if isinstance(given, bool):
        return given
    if (text := _text(given).lower()) not in ("true", "false"):
        raise ValueError
    return text == "true"


def _whole(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise TypeError
    return int(given)


def _number(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise TypeError
    return float(given)


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise TypeError
    return given


def _folder(given: object) -> Path:
    if not isinstance(given, str | Path) or not str(given):
        raise TypeError
    return Path(given)


def _names(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        given = given.split(",")
    if not isinstance(given, list | tuple):
        raise TypeError
    return tuple(name for item in given if (name := _text(item).strip()))


_CONVERT: Final = {
    bool: _truth,
    int: _whole,
    float: _number,
    str: _text,
    tuple: _names,
    type(Path()): _folder,
}
_WANTED: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    tuple: "names separated by commas",
    type(Path()): "a folder",
}


def _shown(value: object, rule: Rule) -> str:
    if rule.secret:
        return "(set)" if value else ""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
