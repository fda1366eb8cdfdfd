"""The login before the UI: one token for people, who get a session for it, and for programs, which send it along."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive

from rebalancer_pipelines.adapters.ui_guard.access_token import AccessToken
from rebalancer_pipelines.adapters.ui_guard.pages import login_page, logout_page, way_to_login
from rebalancer_pipelines.adapters.ui_guard.request_rules import LOGIN, LOGOUT, came_over_tls
from rebalancer_pipelines.adapters.ui_guard.sessions import LIFETIME, Sessions
from rebalancer_pipelines.adapters.ui_guard.wrong_tokens import WrongTokens
from rebalancer_pipelines.application.ports import Clock

_MOST_FORM_BYTES = 8192
_HOME = "/"


class Login:
    """Lets through whoever has a session or the token, and answers everybody else itself."""

    def __init__(self, token: AccessToken, clock: Clock, *, port: int) -> None:
        """Keep sessions in a cookie named after `port`: a browser shows a cookie to every port of a host."""
        self._token = token
        self._sessions = Sessions(clock)
        self._wrong_tokens = WrongTokens(clock)
        self._cookie = f"rebalancer_ui_{port}"

    async def answer(self, request: HTTPConnection, receive: Receive) -> Response | None:
        """What to say instead of the UI, or None when the request may pass."""
        if request.scope["type"] == "http" and request.scope["path"] in {LOGIN, LOGOUT}:
            return await self._at_the_door(Request(request.scope, receive))
        if self._session_left(request) is not None:
            return None
        return self._checked_header(request)

    def good_for(self, request: HTTPConnection) -> timedelta | None:
        """How long an open connection may go on, or None for as long as it likes: it showed the token itself."""
        return self._session_left(request)

    def telling_of_log_out(self, request: HTTPConnection, tell: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `tell` when the session of an open connection is logged out meanwhile."""
        return self._sessions.telling_of_end(self._session(request), tell)

    def _session_left(self, request: HTTPConnection) -> timedelta | None:
        return self._sessions.left(self._session(request))

    def _session(self, request: HTTPConnection) -> str:
        return request.cookies.get(self._cookie, "")

    def _checked_header(self, request: HTTPConnection) -> Response | None:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return _not_logged_in(request)
        return self._refused_token(_client(request), given)

    def _refused_token(self, client: str, given: str) -> Response | None:
        wait = self._wrong_tokens.wait(client)
        if wait:
            seconds = math.ceil(wait.total_seconds())
            return _line(429, f"too many wrong tokens; try again in {seconds} s", {"Retry-After": str(seconds)})
        if not self._token.matches(given):
            self._wrong_tokens.add(client)
            return _line(401, "the token is wrong", {"WWW-Authenticate": "Bearer"})
        self._wrong_tokens.forget(client)
        return None

    async def _at_the_door(self, request: Request) -> Response:
        is_in = self._session_left(request) is not None
        if request.url.path == LOGOUT:
            if request.method == "POST":
                return self._log_out(request)
            return logout_page() if is_in else RedirectResponse(LOGIN, 303)
        if request.method == "POST":
            return await self._log_in(request)
        following = _local_path(request.query_params.get("next", ""))
        return RedirectResponse(following, 303) if is_in else login_page(following)

    async def _log_in(self, request: Request) -> Response:
        form = await _form(request)
        following = _local_path(form.get("next", ""))
        refused = self._refused_token(_client(request), form.get("token", ""))
        if refused is not None:
            said = bytes(refused.body).decode().strip()
            page = login_page(following, status=refused.status_code, notice=f"{said[0].upper()}{said[1:]}.")
            page.headers.update({name: refused.headers[name] for name in ("Retry-After",) if name in refused.headers})
            return page
        answer = RedirectResponse(following, 303)
        answer.set_cookie(
            self._cookie,
            self._sessions.open(),
            max_age=int(LIFETIME.total_seconds()),
            secure=came_over_tls(request),
            httponly=True,
            samesite="strict",
        )
        return answer

    def _log_out(self, request: Request) -> Response:
        self._sessions.end(self._session(request))
        answer = RedirectResponse(LOGIN, 303)
        answer.delete_cookie(self._cookie, secure=came_over_tls(request), httponly=True, samesite="strict")
        return answer


def _not_logged_in(request: HTTPConnection) -> Response:
    scope = request.scope
    wants_page = (
        scope["type"] == "http" and scope["method"] == "GET" and "text/html" in request.headers.get("accept", "")
    )
    if wants_page:
        query = f"?{request.url.query}" if request.url.query else ""
        return way_to_login(f"{request.url.path}{query}")
    return _line(401, "log in first, or send 'Authorization: Bearer TOKEN'", {"WWW-Authenticate": "Bearer"})


def _line(status: int, line: str, headers: dict[str, str]) -> Response:
    return PlainTextResponse(f"{line}\n", status, headers={"Cache-Control": "no-store", **headers})


def _client(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; one that is too long counts as empty."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_FORM_BYTES:
            return {}
    try:
        fields = parse_qs(body.decode(), max_num_fields=8)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def _local_path(text: str) -> str:
    """A path of this UI, or its home page: nobody may send a fresh login elsewhere.

    Browsers read a backslash as a slash and leave control characters out, so a path holds neither.
    """
    is_local = text.startswith("/") and not text.startswith("//")
    return text if is_local and "\\" not in text and text.isascii() and text.isprintable() else _HOME
