"""An embedded Redis that is killed under the program: it comes back, and so does what waited in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import psutil
import pytest
import redis

from rebalancer_pipelines.adapters.redis.connection import answers
from rebalancer_pipelines.cli.launch import prepare_dagster
from rebalancer_pipelines.cli.revival import keep_cache
from rebalancer_pipelines.cli.session import Session, open_session
from rebalancer_pipelines.definitions import defs
from rebalancer_pipelines.orchestration.run_queue import SETTINGS, queue_name
from tests.integration.cli.conftest import Cli


@pytest.fixture
def session(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """With an embedded Redis of its own, and runs that are sent to workers through it; there is no worker."""
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.delenv("REDIS_URL")
    with open_session(None) as opened:
        assert opened.owns_cache
        prepare_dagster(opened, on_workers=True)
        yield opened


def url_of(session: Session) -> str:
    assert session.services.redis_url is not None
    return session.services.redis_url


def waiting(session: Session, instance: dg.DagsterInstance) -> int:
    prefix = SETTINGS["broker_transport_options"]["global_keyprefix"]
    with redis.Redis.from_url(url_of(session)) as broker:
        return broker.llen(f"{prefix}{queue_name(instance)}")  # type: ignore[return-value]


def kill_redis(session: Session) -> None:
    address = urlsplit(url_of(session))
    (server,) = {
        connection.pid
        for connection in psutil.net_connections("tcp4")
        if connection.status == psutil.CONN_LISTEN and connection.laddr == (address.hostname, address.port)
    }
    psutil.Process(server).kill()
    assert not answers(url_of(session))


def test_a_killed_redis_comes_back_with_the_runs_that_waited_in_it(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    with dg.DagsterInstance.get() as instance:
        run = instance.create_run_for_job(defs.resolve_job_def("rebalance"), tags={"dagster/partition": "core"})
        instance.launch_run(run.run_id, None)  # type: ignore[arg-type]
        assert keep_cache(session, for_workers=True)
        assert waiting(session, instance) == 1, "one that answers is left alone"
        kill_redis(session)
        assert keep_cache(session, for_workers=True)
        assert waiting(session, instance) == 1
    assert capsys.readouterr().out == "The embedded Redis had stopped; it runs again.\n"


def test_a_redis_that_is_not_ours_is_not_looked_after(cli: Cli, tmp_path: Path) -> None:
    with open_session(tmp_path / "data") as session:
        assert not session.owns_cache
        assert not keep_cache(session, for_workers=True)
