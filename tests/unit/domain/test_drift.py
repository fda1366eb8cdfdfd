from __future__ import annotations

from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.domain.drift import DriftBand, DriftBandKind, distance_from_targets, leaves_band

ABSOLUTE = DriftBand(Decimal(5))
RELATIVE = DriftBand(Decimal(5), DriftBandKind.RELATIVE)


@pytest.mark.parametrize(
    ("band", "target", "allowance"),
    [(ABSOLUTE, 30, "5"), (ABSOLUTE, 0, "5"), (RELATIVE, 30, "1.5"), (RELATIVE, 100, "5"), (RELATIVE, 0, "0")],
)
def test_what_a_band_allows_is_counted_in_points(band: DriftBand, target: int, allowance: str) -> None:
    assert band.allowance(Decimal(target)) == Decimal(allowance)


@pytest.mark.parametrize(
    ("value", "has_left"), [("250", False), ("249.99", True), ("350", False), ("350.01", True), ("300", False)]
)
def test_the_edges_of_a_band_belong_to_it(value: str, *, has_left: bool) -> None:
    target = Decimal(30)
    left = leaves_band(ABSOLUTE, Decimal(value), Decimal(1000), low=target, high=target, threshold=Decimal(1))
    assert left is has_left


@pytest.mark.parametrize(("value", "has_left"), [("109.99", False), ("110", True)])
def test_a_drift_worth_no_order_leaves_no_band(value: str, *, has_left: bool) -> None:
    band, target = DriftBand(Decimal("0.01")), Decimal(10)
    left = leaves_band(band, Decimal(value), Decimal(1000), low=target, high=target, threshold=Decimal(10))
    assert left is has_left


@pytest.mark.parametrize(("value", "has_left"), [("94", True), ("95", False), ("210", False), ("211", True)])
def test_between_low_and_high_nothing_has_drifted(value: str, *, has_left: bool) -> None:
    left = leaves_band(RELATIVE, Decimal(value), Decimal(1000), low=Decimal(10), high=Decimal(20), threshold=Decimal(1))
    assert left is has_left


def test_the_distance_is_the_share_of_value_that_would_have_to_move() -> None:
    pairs = [(Decimal(60), Decimal(50)), (Decimal(10), Decimal(30)), (Decimal(30), Decimal(20))]

    assert distance_from_targets(pairs) == 20
    assert distance_from_targets([]) == 0


@given(st.lists(st.tuples(st.decimals(0, 100, places=6), st.decimals(0, 100, places=6))), st.integers(1, 4))
def test_the_distance_is_exact_and_symmetric(pairs: list[tuple[Decimal, Decimal]], precision: int) -> None:
    steps = sum(abs(int(a.scaleb(6)) - int(b.scaleb(6))) for a, b in pairs)
    with localcontext(Context(prec=precision)):
        distance = distance_from_targets(pairs)
        mirrored = distance_from_targets((b, a) for a, b in pairs)
    assert distance == mirrored
    assert distance * 2_000_000 == steps
