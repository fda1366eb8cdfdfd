from __future__ import annotations

import socket

from rebalancer_pipelines.adapters.embedded.free_port import LOOPBACK, free_port


def test_a_preferred_port_is_taken_if_it_is_free() -> None:
    port = free_port()
    assert free_port(port) == port


def test_a_preferred_port_in_use_is_passed_over() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        taken = listener.getsockname()[1]
        assert free_port(taken) not in {taken, 0}


def test_the_port_is_none_that_outgoing_connections_are_given() -> None:
    assert all(port < 32_768 for port in (free_port() for _ in range(20)))
