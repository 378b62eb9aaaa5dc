"""Who may open the page: only a browser on this machine that asked for this page by its own address.

Any web page in the operator's browser can try ``ws://127.0.0.1:8080``, and a hostile name can be made to resolve to
127.0.0.1. viser checks neither ``Origin`` nor ``Host``, so its web server is started through ``guarded``, which does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any

import websockets.asyncio.server as websocket_server
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from soulstream_engine.errors import InvariantError

MAX_CLIENTS = 4
"""Browser tabs served at once."""

MAX_INCOMING_BYTES = 16 * 1024
"""Largest message a page may send us; camera positions need a few hundred bytes."""

_HOSTS = ("127.0.0.1", "localhost", "[::1]")

Handler = Callable[[ServerConnection], Awaitable[None]]
PageServer = Callable[[ServerConnection, Request], Response | None]


class Guard:
    """Decides about requests to a page on ``port``.

    Args:
        port: TCP port of the page, part of every address we answer to.
        max_clients: WebSocket connections served at once.
    """

    def __init__(self, port: int, max_clients: int = MAX_CLIENTS) -> None:
        self.hosts = frozenset(f"{host}:{port}" for host in _HOSTS)
        """Values of ``Host`` we answer to."""
        self.origins = frozenset(f"http://{host}" for host in self.hosts)
        """Values of ``Origin`` that may open a WebSocket: this page itself."""
        self._max_clients = max_clients
        self._clients = 0
        # Browsers do not understand an IPv6 address here; "'self'" covers it.
        sources = " ".join(f"ws://{host}" for host in sorted(self.hosts) if not host.startswith("["))
        self._headers = {
            "Content-Security-Policy": (
                "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
                "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
                f"manifest-src 'self'; connect-src 'self' data: blob: {sources}; "
                "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
            ),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
        }

    def refusal(self, request: Request) -> HTTPStatus | None:
        """Why a request is refused, or ``None`` if it is welcome."""
        hosts = [value.lower() for value in request.headers.get_all("Host")]
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return HTTPStatus.MISDIRECTED_REQUEST
        origins = request.headers.get_all("Origin")
        is_upgrade = bool(request.headers.get_all("Upgrade"))
        if any(origin not in self.origins for origin in origins) or (is_upgrade and len(origins) != 1):
            return HTTPStatus.FORBIDDEN
        if is_upgrade and self._clients >= self._max_clients:
            return HTTPStatus.SERVICE_UNAVAILABLE
        return None

    def check(self, page: PageServer) -> PageServer:
        """A page server in front of ``page`` that refuses what is not welcome."""

        def process_request(connection: ServerConnection, request: Request) -> Response | None:
            status = self.refusal(request)
            if status is not None:
                return connection.respond(status, f"{status.value} {status.phrase}\n")
            response = page(connection, request)
            if response is not None:
                for name, value in self._headers.items():
                    response.headers[name] = value
            return response

        return process_request

    def count(self, handler: Handler) -> Handler:
        """A connection handler around ``handler`` that counts the clients."""

        async def counted(connection: ServerConnection) -> None:
            self._clients += 1
            try:
                await handler(connection)
            finally:
                self._clients -= 1

        return counted


@contextlib.contextmanager
def guarded(max_clients: int = MAX_CLIENTS) -> Iterator[None]:
    """While this context is open, a WebSocket server that starts in this process is put behind a ``Guard``.

    Only for the preview's own process: it replaces a function of the ``websockets`` module for that time.

    Raises:
        InvariantError: On leaving, if no server was started through it: then a page would be open to everyone.
    """
    original = websocket_server.serve
    started: list[int] = []

    def serve(handler: Handler, host: str, port: int, *, process_request: PageServer, **options: Any) -> Any:
        guard = Guard(port, max_clients)
        started.append(port)
        options |= {"origins": sorted(guard.origins), "max_size": MAX_INCOMING_BYTES}
        return original(guard.count(handler), host, port, process_request=guard.check(process_request), **options)

    websocket_server.serve = serve  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        websocket_server.serve = original  # type: ignore[misc]
    if not started:
        raise InvariantError(
            "PREVIEW_UNGUARDED",
            "The preview's web server started without its Host and Origin checks.",
            "Install a supported version of viser (see pyproject.toml) or run with --no-preview.",
        )
