"""Opening accounts and looking into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from rebalancer_pipelines.application.books import adopt_opening_balance, totals_of
from rebalancer_pipelines.application.key_permissions import check_permissions
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.account_settings import find_setting, parse_settings
from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.domain.ledger import Books, differences
from rebalancer_pipelines.domain.portfolio import (
    PAPER_VENUE,
    Account,
    CredentialSource,
    Holdings,
    Portfolio,
    parse_name,
)
from rebalancer_pipelines.domain.values import Currency


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What somebody asks for. `settings` are public names of settings with their values as text.

    `store_key`: keep the key encrypted in the database, instead of reading it from the environment every time.
    """

    name: str
    venue: str
    price_source: str
    deposits: Mapping[Currency, Decimal] = field(default_factory=dict[Currency, Decimal])
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    endpoint: str | None = None
    credentials: CredentialSource | None = None
    store_key: bool = False


def open_account(ports: Ports, wanted: NewAccount) -> Account:
    """Store an account, put its play money on it where the venue is paper, and book its opening balance.

    The venue is asked first: a key that does not work, or may do too much, leaves nothing behind. Raises
    `InvalidInputError` when the name or the key is taken or the venue cannot be used, `DeniedError` for the key's
    permissions, `VenueUnreachableError`. Stopped in between, the account exists and its opening balance is booked when
    it is first used.
    """
    parse_name(wanted.name, field="name")
    parse_settings(wanted.settings, is_paper=wanted.venue == PAPER_VENUE)
    credentials = wanted.credentials
    ports.venues.check(
        wanted.venue,
        wanted.price_source,
        deposits=wanted.deposits,
        endpoint=wanted.endpoint,
        credentials=credentials,
    )
    fingerprint = ports.venues.key_fingerprint(credentials) if credentials else None
    if credentials and wanted.store_key:
        credentials = ports.venues.seal(credentials)
    with ports.transactions() as work:
        account = work.accounts.add(
            wanted.name,
            wanted.venue,
            wanted.price_source,
            ports.clock.now(),
            settings=wanted.settings,
            endpoint=wanted.endpoint,
            credentials=credentials,
            key_fingerprint=fingerprint,
        )
        detail = {"venue": wanted.venue, "prices": wanted.price_source}
        work.activity.add("account.opened", wanted.name, detail, ports.clock.now())
        work.commit()
    try:
        return _fund_and_adopt(ports, account, wanted.deposits)
    except RebalancerError:
        # The venue does not take the key, say: then there is no account.
        with ports.transactions() as work:
            work.accounts.delete(account.id)
            work.commit()
        raise


def _fund_and_adopt(ports: Ports, account: Account, deposits: Mapping[Currency, Decimal]) -> Account:
    if deposits:
        ports.venues.fund(account, deposits)
    venue = ports.venues.connect(account)
    if not account.is_paper:
        check_permissions(account.name, venue.key_permissions())
    read_at = ports.clock.now()
    balances = venue.balances()
    with ports.transactions() as work:
        adopt_opening_balance(work, account, balances, read_at)
        work.commit()
    return account


def change_settings(ports: Ports, name: str, changes: Mapping[str, str | None]) -> Account:
    """Set limits and timings of an account; None puts one back to its default. Raises `InvalidInputError`.

    A run that is under way goes on with what it started with until its next step.
    """
    now = ports.clock.now()
    with ports.transactions() as work:
        account = work.accounts.get(name)
        texts = {**work.accounts.settings_set(account.id)}
        for setting, text in changes.items():
            find_setting(setting)
            if text is None:
                texts.pop(setting, None)
            else:
                texts[setting] = text
        parse_settings(texts, is_paper=account.is_paper)
        work.accounts.set_settings(account.id, texts)
        work.activity.add("account.settings", name, dict(changes), now)
        work.commit()
        return work.accounts.get(name)


def change_key(ports: Ports, name: str, credentials: CredentialSource, *, store_key: bool) -> Account:
    """Give an account another key of the same login, once the venue has taken it and says what it may do.

    Raises `InvalidInputError`, `DeniedError` for the key's permissions, `VenueUnreachableError`: the old key stays.
    """
    with ports.transactions() as work:
        account = work.accounts.get(name)
    ports.venues.check(account.venue, account.price_source, endpoint=account.endpoint, credentials=credentials)
    fingerprint = ports.venues.key_fingerprint(credentials)
    changed = replace(account, credentials=ports.venues.seal(credentials) if store_key else credentials)
    check_permissions(name, ports.venues.connect(changed).key_permissions())
    with ports.transactions() as work:
        work.accounts.set_key(account.id, changed.credentials or credentials, fingerprint)
        work.activity.add("account.key_changed", name, {}, ports.clock.now())
        work.commit()
    return changed


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """An account with what its venue holds and how the books divide it.

    `is_being_settled`: a rebalance is under way or was cut off, so books and venue may differ for a moment.
    `settings_set` names the settings that somebody has set; `kill_reason` is why everything is stopped.
    """

    account: Account
    portfolios: tuple[Portfolio, ...]
    balances: Holdings
    books: Books
    differences: Mapping[Currency, Decimal]
    is_being_settled: bool
    settings_set: frozenset[str]
    kill_reason: str | None


def look_into_account(ports: Ports, name: str) -> AccountOverview:
    """Read an account's balances at its venue beside its books. Raises `NotFoundError`, `VenueUnreachableError`."""
    with ports.transactions() as work:
        account = work.accounts.get(name)
        kill_reason = ports.kill_file.reason() or work.kill_switch.reason()
        settings_set = frozenset(work.accounts.settings_set(account.id))
    balances = ports.venues.connect(account).balances()
    with ports.transactions() as work:
        books = work.ledger.books(account.id)
        portfolios = tuple(work.portfolios.on_account(account.id))
        is_being_settled = bool(work.rebalances.active_on(account.id))
    found = differences(books.total(), totals_of(balances))
    return AccountOverview(
        account=account,
        portfolios=portfolios,
        balances=balances,
        books=books,
        differences=found,
        is_being_settled=is_being_settled,
        settings_set=settings_set,
        kill_reason=kill_reason,
    )


def delete_account(ports: Ports, name: str) -> None:
    """Delete an account. Raises `InvalidInputError` while portfolios use it."""
    with ports.transactions() as work:
        account = work.accounts.get(name)
        work.accounts.delete(account.id)
        work.activity.add("account.deleted", name, {}, ports.clock.now())
        work.commit()
