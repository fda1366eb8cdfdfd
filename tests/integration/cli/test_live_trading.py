"""Real money, as far as Kraken's double can tell: from a key to a first run, what stops it, and what sets it going."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.conftest import KEY_VARIABLES
from tests.support.kraken_double.double import KrakenDouble
from tests.support.kraken_double.faults import LoseRequest, LoseResponse
from tests.support.kraken_double.gate import DEFAULT_PERMISSIONS
from tests.support.kraken_double.messages import Delivery, Request
from tests.support.stored import Stored

Cli = Callable[..., Any]

WEIGHTS = "BTC=50,ETH=30,EUR=20"
QUICK = (
    "--set",
    "rate_tier=pro",
    "--set",
    "pause_after_fill_seconds=0",
    "--set",
    "reconcile_pause_seconds=0",
    "--set",
    "hold_seconds=0",
)


@pytest.fixture
def account(live: Cli, kraken: KrakenDouble) -> str:
    """An account at Kraken that is still in dry run, with a portfolio `core` that owns all of it."""
    add = live("account", "add", "main", "--venue", "kraken", "--endpoint", kraken.url, *QUICK, "--json")
    assert (add.code, add.err) == (0, "")
    assert live("portfolio", "create", "core", "--account", "main", "--weights", WEIGHTS).code == 0
    return "main"


@pytest.fixture
def trading(live: Cli, account: str) -> str:
    """The same account, allowed to trade, with the first run from cash behind it."""
    assert live("account", "enable-trading", account, "--confirm", account).code == 0
    first = live("run", "core", "--confirm", "TURNOVER", "--json")
    assert (first.code, first.err) == (0, ""), first
    return account


def newest(live: Cli) -> dict[str, Any]:
    return live("history", "--limit", "1", "--json").json[0]


def sent(kraken: KrakenDouble) -> int:
    return kraken.count("AddOrder")


def at_venue(kraken: KrakenDouble) -> dict[tuple[str, str], Decimal]:
    return {("main", currency): total for currency, total in kraken.balances().items() if total}


def test_from_a_key_to_a_first_run(live: Cli, kraken: KrakenDouble, stored: Stored) -> None:
    opened = live("account", "add", "main", "--venue", "kraken", "--endpoint", kraken.url, *QUICK)
    assert opened.code == 0, opened
    assert "Account main is open on the kraken venue (live prices)." in opened.out
    assert "It is in DRY RUN" in opened.out
    assert "read from KRAKEN_API_KEY and KRAKEN_API_SECRET at every start" in opened.out
    assert "'rebalancer up' must be started with them" in opened.out
    assert live("portfolio", "create", "core", "--account", "main", "--weights", WEIGHTS).code == 0

    planned = live("plan", "core")
    assert planned.code == 0, planned
    assert "A live run would be denied: TURNOVER: " in planned.out
    assert "'rebalancer run core' is a DRY RUN, nothing is sent: account main may not trade real money" in planned.out

    rehearsed = live("run", "core")
    assert rehearsed.code == 0, rehearsed
    assert "DRY RUN, nothing is sent: account main may not trade real money yet" in rehearsed.out
    assert "A live run would be denied: TURNOVER: " in rehearsed.out
    assert newest(live)["dry_run"] is True
    assert sent(kraken) == 0

    enabled = live("account", "enable-trading", "main", "--confirm", "main")
    assert enabled.code == 0, enabled
    for said in ("LIVE, real money on kraken", "max_turnover", "--confirm TURNOVER", "rebalancer halt"):
        assert said in enabled.out

    denied = live("run", "core")
    assert denied.code == 1
    assert "TURNOVER: the plan turns over" in denied.out
    assert sent(kraken) == 0

    plan = live("plan", "core", "--json").json
    done = live("run", "core", "--confirm", "TURNOVER")
    assert done.code == 0, done
    assert "LIVE, real money on kraken (confirmed: TURNOVER)" in done.out
    row = newest(live)
    assert (row["success"], row["dry_run"], row["price_source"]) == (True, False, "live")
    assert (row["orders_planned"], row["orders_executed"], row["orders_failed"]) == (2, 2, 0)
    assert row["plan_hash"] == plan["plan_hash"]

    orders = {order.cl_ord_id: order for order in kraken.orders}
    listed = [order for order in row["orders"] if order["state"] != "SKIPPED"]
    assert {order["client_order_id"] for order in listed} == set(orders)
    for order in listed:
        at_kraken = orders[order["client_order_id"]]
        assert order["venue_order_id"] == at_kraken.txid
        assert Decimal(order["filled_quantity"]) == at_kraken.vol_exec
    assert kraken.violations == []
    assert stored.ledger_sums() == at_venue(kraken)

    shown = live("account", "show", "main", "--json").json
    assert shown["live_trading"] is True
    assert shown["differences"] == {}
    assert {(b["currency"], Decimal(b["total"])) for b in shown["balances"]} == {
        (currency, total) for (_, currency), total in at_venue(kraken).items()
    }
    assert shown["credentials"] == {"key_env": "KRAKEN_API_KEY", "secret_env": "KRAKEN_API_SECRET", "stored": False}
    assert shown["endpoint"] == kraken.url
    assert "Books and venue agree." in live("account", "show", "main").out

    again = live("run", "core", "--json")
    assert (again.code, again.json["orders_planned"]) == (0, 0)


def test_halt_and_resume(live: Cli, trading: str, kraken: KrakenDouble) -> None:
    kraken.quote("BTC/EUR", "64000.0", "64000.1")
    before = sent(kraken)
    assert live("halt", "--reason", "enough").code == 0
    refused = live("run", "core")
    assert refused.code == 1
    assert "KILLED: everything is stopped (enough)" in refused.out
    assert sent(kraken) == before
    assert live("resume").code == 0
    assert live("run", "core").code == 0
    assert sent(kraken) > before


@pytest.mark.parametrize("how", ["the file", "the switch", "the account", "the permission"])
def test_a_run_that_is_under_way_is_stopped_before_its_next_order(
    live: Cli,
    account: str,
    kraken: KrakenDouble,
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    how: str,
) -> None:
    answer = kraken.respond

    def stop() -> None:
        if how == "the file":
            (tmp_path / "data" / "HALT").write_text("enough")
        elif how == "the switch":
            stored.change("INSERT INTO kill_switch (reason, engaged_at) VALUES ('enough', now())")
        elif how == "the account":
            stored.change("UPDATE account SET trading_state = 'halted', trading_state_reason = 'enough'")
        else:
            stored.change("UPDATE account SET live_trading = false")

    def respond(request: Request) -> Delivery:
        if request.target.endswith("/AddOrder"):
            stop()
        return answer(request)

    assert live("account", "enable-trading", account, "--confirm", account).code == 0
    monkeypatch.setattr(kraken, "respond", respond)
    ran = live("run", "core", "--confirm", "TURNOVER")
    assert ran.code == 1
    row = newest(live)
    assert (row["success"], row["orders_planned"], row["orders_executed"]) == (False, 2, 1)
    code = {"the account": "ACCOUNT_HALTED", "the permission": "LIVE_DISABLED"}.get(how, "KILLED")
    assert row["errors"][0]["code"] == code
    assert code in ran.out
    assert [order.cl_ord_id for order in kraken.orders] == [row["orders"][0]["client_order_id"]]
    assert sent(kraken) == 1
    assert stored.ledger_sums() == at_venue(kraken)


def test_trading_is_taken_back(live: Cli, trading: str, kraken: KrakenDouble) -> None:
    kraken.quote("BTC/EUR", "64000.0", "64000.1")
    before = sent(kraken)
    told = live("account", "disable-trading", trading)
    assert told.code == 0
    assert "every run is a DRY RUN" in told.out
    ran = live("run", "core")
    assert ran.code == 0
    assert "DRY RUN" in ran.out
    assert sent(kraken) == before
    assert newest(live)["dry_run"] is True


def test_the_environment_forces_dry_runs(
    live: Cli, trading: str, kraken: KrakenDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    kraken.quote("BTC/EUR", "64000.0", "64000.1")
    before = sent(kraken)
    monkeypatch.setenv("SCHEDULER_DRY_RUN", "true")
    ran = live("run", "core")
    assert ran.code == 0
    assert "DRY RUN, nothing is sent: SCHEDULER_DRY_RUN is set" in ran.out
    assert sent(kraken) == before


def test_a_jump_of_the_price_is_confirmed_by_a_person(live: Cli, trading: str, kraken: KrakenDouble) -> None:
    kraken.quote("BTC/EUR", "70000.0", "70000.1")
    before = sent(kraken)
    denied = live("run", "core")
    assert denied.code == 1
    assert "PRICE_COLLAR: mid of BTC/EUR" in denied.out
    assert "--confirm PRICE_COLLAR" in denied.out
    assert sent(kraken) == before
    assert live("run", "core", "--confirm", "price_collar").code == 0
    assert sent(kraken) > before


def test_what_happens_at_the_venue_is_booked_and_can_be_released(
    live: Cli, trading: str, kraken: KrakenDouble, stored: Stored
) -> None:
    kraken.deposit("EUR", "250")
    kraken.reward("ETH", "0.002")
    shown = live("account", "show", trading)
    assert "Books and venue differ." in shown.out
    assert "rebalancer account review main" in shown.out
    reviewed = live("account", "review", trading)
    assert reviewed.code == 0, reviewed
    assert stored.ledger_sums() == at_venue(kraken)
    assert stored.book("core")["EUR"] == kraken.balances()["EUR"]

    released = live("portfolio", "release", "core", "EUR=250", "--json")
    assert released.code == 0
    assert Decimal(released.json["book"]["EUR"]) == kraken.balances()["EUR"] - 250


def test_a_first_run_may_begin_with_a_part_of_the_money(live: Cli, kraken: KrakenDouble, stored: Stored) -> None:
    for arguments in (
        ["account", "add", "main", "--venue", "kraken", "--endpoint", kraken.url, *QUICK],
        ["portfolio", "create", "rest", "--account", "main", "--weights", "EUR=100"],
        ["portfolio", "create", "core", "--account", "main", "--weights", WEIGHTS],
        ["portfolio", "allocate", "core", "EUR=500", "--from", "rest"],
        ["account", "enable-trading", "main", "--confirm", "main"],
        ["run", "core", "--confirm", "TURNOVER"],
    ):
        outcome = live(*arguments)
        assert outcome.code == 0, outcome
    assert stored.book("rest") == {"EUR": Decimal(9500)}
    assert kraken.balances()["EUR"] > 9500
    assert stored.ledger_sums() == at_venue(kraken)


def test_money_that_left_is_said_to_be_somebodys(live: Cli, trading: str, kraken: KrakenDouble, stored: Stored) -> None:
    assert live("portfolio", "create", "side", "--account", trading, "--weights", "EUR=100").code == 0
    kraken.withdraw("EUR", "100", fee="0.1")
    reviewed = live("account", "review", trading)
    assert reviewed.code == 1
    remedy = "rebalancer portfolio release NAME EUR=100.1"
    assert remedy in reviewed.out
    assert live("account", "review", trading, "--json").json["clear"] is False
    assert remedy in live("account", "show", trading).out
    assert f"'rebalancer run core' is refused now: EUR -100.1 left account {trading}" in live("plan", "core").out
    denied = live("run", "core")
    assert denied.code == 1
    assert "UNALLOCATED_SHORT: EUR -100.1 left account main" in denied.out
    assert live("portfolio", "release", "core", "EUR=100.1").code == 0
    assert live("account", "review", trading).code == 0
    assert live("run", "core").code == 0
    assert stored.ledger_sums() == at_venue(kraken)


def test_an_order_of_unknown_fate_goes_to_a_person_and_is_found_in_the_end(
    live: Cli, account: str, kraken: KrakenDouble, stored: Stored
) -> None:
    assert live("account", "set", account, "review_after_seconds=0", "not_after_seconds=3.5").code == 0
    assert live("account", "enable-trading", account, "--confirm", account).code == 0
    kraken.inject("AddOrder", LoseResponse())
    kraken.hide_orders_for(3600)
    ran = live("run", "core", "--confirm", "TURNOVER")
    assert ran.code == 1
    assert "rebalancer account review main" in ran.out

    found = live("account", "review", account, "--json")
    assert found.code == 1
    (order,) = found.json["orders"]
    (there,) = kraken.orders
    assert (order["client_order_id"], order["state"]) == (there.cl_ord_id, "NEEDS_REVIEW")
    told = live("account", "review", account)
    assert told.code == 1
    for said in (there.cl_ord_id, "buy", "BTC/EUR", f"--not-accepted {there.cl_ord_id}", "closed orders"):
        assert said in told.out
    shown = live("account", "show", account, "--json").json
    assert shown["trading_state"] == "halted"
    assert there.cl_ord_id in shown["trading_state_reason"]
    waiting = live("resume", "--account", account)
    assert (waiting.code, waiting.out) == (2, "")
    assert "rebalancer account review main" in waiting.err
    assert "ACCOUNT_HALTED" in live("run", "core").out

    kraken.hide_orders_for(0)
    cleared = live("account", "review", account)
    assert cleared.code == 0, cleared
    assert "rebalancer resume --account main" in cleared.out
    assert stored.ledger_sums() == at_venue(kraken)
    assert live("resume", "--account", account).code == 0
    assert live("run", "core", "--confirm", "TURNOVER").code == 0
    assert len(kraken.orders) == 2
    assert stored.ledger_sums() == at_venue(kraken)


def test_a_person_says_that_an_order_never_arrived(live: Cli, account: str, kraken: KrakenDouble) -> None:
    wanted = ("review_after_seconds=0", "not_after_seconds=3.5", "hold_seconds=600")
    assert live("account", "set", account, *wanted).code == 0
    assert live("account", "enable-trading", account, "--confirm", account).code == 0
    kraken.inject("AddOrder", LoseRequest())
    kraken.fail_lookups(1000)
    ran = live("run", "core", "--confirm", "TURNOVER")
    assert ran.code == 1
    kraken.clear_faults()
    (order,) = live("account", "review", account, "--json").json["orders"]
    assert order["state"] == "NEEDS_REVIEW"
    judged = live("account", "review", account, "--not-accepted", order["client_order_id"], "--json")
    assert (judged.code, judged.json["orders"]) == (0, [])
    assert kraken.orders == []
    assert live("resume", "--account", account).code == 0
    assert live("run", "core", "--confirm", "TURNOVER").code == 0


def test_a_stored_key_needs_no_variables(
    live: Cli, kraken: KrakenDouble, stored: Stored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_KEY", kraken.key)
    monkeypatch.setenv("MY_SECRET", kraken.secret)
    for name in KEY_VARIABLES:
        monkeypatch.delenv(name)
    where = ("--endpoint", kraken.url, "--key-env", "MY_KEY", "--secret-env", "MY_SECRET", "--store-key")
    opened = live("account", "add", "main", "--venue", "kraken", *where)
    assert opened.code == 0, opened
    assert "stored encrypted in the database" in opened.out
    for name in ("MY_KEY", "MY_SECRET"):
        monkeypatch.delenv(name)
    shown = live("account", "show", "main", "--json")
    assert shown.code == 0, shown
    assert shown.json["credentials"]["stored"] is True
    assert live("portfolio", "create", "core", "--account", "main", "--weights", WEIGHTS).code == 0
    assert live("plan", "core").code == 0
    everything = repr(stored.everything())
    assert kraken.key not in everything
    assert kraken.secret not in everything
    keys = [file for file in (tmp_path / "data").iterdir() if "key" in file.name]
    assert keys
    assert all(file.stat().st_mode & 0o077 == 0 for file in keys)


def test_the_doctor_looks_at_key_and_clock(
    live: Cli, account: str, kraken: KrakenDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def findings() -> dict[str, Any]:
        return {finding["check"]: finding for finding in live("doctor", "--json").json}

    well = findings()
    assert well["venue of main"]["ok"] is True
    assert well["key of main"] == {"check": "key of main", "ok": True, "detail": "may trade, may not withdraw"}
    assert well["clock of main"]["ok"] is True

    kraken.add_key(kraken.key, kraken.secret, ["query-funds", "withdraw-funds"])
    unfit = findings()["key of main"]
    assert (unfit["ok"], unfit["detail"].split(":")[0]) == (False, "KEY_CAN_WITHDRAW")

    monkeypatch.delenv("KRAKEN_API_SECRET")
    absent = findings()["key of main"]
    assert absent["ok"] is False
    assert "KRAKEN_API_SECRET" in absent["detail"]


class FastClock:
    """A venue's clock that is five minutes ahead."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(minutes=5)


def test_a_clock_that_is_far_off_stops_live_runs(
    live: Cli, trading: str, kraken: KrakenDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kraken, "_clock", FastClock())
    before = sent(kraken)
    denied = live("run", "core")
    assert denied.code == 1
    assert "CLOCK_SKEW: this machine's clock" in denied.out
    assert sent(kraken) == before
    finding = next(f for f in live("doctor", "--json").json if f["check"] == "clock of main")
    assert finding["ok"] is False
    assert "NTP" in finding["detail"]


def test_an_account_takes_another_key_only_once_the_venue_has(
    live: Cli, trading: str, kraken: KrakenDouble, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = stored.row("SELECT credentials, key_fingerprint FROM account")
    secret = base64.b64encode(b"the secret of a second key, sixty-four bytes long as they are...").decode()
    monkeypatch.setenv("NEW_KEY", "second-key")
    monkeypatch.setenv("NEW_SECRET", secret)
    change = ("account", "set-key", trading, "--key-env", "NEW_KEY", "--secret-env", "NEW_SECRET")
    refused = live(*change)
    assert refused.code == 1
    assert "Kraken does not know the API key" in refused.err
    kraken.add_key("second-key", secret, [*DEFAULT_PERMISSIONS, "withdraw-funds"])
    assert "KEY_CAN_WITHDRAW" in live(*change).err
    assert stored.row("SELECT credentials, key_fingerprint FROM account") == old
    kraken.add_key("second-key", secret)
    outcome = live(*change, "--store-key")
    assert (outcome.code, outcome.err) == (0, "")
    new = stored.row("SELECT credentials, key_fingerprint FROM account")
    assert new["key_fingerprint"] != old["key_fingerprint"]
    assert set(new["credentials"]) == {"sealed"}
    for name in ("KRAKEN_API_KEY", "KRAKEN_API_SECRET", "NEW_KEY", "NEW_SECRET"):
        monkeypatch.delenv(name)
    assert live("account", "show", trading).code == 0
    assert live("account", "set-key", trading).code == 2, "no variable, no key"
