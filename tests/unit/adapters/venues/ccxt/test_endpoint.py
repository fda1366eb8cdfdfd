from __future__ import annotations

import pytest

from rebalancer_pipelines.adapters.venues.ccxt.endpoint import check_endpoint
from rebalancer_pipelines.domain.errors import InvalidInputError


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://api.kraken.com",
        "https://api.kraken.com/",
        "https://proxy.example:8443/kraken",
        "http://127.0.0.1:8080",
        "http://127.1.2.3",
        "http://localhost:8080/",
        "http://[::1]:8080",
    ],
)
def test_addresses_that_keys_may_travel_to(endpoint: str) -> None:
    check_endpoint(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "api.kraken.com",
        "ftp://api.kraken.com",
        "file:///etc/passwd",
        "https://",
        "https:///0",
        "https://:443",
        "https://api.kraken.com:x",
        "https://api.kraken.com:99999",
        "https://[::1",
        "https://api.kraken.com?key=1",
        "https://api.kraken.com/?",
        "https://api.kraken.com/#a",
        "https://api.kraken.com /0",
        "https://api.kraken.com\n",
        "http://api.kraken.com",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://2130706433",
    ],
)
def test_addresses_that_they_must_not_travel_to(endpoint: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_endpoint(endpoint)
    assert caught.value.field == "endpoint"


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_endpoint("https://me:hunter2@api.kraken.com")
    assert "hunter2" not in str(caught.value)
