"""Creating, changing, moving and removing portfolios."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from rebalancer_pipelines.application.books import claim_for_sole_portfolio, transfer
from rebalancer_pipelines.application.lease import holding
from rebalancer_pipelines.application.new_id import new_id
from rebalancer_pipelines.application.portfolio_draft import PortfolioDraft, portfolio_fields
from rebalancer_pipelines.application.ports import Ports, UnitOfWork
from rebalancer_pipelines.domain.calendar import parse_time_zone
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.market import Market
from rebalancer_pipelines.domain.portfolio import Account, Portfolio
from rebalancer_pipelines.domain.rebalance import RebalanceTimes
from rebalancer_pipelines.domain.valuation import market_symbol
from rebalancer_pipelines.domain.values import EXACT, ZERO, Currency, plain

_DOCUMENT_VERSION = 1


def create_portfolio(
    ports: Ports, fields: Mapping[str, Any], *, allocations: Mapping[Currency, Decimal] | None = None
) -> Portfolio:
    """Store a new portfolio from raw fields, with money of its account's unallocated book.

    Without `allocations`, the only portfolio on an account owns everything there. Raises `InvalidInputError` and
    stores nothing when a field is bad, the account unknown, the name taken, a market missing or the money not there.
    """
    draft = PortfolioDraft.read(fields)
    with ports.transactions() as work:
        account = work.accounts.get(draft.account)
    _check_markets(draft, ports.venues.connect(account).markets())
    with ports.transactions() as work:
        work.accounts.lock(account.id)
        portfolio = _store(ports, work, draft, account)
        if allocations:
            _check_available("allocate", allocations, work.ledger.books(account.id).unallocated)
            transfer(work, portfolio, allocations, ports.clock.now(), source=None)
        else:
            claim_for_sole_portfolio(work, account, ports.clock.now())
        work.commit()
    return portfolio


def update_portfolio(ports: Ports, name: str, changes: Mapping[str, Any]) -> Portfolio:
    """Change the given raw fields of a portfolio; name and account stay. Raises `InvalidInputError`.

    Enabling it also ends a pause.
    """
    for fixed in ("name", "account"):
        if fixed in changes:
            raise InvalidInputError(fixed, str(changes[fixed]), "cannot be changed; create another portfolio instead")
    with ports.transactions() as work:
        stored = work.portfolios.get(name)
        account = work.accounts.by_id(stored.account_id)
    fields = {**portfolio_fields(stored, account.name), **changes}
    if fields["band"] is None:
        fields["band_kind"] = None
    draft = PortfolioDraft.read(fields)
    _check_markets(draft, ports.venues.connect(account).markets())
    now = ports.clock.now()
    rescheduled = draft.enabled and (
        not stored.enabled or draft.interval is not stored.interval or draft.time_zone != stored.time_zone.key
    )
    resumed = changes.get("enabled") is True and stored.paused_at is not None
    changed = replace(
        _portfolio(draft, account.id, stored.id, ports),
        anchor_at=now if rescheduled else stored.anchor_at,
        last_rebalanced_at=stored.last_rebalanced_at,
        next_rebalance_at=now if rescheduled else stored.next_rebalance_at,
        created_at=stored.created_at,
        paused_at=None if resumed else stored.paused_at,
        paused_reason=None if resumed else stored.paused_reason,
        failures_in_a_row=0 if resumed else stored.failures_in_a_row,
    )
    with ports.transactions() as work:
        work.portfolios.update(changed)
        if resumed:
            work.portfolios.resume(stored.id)
        if rescheduled:
            work.portfolios.mark_rebalanced([RebalanceTimes(stored.id, None, now)])
        work.activity.add("portfolio.updated", name, {"fields": sorted(changes)}, now)
        work.commit()
    return changed


def resume_portfolio(ports: Ports, name: str) -> Portfolio:
    """Let a paused portfolio be rebalanced by itself again. Raises `InvalidInputError` when it is not paused."""
    with ports.transactions() as work:
        stored = work.portfolios.get(name)
        if stored.paused_at is None:
            raise InvalidInputError("portfolio", name, "is not paused; there is nothing to resume")
        work.portfolios.resume(stored.id)
        work.activity.add("portfolio.resumed", name, {}, ports.clock.now())
        work.commit()
    return replace(stored, paused_at=None, paused_reason=None, failures_in_a_row=0)


def delete_portfolio(ports: Ports, name: str) -> None:
    """Delete a portfolio with its history; its money becomes unallocated.

    Refused (`InvalidInputError`) while one of its orders may be at the venue.
    """
    with ports.transactions() as work:
        account = work.accounts.by_id(work.portfolios.get(name).account_id)
    with holding(ports, account), ports.transactions() as work:
        work.portfolios.delete(work.portfolios.get(name).id)
        work.activity.add("portfolio.deleted", name, {}, ports.clock.now())
        work.commit()


def allocate_money(ports: Ports, name: str, amounts: Mapping[Currency, Decimal], *, source: str | None) -> None:
    """Move money into a portfolio's book from the unallocated one or, with `source`, from another portfolio's.

    Nothing moves at the venue. Raises `InvalidInputError` when the money is not there.
    """
    with ports.transactions() as work:
        portfolio = work.portfolios.get(name)
        origin = work.portfolios.get(source) if source else None
        account = work.accounts.by_id(portfolio.account_id)
    if origin and origin.id == portfolio.id:
        raise InvalidInputError("from", source, "is the portfolio itself; name another one or leave --from out")
    if origin and origin.account_id != portfolio.account_id:
        raise InvalidInputError("from", source, "lives on another account; books move within one account only")
    with holding(ports, account), ports.transactions() as work:
        work.accounts.lock(account.id)
        books = work.ledger.books(account.id)
        _check_available("allocate", amounts, books.of(origin.id) if origin else books.unallocated)
        transfer(work, portfolio, amounts, ports.clock.now(), source=origin)
        work.activity.add("portfolio.allocated", name, {c: plain(a) for c, a in amounts.items()}, ports.clock.now())
        work.commit()


def release_money(ports: Ports, name: str, amounts: Mapping[Currency, Decimal]) -> None:
    """Move money out of a portfolio's book into the unallocated one.

    Nothing moves at the venue. Raises `InvalidInputError` when the money is not there.
    """
    with ports.transactions() as work:
        portfolio = work.portfolios.get(name)
        account = work.accounts.by_id(portfolio.account_id)
    with holding(ports, account), ports.transactions() as work:
        work.accounts.lock(account.id)
        _check_available("release", amounts, work.ledger.books(account.id).of(portfolio.id))
        transfer(work, portfolio, {c: EXACT.minus(a) for c, a in amounts.items()}, ports.clock.now(), source=None)
        work.activity.add("portfolio.released", name, {c: plain(a) for c, a in amounts.items()}, ports.clock.now())
        work.commit()


def export_portfolios(ports: Ports, names: Sequence[str]) -> dict[str, Any]:
    """The documents of the named portfolios, or of all, as `import_portfolios` takes them back."""
    with ports.transactions() as work:
        chosen = [work.portfolios.get(name) for name in names] or list(work.portfolios.all())
        accounts = {account.id: account.name for account in work.accounts.all()}
    return {
        "version": _DOCUMENT_VERSION,
        "portfolios": [portfolio_fields(p, accounts[p.account_id]) for p in chosen],
    }


def import_portfolios(ports: Ports, document: object) -> list[Portfolio]:
    """Store every portfolio of an exported document, or none. Raises `InvalidInputError` naming the bad entry."""
    drafts = _read_document(document)
    markets: dict[str, Mapping[str, Market]] = {}
    accounts: dict[str, Account] = {}
    with ports.transactions() as work:
        for index, draft in enumerate(drafts):
            with _at(f"portfolios[{index}]"):
                accounts[draft.account] = work.accounts.get(draft.account)
    for index, draft in enumerate(drafts):
        if draft.account not in markets:
            markets[draft.account] = ports.venues.connect(accounts[draft.account]).markets()
        with _at(f"portfolios[{index}]"):
            _check_markets(draft, markets[draft.account])
    stored: list[Portfolio] = []
    with ports.transactions() as work:
        for index, draft in enumerate(drafts):
            with _at(f"portfolios[{index}]"):
                stored.append(_store(ports, work, draft, accounts[draft.account]))
        for account in accounts.values():
            claim_for_sole_portfolio(work, account, ports.clock.now())
        work.commit()
    return stored


@contextmanager
def _at(place: str) -> Generator[None]:
    """Put the place in a document before the field of an error."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(f"{place}.{error.field}", error.value, error.remedy) from None


def _read_document(document: object) -> list[PortfolioDraft]:
    remedy = f'must be a document such as {{"version": {_DOCUMENT_VERSION}, "portfolios": [...]}}'
    if not isinstance(document, dict):
        raise InvalidInputError("file", None, remedy)
    head = cast("dict[str, Any]", document)
    if head.get("version") != _DOCUMENT_VERSION:
        raise InvalidInputError(
            "version", str(head.get("version")), f"is unknown; this program reads version {_DOCUMENT_VERSION}"
        )
    entries = head.get("portfolios")
    if not isinstance(entries, list):
        raise InvalidInputError("portfolios", None, remedy)
    drafts: list[PortfolioDraft] = []
    for index, entry in enumerate(cast("list[Any]", entries)):
        place = f"portfolios[{index}]"
        if not isinstance(entry, dict):
            raise InvalidInputError(place, str(entry), "must be an object with name, account and weights")
        with _at(place):
            drafts.append(PortfolioDraft.read(cast("dict[str, Any]", entry)))
    return drafts


def _store(ports: Ports, work: UnitOfWork, draft: PortfolioDraft, account: Account) -> Portfolio:
    portfolio = _portfolio(draft, account.id, new_id(), ports)
    work.portfolios.add(portfolio)
    work.activity.add("portfolio.created", portfolio.name, {"account": account.name}, ports.clock.now())
    return portfolio


def _portfolio(draft: PortfolioDraft, account_id: UUID, portfolio_id: UUID, ports: Ports) -> Portfolio:
    now = ports.clock.now()
    return Portfolio(
        id=portfolio_id,
        name=draft.name,
        description=draft.description,
        account_id=account_id,
        valuation_currency=draft.valuation_currency,
        weights=draft.weights,
        policy=draft.policy,
        interval=draft.interval,
        time_zone=parse_time_zone(draft.time_zone),
        enabled=draft.enabled,
        anchor_at=now,
        last_rebalanced_at=None,
        next_rebalance_at=now if draft.enabled else None,
        created_at=now,
        updated_at=now,
    )


def _check_markets(draft: PortfolioDraft, markets: Mapping[str, Market]) -> None:
    """Refuse a weight that nothing could ever trade."""
    quote = draft.valuation_currency
    if not any(market.quote_currency == quote for market in markets.values()):
        raise InvalidInputError("valuation_currency", quote, "has no market at this venue; choose another")
    for currency in draft.weights.currencies:
        if currency != quote and market_symbol(currency, quote) not in markets:
            tradable = sorted(m.base_currency for m in markets.values() if m.quote_currency == quote)
            shown = ", ".join(tradable[:12]) + (", …" if len(tradable) > 12 else "")
            raise InvalidInputError(
                f"weights.{currency}", None, f"has no market {currency}/{quote} at this venue; it has {shown}"
            )


def _check_available(field: str, amounts: Mapping[Currency, Decimal], book: Mapping[Currency, Decimal]) -> None:
    for currency, amount in amounts.items():
        available = book.get(currency, ZERO)
        if amount > available:
            raise InvalidInputError(
                f"{field}.{currency}", plain(amount), f"is more than there is; {plain(available)} can be moved"
            )
