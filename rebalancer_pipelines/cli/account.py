"""`rebalancer account …`."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from rebalancer_pipelines.application import trading_control
from rebalancer_pipelines.application.accounts import (
    AccountOverview,
    NewAccount,
    change_key,
    change_settings,
    delete_account,
    look_into_account,
    open_account,
)
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.trading_mode import mode_of
from rebalancer_pipelines.cli.account_documents import (
    account_document,
    currencies_without_portfolio,
    overview_document,
    read_shortage,
    settings_document,
)
from rebalancer_pipelines.cli.options import AsJson, DataDir, parse_amounts, parse_changes
from rebalancer_pipelines.cli.output import console, print_json, print_table, say
from rebalancer_pipelines.cli.review import review
from rebalancer_pipelines.cli.session import Session, open_session
from rebalancer_pipelines.cli.trading import read_stops
from rebalancer_pipelines.domain.account_settings import SETTINGS, AccountSettings
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.portfolio import PAPER_VENUE, Account, CredentialSource
from rebalancer_pipelines.domain.values import ZERO, plain

app = typer.Typer(help="Accounts: one login at one venue each.", no_args_is_help=True)
app.command("review")(review)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
"""Names of variables; too short for a key (56 characters) or a secret (88) to pass for one."""

KeyVariable = Annotated[
    str | None, typer.Option("--key-env", help="Variable that holds the API key (default: KRAKEN_API_KEY).")
]
SecretVariable = Annotated[
    str | None, typer.Option("--secret-env", help="Variable that holds the API secret (default: KRAKEN_API_SECRET).")
]
StoreKey = Annotated[
    bool, typer.Option("--store-key", help="Keep the key encrypted in the database instead of reading it again.")
]

_LIMITS_TO_KNOW = (
    "max_turnover",
    "max_order_notional",
    "max_daily_notional",
    "max_orders_per_run",
    "max_price_jump",
    "price_collar",
    "max_drawdown",
    "cash_reserve",
)


@app.command("add")
def add(
    name: str,
    venue: Annotated[str, typer.Option(help="paper or kraken.")],
    prices: Annotated[str | None, typer.Option(help="Prices of a paper venue: recorded (default) or live.")] = None,
    deposit: Annotated[list[str] | None, typer.Option(help="Play money of a paper account, such as EUR=10000.")] = None,
    key_env: KeyVariable = None,
    secret_env: SecretVariable = None,
    store_key: StoreKey = False,
    endpoint: Annotated[str | None, typer.Option(help="Another address of the venue's API.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A limit or timing, such as max_turnover=0.5.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Open an account; one with real money starts in dry run."""
    credentials = _credentials(venue, prices, deposit, key_env, secret_env, endpoint, store_key=store_key)
    wanted = NewAccount(
        name=name,
        venue=venue,
        price_source=prices or ("recorded" if venue == PAPER_VENUE else "live"),
        deposits=parse_amounts(deposit or [], field="deposit"),
        settings={setting: text for setting, text in parse_changes(settings or []).items() if text is not None},
        endpoint=endpoint,
        credentials=credentials,
        store_key=store_key,
    )
    with open_session(data_dir) as session:
        account = open_account(session.ports, wanted)
        if as_json:
            print_json(overview_document(look_into_account(session.ports, name)))
            return
    say(f"Account {account.name} is open on the {account.venue} venue ({account.price_source} prices).")
    if not account.is_paper:
        _say_how_it_starts(session, account)


@app.command("list")
def list_accounts(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the accounts."""
    with open_session(data_dir) as session:
        with session.ports.transactions() as work:
            accounts = work.accounts.all()
        modes = [mode_of(session.ports, account, dry_run=False).describe(account) for account in accounts]
    if as_json:
        print_json([account_document(account) for account in accounts])
        return
    rows = (
        (a.name, a.venue, a.price_source, mode, f"{a.trading_state.value} {a.trading_state_reason or ''}")
        for a, mode in zip(accounts, modes, strict=True)
    )
    print_table("Accounts", ("name", "venue", "prices", "a run is", "trading"), rows)


@app.command("show")
def show(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show an account: how it trades, what its venue holds, how the books divide it, and its limits."""
    with open_session(data_dir) as session:
        if as_json:
            print_json(overview_document(look_into_account(session.ports, name)))
            return
        with session.ports.transactions() as work:
            account = work.accounts.get(name)
            set_by_hand = frozenset(work.accounts.settings_set(account.id))
        _print_state(session.ports, account)
        try:
            _print_balances(look_into_account(session.ports, name))
            shortage = read_shortage(session.ports, account)
            if shortage is not None:
                say(shortage.message)
        finally:
            # Also when the venue is away: what is stored is worth seeing then.
            _print_settings(account.settings, set_by_hand)


@app.command("set")
def change(
    name: str,
    changes: Annotated[
        list[str] | None, typer.Argument(help="Settings such as max_turnover=0.5; max_turnover=default.")
    ] = None,
    more: Annotated[list[str] | None, typer.Option("--set", help="The same, as an option.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change limits and timings of an account."""
    wanted = parse_changes([*(changes or []), *(more or [])])
    if not wanted:
        raise InvalidInputError("set", None, f"nothing to change was given; there is {', '.join(SETTINGS)}")
    with open_session(data_dir) as session:
        account = change_settings(session.ports, name, wanted)
        with session.ports.transactions() as work:
            set_by_hand = frozenset(work.accounts.settings_set(account.id))
    if as_json:
        settings = settings_document(account.settings)
        print_json({"name": name, "settings": settings, "settings_set": sorted(set_by_hand)})
        return
    say(f"Account {name} is changed: {', '.join(wanted)}.")
    _print_settings(account.settings, set_by_hand)


@app.command("set-key")
def set_key(
    name: str,
    key_env: KeyVariable = None,
    secret_env: SecretVariable = None,
    store_key: StoreKey = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Give an account another key of the same login; the old one stays when the venue does not take it."""
    with open_session(data_dir) as session:
        with session.ports.transactions() as work:
            venue = work.accounts.get(name).venue
        if venue == PAPER_VENUE:
            raise InvalidInputError("account", name, "is on paper, where no key is needed")
        credentials = _key_variables(venue, key_env, secret_env)
        account = change_key(session.ports, name, credentials, store_key=store_key)
        if as_json:
            print_json(account_document(account))
            return
        say(f"Account {name} has another key: it is {_key_source(account.credentials)}.")
        _say_what_the_key_needs(session, account)


@app.command("enable-trading")
def enable_trading(
    name: str,
    confirm: Annotated[str | None, typer.Option(help="The account's name once more.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Allow an account to trade real money."""
    with open_session(data_dir) as session:
        trading_control.enable_trading(session.ports, name, confirmed_name=confirm)
        with session.ports.transactions() as work:
            account = work.accounts.get(name)
            portfolios = [portfolio.name for portfolio in work.portfolios.on_account(account.id)]
        if as_json:
            print_json(account_document(account))
            return
        _say_what_live_means(session.ports, account, portfolios)


@app.command("disable-trading")
def disable_trading(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Let every run on an account be a dry run again."""
    with open_session(data_dir) as session:
        trading_control.disable_trading(session.ports, name)
        with session.ports.transactions() as work:
            account = work.accounts.get(name)
    if as_json:
        print_json(account_document(account))
        return
    say(f"Account {name} trades no real money any more: every run is a DRY RUN.")
    say("A run that is under way sends no further order; what it has sent is still looked up and booked.")


@app.command("delete")
def delete(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Delete an account that no portfolio uses."""
    with open_session(data_dir) as session:
        delete_account(session.ports, name)
    if as_json:
        print_json({"deleted": name})
        return
    console.print(f"Account {name} is deleted.")


def _credentials(
    venue: str,
    prices: str | None,
    deposit: list[str] | None,
    key_env: str | None,
    secret_env: str | None,
    endpoint: str | None,
    *,
    store_key: bool,
) -> CredentialSource | None:
    """Where the key of a new account comes from; None on paper. Raises for options that its venue does not take."""
    if venue == PAPER_VENUE:
        keys = {"key_env": key_env, "secret_env": secret_env, "endpoint": endpoint, "store_key": store_key or None}
        for option, value in keys.items():
            if value is not None:
                shown = None if value is True else value
                raise InvalidInputError(option, shown, "is for a venue with real money; leave it out on paper")
        return None
    if prices is not None:
        raise InvalidInputError("prices", prices, f"is for paper; {venue} has its own prices, so leave it out")
    if deposit:
        raise InvalidInputError("deposit", deposit[0], f"is play money for paper; pay in at {venue}, and leave it out")
    return _key_variables(venue, key_env, secret_env)


def _key_variables(venue: str, key_env: str | None, secret_env: str | None) -> CredentialSource:
    for option, given in (("key_env", key_env), ("secret_env", secret_env)):
        if given is not None and not _VARIABLE.fullmatch(given):
            # What was given instead of a name may be the key itself: it is not repeated.
            raise InvalidInputError(option, None, "must be the name of an environment variable, never the key itself")
    prefix = venue.upper()
    return CredentialSource(key_env=key_env or f"{prefix}_API_KEY", secret_env=secret_env or f"{prefix}_API_SECRET")


def _say_how_it_starts(session: Session, account: Account) -> None:
    say(f"It is in DRY RUN: nothing is sent until 'rebalancer account enable-trading {account.name} "
        f"--confirm {account.name}'.")  # fmt: skip
    say(f"Its key is {_key_source(account.credentials)}.")
    _say_what_the_key_needs(session, account)
    say(f"Next: rebalancer portfolio create NAME --account {account.name} --weights BTC=60,ETH=30,EUR=10")


def _say_what_the_key_needs(session: Session, account: Account) -> None:
    if account.credentials is not None and account.credentials.sealed is not None:
        say(f"What decrypts it lies in {session.data_dir}: keep a copy apart from backups of the database.")
    else:
        say("Every command on this account needs these variables, and 'rebalancer up' must be started with them.")


def _say_what_live_means(ports: Ports, account: Account, portfolios: list[str]) -> None:
    mode = mode_of(ports, account, dry_run=False)
    say(f"Account {account.name} may trade from now on. A run is: {mode.describe(account)}.")
    _print_settings(account.settings, None, names=_LIMITS_TO_KNOW)
    run = f"rebalancer run {portfolios[0] if portfolios else 'NAME'}"
    if account.settings.max_turnover is not None:
        say(
            f"A run that turns over more than {SETTINGS['max_turnover'].write(account.settings)} of the value is "
            f"refused. A first run from cash does: look at its plan, then {run} --confirm TURNOVER."
        )
    say(f"Change a limit: rebalancer account set {account.name} max_turnover=0.5")
    say("Stop everything at once: rebalancer halt")
    say(f"Back to dry runs: rebalancer account disable-trading {account.name}")
    for line in read_stops(ports).lines:
        say(f"Now {line}")


def _key_source(credentials: CredentialSource | None) -> str:
    if credentials is None:
        return "none; paper needs no key"
    if credentials.sealed is not None:
        return "stored encrypted in the database"
    return f"read from {credentials.key_env} and {credentials.secret_env} at every start"


def _print_state(ports: Ports, account: Account) -> None:
    state = account.trading_state.value
    say(f"{account.name}: {account.venue} venue, {account.price_source} prices")
    say(f"  a run is     {mode_of(ports, account, dry_run=False).describe(account)}")
    if account.is_paper:
        say("  live trading not on paper")
    else:
        say(f"  live trading {'allowed' if account.live_trading else 'not allowed'}")
    say(f"  state        {state}{f': {account.trading_state_reason}' if account.trading_state_reason else ''}")
    for line in read_stops(ports).lines or ["not engaged"]:
        say(f"  kill switch  {line}")
    say(f"  key          {_key_source(account.credentials)}")
    if not account.is_paper:
        say(f"  endpoint     {account.endpoint or 'the one of the venue'}")


def _print_balances(overview: AccountOverview) -> None:
    columns = ["currency", "at venue", "free", *(p.name for p in overview.portfolios), "unallocated", "difference"]
    rows: list[list[str]] = []
    for currency in sorted({*overview.balances, *overview.books.total()}):
        holding = overview.balances.get(currency)
        rows.append(
            [
                currency,
                plain(holding.total if holding else ZERO),
                plain(holding.free if holding else ZERO),
                *(plain(overview.books.of(p.id).get(currency, ZERO)) for p in overview.portfolios),
                plain(overview.books.unallocated.get(currency, ZERO)),
                plain(overview.differences.get(currency, ZERO)),
            ]
        )
    print_table("Balances and books", columns, rows, numbers=columns[1:])
    if overview.differences:
        console.print("[red]Books and venue differ.[/red]")
        if not overview.is_being_settled:
            say(
                "A deposit, withdrawal, reward or trade by hand is booked by the next run, or by "
                f"'rebalancer account review {overview.account.name}', which shows what is left."
            )
    else:
        console.print("Books and venue agree.")
    alone = currencies_without_portfolio(overview)
    if alone:
        say(f"No portfolio names {', '.join(alone)}: shown, and never traded.")
    if overview.is_being_settled:
        console.print("A rebalance is under way or was cut off; what it left is settled within two minutes of its end.")


def _print_settings(
    settings: AccountSettings, set_by_hand: frozenset[str] | None, *, names: tuple[str, ...] = tuple(SETTINGS)
) -> None:
    """The settings with their values; `set_by_hand` None leaves out where a value comes from."""
    columns = ["setting", "value", *([] if set_by_hand is None else ["from"]), "meaning"]
    rows: list[list[str]] = []
    for name in names:
        source = [] if set_by_hand is None else ["set" if name in set_by_hand else "default"]
        rows.append([name, SETTINGS[name].write(settings), *source, SETTINGS[name].meaning])
    print_table("Limits and timings" if set_by_hand is not None else "Limits", columns, rows, numbers=("value",))
