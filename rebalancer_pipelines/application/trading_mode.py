"""Whether a run trades or rehearses: going live is a decision that somebody has taken by name."""

from __future__ import annotations

from dataclasses import dataclass

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.portfolio import Account


@dataclass(frozen=True, slots=True)
class TradingMode:
    """How a run is going to treat its account. `because` says why nothing is sent although the run asked for it."""

    is_dry_run: bool
    because: str | None = None

    def describe(self, account: Account) -> str:
        """The mode in a few words, for people."""
        if not self.is_dry_run:
            return "PAPER TRADING, play money" if account.is_paper else f"LIVE, real money on {account.venue}"
        return f"DRY RUN, nothing is sent: {self.because}" if self.because else "DRY RUN, nothing is sent"


def mode_of(ports: Ports, account: Account, *, dry_run: bool) -> TradingMode:
    """What a run that asks for `dry_run` comes to on an account."""
    if dry_run:
        return TradingMode(is_dry_run=True)
    if ports.dry_run_only:
        return TradingMode(is_dry_run=True, because="SCHEDULER_DRY_RUN is set")
    if not account.is_paper and not account.live_trading:
        return TradingMode(
            is_dry_run=True,
            because=f"account {account.name} may not trade real money yet; allow it with "
            f"'rebalancer account enable-trading {account.name} --confirm {account.name}'",
        )
    return TradingMode(is_dry_run=False)
