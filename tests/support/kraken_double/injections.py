"""Which further request meets which fault."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tests.support.kraken_double.faults import Fault


@dataclass(slots=True)
class _Injection:
    """`endpoints` None is any; `times` None is for ever."""

    endpoints: frozenset[str] | None
    fault: Fault
    after: int
    times: int | None


class Injections:
    """Each request counts for every injection on its endpoint, and meets the first that is due."""

    def __init__(self) -> None:
        self._waiting: list[_Injection] = []

    def add(self, endpoints: Collection[str] | None, fault: Fault, *, after: int, times: int | None) -> None:
        """What is for ever takes the place of what was for ever on the same endpoints."""
        where = None if endpoints is None else frozenset(endpoints)
        if times is None:
            self._waiting = [each for each in self._waiting if each.times is not None or each.endpoints != where]
        self._waiting.append(_Injection(where, fault, after, times))

    def clear(self) -> None:
        self._waiting.clear()

    def fault_for(self, endpoint: str) -> Fault | None:
        met: Fault | None = None
        for injection in self._waiting:
            if injection.endpoints is not None and endpoint not in injection.endpoints:
                continue
            if injection.after > 0:
                injection.after -= 1
            elif met is None:
                met = injection.fault
                if injection.times is not None:
                    injection.times -= 1
        self._waiting = [injection for injection in self._waiting if injection.times != 0]
        return met
