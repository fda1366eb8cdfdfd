"""Asks an ASGI application as a server would, without one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

HOST = "127.0.0.1:3000"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    text: str

    @property
    def line(self) -> str:
        assert self.text.count("\n") == 1, self.text
        return self.text.strip()


@dataclass
class Client:
    """One client with an address, a scheme, and the cookies that it was given."""

    app: ASGIApp
    address: str = "127.0.0.1"
    scheme: str = "http"
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        target: str,
        *,
        method: str = "GET",
        body: bytes = b"",
        host: str | None = HOST,
        **headers: str | list[str],
    ) -> Answer:
        """Send one request; underscores in names of headers stand for hyphens, a list for a header that is repeated."""
        sent = asyncio.run(self._exchange(self._scope("http", method, target, host, headers), _whole(body)))
        start = sent[0]
        assert start["type"] == "http.response.start"
        answered = Headers(raw=start["headers"])
        self._keep(answered.getlist("set-cookie"))
        return Answer(start["status"], answered, b"".join(m["body"] for m in sent[1:]).decode())

    def post_form(self, target: str, fields: Mapping[str, str], **headers: str) -> Answer:
        given = {"content_type": "application/x-www-form-urlencoded", **headers}
        return self.ask(target, method="POST", body=urlencode(fields).encode(), **given)

    def open_websocket(self, target: str = "/graphql", *, host: str | None = HOST, **headers: str) -> list[Message]:
        """Ask for a websocket and stay silent; what the application sent until it was done with it."""
        scheme = {"http": "ws", "https": "wss"}[self.scheme]
        scope = {**self._scope("websocket", "GET", target, host, headers), "scheme": scheme}
        return asyncio.run(self._exchange(scope, {"type": "websocket.connect"}))

    def _scope(
        self, kind: str, method: str, target: str, host: str | None, headers: Mapping[str, str | list[str]]
    ) -> dict[str, Any]:
        path, _, query = target.partition("?")
        named = [("host", host)] if host else []
        if self.cookies:
            named.append(("cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items())))
        for name, values in headers.items():
            named += [(name.replace("_", "-"), v) for v in ([values] if isinstance(values, str) else values)]
        return {
            "type": kind,
            "method": method,
            "scheme": self.scheme,
            "path": path,
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named],
            "client": (self.address, 50000),
            "server": ("127.0.0.1", 3000),
        }

    async def _exchange(self, scope: dict[str, Any], first: Message) -> list[Message]:
        waiting, sent = [first], []

        async def receive() -> Message:
            if waiting:
                return waiting.pop()
            return await asyncio.Future()

        async def send(message: Message) -> None:
            sent.append(message)

        await asyncio.wait_for(self.app(scope, receive, send), 10)
        return sent

    def _keep(self, cookies: list[str]) -> None:
        for cookie in cookies:
            name, _, rest = cookie.partition("=")
            value = rest.partition(";")[0].strip('"')
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)


def _whole(body: bytes) -> Message:
    return {"type": "http.request", "body": body, "more_body": False}
