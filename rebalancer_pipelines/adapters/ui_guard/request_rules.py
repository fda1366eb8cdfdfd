"""What the UI takes at all, whoever asks: no other site's page may make a browser act here.

A browser tells where a request comes from (`Origin`, `Sec-Fetch-Site`), and no page can make it lie. Programs send
neither, and are no danger: no hostile page can steer them.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response

from rebalancer_pipelines.adapters.ui_guard.served_hosts import ServedHosts

GRAPHQL = "/graphql"
LOGIN = "/login"
LOGOUT = "/logout"

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = frozenset({"same-origin", "none"})
"""`none` is what a person typed or chose from bookmarks; `same-site` would be any other program on this machine."""

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_MOST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not taken, as one line, and the status that says so."""

    status: int
    line: str

    def response(self) -> Response:
        """The answer over HTTP."""
        return PlainTextResponse(f"{self.line}\n", self.status, headers={"Cache-Control": "no-store"})


def refusal(request: HTTPConnection, hosts: ServedHosts) -> Refusal | None:
    """Why a request cannot be taken, or None when it may pass."""
    return _wrong_host(request, hosts) or _wrong_source(request) or _wrong_path(request) or _wrong_form(request)


def came_over_tls(request: HTTPConnection) -> bool:
    """Whether the browser speaks TLS, with us or with the proxy before us."""
    return request.scope["scheme"] in {"https", "wss"}


def _wrong_host(request: HTTPConnection, hosts: ServedHosts) -> Refusal | None:
    named = request.headers.getlist("host")
    if len(named) == 1 and named[0] in hosts:
        return None
    return Refusal(
        421, f"Host: {_shown(named)} is not a name of this UI; allow it with 'rebalancer up --allow-host NAME'"
    )


def _wrong_source(request: HTTPConnection) -> Refusal | None:
    scheme = "https" if came_over_tls(request) else "http"
    own = f"{scheme}://{request.headers['host']}".lower()
    origins = request.headers.getlist("origin")
    if any(origin.lower() != own for origin in origins):
        return Refusal(403, f"Origin: {_shown(origins)} may not use this UI; open it at {own}")
    site = request.headers.get("sec-fetch-site", "none")
    if site not in _OURS and not _opens_page(request):
        return Refusal(403, f"Sec-Fetch-Site: {_shown([site])} may only open pages of this UI")
    return None


def _opens_page(request: HTTPConnection) -> bool:
    """Whether a browser asks for a page to show in a window of its own, as it does for a link on another page."""
    return (
        request.scope["type"] == "http"
        and request.scope["method"] == "GET"
        and request.headers.get("sec-fetch-mode") == "navigate"
        and request.headers.get("sec-fetch-dest") == "document"
    )


def _wrong_path(request: HTTPConnection) -> Refusal | None:
    """A router takes a path that ends with a line break for the one without: no rule could tell what it leads to."""
    path = request.scope["path"]
    if path.isprintable():
        return None
    return Refusal(400, f"path: {_shown([path])} holds characters that cannot be read; leave them out")


def _wrong_form(request: HTTPConnection) -> Refusal | None:
    if request.scope["type"] == "websocket":
        return None
    path, method = request.scope["path"], request.scope["method"]
    if method in _READING:
        return _query_in_url(request) if path == GRAPHQL else None
    if path in {LOGIN, LOGOUT}:
        taken: tuple[str | None, ...] = (_FORM,)
    elif path == GRAPHQL:
        taken = (_JSON,)
    else:
        taken = (_JSON, None)
    if method != "POST":
        return Refusal(405, f"method: {_shown([method])} is not taken; use GET or POST")
    given = request.headers.getlist("content-type")
    if len(given) > 1 or _media_type(given) not in taken:
        return Refusal(415, f"Content-Type: {_shown(given)} is not taken here; send {taken[0]}")
    return None


def _query_in_url(request: HTTPConnection) -> Refusal | None:
    """A page for people to write queries in may be opened; nothing may run that a link or an image could carry."""
    is_page = request.scope["method"] == "GET" and "text/html" in request.headers.get("accept", "")
    if is_page and not request.scope["query_string"]:
        return None
    return Refusal(405, f"GraphQL is taken as POST with Content-Type {_JSON} only; send the query that way")


def _media_type(given: list[str]) -> str | None:
    # Only what stands before the semicolon counts: "text/plain;application/json" needs no leave from a browser.
    return given[0].partition(";")[0].strip().lower() if given else None


def _shown(values: list[str]) -> str:
    text = ", ".join(values)
    return ascii(text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…") if values else "nothing"
