"""The login: a token for a session, a session for the UI."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import pytest

from rebalancer_pipelines.adapters.ui_guard.sessions import LIFETIME
from tests.support.asgi_client import HOST, Answer, Client
from tests.support.manual_clock import ManualClock
from tests.unit.adapters.ui_guard.conftest import TOKEN, Ui

Visitor = Callable[..., Client]


def log_in(client: Client, token: str = TOKEN, following: str = "/runs?tag=a", **headers: str) -> Answer:
    return client.post_form("/login", {"token": token, "next": following}, **headers)


def test_a_page_leads_to_the_login_and_back(visitor: Visitor, ui: Ui) -> None:
    browser = visitor()
    turned_away = browser.ask("/runs?tag=a", accept="text/html")
    assert turned_away.status == 401
    link = re.search(r'content="0; url=([^"]+)"', turned_away.text)
    assert link is not None
    page = browser.ask(link[1])
    assert page.status == 200
    assert 'name="next" value="/runs?tag=a"' in page.text
    assert ui.reached == []

    entered = log_in(browser, origin=f"http://{HOST}")
    assert (entered.status, entered.headers["location"]) == (303, "/runs?tag=a")
    assert browser.ask("/runs?tag=a").text == "the UI\n"
    # Whoever followed a link from another site gets here with his session and goes on.
    assert browser.ask(link[1]).headers["location"] == "/runs?tag=a"


def test_the_cookie_is_for_this_ui_alone(visitor: Visitor) -> None:
    cookie = log_in(visitor()).headers["set-cookie"]
    name, *attributes = cookie.split("; ")
    assert re.fullmatch(r"rebalancer_ui_3000=[\w.-]+", name)
    assert set(attributes) == {"HttpOnly", "Path=/", "SameSite=strict", f"Max-Age={int(LIFETIME.total_seconds())}"}
    assert TOKEN not in cookie
    secure = visitor(scheme="https")
    assert "Secure" in secure.post_form("/login", {"token": TOKEN}, host="rebalancer.example").headers["set-cookie"]


def test_programs_are_told_in_one_line(visitor: Visitor, ui: Ui) -> None:
    for asked in ({"method": "POST", "content_type": "application/json"}, {"accept": "*/*"}, {"method": "HEAD"}):
        target = "/graphql" if asked.get("method") == "POST" else "/server_info"
        answer = visitor().ask(target, **asked)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.line == "log in first, or send 'Authorization: Bearer TOKEN'"
    assert ui.reached == []


def test_programs_send_the_token_along(visitor: Visitor, ui: Ui) -> None:
    for word in ("Bearer", "bearer"):
        assert visitor().ask("/server_info", authorization=f"{word} {TOKEN}").status == 200
    for wrong in ("Bearer", f"Bearer {TOKEN}a", f"Basic {TOKEN}", TOKEN, "Bearer \u00e9"):
        assert visitor().ask("/server_info", authorization=wrong).status == 401
    assert ui.reached == ["GET /server_info"] * 2


def test_a_token_in_the_address_opens_nothing(visitor: Visitor, ui: Ui) -> None:
    assert visitor().ask(f"/runs?token={TOKEN}").status == 401
    assert visitor().ask(f"/login?token={TOKEN}").status == 200
    assert ui.reached == []


@pytest.mark.parametrize("fields", [{}, {"token": ""}, {"token": "wrong"}, {"token": "x" * 10_000}])
def test_a_wrong_token_gets_the_page_again_without_it(visitor: Visitor, fields: dict[str, str]) -> None:
    answer = visitor().post_form("/login", {**fields, "next": "/runs"})
    assert answer.status == 401
    assert "The token is wrong." in answer.text
    assert "set-cookie" not in answer.headers
    assert not fields.get("token") or f'"{fields["token"]}"' not in answer.text


def test_a_form_that_is_no_text_is_a_wrong_token(visitor: Visitor) -> None:
    form = "application/x-www-form-urlencoded"
    assert visitor().ask("/login", method="POST", content_type=form, body=b"token=\xff\xfe").status == 401
    assert visitor().ask("/login", method="POST", content_type=form, body=b"a=1&" * 50).status == 401


def test_guessing_is_slowed_down_for_pages_and_programs_alike(visitor: Visitor, clock: ManualClock) -> None:
    guesser = visitor("10.0.0.1")
    for _ in range(3):
        assert log_in(guesser, "wrong").status == 401
    assert guesser.ask("/", authorization="Bearer wrong").status == 401
    slowed = log_in(guesser)
    assert (slowed.status, slowed.headers["retry-after"]) == (429, "1")
    assert "Too many wrong tokens; try again in 1 s." in slowed.text
    assert guesser.ask("/", authorization=f"Bearer {TOKEN}").status == 429
    assert log_in(visitor("10.0.0.2")).status == 303
    clock.sleep(timedelta(seconds=1))
    assert log_in(guesser).status == 303
    assert log_in(guesser, "wrong").status == 401
    assert log_in(guesser).status == 303


def test_a_session_is_not_slowed_down(visitor: Visitor) -> None:
    browser = visitor()
    log_in(browser)
    for _ in range(9):
        visitor().ask("/", authorization="Bearer wrong")
    assert browser.ask("/").status == 200


def test_a_session_ends(visitor: Visitor, clock: ManualClock, ui: Ui) -> None:
    browser = visitor()
    log_in(browser)
    clock.sleep(LIFETIME)
    assert browser.ask("/").status == 401
    assert ui.reached == []


def test_logging_out_ends_the_session_for_good(visitor: Visitor, ui: Ui) -> None:
    browser = visitor()
    log_in(browser)
    copied = dict(browser.cookies)
    assert "Log out?" in browser.ask("/logout").text
    assert browser.ask("/server_info").status == 200
    assert browser.post_form("/logout", {}).headers["location"] == "/login"
    assert browser.cookies == {}
    browser.cookies.update(copied)
    assert browser.ask("/server_info").status == 401
    assert browser.ask("/logout").headers["location"] == "/login"
    assert ui.reached == ["GET /server_info"]


@pytest.mark.parametrize(
    "following",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "evil", ""],
)
def test_a_login_leads_nowhere_else(visitor: Visitor, following: str) -> None:
    assert log_in(visitor(), following=following).headers["location"] == "/"
    assert 'name="next" value="/"' in visitor().ask(f"/login?next={quote(following)}").text


def test_what_an_address_holds_is_no_part_of_the_page(visitor: Visitor) -> None:
    attack = '/"><script>alert(1)</script>'
    for target in (f"/login?next={quote(attack)}", attack):
        page = visitor().ask(target, accept="text/html").text
        assert "<script" not in page
        assert "<form" in page or "http-equiv" in page


def test_the_pages_load_nothing(visitor: Visitor) -> None:
    page = visitor().ask("/login")
    policies = page.headers.getlist("content-security-policy")
    assert policies[0].startswith("default-src 'none'; style-src 'sha256-")
    assert re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^">)]+)', page.text) == ["data:,"]


def test_websockets_need_the_login_too(visitor: Visitor, ui: Ui) -> None:
    assert [m["type"] for m in visitor().open_websocket(origin=f"http://{HOST}")] == ["websocket.close"]
    assert ui.reached == []


def test_a_websocket_lasts_no_longer_than_its_session(visitor: Visitor, clock: ManualClock, ui: Ui) -> None:
    browser = visitor()
    log_in(browser)
    clock.sleep(LIFETIME - timedelta(milliseconds=50))
    sent = browser.open_websocket(origin=f"http://{HOST}")
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert sent[1]["reason"] == "the session is over"
    assert ui.reached == ["GET /graphql"]
