"""Many portfolios, many accounts, two batches at once: nobody stops, waits for or takes from anybody else."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

from rebalancer_pipelines.application.batch.attempt import Outcome
from rebalancer_pipelines.application.ports import Ports, Venue, Venues
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.values import Currency
from tests.support.batches import create_sharing, rebalance_together
from tests.support.netted_story import assert_nothing_lost_inside
from tests.support.paper_account import open_paper_account
from tests.support.stored import MORNING, Stored

Sharing = dict[str, tuple[str, dict[str, str]]]


def a_crossing(number: int) -> Sharing:
    """Four portfolios of one account: BTC crosses, the rest wants ETH and XRP."""
    return {
        f"p{number}-buyer": ("BTC=40,ETH=30,EUR=30", {"EUR": "1000"}),
        f"p{number}-seller": ("BTC=20,ETH=40,EUR=40", {"BTC": "0.4"}),
        f"p{number}-both": ("BTC=50,XRP=30,EUR=20", {"BTC": "0.1", "EUR": "300"}),
        f"p{number}-still": ("EUR=100", {"EUR": "100"}),
    }


def open_account(ports: Ports, name: str, sharing: Sharing, **settings: str) -> None:
    totals: dict[Currency, Decimal] = {}
    for _, owned in sharing.values():
        for currency, amount in owned.items():
            totals[Currency(currency)] = totals.get(Currency(currency), Decimal(0)) + Decimal(amount)
    open_paper_account(ports, totals, name=name, settings={"max_turnover": "off", **settings})
    create_sharing(ports, sharing, account=name)


def successes(outcomes: dict[str, Outcome]) -> list[bool | None]:
    return [outcome.record.success if outcome.record else None for outcome in outcomes.values()]


def assert_books_equal_venue(stored: Stored) -> None:
    assert stored.ledger_sums() == stored.venue_balances()
    assert_nothing_lost_inside(stored)


def test_fifty_accounts_of_four_portfolios(ports: Ports, stored: Stored) -> None:
    """More accounts than threads, more threads than the pool would hold if each kept a connection for long."""
    stored.show_recording(MORNING)
    names: list[str] = []
    for number in range(50):
        sharing = a_crossing(number)
        open_account(ports, f"account-{number}", sharing)
        names += sharing
    outcomes = rebalance_together(ports, names)
    assert Counter(successes(outcomes)) == {True: 200}
    # BTC, ETH and XRP of each account; what crosses would have been three orders more.
    assert stored.row("SELECT count(*) AS orders FROM paper_order")["orders"] == 150
    assert_books_equal_venue(stored)


def test_a_hundred_portfolios_send_at_most_a_fifth_of_their_orders(ports: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    chance = random.Random(1)
    sharing: Sharing = {}
    for number in range(100):
        owned = {
            "EUR": str(chance.randint(100, 400)),
            "BTC": f"{chance.randint(50, 200) / 1000:.3f}",
            "ETH": f"{chance.randint(10, 60) / 10:.1f}",
        }
        sharing[f"p{number}"] = ("BTC=40,ETH=40,EUR=20", owned)
    open_account(ports, "main", sharing)
    outcomes = rebalance_together(ports, list(sharing))
    assert set(successes(outcomes)) == {True}
    planned = sum(outcome.record.orders_planned for outcome in outcomes.values() if outcome.record)
    sent = stored.row("SELECT count(*) AS orders FROM paper_order")["orders"]
    assert planned > 100
    assert sent <= planned / 5
    assert_books_equal_venue(stored)


def test_two_batches_at_once_on_one_account_go_one_after_the_other(ports: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    sharing = a_crossing(1)
    open_account(ports, "main", sharing, pause_after_fill_seconds="0")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: rebalance_together(ports, list(sharing)), range(2))
    assert successes(first) == successes(second) == [True] * 4
    planned = sorted(sum(o.record.orders_planned for o in batch.values() if o.record) for batch in (first, second))
    assert planned[0] == 0, "the second found nothing left to do"
    assert stored.row("SELECT count(*) AS orders FROM paper_order")["orders"] == 3
    assert_books_equal_venue(stored)


def test_a_second_batch_that_will_not_wait_is_refused(ports: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    sharing = a_crossing(1)
    open_account(ports, "main", sharing)
    impatient = replace(ports, lease_patience=ports.lease_patience * 0)
    stored.change("UPDATE account SET lease_until = clock_timestamp() + interval '1 hour'")
    outcomes = rebalance_together(impatient, list(sharing))
    assert {o.record.errors[0]["code"] for o in outcomes.values() if o.record and o.record.errors} == {"ACCOUNT_BUSY"}
    assert stored.rows("SELECT * FROM paper_order") == []


class OddVenues:
    """The program's own venues, whose list has a market that nobody can plan with."""

    def __init__(self, venues: Venues, symbol: str) -> None:
        self._venues = venues
        self._symbol = symbol

    def connect(self, account: Account) -> Venue:
        venue = self._venues.connect(account)
        listed = dict(venue.markets())
        listed[self._symbol] = replace(listed[self._symbol], size_increment=Decimal(0))
        venue.markets = lambda: listed  # type: ignore[method-assign]
        return venue


def test_a_plan_that_breaks_stops_nobody_else(ports: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    sharing = a_crossing(1)
    open_account(ports, "main", sharing)
    odd = replace(ports, venues=OddVenues(ports.venues, "XRP/EUR"))
    outcomes = rebalance_together(odd, list(sharing))
    assert {name: o.record and o.record.success for name, o in outcomes.items()} == {
        name: name != "p1-both" for name in sharing
    }
    broken = outcomes["p1-both"].record
    assert broken is not None
    assert broken.errors is not None
    assert broken.errors[0]["code"] == "UNEXPECTED"
    assert_books_equal_venue(stored)


def test_an_account_whose_rows_cannot_be_written_stops_no_other(ports: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    good, bad = a_crossing(1), a_crossing(2)
    open_account(ports, "good", good)
    open_account(ports, "bad", bad)
    stored.change(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF (SELECT account.name FROM portfolio JOIN account ON account.id = account_id "
        "WHERE portfolio.id = NEW.portfolio_id) = 'bad' THEN RAISE EXCEPTION 'a test'; END IF; RETURN NEW; END $$"
    )
    stored.change("CREATE TRIGGER refuse BEFORE INSERT ON rebalance_history FOR EACH ROW EXECUTE FUNCTION refuse()")
    outcomes = rebalance_together(ports, [*bad, *good])
    assert {name: o.record and o.record.success for name, o in outcomes.items()} == {
        **dict.fromkeys(good, True),
        **dict.fromkeys(bad),
    }
    stored.change("UPDATE account SET trading_state = 'halted' WHERE name = 'bad'")
    refused = rebalance_together(ports, [*bad, *good])
    assert Counter(successes(refused)) == {True: 4, None: 4}
    stored.change("UPDATE account SET trading_state = 'active' WHERE name = 'bad'")
    stored.change("DROP TRIGGER refuse ON rebalance_history")
    assert recover_abandoned_accounts(ports) == []
    assert_books_equal_venue(stored)


def test_a_lease_that_is_lost_in_mid_batch_stops_it_there(ports: Ports, stored: Stored) -> None:
    """Another takes the account while the net sell is on its way: nothing more of this one is written or sent."""
    stored.show_recording(MORNING)
    sharing = a_crossing(1)
    open_account(ports, "main", sharing)
    # Whoever crosses holds a stale epoch by then.
    stored.change(
        "CREATE FUNCTION take_over() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "UPDATE account SET lease_epoch = lease_epoch + 1, lease_until = NULL WHERE id = NEW.account_id; "
        "RETURN NULL; END $$"
    )
    stored.change(
        "CREATE TRIGGER take_over AFTER UPDATE ON order_intent FOR EACH ROW "
        "WHEN (OLD.rebalance_id IS NULL AND NEW.state = 'FILLED') EXECUTE FUNCTION take_over()"
    )
    outcomes = rebalance_together(ports, list(sharing))
    assert successes(outcomes) == [None] * 4
    stored.change("DROP TRIGGER take_over ON order_intent")
    assert stored.row("SELECT count(*) AS orders FROM paper_order")["orders"] == 1
    assert stored.rows("SELECT id FROM rebalance_history") == []
    assert recover_abandoned_accounts(ports) == []
    assert stored.row("SELECT count(*) AS rows FROM rebalance_history")["rows"] == 4
    assert_books_equal_venue(stored)


def test_the_rate_limit_counts_net_orders_once(ports: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    sharing = a_crossing(1)
    open_account(ports, "main", sharing)
    rebalance_together(ports, list(sharing))
    with ports.transactions() as work:
        account = work.accounts.get("main")
        assert work.orders.count_sent(account.id, account.created_at) == 3
