"""What may happen to our own database while money moves: nothing leaves that was not durable, and nothing is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.application.review import review_account
from rebalancer_pipelines.application.trading_control import resume
from rebalancer_pipelines.domain.errors import DeniedError, RebalancerError
from tests.support.killed_steps import Steps, StepwiseUnitOfWork
from tests.support.kraken_bench import KrakenBench, Meanwhile, merged
from tests.support.kraken_double import ErrorAnswer, KrakenDouble, LoseRequest, LoseResponse, kraken_double
from tests.support.ports_on import ports_on
from tests.support.postgres import drop_database
from tests.support.running_clock import RunningClock
from tests.support.stored import Stored

BTC, ETH = "XXBTZEUR", "XETHZEUR"

_numbers = itertools.count(1)


# What strikes.


def struck(bench: KrakenBench, engine: Engine, place: str) -> KrakenBench:
    """The bench, with something that happens to the database at one commit, `before:SENDING:1` or `after:SENDING:1`.

    Before it, its backend is terminated. After it, the commit has taken effect, but the connection breaks before the
    acknowledgement has arrived.
    """

    def strike() -> None:
        if place.startswith("after"):
            lost = psycopg.OperationalError("server closed the connection unexpectedly")
            raise OperationalError("COMMIT", {}, lost, connection_invalidated=True)
        assert bench.stored.rows(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'rebalancer' AND datname = current_database() AND state = 'idle in transaction'"
        )

    steps = Steps(place, strike)
    return replace(bench, ports=replace(bench.ports, transactions=lambda: StepwiseUnitOfWork(engine, steps)))


def lose_connections(bench: KrakenBench) -> None:
    """Terminate every backend that works for the program."""
    bench.stored.rows(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'rebalancer' AND datname = current_database()"
    )


def on_server(url: str, statement: str) -> None:
    """Do something to the database of a URL from beside it."""
    parts = urlsplit(url)
    with psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(parts.path.lstrip("/"))))  # type: ignore[arg-type]


@contextmanager
def undoing(
    bench: KrakenBench, table: str, which: int, code: str, *, change: str = "INSERT OR UPDATE", only_when: str = "TRUE"
) -> Iterator[None]:
    """Let PostgreSQL undo the transaction that changes a table's row for the so-manieth time, at its commit."""
    bench.stored.change(
        "CREATE SEQUENCE changes; "
        "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF nextval('changes') = TG_ARGV[0]::int THEN "
        "RAISE EXCEPTION 'undone for the sake of another session' USING ERRCODE = TG_ARGV[1]; "
        "END IF; RETURN NULL; END $$"
    )
    bench.stored.change(
        sql.SQL(  # type: ignore[arg-type]
            "CREATE CONSTRAINT TRIGGER undo AFTER {} ON {} DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW WHEN ({}) EXECUTE FUNCTION undo({}, {})"
        ).format(sql.SQL(change), sql.Identifier(table), sql.SQL(only_when), sql.Literal(str(which)), sql.Literal(code))
    )
    try:
        yield
    finally:
        bench.stored.change("DROP FUNCTION undo() CASCADE")
        bench.stored.change("DROP SEQUENCE changes")


def is_one_line(error: BaseException) -> bool:
    text = str(error)
    return text.startswith("DATABASE_URL") and "\n" not in text and len(text) < 300


# Commits that are cut off.


def sound(bench: KrakenBench) -> None:
    """Nothing else goes wrong."""


def answer_lost(bench: KrakenBench) -> None:
    bench.double.inject("AddOrder", LoseResponse())


def refused(bench: KrakenBench) -> None:
    bench.double.inject("AddOrder", ErrorAnswer("EOrder:Insufficient funds"))


def request_lost(bench: KrakenBench) -> None:
    bench.double.inject("AddOrder", LoseRequest())


def left_open(bench: KrakenBench) -> None:
    bench.double.leave_open(filled="0.003")


COMMITS: dict[str, tuple[Callable[[KrakenBench], None], int, list[str]]] = {
    # What else goes wrong, how many orders have left when the commit is cut off, and what is taken in the end.
    "started:1": (sound, 0, [BTC, ETH]),
    "planned:1": (sound, 0, [BTC, ETH]),
    "SENDING:1": (sound, 0, [BTC, ETH]),
    "OPEN:1": (sound, 1, [BTC, ETH]),
    "UNKNOWN:1": (answer_lost, 1, [BTC, ETH]),
    "REJECTED:1": (refused, 1, [BTC, ETH]),
    "NOT_ACCEPTED:1": (request_lost, 1, [BTC, ETH]),
    "SENDING:2": (sound, 1, [BTC, ETH]),
    "OPEN:2": (sound, 2, [BTC, ETH]),
    "CANCELING:1": (left_open, 2, [BTC, ETH, BTC]),
    "booked:1": (sound, 2, [BTC, ETH]),
    "booked:2": (sound, 2, [BTC, ETH]),
    "closed:1": (sound, 2, [BTC, ETH]),
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("commit", COMMITS)
def test_a_commit_that_is_cut_off_sends_nothing_and_is_settled_by_the_next_run(
    bench: KrakenBench, engine: Engine, commit: str, moment: str
) -> None:
    prepare, sent, taken = COMMITS[commit]
    bench.open(hold_seconds="10")
    prepare(bench)
    unlucky = struck(bench, engine, f"{moment}:{commit}")
    with pytest.raises(RebalancerError) as refusal:
        unlucky.run()
    assert is_one_line(refusal.value)
    assert len(bench.sent()) == sent
    bench.run()
    assert bench.taken() == taken
    bench.assert_one_story()


@pytest.mark.parametrize("commit", ["after:SENDING:1", "before:OPEN:1", "after:SENDING:2", "before:booked:1"])
def test_a_commit_that_is_cut_off_is_settled_by_recovery_too(bench: KrakenBench, engine: Engine, commit: str) -> None:
    bench.open()
    with pytest.raises(RebalancerError):
        struck(bench, engine, commit).run()
    sent = bench.sent()
    bench.clock.pass_time(timedelta(minutes=2))
    assert recover_abandoned_accounts(bench.ports) == []
    assert bench.sent() == sent
    bench.assert_one_story()


# Connections that break.


@pytest.mark.parametrize("endpoint", ["BalanceEx", "Ticker", "AddOrder", "QueryOrders", "Ledgers"])
def test_connections_that_break_while_the_venue_is_asked_are_opened_again(bench: KrakenBench, endpoint: str) -> None:
    bench.open()
    bench.double.inject(endpoint, Meanwhile(lambda: lose_connections(bench)), times=2)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    assert len(bench.sent()) == 2
    bench.assert_one_story()


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
def test_a_database_that_is_gone_when_an_order_is_answered_lets_nothing_more_leave(
    bench: KrakenBench, module_database: str, place: int
) -> None:
    bench.open(lease_seconds="0.5")

    def go_away() -> None:
        on_server(module_database, "ALTER DATABASE {} WITH ALLOW_CONNECTIONS false")
        lose_connections(bench)

    bench.double.inject("AddOrder", Meanwhile(go_away), after=place)
    try:
        with pytest.raises(RebalancerError) as refusal:
            bench.run()
    finally:
        on_server(module_database, "ALTER DATABASE {} WITH ALLOW_CONNECTIONS true")
    assert is_one_line(refusal.value)
    assert bench.taken() == [BTC, ETH][: place + 1]
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    assert len(bench.sent()) == 2
    bench.assert_one_story()


# Transactions that are undone.

DEADLOCK, SERIALIZATION, DISK_FULL = "40P01", "40001", "53100"


@pytest.mark.parametrize(
    ("table", "which", "code"),
    [
        ("rebalance", 1, DEADLOCK),  # it is opened
        ("order_intent", 1, DEADLOCK),  # the plan
        ("order_intent", 3, DEADLOCK),  # the first order is about to leave
        ("order_intent", 3, SERIALIZATION),
        ("order_intent", 3, DISK_FULL),
        ("order_intent", 4, DEADLOCK),  # its answer
        ("order_intent", 5, DEADLOCK),  # the second order is about to leave
        ("fill", 1, DEADLOCK),
        ("fill", 2, SERIALIZATION),
        ("ledger_entry", 3, DISK_FULL),  # the first after the portfolio has got its money
        ("rebalance_history", 1, DEADLOCK),
    ],
)
def test_a_transaction_that_is_undone_is_one_line_and_doubles_nothing(
    bench: KrakenBench, table: str, which: int, code: str
) -> None:
    bench.open(hold_seconds="10")
    with undoing(bench, table, which, code), pytest.raises(RebalancerError) as refusal:
        bench.run()
    assert is_one_line(refusal.value)
    bench.run()
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
def test_an_order_whose_turn_cannot_be_counted_does_not_leave(bench: KrakenBench, place: int) -> None:
    bench.open()
    is_order = "OLD.last_nonce <> NEW.last_nonce AND NEW.trading_counters <> '{}'"
    with undoing(bench, "venue_key", place + 1, DEADLOCK, change="UPDATE", only_when=is_order):
        bench.run()
    assert bench.codes() == [["ORDER_REJECTED"]]
    assert bench.taken() == [[BTC, ETH][1 - place]]
    assert len(bench.sent()) == 1
    assert bench.run().success
    assert sorted(bench.taken()) == sorted([BTC, ETH])
    bench.assert_one_story()


# An older copy of the database.


@pytest.fixture
def double() -> Iterator[KrakenDouble]:
    """A venue that outlives what the program knows of it."""
    with kraken_double(clock=RunningClock(), tier="pro", balances={"EUR": "1000"}) as double:
        yield double


@contextmanager
def bench_on(url: str, double: KrakenDouble, data_dir: Path) -> Iterator[KrakenBench]:
    """The program on one database; afterwards nobody is connected to it, so that it can be copied."""
    clock: RunningClock = double._clock  # type: ignore[assignment]
    with Stored(url) as stored, ports_on(url, clock, data_dir) as ports:
        yield KrakenBench(ports, double, clock, stored)


@contextmanager
def copy_of(url: str) -> Iterator[str]:
    """The database as a backup would have kept it."""
    parts = urlsplit(url)
    copy = urlunsplit(parts._replace(path=f"{parts.path}_copy_{next(_numbers)}"))
    on_server(copy, "CREATE DATABASE {} TEMPLATE " + parts.path.lstrip("/"))
    try:
        yield copy
    finally:
        drop_database(url, urlsplit(copy).path.lstrip("/"))


def assert_books_equal_balances(bench: KrakenBench) -> None:
    """What a database can tell that does not know every order: each unit is booked once, and nothing was sent twice."""
    sums = {currency: amount for (_, currency), amount in bench.stored.ledger_sums().items()}
    assert sums == merged(bench.double.balances())
    assert len(bench.sent()) == len(set(bench.sent()))
    assert len({order.cl_ord_id for order in bench.double.orders}) == len(bench.double.orders)
    assert bench.double.violations == []


def count(bench: KrakenBench, kind: str) -> int:
    return len(bench.stored.rows("SELECT id FROM ledger_entry WHERE kind = %s", kind))


def test_an_older_copy_books_what_it_does_not_know_as_trades_from_outside_and_sends_nothing(
    ready_database: str, double: KrakenDouble, tmp_path: Path
) -> None:
    with bench_on(ready_database, double, tmp_path) as before:
        before.open()
        assert before.run().success
    with copy_of(ready_database) as copy:
        with bench_on(ready_database, double, tmp_path) as original:
            double.deposit("EUR", "500")
            assert original.run().success
            original.assert_one_story()
        sent = original.sent()
        assert len(sent) == 4
        with bench_on(copy, double, tmp_path) as restored:
            restored.clock.pass_time(timedelta(minutes=5))
            assert restored.run().success
            assert restored.sent() == sent
            assert count(restored, "outside_trade") == 4
            assert restored.run().success
            assert restored.sent() == sent
            assert_books_equal_balances(restored)


def test_an_older_copy_that_nothing_explains_is_frozen_with_the_difference(
    ready_database: str, double: KrakenDouble, tmp_path: Path
) -> None:
    with bench_on(ready_database, double, tmp_path) as before:
        before.open()
    with copy_of(ready_database) as copy:
        with bench_on(ready_database, double, tmp_path) as original:
            assert original.run().success
        sent = original.sent()
        double.hide_trades_for(3600)
        with bench_on(copy, double, tmp_path) as restored:
            with pytest.raises(DeniedError, match=r"BOOKS_DIFFER: .*BTC \+0\.006.*ETH \+0\.12.*EUR -70"):
                restored.run()
            assert restored.account()["trading_state"] == "halted"
            with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
                restored.run()
            assert restored.sent() == sent
            double.hide_trades_for(0)
            assert review_account(restored.ports, "kraken").is_clear
            resume(restored.ports, "kraken")
            assert restored.run().success
            assert restored.sent() == sent
            assert_books_equal_balances(restored)


@pytest.mark.parametrize(
    ("commit", "first"),
    [
        ("before:SENDING:1", "VOID"),
        ("before:OPEN:1", "FILLED"),
        ("after:OPEN:1", "FILLED"),
        ("before:booked:1", "FILLED"),
    ],
)
def test_a_copy_that_was_made_during_a_run_finds_what_became_of_its_orders(
    ready_database: str, double: KrakenDouble, tmp_path: Path, commit: str, first: str
) -> None:
    with bench_on(ready_database, double, tmp_path) as before:
        before.open()
        with open_engine(ready_database) as engine, pytest.raises(RebalancerError):
            struck(before, engine, commit).run()
    with copy_of(ready_database) as copy:
        with bench_on(ready_database, double, tmp_path) as original:
            assert original.run().success
            original.assert_one_story()
        sent = original.sent()
        with bench_on(copy, double, tmp_path) as restored:
            restored.clock.pass_time(timedelta(minutes=5))
            assert restored.run().success
            assert restored.sent() == sent
            assert restored.intents()[0] == ("BTC/EUR", first)
            assert_books_equal_balances(restored)
