"""Dagster's webserver behind the guard, as `rebalancer up` starts it: a process of its own, asked over the network.

It serves an empty workspace on an instance of its own; the mutation tried on it changes that instance.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.embedded.free_port import free_port

COMMAND = [sys.executable, "-P", "-m", "rebalancer_pipelines.orchestration.webserver"]
TOKEN = "a-token-for-this-test-alone"
JSON = {"Content-Type": "application/json"}
LOGGED_IN = {"Authorization": f"Bearer {TOKEN}"}

LAUNCH = (
    "mutation { launchRun(executionParams: {selector: {repositoryLocationName: "
    '"none", repositoryName: "none", jobName: "none"}}) { __typename } }'
)
SUBSCRIPTION = 'subscription { capturedLogs(logKey: ["none"]) { stdout } }'


def limit(key: str) -> str:
    """A mutation that leaves a trace in the instance."""
    return f'mutation {{ setConcurrencyLimit(concurrencyKey: "{key}", limit: 1) }}'


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def data(self) -> Any:
        return json.loads(self.text)["data"]


@dataclass(frozen=True)
class Webserver:
    port: int
    log: Path

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, target: str, headers: Mapping[str, str] | None = None, body: str | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET" if body is None else "POST", target, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())
        finally:
            connection.close()

    def query(self, query: str, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("/graphql", {**JSON, **named}, json.dumps({"query": query}))

    def log_in(self, following: str) -> str:
        """The cookie of a new session, as a browser sends it back."""
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.origin}
        entered = self.ask("/login", form, urlencode({"token": TOKEN, "next": following}))
        assert (entered.status, entered.headers["location"]) == (303, following)
        return entered.headers["set-cookie"].partition(";")[0]

    def limited(self) -> set[str]:
        """The keys that mutations have left."""
        answer = self.query("{ instance { concurrencyLimits { concurrencyKey } } }")
        return {limit["concurrencyKey"] for limit in answer.data["instance"]["concurrencyLimits"]}

    @contextmanager
    def websocket(self, origin: str | None, headers: Mapping[str, str] | None = None) -> Iterator[Any]:
        with connect(
            f"ws://127.0.0.1:{self.port}/graphql",
            origin=Origin(origin) if origin else None,
            subprotocols=[Subprotocol("graphql-ws")],
            additional_headers=headers,
            proxy=None,
        ) as opened:
            yield opened


@contextmanager
def serving(folder: Path, *options: str, **environment: str) -> Iterator[Webserver]:
    (folder / "dagster.yaml").touch()
    workspace = folder / "workspace.yaml"
    workspace.write_text("load_from: []\n")
    server = Webserver(free_port(), folder / "webserver.log")
    arguments = ["--workspace", str(workspace), "--port", str(server.port), *options]
    surroundings = {**os.environ, "DAGSTER_HOME": str(folder), "DAGSTER_DISABLE_TELEMETRY": "1", **environment}
    with server.log.open("wb") as log:
        process = subprocess.Popen([*COMMAND, *arguments], stdout=log, stderr=log, env=surroundings)
    try:
        assert wait_until(lambda: process.poll() is not None or answers(server), 60)
        assert process.poll() is None, server.log.read_text()
        yield server
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def answers(server: Webserver) -> bool:
    try:
        return server.ask("/login").status > 0
    except OSError:
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    with serving(tmp_path_factory.mktemp("open"), "--allow-host", "rebalancer.example") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    """One that only shows, and only to whoever has the token."""
    folder = tmp_path_factory.mktemp("guarded")
    with serving(folder, "--read-only", "--auth", REBALANCER_UI_TOKEN=TOKEN) as running:
        yield running
        assert TOKEN not in running.log.read_text()


def test_the_ui_is_shown_and_its_own_page_may_act(server: Webserver) -> None:
    page = server.ask("/", {"Accept": "text/html"})
    assert (page.status, page.headers["x-frame-options"]) == (200, "SAMEORIGIN")
    assert "Dagster" in page.text
    script = re.search(r'src="(/_next/static/[^"]+\.js)"', page.text)
    assert script is not None
    assert server.ask(script[1], {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "script"}).status == 200

    assert server.query(limit("own"), Origin=server.origin, Sec_Fetch_Site="same-origin").status == 200
    assert "own" in server.limited()
    assert server.query(LAUNCH).data == {"launchRun": {"__typename": "PipelineNotFoundError"}}


def test_a_link_or_an_image_launches_nothing(server: Webserver) -> None:
    query = urlencode({"query": limit("link")})
    for headers in ({}, {"Accept": "text/html"}, {"Accept": "image/*", "Sec-Fetch-Site": "cross-site"}):
        for path in ("/graphql", "/graphql%0A", "/%67raphql", "/graphql/", "//graphql", "/./graphql", "/graphql;a"):
            server.ask(f"{path}?{query}", headers)
        assert server.ask(f"/graphql?{query}", headers).status in {403, 405}
    assert "link" not in server.limited()


def test_a_page_that_rebinds_its_name_is_refused(server: Webserver) -> None:
    evil = f"evil.example:{server.port}"
    assert server.query(limit("rebound"), Host=evil, Origin=f"http://{evil}").status == 421
    assert server.ask("/", {"Host": evil}).status == 421
    assert "rebound" not in server.limited()


def test_a_given_name_is_served(server: Webserver) -> None:
    name = f"rebalancer.example:{server.port}"
    assert server.query("{ version }", Host=name, Origin=f"http://{name}").status == 200
    proxied = {"Host": "rebalancer.example", "Origin": "https://rebalancer.example"}
    assert server.query("{ version }", **proxied).status == 403
    assert server.query("{ version }", **proxied, X_Forwarded_Proto="https").status == 200


def test_another_page_may_not_post(server: Webserver) -> None:
    assert server.query(limit("foreign"), Origin="http://evil.example").status == 403
    assert server.query(limit("foreign"), Origin="null").status == 403
    assert server.query(limit("foreign"), Sec_Fetch_Site="same-site").status == 403
    report = server.ask("/report_asset_materialization/planned_orders", {"Origin": "http://evil.example"}, "")
    assert report.status == 403
    assert "foreign" not in server.limited()


@pytest.mark.parametrize("kind", ["text/plain", "application/graphql", "multipart/form-data; boundary=a", None])
def test_what_a_form_can_send_is_no_query(server: Webserver, kind: str | None) -> None:
    target = f"/graphql?{urlencode({'query': limit('form')})}"
    headers = {"Content-Type": kind} if kind else {}
    assert server.ask(target, headers, json.dumps({"query": limit("form")})).status == 415
    assert "form" not in server.limited()


def test_a_websocket_opens_for_the_own_page_alone(server: Webserver) -> None:
    with server.websocket(server.origin) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=10)) == {"type": "connection_ack"}
    for origin in ("http://evil.example", "null", f"http://localhost:{server.port}"):
        with pytest.raises(InvalidStatus, match="HTTP 403"), server.websocket(origin):
            pass


def test_nobody_gets_in_without_the_token(guarded: Webserver) -> None:
    assert guarded.query("{ version }").status == 401
    assert guarded.query("{ version }", Authorization="Bearer wrong").status == 401
    assert guarded.ask("/server_info").status == 401
    assert "http-equiv" in guarded.ask("/runs", {"Accept": "text/html"}).text
    with pytest.raises(InvalidStatus, match="HTTP 403"), guarded.websocket(guarded.origin):
        pass


def test_the_token_lets_programs_in(guarded: Webserver) -> None:
    assert guarded.query("{ version }", **LOGGED_IN).status == 200
    with guarded.websocket(None, LOGGED_IN) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=10)) == {"type": "connection_ack"}


def test_a_login_lets_a_browser_in_until_it_logs_out(guarded: Webserver) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": guarded.origin}
    refused = guarded.ask("/login", form, urlencode({"token": "wrong", "next": "/runs"}))
    assert (refused.status, "set-cookie" in refused.headers) == (401, False)
    cookie = guarded.log_in("/runs")

    assert guarded.ask("/runs", {"Cookie": cookie, "Accept": "text/html"}).status == 200
    assert guarded.query("{ version }", Cookie=cookie, Origin=guarded.origin).status == 200
    with guarded.websocket(guarded.origin, {"Cookie": cookie}) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=10)) == {"type": "connection_ack"}
    foreign = {"Cookie": cookie, "Origin": "http://evil.example"}
    assert guarded.query("{ version }", **foreign).status == 403
    with pytest.raises(InvalidStatus, match="HTTP 403"), guarded.websocket("http://evil.example", {"Cookie": cookie}):
        pass

    assert guarded.ask("/logout", {**form, "Cookie": cookie}, "").status == 303
    assert guarded.query("{ version }", Cookie=cookie, Origin=guarded.origin).status == 401


def test_a_log_out_closes_what_that_login_has_open_and_nothing_else(guarded: Webserver) -> None:
    mine, other = ({"Cookie": guarded.log_in("/")} for _ in range(2))
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": guarded.origin}
    with (
        guarded.websocket(guarded.origin, mine) as subscribed,
        guarded.websocket(guarded.origin, mine) as silent,
        guarded.websocket(guarded.origin, other) as of_another_login,
        guarded.websocket(None, LOGGED_IN) as of_a_program,
    ):
        subscribed.send(json.dumps({"type": "start", "id": "1", "payload": {"query": SUBSCRIPTION}}))
        assert json.loads(subscribed.recv(timeout=10))["type"] == "data"
        assert guarded.ask("/logout", {**form, **mine}, "").status == 303
        for socket in (subscribed, silent):
            with pytest.raises(ConnectionClosedError, match=r"1008 .* the session is over"):
                socket.recv(timeout=5)
        for socket in (of_another_login, of_a_program):
            socket.send(json.dumps({"type": "connection_init"}))
            assert json.loads(socket.recv(timeout=10)) == {"type": "connection_ack"}


def test_a_read_only_ui_starts_and_changes_nothing(guarded: Webserver) -> None:
    assert guarded.query(LAUNCH, **LOGGED_IN).data == {"launchRun": {"__typename": "UnauthorizedError"}}
    # Dagster says no where its schema has room for a boolean only, so the refusal comes as an error.
    assert "UnauthorizedError" in guarded.query(limit("viewer"), **LOGGED_IN).text
    answer = guarded.query("{ instance { concurrencyLimits { concurrencyKey } } }", **LOGGED_IN)
    assert answer.data == {"instance": {"concurrencyLimits": []}}
    report = guarded.ask("/report_asset_materialization/planned_orders", {**JSON, **LOGGED_IN}, "{}")
    assert (report.status, json.loads(report.text)) == (
        401,
        {"error": "Not authorized to report runless asset events."},
    )


def test_an_open_door_is_refused(tmp_path: Path) -> None:
    options = ["--workspace", str(tmp_path / "none"), "--port", str(free_port()), "--host", "0.0.0.0"]
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: host: '0.0.0.0' lets other machines in; add --auth, or leave --host out\n"
