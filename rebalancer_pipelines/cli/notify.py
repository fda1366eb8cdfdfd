"""`rebalancer notify …`: whether people can be told."""

from __future__ import annotations

from datetime import timedelta

import typer

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.adapters.notifier import AppriseNotifier, open_notifier
from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.cli.options import AsJson
from rebalancer_pipelines.cli.output import print_json, say
from rebalancer_pipelines.domain.errors import InvalidInputError, RebalancerError
from rebalancer_pipelines.domain.notification import Notification, NotificationKind

app = typer.Typer(help="Notifications: telling people what happens.", no_args_is_help=True)

_A_DAY = timedelta(days=1)


@app.callback()
def notify() -> None:
    """Notifications: telling people what happens."""


@app.command("test")
def send_test(as_json: AsJson = False) -> None:
    """Send a test message to every address of NOTIFY_URLS; exit 1 when one does not take it."""
    notifier = checked_notifier(Settings())
    if notifier is None:
        raise InvalidInputError(
            "NOTIFY_URLS", None, "is not set; set it to one or more addresses in apprise's form, such as ntfys://topic"
        )
    now = SystemClock().now()
    body = f"If you read this, the rebalancer can reach you here.\n{now:%Y-%m-%d %H:%M} UTC"
    attempts = notifier.try_all(Notification(NotificationKind.DIGEST, "test", "Test of the rebalancer", body, now))
    if as_json:
        print_json(
            [
                {
                    "position": attempt.address.position,
                    "scheme": attempt.address.scheme,
                    "worked": attempt.problem is None,
                    "problem": attempt.problem,
                }
                for attempt in attempts
            ]
        )
    else:
        for attempt in attempts:
            say(attempt.problem or f"{attempt.address.name} took the message")
    raise typer.Exit(1 if any(attempt.problem for attempt in attempts) else 0)


def checked_notifier(settings: Settings) -> AppriseNotifier | None:
    """The notifier that the environment names, if it names one. Raises `InvalidInputError` for a slip in it."""
    notifier = open_notifier(settings)
    if notifier is not None:
        _ = settings.notified, settings.digest_zone
        notifier.check()
    return notifier


def notifier_health(ports: Ports) -> str:
    """Who is told of what, in one line. Raises `RebalancerError` when messages do not arrive."""
    settings = Settings()
    notifier = checked_notifier(settings)
    if notifier is None:
        return "none; NOTIFY_URLS is not set, it is optional"
    with ports.transactions() as work:
        count, error = work.notifications.failing(ports.clock.now() - _A_DAY)
    if count:
        raise RebalancerError(
            f"{count} messages of the last day were not delivered ({error}); try 'rebalancer notify test'"
        )
    names = ", ".join(address.name for address in notifier.addresses)
    return f"{names}; told of {', '.join(sorted(settings.notified)) or 'nothing'}"
