"""The `rebalancer` command: its list of commands, and how errors become one line and an exit code."""

from __future__ import annotations

import signal
import sys

import typer
from typer.exceptions import TyperException

from rebalancer_pipelines.cli import (
    account,
    analytics,
    backfill,
    bars,
    doctor,
    notify,
    portfolio,
    prune,
    rebalance,
    report,
    scheduler,
    statistics,
    trading,
    up,
    worker,
)
from rebalancer_pipelines.cli.output import errors
from rebalancer_pipelines.domain.errors import InvalidInputError, RebalancerError

BAD_INPUT = 2
REFUSED = 1

app = typer.Typer(
    name="rebalancer",
    help="Rebalances crypto portfolios on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(account.app, name="account")
app.add_typer(portfolio.app, name="portfolio")
app.add_typer(scheduler.app, name="scheduler")
app.add_typer(bars.app, name="bars")
app.add_typer(notify.app, name="notify")
app.add_typer(analytics.app, name="analytics")
app.command("plan")(rebalance.plan)
app.command("run")(rebalance.run)
app.command("history")(rebalance.history)
app.command("backfill")(backfill.backfill_history)
app.command("stats")(statistics.stats)
app.command("report")(report.report)
app.command("halt")(trading.halt)
app.command("resume")(trading.resume)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("worker")(worker.worker)
app.command("prune")(prune.prune)
app.command("status")(doctor.status)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command; exit 0 done, 1 denied or failed, 2 bad input.

    A polite kill and a closed terminal stop it as Ctrl-C does, so that nothing it started is left behind.
    """
    # SIGINT too: a shell starts background jobs with it ignored, and Dagster copies its handler to SIGTERM.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    for argument in arguments:
        if not argument.isprintable():
            return _fail(f"argument: {argument!a} holds characters that cannot be read; leave them out", BAD_INPUT)
    try:
        outcome = app(arguments, standalone_mode=False)
    except InvalidInputError as error:
        return _fail(str(error), BAD_INPUT)
    except TyperException as error:
        # A group without a command has printed its help and says nothing more.
        message = error.format_message().rstrip(".")
        return _fail(f"{message}; see 'rebalancer --help'", BAD_INPUT) if message else BAD_INPUT
    except RebalancerError as error:
        return _fail(str(error), REFUSED)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("stopped", REFUSED)
    return outcome if isinstance(outcome, int) else 0


def _fail(message: str, code: int) -> int:
    errors.print(f"Error: {message}", markup=False)
    return code
