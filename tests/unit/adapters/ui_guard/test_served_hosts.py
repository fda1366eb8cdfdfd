"""Under which names the UI answers, and which addresses it may listen on."""

from __future__ import annotations

import pytest

from rebalancer_pipelines.adapters.ui_guard.served_hosts import parse_address, parse_name, served_hosts
from rebalancer_pipelines.domain.errors import InvalidInputError


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "localhost:3000", "LOCALHOST:3000", "[::1]:3000"])
def test_the_loopback_is_known_by_all_its_names(host: str) -> None:
    assert host in served_hosts("127.0.0.1", 3000)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:3000", "127.0.0.1", "127.0.0.1:3001", "localhost.:3000", "localhost:3000.evil"],
)
def test_any_other_name_is_not_ours(host: str) -> None:
    assert host not in served_hosts("127.0.0.1", 3000)


def test_an_address_that_is_listened_on_is_a_name_too() -> None:
    assert "192.168.1.5:3000" in served_hosts("192.168.1.5", 3000)
    assert "[fd00::5]:3000" in served_hosts("fd00::5", 3000)
    assert "0.0.0.0:3000" not in served_hosts("0.0.0.0", 3000)


def test_a_browser_leaves_out_the_port_of_http() -> None:
    assert "localhost" in served_hosts("127.0.0.1", 80)


def test_a_given_name_counts_directly_and_behind_a_proxy() -> None:
    hosts = served_hosts("127.0.0.1", 3000, ["Rebalancer.example", "other.example:8443", "[fd00::5]"])
    for host in (
        "rebalancer.example",
        "rebalancer.example:3000",
        "other.example:8443",
        "[fd00::5]",
        "[fd00::5]:3000",
    ):
        assert host in hosts
    for host in ("rebalancer.example:8443", "other.example", "other.example:3000"):
        assert host not in hosts


@pytest.mark.parametrize("text", ["", "*", "*.example", "http://a.example", "a b", "a.example:0", "a..b", "a:99999"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"allow_host: .* is not a host name; write it like"):
        parse_name(text)


@pytest.mark.parametrize(
    ("text", "address"), [("localhost", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("[::1]", "::1")]
)
def test_the_loopback_needs_no_login(text: str, address: str) -> None:
    assert parse_address(text, login=False) == address


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "192.168.1.5", "::ffff:c0a8:105"])
def test_an_address_that_others_reach_needs_a_login(text: str) -> None:
    with pytest.raises(InvalidInputError, match="lets other machines in; add --auth, or leave --host out"):
        parse_address(text, login=False)
    assert parse_address(text, login=True) == text


def test_a_name_is_no_address() -> None:
    with pytest.raises(InvalidInputError, match="host: 'my-machine' is not an address"):
        parse_address("my-machine", login=True)
