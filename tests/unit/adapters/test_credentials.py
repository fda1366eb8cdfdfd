"""API keys: from the environment or sealed, and never shown."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.credentials import CredentialStore
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.portfolio import CredentialSource

KEY = "an/api+key/that/nobody/has"
SECRET = base64.b64encode(b"a secret that signs nothing").decode()
FROM_ENVIRONMENT = CredentialSource("MY_KEY", "MY_SECRET")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "credentials.key"


@pytest.fixture
def environment() -> dict[str, str]:
    return {"MY_KEY": KEY, "MY_SECRET": SECRET}


@pytest.fixture
def store(key_file: Path, environment: dict[str, str]) -> CredentialStore:
    return CredentialStore(key_file, environment)


def shown(caught: pytest.ExceptionInfo[InvalidInputError]) -> str:
    """Everything that a log would show of an error."""
    return f"{caught.value!s} {caught.value!r} {caught.value.__dict__}"


def test_is_read_from_the_environment(store: CredentialStore, key_file: Path) -> None:
    credentials = store.read(FROM_ENVIRONMENT)
    assert (credentials.key, credentials.secret) == (KEY, SECRET)
    assert not key_file.exists()


def test_is_never_shown_by_accident(store: CredentialStore) -> None:
    shown = repr(store.read(FROM_ENVIRONMENT)) + repr(store.seal(FROM_ENVIRONMENT))
    assert KEY not in shown
    assert SECRET not in shown
    assert store.seal(FROM_ENVIRONMENT).sealed not in shown


def test_white_space_around_a_key_is_left_out(store: CredentialStore, environment: dict[str, str]) -> None:
    environment.update(MY_KEY=f" {KEY}\n", MY_SECRET=f"{SECRET}\n")
    assert store.read(FROM_ENVIRONMENT) == store.read(FROM_ENVIRONMENT)
    assert store.read(FROM_ENVIRONMENT).key == KEY


@pytest.mark.parametrize("name", ["MY_KEY", "MY_SECRET"])
@pytest.mark.parametrize("change", [lambda env, name: env.pop(name), lambda env, name: env.update({name: " "})])
def test_a_variable_that_is_missing_is_named_with_the_remedy(
    store: CredentialStore, environment: dict[str, str], name: str, change: Callable[[dict[str, str], str], object]
) -> None:
    change(environment, name)
    with pytest.raises(InvalidInputError, match=f"{name} is not set; export it") as caught:
        store.read(FROM_ENVIRONMENT)
    assert KEY not in shown(caught)
    assert SECRET not in shown(caught)


def test_variables_that_nobody_named_are_asked_for(store: CredentialStore) -> None:
    for source in (CredentialSource(), replace(FROM_ENVIRONMENT, secret_env=None)):
        with pytest.raises(InvalidInputError, match="name the environment variables"):
            store.read(source)


@pytest.mark.parametrize("secret", ["not base64!", "abc", "====", SECRET[:-2], f"{SECRET}x"])
def test_a_secret_that_cannot_be_one_is_named_and_not_shown(
    store: CredentialStore, environment: dict[str, str], secret: str
) -> None:
    environment["MY_SECRET"] = secret
    with pytest.raises(InvalidInputError, match="the secret in MY_SECRET is not base64") as caught:
        store.read(FROM_ENVIRONMENT)
    assert secret not in shown(caught).replace("the secret in MY_SECRET is not base64; copy", "")


def test_what_is_sealed_opens_without_the_environment(store: CredentialStore, key_file: Path) -> None:
    sealed = store.seal(FROM_ENVIRONMENT)
    assert (sealed.key_env, sealed.secret_env) == (None, None)
    assert sealed.sealed is not None
    assert KEY not in sealed.sealed
    opened = CredentialStore(key_file, {}).read(sealed)
    assert (opened.key, opened.secret) == (KEY, SECRET)


def test_the_key_file_is_its_owners_alone_and_stays(store: CredentialStore, key_file: Path) -> None:
    first = store.seal(FROM_ENVIRONMENT)
    content = key_file.read_bytes()
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    second = store.seal(FROM_ENVIRONMENT)
    assert key_file.read_bytes() == content
    assert first != second
    assert store.read(first) == store.read(second)
    assert [path.name for path in key_file.parent.iterdir()] == ["credentials.key"]


def test_two_that_seal_at_once_share_one_key(key_file: Path, environment: dict[str, str]) -> None:
    sealed: list[CredentialSource] = []
    start = threading.Barrier(8)

    def seal() -> None:
        start.wait()
        sealed.append(CredentialStore(key_file, environment).seal(FROM_ENVIRONMENT))

    threads = [threading.Thread(target=seal) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {CredentialStore(key_file, {}).read(source).key for source in sealed} == {KEY}
    assert len(sealed) == 8


def test_without_the_key_file_nothing_opens(store: CredentialStore, key_file: Path) -> None:
    sealed = store.seal(FROM_ENVIRONMENT)
    key_file.unlink()
    with pytest.raises(InvalidInputError, match="is missing; bring it back from a backup") as caught:
        store.read(sealed)
    assert str(key_file) in str(caught.value)
    assert not key_file.exists()


def test_another_key_file_does_not_open_it(store: CredentialStore, tmp_path: Path, environment: dict[str, str]) -> None:
    sealed = store.seal(FROM_ENVIRONMENT)
    other = CredentialStore(tmp_path / "other.key", environment)
    other.seal(FROM_ENVIRONMENT)
    with pytest.raises(InvalidInputError, match="cannot be opened with"):
        other.read(sealed)


@pytest.mark.parametrize("sealed", ["", "x", "gAAAAA", "é"])
def test_a_sealed_text_that_is_none_is_refused(store: CredentialStore, sealed: str) -> None:
    store.seal(FROM_ENVIRONMENT)
    with pytest.raises(InvalidInputError, match="cannot be opened"):
        store.read(CredentialSource(sealed=sealed))


def test_a_damaged_key_file_is_named(store: CredentialStore, key_file: Path) -> None:
    sealed = store.seal(FROM_ENVIRONMENT)
    key_file.write_bytes(b"not a key")
    for use in (lambda: store.read(sealed), lambda: store.seal(FROM_ENVIRONMENT)):
        with pytest.raises(InvalidInputError, match="is damaged"):
            use()


def test_a_key_file_that_cannot_be_read_is_named(store: CredentialStore, key_file: Path) -> None:
    key_file.mkdir(parents=True)
    with pytest.raises(InvalidInputError, match="cannot be used"):
        store.seal(FROM_ENVIRONMENT)


def test_without_a_data_directory_nothing_is_sealed(environment: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError, match="data directory"):
        CredentialStore(None, environment).seal(FROM_ENVIRONMENT)


def test_a_fingerprint_is_the_same_wherever_the_key_comes_from(store: CredentialStore) -> None:
    mark = store.fingerprint(FROM_ENVIRONMENT)
    assert mark == hashlib.sha256(KEY.encode()).hexdigest()
    assert mark == store.fingerprint(store.seal(FROM_ENVIRONMENT))


def test_reads_the_programs_own_environment(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CredentialStore(key_file)
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("MY_SECRET", SECRET)
    assert store.read(FROM_ENVIRONMENT).key == os.environ["MY_KEY"]
