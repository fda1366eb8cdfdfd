"""Ids that are made here."""

from __future__ import annotations

import time
from uuid import RFC_4122

from rebalancer_pipelines.application.new_id import new_id


def test_an_id_is_a_uuid_of_version_7_that_begins_with_the_present() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ids_are_all_different_and_follow_each_other() -> None:
    made = [new_id() for _ in range(20_000)]
    assert len(set(made)) == len(made)
    # Those of the same 4096th of a millisecond stand in no sequence.
    moments = [each.int >> 64 for each in made]
    assert moments == sorted(moments)
    assert len(set(moments)) > 100
