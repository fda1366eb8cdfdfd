"""The whole report as one HTML page. It loads nothing, and its policy lets it load nothing."""

from __future__ import annotations

import base64
import hashlib
from decimal import Decimal
from html import escape
from pathlib import Path
from string import Template

from rebalancer_pipelines.adapters.report import words
from rebalancer_pipelines.adapters.report.history_section import history_section
from rebalancer_pipelines.application.portfolio_report import PortfolioReport
from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.domain.values import plain

_HERE = Path(__file__).parent
_PAGE = Template((_HERE / "page.html").read_text(encoding="utf-8"))
_STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
_SCRIPT = (_HERE / "page.js").read_text(encoding="utf-8")

_CENT = Decimal("0.01")

_NOTHING = (
    '<section class="history"><h2>Nothing to show yet</h2><p class="lead">No rebalance and no day of this portfolio '
    "is in the analytics: run it, or fill its history with 'rebalancer backfill'.</p></section>"
)


def report_page(report: PortfolioReport) -> str:
    """The page, complete."""
    portfolio = report.portfolio
    return _PAGE.substitute(
        title=escape(portfolio.name),
        policy=_POLICY,
        style=_STYLE,
        script=_SCRIPT,
        description=f'<p class="about">{escape(portfolio.description)}</p>' if portfolio.description else "",
        rules=escape(_rules(portfolio)),
        account=escape(report.account.name),
        made_at=escape(words.minute(report.made_at)),
        histories="".join(history_section(report, history) for history in report.histories) or _NOTHING,
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; "
    "img-src data:; base-uri 'none'; form-action 'none'"
)


def _rules(portfolio: Portfolio) -> str:
    """What the portfolio holds, and when it returns to it."""
    weights = ", ".join(f"{currency} {plain(weight.quantize(_CENT))} %" for currency, weight in portfolio.weights)
    band = portfolio.policy.band
    tolerance = f", once a weight has left its band of {plain(band.width)} ({band.kind.value})" if band else ""
    return f"{weights} · {portfolio.interval.value}{tolerance}"
