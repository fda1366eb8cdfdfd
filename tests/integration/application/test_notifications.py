"""What people are told of: stored with the fact itself, told once, and nothing where nobody wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from rebalancer_pipelines.adapters.assembly import open_ports
from rebalancer_pipelines.application.daily_digest import tell_daily_digest
from rebalancer_pipelines.application.freeze import freeze_account, freeze_within
from rebalancer_pipelines.application.notify import DENIED_AGAIN_AFTER, tell_paused
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.trading_control import halt, resume
from rebalancer_pipelines.domain.errors import DeniedError
from rebalancer_pipelines.domain.values import Currency
from tests.support.manual_clock import ManualClock
from tests.support.paper_account import open_paper_account
from tests.support.rebalancing import rebalance
from tests.support.stored import GAP, MORNING, Stored

ALL_KINDS = "rebalanced denied failed frozen paused digest"
NOBODY = "json://127.0.0.1:1"
Told = Callable[..., Any]


@pytest.fixture
def told(ready_database: str, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Opens ports of an installation that tells people these kinds of facts."""
    stored.show_recording(MORNING)

    @contextmanager
    def opened(kinds: str | None = ALL_KINDS, urls: str = NOBODY) -> Iterator[Ports]:
        monkeypatch.setenv("NOTIFY_URLS", urls)
        if kinds is not None:
            monkeypatch.setenv("NOTIFY_KINDS", kinds)
        with open_ports(ready_database) as ports:
            yield ports

    return opened


def furnish(ports: Ports, settings: dict[str, str] | None = None) -> None:
    open_paper_account(ports, {Currency("EUR"): Decimal(1000)}, settings=settings)
    create_portfolio(ports, {"name": "core", "account": "main", "weights": "BTC=50,EUR=50", "enabled": True})


def messages(stored: Stored) -> list[dict[str, Any]]:
    return stored.rows("SELECT kind, subject, title, body FROM notification ORDER BY created_at, id")


def titles(stored: Stored) -> list[str]:
    return [message["title"] for message in messages(stored)]


def at(ports: Ports, later: timedelta) -> Ports:
    return replace(ports, clock=ManualClock(ports.clock.now() + later))


def test_a_rebalance_is_told_with_its_figures(told: Told, stored: Stored) -> None:
    with told() as ports:
        furnish(ports)
        record = rebalance(ports, "core")
    (message,) = messages(stored)
    assert (message["kind"], message["subject"]) == ("rebalanced", "core")
    assert message["title"] == "core rebalanced (play money)"
    assert message["body"].splitlines() == [
        f"Traded {record.total_value_traded:.2f} EUR in 1 of 1 orders, fees {record.fees_paid:.2f} EUR.",
        "Value 1,000.00 EUR before the orders.",
        f"{record.executed_at:%Y-%m-%d %H:%M} UTC",
    ]
    waits = stored.row("SELECT sent_at, attempts, next_attempt_at, created_at FROM notification")
    assert (waits["sent_at"], waits["attempts"]) == (None, 0)
    assert waits["next_attempt_at"] == waits["created_at"] == record.executed_at


def test_a_rehearsal_and_a_run_without_orders_are_not_worth_a_message(told: Told, stored: Stored) -> None:
    with told() as ports:
        furnish(ports)
        assert rebalance(ports, "core", dry_run=True).orders_executed == 1
        assert messages(stored) == []
        rebalance(ports, "core")
        assert rebalance(ports, "core").orders_executed == 0
    assert titles(stored) == ["core rebalanced (play money)"]


def test_a_denial_is_told_once_in_six_hours_for_the_same_reason(told: Told, stored: Stored) -> None:
    with told() as ports:
        furnish(ports, {"max_turnover": "0.2"})

        def refused(ports: Ports = ports, **options: bool) -> None:
            with pytest.raises(DeniedError):
                rebalance(ports, "core", **options)

        refused()
        refused()
        (message,) = messages(stored)
        assert (message["kind"], message["title"]) == ("denied", "core denied: TURNOVER (play money)")
        assert message["body"].splitlines()[0].startswith("TURNOVER: the plan turns over ")
        assert "Nothing was traded." in message["body"]

        halt(ports, None, "look")
        refused()
        assert titles(stored)[1:] == ["core denied: KILLED (play money)"]
        refused(at(ports, DENIED_AGAIN_AFTER - timedelta(minutes=1)))
        assert len(titles(stored)) == 2
        refused(at(ports, DENIED_AGAIN_AFTER + timedelta(minutes=1)))
        assert titles(stored)[2:] == ["core denied: KILLED (play money)"]
    assert len(stored.history("core")) == 5


def test_a_failure_is_told_every_time(told: Told, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    with told() as ports:
        open_paper_account(ports, {Currency("EUR"): Decimal(1000)})
        create_portfolio(ports, {"name": "core", "account": "main", "weights": "BTC=50,ETH=50"})
        stored.show_recording(GAP)
        for _ in range(2):
            with pytest.raises(DeniedError):
                rebalance(ports, "core")
        assert titles(stored) == ["core denied: PRICE_INVALID (play money)"]

        class Gone:
            def connect(self, account: object) -> None:
                raise RuntimeError("postgresql://me:s3cret-word@host")

        for _ in range(2):
            with pytest.raises(RuntimeError):
                rebalance(replace(ports, venues=Gone()), "core")  # type: ignore[arg-type]
    failed = messages(stored)[1:]
    assert [message["title"] for message in failed] == ["core failed: UNEXPECTED (play money)"] * 2
    assert {message["kind"] for message in failed} == {"failed"}
    assert "s3cret-word" not in str(failed)


def test_a_freeze_is_told_once_and_with_it_or_not_at_all(told: Told, stored: Stored) -> None:
    with told() as ports:
        furnish(ports)
        with ports.transactions() as work:
            account = work.accounts.get("main")
            freeze_within(work, account, "undone", ports.clock.now())
        assert messages(stored) == []
        freeze_account(ports, account, "books\x1b differ\tby 5 EUR")
        freeze_account(ports, account, "again")
        (message,) = messages(stored)
        assert (message["kind"], message["subject"], message["title"]) == ("frozen", "main", "Account main is frozen")
        assert message["body"].startswith("books  differ by 5 EUR\nNothing trades on it until a person has looked")
        resume(ports, "main")
        freeze_account(ports, account, "again")
    assert len(messages(stored)) == 2


def test_a_pause_is_told(told: Told, stored: Stored) -> None:
    with told() as ports:
        furnish(ports)
        with ports.transactions() as work:
            tell_paused(work, work.portfolios.get("core"), "5 failures in a row", ports.clock.now())
            work.commit()
    (message,) = messages(stored)
    assert (message["kind"], message["subject"], message["title"]) == ("paused", "core", "core is paused")
    assert message["body"].startswith("5 failures in a row\n")
    assert "'rebalancer portfolio resume core'" in message["body"]


@pytest.mark.parametrize(("kinds", "urls"), [(ALL_KINDS, " "), ("paused", NOBODY)])
def test_nothing_is_stored_that_nobody_wants(told: Told, stored: Stored, kinds: str, urls: str) -> None:
    with told(kinds, urls) as ports:
        furnish(ports)
        rebalance(ports, "core")
        assert tell_daily_digest(ports) is False
        with ports.transactions() as work:
            account = work.accounts.get("main")
        freeze_account(ports, account, "look")
        with pytest.raises(DeniedError):
            rebalance(ports, "core")
    assert messages(stored) == []


def test_that_all_went_well_is_told_to_those_who_ask_for_it(told: Told, stored: Stored) -> None:
    with told(None) as ports:
        furnish(ports)
        rebalance(ports, "core")
        assert messages(stored) == []
        freeze_account(ports, account_of(ports), "look")
    assert titles(stored) == ["Account main is frozen"]


def account_of(ports: Ports) -> Any:
    with ports.transactions() as work:
        return work.accounts.get("main")


def test_the_digest_sums_the_day_up(told: Told, stored: Stored) -> None:
    with told("digest") as ports:
        furnish(ports)
        assert tell_daily_digest(ports) is True
        assert messages(stored)[0]["title"] == "24 hours: 1 portfolios, 0 rebalances, 0 denied or failed"
        assert messages(stored)[0]["body"].startswith("core: value not known yet; next due ")

        create_portfolio(ports, {"name": "rest", "account": "main", "weights": "EUR=100"}, allocations=None)
        record = rebalance(ports, "core")
        stored.change(
            "UPDATE rebalance_history SET executed_at = executed_at - interval '2 days', portfolio_value = 800"
        )
        rebalance(ports, "core", dry_run=True)
        halt(ports, "main", "look closer")
        with pytest.raises(DeniedError):
            rebalance(ports, "core")
        stored.change("UPDATE portfolio SET paused_at = now(), paused_reason = 'bad luck' WHERE name = 'rest'")
        halt(ports, None, "look")
        assert tell_daily_digest(ports) is True
    message = messages(stored)[-1]
    assert message["kind"] == "digest"
    assert message["title"] == "24 hours: 2 portfolios, 0 rebalances, 1 denied or failed, 2 stand still"
    first, core, rest, _ = message["body"].splitlines()
    value = stored.history("core")[-2]["portfolio_value"]
    assert first == "EVERYTHING IS STOPPED: look"
    moved = f"({value - 800:+.2f}, {(value - 800) / 8:+.2f} %)"
    assert core.startswith(f"core: {value:.2f} EUR {moved}; 1 denied or failed; 1 dry runs; next due ")
    assert core.endswith("; account main HALTED: look closer")
    assert rest == "rest: value not known yet; PAUSED: bad luck; account main HALTED: look closer"
    assert record.success


def test_the_digest_counts_what_was_traded(told: Told, stored: Stored) -> None:
    with told("digest") as ports:
        furnish(ports)
        record = rebalance(ports, "core")
        tell_daily_digest(ports)
    (message,) = messages(stored)
    assert message["title"] == "24 hours: 1 portfolios, 1 rebalances, 0 denied or failed"
    assert message["body"].startswith(
        f"core: 1,000.00 EUR; 1 rebalances, traded {record.total_value_traded:.2f} EUR, "
        f"fees {record.fees_paid:.2f} EUR; next due "
    )
