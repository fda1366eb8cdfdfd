"""An application that tells what reached it, and the guard before it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from starlette.types import Message, Receive, Scope, Send

from rebalancer_pipelines.adapters.ui_guard.access_token import AccessToken
from rebalancer_pipelines.adapters.ui_guard.guard import Guard
from rebalancer_pipelines.adapters.ui_guard.login import Login
from rebalancer_pipelines.adapters.ui_guard.served_hosts import served_hosts
from tests.support.asgi_client import Client
from tests.support.manual_clock import ManualClock

TOKEN = "a-token-that-opens-nothing-else"


class Ui:
    """Answers everything, and remembers it."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self.reached.append("lifespan")
            return
        self.reached.append(f"{scope.get('method', 'GET')} {scope['path']}")
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": self.headers})
            await send({"type": "http.response.body", "body": b"the UI\n"})
            return
        await receive()
        accepted: Message = {"type": "websocket.accept"}
        await send(accepted)
        await receive()


@pytest.fixture
def ui() -> Ui:
    return Ui()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.fixture
def open_ui(ui: Ui) -> Client:
    """A client of a UI without a login."""
    return Client(Guard(ui, served_hosts("127.0.0.1", 3000, ["rebalancer.example"])))


@pytest.fixture
def visitor(ui: Ui, clock: ManualClock) -> Callable[..., Client]:
    """Makes clients of one UI with a login."""
    login = Login(AccessToken(TOKEN), clock, port=3000)
    guard = Guard(ui, served_hosts("127.0.0.1", 3000, ["rebalancer.example"]), login)

    def make(address: str = "127.0.0.1", scheme: str = "http") -> Client:
        return Client(guard, address, scheme)

    return make
