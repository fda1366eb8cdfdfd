"""Telling people through apprise: mail, messengers, webhooks, whatever `NOTIFY_URLS` names.

An address holds secrets, and so may whatever apprise says of it: an error here names an address by its position and
scheme, and the logs of apprise and of what it calls are kept quiet.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rebalancer_pipelines.application.ports import NotifierError
from rebalancer_pipelines.domain.errors import InvalidInputError

if TYPE_CHECKING:
    import apprise

    from rebalancer_pipelines.adapters.settings import Settings
    from rebalancer_pipelines.domain.notification import Notification

logger = logging.getLogger(__name__)

_SECONDS = 8.0
_BETWEEN = re.compile(r"\s+|[,;](?=[A-Za-z][A-Za-z0-9]*://)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9]{0,15})://")


@dataclass(frozen=True, slots=True)
class Address:
    """One address of `NOTIFY_URLS`: its position, counted from 1, its scheme, and its text, which is secret."""

    position: int
    scheme: str
    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """What may be shown of it."""
        return f"URL {self.position} ({self.scheme})"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Whether an address took a message; `problem` says why not."""

    address: Address
    problem: str | None


class AppriseNotifier:
    """Implements `ports.Notifier`."""

    def __init__(self, addresses: Sequence[Address], *, seconds: float = _SECONDS) -> None:
        """Tell at these addresses, waiting for all of them together no longer than `seconds`."""
        self.addresses = addresses
        self._seconds = seconds

    def check(self) -> None:
        """Raise `InvalidInputError` for the first address that cannot be one."""
        for address in self.addresses:
            if _service(address) is None:
                raise InvalidInputError(
                    "NOTIFY_URLS",
                    address.name,
                    "is not an address that apprise knows; correct it as apprise's documentation of that service says",
                )

    def send(self, notification: Notification) -> None:
        """Tell at every address. One that has it is enough: to try again would tell the others twice.

        Raises `NotifierError` when none has it.
        """
        problems = [attempt.problem for attempt in self.try_all(notification) if attempt.problem is not None]
        if len(problems) == len(self.addresses):
            raise NotifierError("; ".join(problems))
        for problem in problems:
            logger.warning("Not told everywhere: %s", problem)

    def try_all(self, notification: Notification) -> list[Attempt]:
        """Tell at every address at once and say of each what came of it."""
        outcomes: dict[int, str | None] = {}
        threads = [
            # A daemon, since nobody may have to wait for an address that never answers, the end of the process least.
            threading.Thread(target=_tell, args=(address, notification, outcomes), daemon=True)
            for address in self.addresses
        ]
        deadline = time.monotonic() + self._seconds
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        late = f"did not answer within {self._seconds:g} s"
        return [
            Attempt(address, problem and f"{address.name} {problem}")
            for address in self.addresses
            for problem in [outcomes.get(address.position, late)]
        ]


def open_notifier(settings: Settings) -> AppriseNotifier | None:
    """The notifier of `NOTIFY_URLS`; None where it names no address. What it names is not looked at yet."""
    addresses = parse_addresses(settings.notify_urls)
    return AppriseNotifier(addresses) if addresses else None


def parse_addresses(text: str) -> list[Address]:
    """The addresses in a text, which white space or commas separate."""
    urls = [part for part in (part.strip(",;") for part in _BETWEEN.split(text)) if part]
    return [Address(position, _scheme(url), url) for position, url in enumerate(urls, start=1)]


def _scheme(url: str) -> str:
    found = _SCHEME.match(url)
    return found[1].lower() if found else "no scheme"


def _tell(address: Address, notification: Notification, outcomes: dict[int, str | None]) -> None:
    try:
        service = _service(address)
        if service is None:
            outcomes[address.position] = "is not an address that apprise knows"
            return
        import apprise  # noqa: PLC0415 - a third of a second that only those who are told pay for

        taken = service.notify(body=notification.body, title=notification.title, body_format=apprise.NotifyFormat.TEXT)
        outcomes[address.position] = None if taken else "refused the message or cannot be reached"
    except Exception as error:  # noqa: BLE001 - a hundred services' code; the text of its errors may hold the address
        outcomes[address.position] = f"failed ({type(error).__name__})"


def _service(address: Address) -> apprise.Apprise | None:
    import apprise  # noqa: PLC0415

    # Their lines name addresses and answers; what may be told of them is told here.
    logging.getLogger("apprise").disabled = True
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    asset = apprise.AppriseAsset(
        app_id="Rebalancer", app_desc="Portfolio rebalancer", app_url="", image_url_mask=None, async_mode=False
    )
    service = apprise.Apprise(asset=asset)
    return service if service.add(address.url) else None
