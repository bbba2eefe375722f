"""Requests that the app's server answers: those to its own names, from its own pages.

A page of another site can make a browser send requests to 127.0.0.1, and can give that address a name of its own (DNS
rebinding). Streamlit checks the name of websockets alone; this checks every request before Streamlit sees it.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

REFUSAL = b"This address is not served here. See dpo-analysis app --allow-host.\n"
LOCAL = frozenset({"localhost", "127.0.0.1"})
MAX_NAME = 255
"""Characters of a host name at most."""


class RequestGuard:
    """An ASGI application in front of another: it answers 400 to foreign requests, and adds headers to all answers."""

    def __init__(self, app: Application, hosts: Iterable[str]) -> None:
        """Pass requests to ``app`` that name one of ``hosts`` as their host.

        Args:
            app: the application that answers.
            hosts: names without ports; ``*.example.org`` stands for every name under it.
        """
        self._app, self._hosts = app, frozenset(host.lower() for host in hosts)
        self._behind_proxy = self._hosts - LOCAL
        # notebooks on this machine show the app in a frame
        local = [f"http://{name}:*" for name in sorted(LOCAL)]
        frames = " ".join(["'self'", *local, *sorted(self._behind_proxy)])
        self._headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"content-security-policy", f"frame-ancestors {frames}".encode("ascii", "ignore")),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on; ``lifespan`` events always pass."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif self._is_allowed(scope):
            await self._app(scope, receive, self._with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), *self._headers]
            await send({"type": "http.response.start", "status": 400, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSAL})

    def _is_allowed(self, scope: Scope) -> bool:
        """Return whether a request names one allowed host, and comes from a page of that host and port or from none."""
        hosts, origins = (_values(scope, name) for name in (b"host", b"origin"))
        if len(hosts) != 1 or len(origins) > 1 or not _is_among(host_name(hosts[0]), self._hosts):
            return False
        if not origins:
            return True
        origin = urlsplit(origins[0]).netloc if _is_url(origins[0]) else ""
        # A proxy may keep the origin of the browser and send a host name of its own.
        return bool(origin) and (origin.lower() == hosts[0].lower() or _is_among(host_name(origin), self._behind_proxy))

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message.get("headers", ())}
                added = [(name, value) for name, value in self._headers if name not in given]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        return send_with_headers


def host_name(host: str) -> str:
    """Return the name in a ``Host`` header, in lower case without its port; empty where the header is no host."""
    name, _, port = host.strip().lower().partition(":")
    is_host = 0 < len(name) <= MAX_NAME and (not port or port.isdecimal()) and host.count(":") <= 1
    return name.removesuffix(".") if is_host and not set(name) & set("/\\@?# \t") else ""


def _is_among(name: str, hosts: frozenset[str]) -> bool:
    """Return whether a host name is one of ``hosts``, or is under one that begins with ``*.``."""
    return bool(name) and (name in hosts or any(host[:2] == "*." and name.endswith(host[1:]) for host in hosts))


def _is_url(origin: str) -> bool:
    try:
        return urlsplit(origin).scheme in ("http", "https")
    except ValueError:
        return False


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope.get("headers", ()) if key.lower() == name]
