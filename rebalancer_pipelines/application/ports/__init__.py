"""What the use cases need from the world, as protocols that the adapters fulfil."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from rebalancer_pipelines.application.ports.bars import BarFiles, BarSource, BarSources, BarsRead
from rebalancer_pipelines.application.ports.cache import Cache, ListedPortfolio, NoCache, NotedError
from rebalancer_pipelines.application.ports.clock import Clock
from rebalancer_pipelines.application.ports.notifier import Notifier, NotifierError
from rebalancer_pipelines.application.ports.statistics import Statistics
from rebalancer_pipelines.application.ports.storage import (
    Accounts,
    ActivityLog,
    Bars,
    Claims,
    DailyValues,
    DriftWatch,
    History,
    KillSwitch,
    Ledger,
    Notifications,
    Orders,
    PortfolioDays,
    Portfolios,
    Rebalances,
    Rehearsals,
    UnitOfWork,
)
from rebalancer_pipelines.application.ports.venue import (
    Accepted,
    Acknowledgement,
    Clearance,
    KeyPermissions,
    Movement,
    MovementKind,
    OrderReference,
    OrderTicket,
    PriceSource,
    RecordedMarket,
    Rejected,
    Unclear,
    Venue,
    VenueOrder,
    Venues,
    Withheld,
)

__all__ = [
    "Accepted",
    "Accounts",
    "Acknowledgement",
    "ActivityLog",
    "BarFiles",
    "BarSource",
    "BarSources",
    "Bars",
    "BarsRead",
    "Cache",
    "Claims",
    "Clearance",
    "Clock",
    "DailyValues",
    "DriftWatch",
    "History",
    "KeyPermissions",
    "KillFile",
    "KillSwitch",
    "Ledger",
    "ListedPortfolio",
    "Movement",
    "MovementKind",
    "NoCache",
    "NotedError",
    "Notifications",
    "Notifier",
    "NotifierError",
    "OrderReference",
    "OrderTicket",
    "Orders",
    "PortfolioDays",
    "Portfolios",
    "Ports",
    "PriceSource",
    "Rebalances",
    "RecordedMarket",
    "Rehearsals",
    "Rejected",
    "Statistics",
    "Unclear",
    "UnitOfWork",
    "Venue",
    "VenueOrder",
    "Venues",
    "Withheld",
]


class KillFile(Protocol):
    """A file that stops every order while it is there, also when the database is away."""

    @property
    def path(self) -> str:
        """Where it has to lie."""
        ...

    def reason(self) -> str | None:
        """What it says; None while it is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a use case works with, handed in by whoever composes the program.

    `dry_run_only`: nothing is ever sent, whatever a run asks for. `notifier` None: nobody is told of anything.
    """

    transactions: Callable[[], UnitOfWork]
    venues: Venues
    bar_sources: BarSources
    clock: Clock
    kill_file: KillFile
    dry_run_only: bool = False
    lease_patience: timedelta = timedelta(seconds=150)
    notifier: Notifier | None = None
    cache: Cache = field(default_factory=NoCache)
