"""The middleware: rules first, then the login, then the UI, and headers that keep other pages away from the answers."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rebalancer_pipelines.adapters.ui_guard.login import Login
from rebalancer_pipelines.adapters.ui_guard.request_rules import refusal
from rebalancer_pipelines.adapters.ui_guard.served_hosts import ServedHosts

_HEADERS = {
    "X-Frame-Options": "SAMEORIGIN",  # the UI shows notebooks in frames of its own
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FRAMES = "frame-ancestors 'self'"
_POLICY_VIOLATION = 1008
"""The code with which a websocket is closed that is refused, or whose session is over."""


class Guard:
    """An ASGI application before another one."""

    def __init__(self, app: ASGIApp, hosts: ServedHosts, login: Login | None = None) -> None:
        """Without a `login`, whoever can reach the UI may use it."""
        self._app = app
        self._hosts = hosts
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, a websocket as well."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                _harden(message)
            await send(message)

        refused = refusal(request, self._hosts)
        answer = refused.response() if refused else None
        if answer is None and self._login is not None:
            answer = await self._login.answer(request, receive)
        if scope["type"] == "websocket":
            await self._pass_websocket(request, receive, send, refused=answer is not None)
        else:
            await (answer or self._app)(scope, receive, send_hardened)

    async def _pass_websocket(self, request: HTTPConnection, receive: Receive, send: Send, *, refused: bool) -> None:
        """Let a websocket run for as long as its session does; one that is refused never opens."""
        if refused:
            # Servers answer this with 403. No page can read why: browsers keep it to themselves.
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        left = self._login.good_for(request) if self._login else None
        if self._login is None or left is None:
            await self._app(request.scope, receive, send)
            return
        try:
            async with asyncio.timeout(left.total_seconds()) as end:
                with self._login.telling_of_log_out(request, partial(_bring_forward, end)):
                    await self._app(request.scope, receive, send)
        except TimeoutError:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "the session is over"})


def _bring_forward(end: asyncio.Timeout) -> None:
    """Let it be over now; one that has just expired by itself takes no other time."""
    if not end.expired():
        end.reschedule(asyncio.get_running_loop().time())


def _harden(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    headers.update(_HEADERS)
    # Beside a policy that is there already: a browser keeps to all of them.
    headers.append("Content-Security-Policy", _FRAMES)
