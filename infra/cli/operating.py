"""`fanbell kinds`, `dead`, `token`: what operators do with rules, dead letters and tokens."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from fanbell.infra.cli import options, show
from fanbell.infra.cli.exits import Exit, Failed

RULES_BYTES_MAX: Final = 512 * 1024  # a rules file becomes one log record
DAY_S: Final = 86_400
PAGE: Final = 1_000  # dead letters asked for, retried or dropped at once

kinds = typer.Typer(no_args_is_help=True, help="Check and apply the file that declares kinds.")
dead = typer.Typer(no_args_is_help=True, help="Look at dead letters, retry or drop them.")

RulesFile = Annotated[
    str, typer.Argument(metavar="FILE", help="TOML file that declares kinds.", show_default=False)
]
Offset = Annotated[
    int, typer.Argument(min=0, help="Place of the letter, as `dead list` shows it.", show_default=False)
]
Offsets = Annotated[
    list[int] | None,
    typer.Argument(
        metavar="OFFSET...",
        min=0,
        help="Places of the letters, as `dead list` shows them.",
        show_default=False,
    ),
]
All = Annotated[bool, typer.Option("--all", help="All that are there now.")]


def _source(file: str) -> str:
    path = Path(file)
    try:
        if path.stat().st_size > RULES_BYTES_MAX:
            raise Failed(Exit.REFUSED, f"{file} is larger than {RULES_BYTES_MAX} bytes")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Failed(Exit.REFUSED, f"{file} is not UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise Failed(Exit.USAGE, f"cannot read {file}: {error.strerror}") from None


@kinds.command("check")
def kinds_check(
    file: RulesFile,
    offline: Annotated[bool, typer.Option("--offline", help="Check here, without a server.")] = False,
    url: options.Url = options.DEFAULT_URL,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Say whether a rules file could be applied."""
    source = _source(file)
    if offline:
        answer: Any = _check_here(file, source)
    else:
        with options.client(url, token) as client:
            answer = _sent(file, client.post, "/v1/kinds/check", source)
    if json:
        show.as_json(answer)
    else:
        show.said(f"{file} is good")


def _check_here(file: str, source: str) -> dict[str, object]:
    from fanbell.streams.core.kinds import BadRules, parse_rules

    try:
        rules = parse_rules(source)
    except BadRules as bad:
        raise Failed(Exit.REFUSED, f"{file}: {bad}") from None
    return {"kinds": sorted(rules.kinds)}


@kinds.command("apply")
def kinds_apply(
    file: RulesFile,
    url: options.Url = options.DEFAULT_URL,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Put a rules file in force from now on."""
    source = _source(file)
    with options.client(url, token) as client:
        answer = _sent(file, client.put, "/v1/kinds", source)
    if json:
        show.as_json(answer)
    else:
        show.said(f"{file} is in force, as version {answer['version']}")


def _sent(file: str, send: Callable[[str, object], Any], at: str, source: str) -> Any:
    try:
        return send(at, {"source": source})
    except Failed as failure:
        if failure.code is Exit.REFUSED:
            failure.hint = failure.hint or f"{file} was not applied; the running rules stay"
        raise


@dead.command("list")
def dead_list(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="At most so many.")] = 50,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="Only those behind this place.", show_default=False)
    ] = None,
    url: options.Url = options.DEFAULT_URL,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """List dead letters, oldest first."""
    with options.client(url, token) as client:
        answer = client.get("/v1/dead", limit=limit, after=after)
    if json:
        show.as_json(answer)
        return
    if not answer["items"]:
        show.said("no dead letters")
        return
    table = show.table(">offset", "activity", "reason", ">when", "origin")
    for letter in answer["items"]:
        table.add_row(*_cells(letter))
    console = show.out()
    console.print(table)
    if answer.get("next") is not None:
        console.print(show.text(f"more: --after {answer['next']}", "dim"))


def _cells(letter: Mapping[str, Any]) -> tuple[Text, ...]:
    origin = letter["origin"]
    return (
        show.text(letter["offset"], "bold"),
        show.text(letter["id"], "cyan"),
        show.text(f"{letter['reason']}: {letter['detail']}" if letter["detail"] else letter["reason"]),
        show.text(show.ago(letter["time_ms"]), "dim"),
        show.text(f"{origin['topic']}/{origin['partition']} at {origin['offset']}", "dim"),
    )


@dead.command("show")
def dead_show(
    offset: Offset,
    url: options.Url = options.DEFAULT_URL,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Show one dead letter whole."""
    with options.client(url, token) as client:
        found = client.get(f"/v1/dead/{offset}")
    if json:
        show.as_json(found)
    else:
        show.out().print(show.pairs(found))


@dead.command("retry")
def dead_retry(
    offsets: Offsets = None,
    everything: All = False,
    url: options.Url = options.DEFAULT_URL,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Send dead letters through once more."""
    _settle("retry", "retried", offsets, everything, url, token, json)


@dead.command("drop")
def dead_drop(
    offsets: Offsets = None,
    everything: All = False,
    url: options.Url = options.DEFAULT_URL,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Forget dead letters."""
    _settle("drop", "dropped", offsets, everything, url, token, json)


def _settle(
    verb: str, done: str, offsets: list[int] | None, everything: bool, url: str, token: str | None, json: bool
) -> None:
    if bool(offsets) == everything:
        raise Failed(Exit.USAGE, f"name the letters to {verb}, or --all")
    with options.client(url, token) as client:
        wanted = _all_offsets(client) if everything else offsets or []
        chunks = [wanted[i : i + PAGE] for i in range(0, len(wanted), PAGE)]
        count = sum(client.post(f"/v1/dead/{verb}", {"offsets": chunk})[done] for chunk in chunks)
    if json:
        show.as_json({done: count})
    elif not count and not everything:
        raise Failed(
            Exit.NOT_FOUND, "there are no such dead letters", "`fanbell dead list` shows those there are"
        )
    else:
        show.said(f"{done} {show.number(count)}")


def _all_offsets(client: Any) -> list[int]:
    """Offsets of the letters there are now; collected first, because a retried one may come back at the end."""
    offsets: list[int] = []
    while True:
        page = client.get("/v1/dead", after=offsets[-1] if offsets else None, limit=PAGE)
        offsets += [letter["offset"] for letter in page["items"]]
        if page["next"] is None:
            return offsets


def token(
    user: options.User,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help="producer, user or operator; may be repeated.", show_default="user"),
    ] = None,
    ttl: Annotated[int, typer.Option("--ttl", min=1, max=365 * DAY_S, help="Seconds until it ends.")] = DAY_S,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Make a token for a user.

    Signed with the secret in FANBELL_TOKEN_SECRET; needs no server.
    """
    from fanbell.edge.auth import Auth, BadSecret, make_token
    from fanbell.infra.settings import load

    settings = load({}, os.environ, Path(config) if config else None)
    if not settings.token_secret:
        raise Failed(
            Exit.USAGE, "there is no secret to sign with", "set FANBELL_TOKEN_SECRET to what the server has"
        )
    roles = role or ["user"]
    try:
        Auth(settings.secrets)
        audience, issuer = (
            next(iter(names), "") for names in (settings.token_audience, settings.token_issuer)
        )
        made = make_token(settings.token_secret, user, roles, ttl, audience, issuer)
    except (BadSecret, ValueError) as error:
        raise Failed(Exit.USAGE, str(error)) from None
    if json:
        show.as_json({"token": made, "user": user, "roles": sorted(set(roles)), "expires_in_s": ttl})
    else:
        show.as_line(made)
