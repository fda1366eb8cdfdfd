"""The headers of every answer, and what is none of the guard's business."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.asgi_client import Client
from tests.unit.adapters.ui_guard.conftest import Ui


@pytest.mark.parametrize("target", ["/", "/graphql?query=a"])
def test_every_answer_keeps_other_pages_away(open_ui: Client, target: str) -> None:
    headers = open_ui.ask(target).headers
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers.getlist("content-security-policy") == ["frame-ancestors 'self'"]


def test_what_the_ui_says_itself_stays_or_is_tightened(open_ui: Client, ui: Ui) -> None:
    ui.headers = [
        (b"content-security-policy", b"object-src 'none'"),
        (b"referrer-policy", b"unsafe-url"),
        (b"x-own", b"1"),
    ]
    headers = open_ui.ask("/").headers
    assert headers.getlist("content-security-policy") == ["object-src 'none'", "frame-ancestors 'self'"]
    assert headers.getlist("referrer-policy") == ["same-origin"]
    assert headers["x-own"] == "1"


def test_the_start_of_the_server_passes(open_ui: Client, ui: Ui) -> None:
    async def nothing(*_: object) -> dict[str, str]:
        return {"type": "lifespan.startup"}

    asyncio.run(open_ui.app({"type": "lifespan"}, nothing, nothing))  # pyright: ignore[reportArgumentType]
    assert ui.reached == ["lifespan"]
