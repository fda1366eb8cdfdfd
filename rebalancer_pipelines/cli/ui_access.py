"""Where `rebalancer up` serves the UI, and who may use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rebalancer_pipelines.adapters.ui_guard.access_token import (
    TOKEN_VARIABLE,
    AccessToken,
    kept_token,
    token_file,
    token_from_environment,
)
from rebalancer_pipelines.adapters.ui_guard.served_hosts import bracketed, is_wildcard, parse_address, parse_name
from rebalancer_pipelines.domain.values import parse_whole

_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to ask when it listens on all


@dataclass(frozen=True, slots=True)
class UiAccess:
    """The address and port of the UI, the further names it is known by, and what it demands.

    `token` is None where nobody has to log in; `token_source` says where its owner finds it.
    """

    address: str
    port: int
    allow_hosts: tuple[str, ...] = ()
    read_only: bool = False
    token: AccessToken | None = None
    token_source: str | None = None

    def with_token(self, data_dir: Path) -> UiAccess:
        """The same with a login: the environment's token, else the one of the data directory, made on first use.

        Raises `InvalidInputError`, which does not tell the token.
        """
        given = token_from_environment()
        if given is not None:
            return replace(self, token=given, token_source=TOKEN_VARIABLE)
        return replace(self, token=kept_token(data_dir), token_source=str(token_file(data_dir)))

    @property
    def asked_at(self) -> str:
        """The address at which this machine reaches the UI."""
        return _LOOPBACK_OF[self.address] if is_wildcard(self.address) else self.address

    @property
    def url(self) -> str:
        """Where the UI answers on this machine."""
        return f"http://{bracketed(self.asked_at)}:{self.port}"

    @property
    def arguments(self) -> Sequence[str]:
        """What the webserver's command line has to say; never the token."""
        names = [argument for name in self.allow_hosts for argument in ("--allow-host", name)]
        switches = [*(["--read-only"] if self.read_only else []), *(["--auth"] if self.token else [])]
        return ["--host", self.address, "--port", str(self.port), *names, *switches]

    @property
    def environment(self) -> Mapping[str, str]:
        """What only the webserver may know."""
        return {TOKEN_VARIABLE: self.token.reveal()} if self.token else {}

    @property
    def headers(self) -> Mapping[str, str]:
        """What a program sends along to be let in."""
        return {"Authorization": f"Bearer {self.token.reveal()}"} if self.token else {}


def parse_ui_access(host: str, port: str, allow_hosts: Sequence[str], *, read_only: bool, auth: bool) -> UiAccess:
    """Read what the options say. Raises `InvalidInputError`, also for an open door without a login."""
    return UiAccess(
        address=parse_address(host, login=auth),
        port=parse_whole(port, field="port", least=1, most=65535),
        allow_hosts=tuple(parse_name(name) for name in allow_hosts),
        read_only=read_only,
    )
