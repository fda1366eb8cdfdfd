from __future__ import annotations

from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.embedded.file_lock import FileLock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_sharers_keep_out_who_wants_it_alone(path: Path) -> None:
    one, other, alone = FileLock(path), FileLock(path), FileLock(path)
    assert one.try_shared()
    assert other.try_shared()
    assert not alone.try_exclusive()
    assert not alone.is_held
    one.release()
    assert not alone.try_exclusive()
    other.release()
    assert alone.try_exclusive()


def test_the_last_sharer_gets_it_alone(path: Path) -> None:
    one, other = FileLock(path), FileLock(path)
    assert one.try_shared()
    assert other.try_shared()
    assert not one.try_exclusive()
    one.release()
    assert other.try_exclusive()
    assert not one.try_shared()


def test_waiting_has_an_end(path: Path) -> None:
    holder = FileLock(path)
    assert holder.try_exclusive()
    with pytest.raises(TimeoutError, match="stayed locked"), FileLock(path).exclusive(0.05):
        pass


def test_a_block_lets_go(path: Path) -> None:
    lock = FileLock(path)
    with lock.exclusive(1):
        assert lock.is_held
    assert not lock.is_held
    with pytest.raises(ValueError, match="not locked"):
        _ = lock.descriptor


def test_the_file_is_closed_to_others_and_no_link_is_followed(path: Path) -> None:
    lock = FileLock(path)
    assert lock.try_shared()
    assert path.stat().st_mode & 0o777 == 0o600
    link = path.with_name("link")
    link.symlink_to("victim")
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(link).try_shared()
