"""Who starts the servers, who shares them, who stops them, and what survives a kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import redis

from .conftest import User, eventually, execute, kill_and_wait, postmaster_pid, servers_of

StartUser = Callable[..., User]


def test_data_survive_a_stop_and_nothing_else_does(data_dir: Path, uid: int | None, start_user: StartUser) -> None:
    first = start_user(data_dir, uid=uid)
    url, redis_url = first.urls()
    execute(url, "CREATE TABLE coins AS SELECT 'BTC' AS symbol")
    assert redis_url is not None
    assert redis.Redis.from_url(redis_url).set("key", "value")
    running = servers_of(data_dir)
    assert {process.name() for process in running} == {"postgres", "valkey-server"}
    assert 0 not in {process.uids().real for process in running}
    first.leave()
    assert servers_of(data_dir) == []

    again = start_user(data_dir, uid=uid)
    assert execute(again.urls()[0], "SELECT symbol FROM coins") == [("BTC",)]
    again.leave()
    assert servers_of(data_dir) == []


def test_two_first_users_at_once_get_one_server(data_dir: Path, uid: int | None, start_user: StartUser) -> None:
    one, other = start_user(data_dir, uid=uid), start_user(data_dir, uid=uid)
    urls, same_urls = one.urls(), other.urls()
    assert urls == same_urls
    one.leave()
    assert execute(urls[0], "SELECT 1") == [(1,)]
    third = start_user(data_dir, uid=uid)
    assert third.urls() == urls
    other.leave()
    assert execute(urls[0], "SELECT 1") == [(1,)]
    third.leave()
    assert servers_of(data_dir) == []


def test_a_killed_users_server_is_taken_over(data_dir: Path, uid: int | None, start_user: StartUser) -> None:
    killed = start_user(data_dir, uid=uid)
    urls = killed.urls()
    server = postmaster_pid(data_dir)
    kill_and_wait(killed.process.pid)

    heir = start_user(data_dir, uid=uid)
    assert heir.urls() == urls
    assert postmaster_pid(data_dir) == server
    heir.leave()
    assert servers_of(data_dir) == []


def test_a_killed_postmaster_comes_back_for_its_users(data_dir: Path, uid: int | None, start_user: StartUser) -> None:
    survivor = start_user(data_dir, uid=uid)
    urls = survivor.urls()
    execute(urls[0], "CREATE TABLE coins AS SELECT 'BTC' AS symbol")
    kill_and_wait(postmaster_pid(data_dir))

    reviver = start_user(data_dir, uid=uid)
    assert reviver.urls() == urls, "the survivor's URL must work again"
    assert execute(urls[0], "SELECT symbol FROM coins") == [("BTC",)]
    reviver.leave()
    assert execute(urls[0], "SELECT 1") == [(1,)]
    survivor.leave()
    assert servers_of(data_dir) == []


def test_after_a_kill_of_everything_the_data_are_there(data_dir: Path, uid: int | None, start_user: StartUser) -> None:
    user = start_user(data_dir, uid=uid)
    url, _ = user.urls()
    execute(url, "CREATE TABLE coins AS SELECT 'BTC' AS symbol")
    user.kill_group()
    assert servers_of(data_dir), "servers must be out of reach of a kill of their user's group"
    kill_and_wait(*(process.pid for process in servers_of(data_dir)))

    next_user = start_user(data_dir, uid=uid)
    assert execute(next_user.urls()[0], "SELECT symbol FROM coins") == [("BTC",)]
    next_user.leave()
    assert servers_of(data_dir) == []


def test_a_surviving_backend_does_not_block_the_next_start(data_dir: Path, start_user: StartUser) -> None:
    user = start_user(data_dir)
    user.urls()
    # A stopped process does not notice that the postmaster is gone and keeps the shared memory in use.
    stopped = next(process for process in servers_of(data_dir) if "checkpointer" in " ".join(process.cmdline()))
    stopped.send_signal(signal.SIGSTOP)
    kill_and_wait(postmaster_pid(data_dir))
    user.kill_group()
    assert stopped.is_running()

    next_user = start_user(data_dir)
    assert execute(next_user.urls()[0], "SELECT 1") == [(1,)]
    assert not stopped.is_running() or stopped.status() == psutil.STATUS_ZOMBIE
    next_user.leave()


def test_a_process_id_that_now_belongs_to_a_stranger(data_dir: Path, start_user: StartUser) -> None:
    user = start_user(data_dir)
    user.urls()
    server_uid = data_dir.joinpath("postgres").stat().st_uid
    stale = data_dir / "postgres" / "data" / "postmaster.pid"
    kill_and_wait(*(process.pid for process in servers_of(data_dir)))
    user.kill_group()
    stranger = subprocess.Popen(["sleep", "600"], user=server_uid)
    try:
        lines = stale.read_text().splitlines()
        stale.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        next_user = start_user(data_dir)
        assert execute(next_user.urls()[0], "SELECT 1") == [(1,)]
        next_user.leave()
        assert stranger.poll() is None, "a stranger must not be signalled"
    finally:
        stranger.kill()
        stranger.wait()


def test_an_interrupted_first_start_leaves_nothing_behind(data_dir: Path, start_user: StartUser) -> None:
    interrupted = start_user(data_dir)
    assert eventually(lambda: any(data_dir.glob("postgres.new-*/data/base")))
    interrupted.kill_group()

    user = start_user(data_dir)
    assert execute(user.urls()[0], "SELECT 1") == [(1,)]
    user.leave()
    assert not list(data_dir.glob("postgres.new-*"))
    assert servers_of(data_dir) == []


def test_control_c_in_a_first_start_ends_everything(data_dir: Path, start_user: StartUser) -> None:
    interrupted = start_user(data_dir)
    assert eventually(lambda: any(data_dir.glob("postgres.new-*/data/base")))
    os.killpg(interrupted.process.pid, signal.SIGINT)
    interrupted.process.wait(60)
    assert servers_of(data_dir) == []
    assert not list(data_dir.glob("postgres*/"))


def test_a_kill_in_the_middle_of_a_start(data_dir: Path, start_user: StartUser) -> None:
    first = start_user(data_dir)
    first.urls()
    first.leave()
    interrupted = start_user(data_dir)
    assert eventually(lambda: bool(servers_of(data_dir)))
    kill_and_wait(interrupted.process.pid)

    user = start_user(data_dir)
    assert execute(user.urls()[0], "SELECT 1") == [(1,)]
    user.leave()
    assert servers_of(data_dir) == []


def test_control_c_leaves_the_server_to_its_user(data_dir: Path, start_user: StartUser) -> None:
    user = start_user(data_dir)
    user.urls()
    os.killpg(user.process.pid, signal.SIGINT)
    assert user.next_answer() == {"step": "interrupted", "row": [1]}
    user.leave()
    assert servers_of(data_dir) == []
