from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.adapters.venues.ccxt.one_line import one_line, without_secrets

SECRET = base64.b64encode(b"\xff\xfe\xfb a secret / with + all that base64 has").decode()


@given(st.text(max_size=1000), st.integers(1, 300))
def test_is_one_short_line_whatever_comes(text: str, longest: int) -> None:
    line = one_line(text, longest=longest)
    assert len(line) <= longest
    assert not line or line.isprintable()


def test_keeps_what_fits() -> None:
    assert one_line(" a\r\n\tb\x00c ") == "a b c"
    assert one_line("x" * 200) == "x" * 200
    assert one_line("x" * 201) == "x" * 199 + "…"


@pytest.mark.parametrize("written", [SECRET, SECRET.replace("/", "\\/"), quote(SECRET, safe="")])
def test_no_secret_stays_however_it_is_written(written: str) -> None:
    text = without_secrets(f"before {written} after {written}", [SECRET])
    assert text == "before *** after ***"
