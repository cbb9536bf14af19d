"""Dagster's webserver, behind a guard: only its own pages may ask it for anything.

Dagster executes what any page asks of it, mutations by GET included: a page that somebody visits
could launch, wipe and delete in the Dagster of the machine beside it. Called as Dagster's own is:
``python -m storepipe_dagster.webserver --port 3000``.
"""

from typing import Any
from urllib.parse import urlsplit

from dagster_webserver import cli
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storepipe_dagster.settings import settings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
GRAPHQL = "/graphql"
# What a page of another server can send only after it has asked whether it may.
GRAPHQL_TYPES = ("application/json", "application/graphql")


class OwnPagesOnly:
    """Refuses requests by other names, from pages of other servers, and GraphQL by GET.

    Its pages are shown in no frame of others', who could have people click what they do not see.
    The name of the server is loopback's, or the host of STOREPIPE_DAGSTER_URL.
    """

    def __init__(self, app: ASGIApp, public_url: str | None) -> None:
        self.app = app
        self.own = {_server(public_url.partition("//")[2])} if public_url else set()
        self.hosts = LOOPBACK | {name for name, _ in self.own}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, or with the reason why not."""

        async def send_unframed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Frame-Options"] = "SAMEORIGIN"
            await send(message)

        reason = self._refusal(scope) if scope["type"] in {"http", "websocket"} else None
        if reason is None:
            await self.app(scope, receive, send_unframed)
        else:
            await PlainTextResponse(f"{reason}\n", status_code=403)(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        asked = _server(host)
        if asked[0] not in self.hosts:
            return (
                f"This webserver is not known as {host!r}: set STOREPIPE_DAGSTER_URL to the "
                "address that people open, and let a proxy pass on the Host that it was asked for."
            )
        # A page in a sandbox has the origin "null".
        if origin is not None and _server(origin.partition("//")[2]) not in {asked, *self.own}:
            return f"A page of {origin!r} may not use this webserver."
        if scope["type"] == "http" and scope["path"].endswith(GRAPHQL):
            return _graphql_refusal(scope["method"], headers)
        return None


def _server(host_and_port: str) -> tuple[str, int | None]:
    """The host, in small letters and empty where there is none, and the port that is named."""
    try:
        parts = urlsplit(f"//{host_and_port}")
        server = parts.hostname or "", parts.port
    except ValueError:
        server = "", None
    return server


def _graphql_refusal(method: str, headers: Headers) -> str | None:
    if method == "GET" and "text/html" in headers.get("accept", ""):  # gives the page to ask from
        return None
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method == "POST" and content_type in GRAPHQL_TYPES:
        return None
    return f"GraphQL is asked by POST with a Content-Type of {' or '.join(GRAPHQL_TYPES)}."


def main() -> None:
    """Run Dagster's command, with the guard around its application."""
    webserver: Any = cli
    create = webserver.create_app_from_workspace_process_context

    def guarded(*arguments: Any, **options: Any) -> Starlette:
        app: Starlette = create(*arguments, **options)
        app.add_middleware(OwnPagesOnly, public_url=settings().storepipe_dagster_url)
        return app

    webserver.create_app_from_workspace_process_context = guarded
    webserver.main()


if __name__ == "__main__":
    main()
