"""What the guard takes, whoever is logged in: no page of another site may act, and GraphQL comes in one form only."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.asgi_client import HOST, Client
from tests.unit.adapters.ui_guard.conftest import Ui

OWN = f"http://{HOST}"
JSON = "application/json"
FOREIGN = ["http://evil.example", "null", "", "http://127.0.0.1:3001", "http://localhost:3000", f"https://{HOST}"]


def test_a_page_is_shown(open_ui: Client, ui: Ui) -> None:
    assert open_ui.ask("/runs").text == "the UI\n"
    assert ui.reached == ["GET /runs"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3000", "127.0.0.1:3001", "", None])
@pytest.mark.parametrize("target", ["/", "/graphql", "/login"])
def test_another_host_is_misdirected(open_ui: Client, ui: Ui, host: str | None, target: str) -> None:
    answer = open_ui.ask(target, host=host, accept="text/html")
    assert answer.status == 421
    assert answer.line.startswith(f"Host: {host!r} is not a name" if host else "Host: nothing is not a name")
    assert ui.reached == []


def test_two_hosts_are_none(open_ui: Client, ui: Ui) -> None:
    assert open_ui.ask("/", host=None, Host=[HOST, HOST]).status == 421
    assert ui.reached == []


def test_a_long_header_is_cut_and_stays_on_one_line(open_ui: Client) -> None:
    answer = open_ui.ask("/", host="a\n" * 500)
    assert len(answer.line) < 300


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize(
    "target", ["/graphql", "/report_asset_materialization/executed_orders", "/login", "/logout", "/anything"]
)
def test_another_origin_may_not_post(open_ui: Client, ui: Ui, origin: str, target: str) -> None:
    answer = open_ui.ask(target, method="POST", origin=origin, content_type=JSON)
    assert answer.status == 403
    assert answer.line.startswith(f"Origin: {origin!r} may not use this UI; open it at {OWN}")
    assert ui.reached == []


@pytest.mark.parametrize("origin", FOREIGN)
def test_another_origin_may_not_read_either(open_ui: Client, ui: Ui, origin: str) -> None:
    assert open_ui.ask("/logs/run/step/err", origin=origin).status == 403
    assert open_ui.ask("/graphql", method="OPTIONS", origin=origin).status == 403
    assert ui.reached == []


def test_a_second_origin_does_not_hide_behind_the_first(open_ui: Client, ui: Ui) -> None:
    answer = open_ui.ask("/graphql", method="POST", content_type=JSON, origin=[OWN, "http://evil.example"])
    assert answer.status == 403
    assert ui.reached == []


def test_the_own_origin_may_post(open_ui: Client, ui: Ui) -> None:
    headers = {"origin": OWN, "sec_fetch_site": "same-origin", "content_type": f"{JSON}; charset=utf-8"}
    assert open_ui.ask("/graphql?op=LaunchRun", method="POST", **headers).status == 200
    assert ui.reached == ["POST /graphql"]


def test_a_program_that_names_no_origin_may_post(open_ui: Client, ui: Ui) -> None:
    assert open_ui.ask("/graphql", method="POST", content_type=JSON).status == 200
    assert open_ui.ask("/report_asset_materialization/a", method="POST").status == 200
    assert len(ui.reached) == 2


def test_behind_tls_the_origin_is_https(open_ui: Client) -> None:
    name = "rebalancer.example"
    proxied = Client(open_ui.app, scheme="https")
    asked: dict[str, Any] = {"method": "POST", "host": name, "content_type": JSON}
    assert proxied.ask("/graphql", **asked, origin=f"https://{name}").status == 200
    assert proxied.ask("/graphql", **asked, origin=f"http://{name}").status == 403
    assert open_ui.ask("/graphql", **asked, origin=f"https://{name}").status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "whatever comes next"])
@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"},
        {"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"},
        {"sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"},
        {},
    ],
)
def test_other_sites_may_not_load_anything(open_ui: Client, ui: Ui, site: str, headers: dict[str, str]) -> None:
    assert open_ui.ask("/logs/run/step/err", sec_fetch_site=site, **headers).status == 403
    assert ui.reached == []


def test_other_sites_may_link_to_pages(open_ui: Client) -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert open_ui.ask("/runs/1", **link).status == 200
    assert open_ui.ask("/graphql?query={__typename}", accept="text/html", **link).status == 405
    assert open_ui.ask("/runs/1", method="POST", **link).status == 403


@pytest.mark.parametrize("accept", ["*/*", JSON, "text/html"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_no_query_runs_from_an_address(open_ui: Client, ui: Ui, accept: str, method: str) -> None:
    answer = open_ui.ask("/graphql?query=mutation{launchRun}", method=method, accept=accept)
    assert answer.status == 405
    assert answer.line == "GraphQL is taken as POST with Content-Type application/json only; send the query that way"
    assert ui.reached == []


def test_the_page_to_write_queries_in_stays(open_ui: Client, ui: Ui) -> None:
    assert open_ui.ask("/graphql", accept="text/html,*/*").status == 200
    assert open_ui.ask("/graphql", accept="*/*").status == 405
    assert ui.reached == ["GET /graphql"]


@pytest.mark.parametrize(
    "given",
    [
        "text/plain",
        "text/plain;application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/graphql",
        "application/jsonp",
        "",
        [JSON, JSON],
        [],
    ],
)
def test_graphql_is_json_or_nothing(open_ui: Client, ui: Ui, given: str | list[str]) -> None:
    answer = open_ui.ask("/graphql", method="POST", content_type=given, body=b'{"query": "mutation{launchRun}"}')
    assert answer.status == 415
    assert answer.line.endswith("is not taken here; send application/json")
    assert ui.reached == []


@pytest.mark.parametrize(
    "given", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"]
)
def test_nothing_else_takes_what_a_form_can_send(open_ui: Client, ui: Ui, given: str) -> None:
    assert open_ui.ask("/report_asset_check/a", method="POST", content_type=given).status == 415
    assert ui.reached == []


@pytest.mark.parametrize("path", ["/graphql\n", "/graphql\r", "/\x00", "/graphql\u2028"])
def test_a_path_that_a_router_may_read_otherwise_is_refused(open_ui: Client, ui: Ui, path: str) -> None:
    answer = open_ui.ask(f"{path}?query=mutation{{launchRun}}")
    assert answer.status == 400
    assert answer.line == f"path: {path!a} holds characters that cannot be read; leave them out"
    assert ui.reached == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "POST "])
@pytest.mark.parametrize("target", ["/", "/graphql"])
def test_other_methods_are_not_taken(open_ui: Client, ui: Ui, method: str, target: str) -> None:
    assert open_ui.ask(target, method=method, content_type=JSON).status == 405
    assert ui.reached == []


@pytest.mark.parametrize(
    "headers",
    [{"origin": origin} for origin in FOREIGN]
    + [{"origin": OWN, "sec_fetch_site": "cross-site"}, {"host": "evil.example", "origin": "http://evil.example"}],
)
def test_a_foreign_websocket_never_opens(open_ui: Client, ui: Ui, headers: dict[str, str]) -> None:
    assert [message["type"] for message in open_ui.open_websocket(**headers)] == ["websocket.close"]
    assert ui.reached == []


def test_a_link_is_no_excuse_for_a_websocket(open_ui: Client, ui: Ui) -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert [message["type"] for message in open_ui.open_websocket(**link)] == ["websocket.close"]
    assert ui.reached == []
