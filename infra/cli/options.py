"""Options that several commands share, and how the client is made of them."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from fanbell.infra.settings import Settings

if TYPE_CHECKING:
    from fanbell.infra.cli.client import Client

DEFAULT_URL: Final = f"http://127.0.0.1:{Settings().port}"

Url = Annotated[str, typer.Option("--url", envvar="FANBELL_URL", help="Address of the server.")]
Token = Annotated[
    str | None,
    typer.Option(
        "--token", envvar="FANBELL_TOKEN", help="Token, if the server asks for one.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
User = Annotated[str, typer.Argument(help="The user's id.", show_default=False)]
Config = Annotated[str | None, typer.Option("--config", help="TOML file with settings.", show_default=False)]
Data = Annotated[str | None, typer.Option("--data", help="Data folder.", show_default=False)]
Port = Annotated[int | None, typer.Option("--port", help="Port of the HTTP API.", show_default=False)]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on.", show_default=False)]


def client(url: str, token: str | None, patience_s: float | None = None) -> "Client":
    """A client of the server at `url`; None is the usual patience. Raises Failed if that is no address."""
    from fanbell.infra.cli import show
    from fanbell.infra.cli.client import (
        PATIENCE_S,
        Client,
    )  # httpx takes longer to import than --help to print

    return Client(
        url, token, on_wait=show.waiting, patience_s=PATIENCE_S if patience_s is None else patience_s
    )
