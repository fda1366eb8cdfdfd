"""One ccxt client, asked one thing at a time, whose raw answers are kept and whose calls end.

ccxt carries requests and signs them. What it thinks of an answer is not used: what the venue wrote is handed on.
Nothing is ever sent twice: there are no retries, and a redirect is an answer, since a 307 would resend an order.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rebalancer_pipelines.adapters.venues.ccxt.one_line import one_line, without_secrets
from rebalancer_pipelines.adapters.venues.ccxt.raw_answer import Failure, RawAnswer

if TYPE_CHECKING:
    import requests

_T = TypeVar("_T")

_SILENT = logging.Logger("ccxt, silenced", logging.CRITICAL + 1)
"""ccxt writes headers and bodies to its logger at DEBUG, and with them the key. This one hears nothing and has no
parent that would."""


class GaveUpError(Exception):
    """The whole time allowed for a call has passed; the request may still be on its way."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The key and the secret (base64) of an account; neither is ever shown."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


class CcxtClient:
    """A connection to one exchange. `endpoint` replaces the exchange's own addresses, public and private.

    `timeout` is the whole time of a call, from the look-up of the host's address to the last byte of the answer. A
    call that takes longer is left behind, and its connection with it.
    """

    def __init__(
        self,
        exchange: str,
        *,
        timeout: timedelta,
        endpoint: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._exchange = exchange
        self._timeout = timeout
        self._endpoint = endpoint
        self._credentials = credentials
        self._turn = threading.Lock()
        self._connection: Any = None
        self._time_called = timedelta(0)

    @property
    def time_called(self) -> timedelta:
        """Real time spent in calls so far."""
        return self._time_called

    def prepare(self) -> None:
        """Make everything ready that takes time before the first byte: loading ccxt takes seconds."""
        with self._turn:
            self._connected()

    def call(self, method: str, parameters: Mapping[str, str], *, nonce: int = 0) -> RawAnswer:
        """Send one request by one of ccxt's implicit methods (`privatePostAddOrder`) and return what came back.

        Raises nothing about the request: that is the answer.
        """
        with self._turn:
            try:
                connection = self._connected()
                _check_sends_once(connection.options)
                connection.issued_nonce, connection.answered, connection.session.has_begun = nonce, None, False
                send: Callable[[dict[str, str]], object] = getattr(connection, method)
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing has been sent
                return RawAnswer(failure=Failure.OTHER, words=self._words_of(error), never_sent=True)
            try:
                self._within(self._timeout, lambda: send(dict(parameters)))
            except GaveUpError as error:
                return RawAnswer(failure=Failure.TIMEOUT, words=str(error))
            except Exception as error:  # noqa: BLE001 - ccxt raises bare TypeErrors and ValueErrors too
                return self._captured(connection) or self._failure(connection, error)
            return self._captured(connection) or RawAnswer(failure=Failure.OTHER, words="no answer was seen")

    def run(self, task: Callable[[Any], _T], *, calls: int = 1) -> _T:
        """Let ccxt's exchange do something public that takes so many `calls`.

        Raises what ccxt raises, and `GaveUpError`.
        """
        with self._turn:
            connection = self._connected()
            _check_sends_once(connection.options)
            return self._within(self._timeout * calls, lambda: task(connection))

    def _within(self, limit: timedelta, task: Callable[[], _T]) -> _T:
        """Do it in a thread that is left behind when the time is up: a socket's timeout is for each read of it only."""
        outcome: queue.SimpleQueue[tuple[_T | None, BaseException | None]] = queue.SimpleQueue()

        def work() -> None:
            try:
                outcome.put((task(), None))
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                outcome.put((None, error))

        begun = time.monotonic()
        threading.Thread(target=work, name=f"{self._exchange} call", daemon=True).start()
        try:
            result, error = outcome.get(timeout=limit.total_seconds())
        except queue.Empty:
            self._drop()
            raise GaveUpError(f"no whole answer within {limit.total_seconds():g} s") from None
        except BaseException:
            # Interrupted: the thread may go on, so its connection must serve nobody else.
            self._drop()
            raise
        finally:
            self._time_called += timedelta(seconds=time.monotonic() - begun)
        if error is not None:
            raise error
        return cast("_T", result)

    def _captured(self, connection: Any) -> RawAnswer | None:
        """What the venue wrote, whatever ccxt thought of it."""
        if connection.answered is None:
            return None
        status, body = connection.answered
        return RawAnswer(status=status, body=self._masked(body))

    def _failure(self, connection: Any, error: Exception) -> RawAnswer:
        connecting = _failure_to_connect(error)
        return RawAnswer(
            failure=connecting or _failure(error),
            words=self._words_of(error),
            never_sent=connecting is not None or not connection.session.has_begun,
        )

    def _words_of(self, error: BaseException) -> str:
        return one_line(self._masked(f"{type(error).__name__}: {error}"))

    def _masked(self, text: str) -> str:
        secrets = (self._credentials.key, self._credentials.secret) if self._credentials else ()
        return without_secrets(text, secrets)

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = _connect(self._exchange, self._timeout, self._endpoint, self._credentials)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        connection.session.close()


def _connect(exchange: str, timeout: timedelta, endpoint: str | None, credentials: Credentials | None) -> Any:
    connection = _connection_class(exchange)(
        {
            "timeout": int(timeout.total_seconds() * 1000),
            "enableRateLimit": False,
            "options": {"maxRetriesOnFailure": 0},
            "apiKey": credentials.key if credentials else "",
            "secret": credentials.secret if credentials else "",
            "session": _one_shot_session(),
            "logger": _SILENT,
        }
    )
    if endpoint is not None:
        connection.urls["api"] = dict.fromkeys(connection.urls["api"], endpoint.rstrip("/"))
    return connection


def _connection_class(exchange: str) -> Any:
    """Ccxt's class for an exchange, with nonces that are issued to it and a memory for the answer as it was written."""
    import ccxt  # noqa: PLC0415 - two and a half seconds that only those pay who reach a venue

    base: Any = getattr(ccxt, exchange)

    class Connection(base):
        issued_nonce = 0
        answered: tuple[int, str] | None = None

        def incrementing_nonce(self) -> int:
            return self.issued_nonce

        def nonce(self) -> int:
            return self.issued_nonce

        def on_rest_response(self, code: int, *others: Any) -> str:
            self.answered = code, others[4]
            return super().on_rest_response(code, *others)

    return Connection


def _one_shot_session() -> requests.Session:
    import requests  # noqa: PLC0415 - comes with ccxt, and as late
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    class Session(requests.Session):
        """Sends each request once, and none after it was closed: who gave it up must not be surprised by it."""

        has_begun = False
        is_closed = False

        def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:
            if self.is_closed:
                raise requests.exceptions.InvalidSchema("this connection was given up")
            self.has_begun = True
            return super().send(request, **settings)

        def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - wherever it leads
            return None

        def close(self) -> None:
            self.is_closed = True
            super().close()

    session = Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=0))
    # Neither a proxy nor a .netrc of the environment may come between us and the venue.
    session.trust_env = False
    return session


def _check_sends_once(options: Mapping[str, Any]) -> None:
    """Ccxt would send a request again on any failure of the network, an order too."""
    if options.get("maxRetriesOnFailure") != 0 or any(
        isinstance(option, dict) and option.get("maxRetriesOnFailure") for option in options.values()
    ):
        raise AssertionError("ccxt is set to send requests more than once")


def _failure_to_connect(error: BaseException) -> Failure | None:
    """Why there was no connection to send anything over; None where there may have been one.

    Only the chain that one failed attempt leaves behind is taken for proof: ccxt's error, caused by that of requests,
    which holds urllib3's about its only try. A timeout while connecting is not.
    """
    import requests  # noqa: PLC0415 - loaded by now
    from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError  # noqa: PLC0415

    cause = error.__cause__
    if type(cause) is not requests.exceptions.ConnectionError or not cause.args:
        return None
    tried = cause.args[0]
    reason = tried.reason if isinstance(tried, MaxRetryError) else None
    if isinstance(reason, NameResolutionError):
        return Failure.UNKNOWN_HOST
    if isinstance(reason, NewConnectionError) and isinstance(reason.__cause__, ConnectionRefusedError):
        return Failure.REFUSED
    return None


def _failure(error: BaseException) -> Failure:
    import ccxt  # noqa: PLC0415 - loaded by now
    import requests  # noqa: PLC0415

    if isinstance(error, ccxt.RequestTimeout):
        return Failure.TIMEOUT
    if isinstance(error.__cause__, requests.exceptions.SSLError):
        return Failure.INSECURE
    if isinstance(error, ccxt.NetworkError):
        return Failure.DISCONNECTED
    return Failure.OTHER
