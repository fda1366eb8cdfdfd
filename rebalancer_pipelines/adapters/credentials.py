"""API keys of accounts: read from the environment, or sealed with this installation's own key file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rebalancer_pipelines.adapters.private_file import create_private_file
from rebalancer_pipelines.adapters.venues.ccxt.client import Credentials
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.portfolio import CredentialSource

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_FIELD = "credentials"


class CredentialStore:
    """Opens credential sources. `key_file` seals and unseals; it is made on first use, for its owner's eyes only.

    It never goes into the database: whoever has only one of the two has nothing.
    """

    def __init__(self, key_file: Path | None, environment: Mapping[str, str] = os.environ) -> None:
        self._key_file = key_file
        self._environment = environment

    def read(self, source: CredentialSource) -> Credentials:
        """The key and the secret, ready to sign with.

        Raises `InvalidInputError` naming the variable or file that is at fault and the remedy, never a value.
        """
        if source.sealed is not None:
            return self._unsealed(source.sealed)
        credentials = Credentials(self._variable(source.key_env), self._variable(source.secret_env))
        if not _is_base64(credentials.secret):
            raise InvalidInputError(
                _FIELD,
                None,
                f"the secret in {source.secret_env} is not base64; copy the private key as Kraken shows it",
            )
        return credentials

    def seal(self, source: CredentialSource) -> CredentialSource:
        """Read the key now and return it encrypted. Raises `InvalidInputError`."""
        credentials = self.read(source)
        document = json.dumps({"key": credentials.key, "secret": credentials.secret}).encode()
        return CredentialSource(sealed=self._cipher(make=True).encrypt(document).decode())

    def fingerprint(self, source: CredentialSource) -> str:
        """The SHA-256 of the API key in hex: it tells keys apart and gives nothing away. Raises `InvalidInputError`."""
        return hashlib.sha256(self.read(source).key.encode()).hexdigest()

    def _variable(self, name: str | None) -> str:
        if not name:
            raise InvalidInputError(_FIELD, None, "name the environment variables that hold the key and its secret")
        value = self._environment.get(name, "").strip()
        if not value:
            raise InvalidInputError(
                _FIELD, None, f"the environment variable {name} is not set; export it and try again"
            )
        return value

    def _unsealed(self, sealed: str) -> Credentials:
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - comes with ccxt, and as late

        try:
            document = json.loads(self._cipher(make=False).decrypt(sealed.encode()))
            return Credentials(document["key"], document["secret"])
        except (InvalidToken, ValueError, KeyError, TypeError):
            raise InvalidInputError(
                _FIELD,
                None,
                f"the stored key cannot be opened with {self._key_file}; bring that file back from a backup, or give "
                "the account a key with 'rebalancer account set-key'",
            ) from None

    def _cipher(self, *, make: bool) -> Fernet:
        from cryptography.fernet import Fernet  # noqa: PLC0415 - comes with ccxt, and as late

        if self._key_file is None:
            raise InvalidInputError(_FIELD, None, "no data directory is set, and stored keys need one; name it")
        try:
            if make and not self._key_file.exists():
                create_private_file(self._key_file, Fernet.generate_key())
            return Fernet(self._key_file.read_bytes().strip())
        except FileNotFoundError:
            raise InvalidInputError(
                _FIELD,
                None,
                f"the file {self._key_file} that opens the stored key is missing; bring it back from a backup, or give "
                "the account a key with 'rebalancer account set-key'",
            ) from None
        except OSError as error:
            raise InvalidInputError(
                _FIELD, None, f"the file {self._key_file} cannot be used ({error.strerror}); check its permissions"
            ) from None
        except ValueError:
            raise InvalidInputError(
                _FIELD, None, f"the file {self._key_file} is damaged; bring it back from a backup"
            ) from None


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
