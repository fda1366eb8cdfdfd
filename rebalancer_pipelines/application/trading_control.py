"""Going live, stopping, and going on again: decisions of a person, each written down."""

from __future__ import annotations

from rebalancer_pipelines.application.key_permissions import check_permissions
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.order import OrderState
from rebalancer_pipelines.domain.portfolio import Account, TradingState


def enable_trading(ports: Ports, name: str, *, confirmed_name: str | None) -> Account:
    """Allow an account to trade real money. `confirmed_name` must repeat its name.

    Raises `InvalidInputError` without that, `DeniedError` for a key that is not fit, `VenueUnreachableError`.
    """
    with ports.transactions() as work:
        account = work.accounts.get(name)
    if account.is_paper:
        raise InvalidInputError("account", name, "is on paper, where every run trades play money; nothing to enable")
    if confirmed_name != name:
        raise InvalidInputError("confirm", confirmed_name, f"must repeat the account's name; write --confirm {name}")
    check_permissions(name, ports.venues.connect(account).key_permissions())
    _set_live_trading(ports, account, allowed=True)
    return account


def disable_trading(ports: Ports, name: str) -> None:
    """Let every run on an account be a dry run again."""
    with ports.transactions() as work:
        account = work.accounts.get(name)
    if account.is_paper:
        raise InvalidInputError("account", name, f"is on paper; stop it with 'rebalancer halt --account {name}'")
    _set_live_trading(ports, account, allowed=False)


def halt(ports: Ports, account_name: str | None, reason: str) -> None:
    """Stop every order of one account, or of the whole installation, from now on."""
    now = ports.clock.now()
    with ports.transactions() as work:
        if account_name is None:
            work.kill_switch.engage(reason, now)
        else:
            work.accounts.set_trading_state(work.accounts.get(account_name).id, TradingState.HALTED, reason, now)
        work.activity.add("trading.halted", account_name or "everything", {"reason": reason}, now)
        work.commit()


def resume(ports: Ports, account_name: str | None) -> None:
    """Let orders pass again, and forgive an account its earlier failures.

    Raises `InvalidInputError` while an order of the account waits for a person's look.
    """
    now = ports.clock.now()
    with ports.transactions() as work:
        if account_name is None:
            work.kill_switch.release()
        else:
            account = work.accounts.get(account_name)
            _check_nothing_to_review(account, [o.state for o in work.orders.possibly_at_venue(account.id)])
            work.accounts.set_trading_state(account.id, TradingState.ACTIVE, None, now)
        work.activity.add("trading.resumed", account_name or "everything", {}, now)
        work.commit()


def _check_nothing_to_review(account: Account, states: list[OrderState]) -> None:
    if OrderState.NEEDS_REVIEW in states:
        raise InvalidInputError(
            "account",
            account.name,
            f"has an order that nobody knows the fate of; settle it first with "
            f"'rebalancer account review {account.name}'",
        )


def _set_live_trading(ports: Ports, account: Account, *, allowed: bool) -> None:
    with ports.transactions() as work:
        work.accounts.set_live_trading(account.id, allowed=allowed)
        action = "trading.enabled" if allowed else "trading.disabled"
        work.activity.add(action, account.name, {}, ports.clock.now())
        work.commit()
