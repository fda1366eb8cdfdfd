"""The token: made once, kept for its owner's eyes, and never told."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.ui_guard.access_token import (
    TOKEN_VARIABLE,
    AccessToken,
    kept_token,
    token_file,
    token_from_environment,
)
from rebalancer_pipelines.domain.errors import InvalidInputError

TOKEN = "correct-horse-battery"


def test_one_is_made_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    token = kept_token(folder)
    assert len(token.reveal()) >= 40
    assert stat.S_IMODE(token_file(folder).stat().st_mode) == 0o600
    assert kept_token(folder).reveal() == token.reveal()
    assert kept_token(tmp_path / "other").reveal() != token.reveal()


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = kept_token(tmp_path).reveal()
    token_file(tmp_path).chmod(0o640)
    with pytest.raises(InvalidInputError, match="can be read by others") as caught:
        kept_token(tmp_path)
    assert token not in str(caught.value)


def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(InvalidInputError, match=r"ui_token: .* cannot be used \(.*\); check its permissions"):
        kept_token(tmp_path / "data")


def test_an_empty_file_opens_nothing(tmp_path: Path) -> None:
    token_file(tmp_path).touch(mode=0o600)
    with pytest.raises(InvalidInputError, match="must be at least 16"):
        kept_token(tmp_path)


def test_the_environment_names_one() -> None:
    token = token_from_environment({TOKEN_VARIABLE: f" {TOKEN}\n"})
    assert token is not None
    assert token.reveal() == TOKEN
    assert token_from_environment({}) is None
    assert token_from_environment({TOKEN_VARIABLE: " "}) is None


@pytest.mark.parametrize(
    "text", ["fifteen-letters", "sixteen or more words", "sixteen-or-more-\u20ac", "sixteen-or\x07-more-"]
)
def test_one_that_is_easy_to_guess_or_hard_to_send_is_refused_untold(text: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{TOKEN_VARIABLE}: must be at least 16") as caught:
        token_from_environment({TOKEN_VARIABLE: text})
    assert text not in repr(caught.value)


def test_only_the_same_text_matches() -> None:
    token = AccessToken(TOKEN)
    assert token.matches(TOKEN)
    assert token.matches(f" {TOKEN}\n")
    for wrong in ("", TOKEN[:-1], f"{TOKEN}a", TOKEN.upper(), "\u20ac", "\udce9"):
        assert not token.matches(wrong)


def test_it_is_never_shown_by_accident() -> None:
    token = AccessToken(TOKEN)
    assert TOKEN not in f"{token} {token!r}"
