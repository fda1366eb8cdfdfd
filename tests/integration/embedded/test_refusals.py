"""What cannot work ends with one line that names the cause and the remedy, and leaves nothing running."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.embedded.errors import EmbeddedServiceError
from rebalancer_pipelines.adapters.embedded.services import running_database

from .conftest import NOBODY, User, execute, servers_of

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to prepare")


def refusal(data_dir: Path) -> str:
    with pytest.raises(EmbeddedServiceError) as caught, running_database(data_dir):
        pass
    assert servers_of(data_dir) == []
    message = str(caught.value)
    assert "\n" not in message
    assert str(data_dir) in message
    return message


def test_a_cluster_of_another_version(data_dir: Path) -> None:
    with running_database(data_dir) as url:
        execute(url, "SELECT 1")
    version = data_dir / "postgres" / "data" / "PG_VERSION"
    version.write_text("17\n")
    message = refusal(data_dir)
    assert "version 17" in message
    assert "move" in message
    version.write_text("18\n")
    with running_database(data_dir) as url:
        assert execute(url, "SELECT 1") == [(1,)]


def test_a_file_in_place_of_the_folder(data_dir: Path) -> None:
    data_dir.write_text("")
    assert "--data-dir" in refusal(data_dir)


def test_something_else_in_place_of_the_cluster(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "postgres" / "letter.txt").write_text("dear diary")
    assert "move it away" in refusal(data_dir)
    assert (data_dir / "postgres" / "letter.txt").read_text() == "dear diary"


def test_a_lost_password(data_dir: Path) -> None:
    with running_database(data_dir):
        pass
    (data_dir / "postgres" / "password").unlink()
    assert "restore it" in refusal(data_dir)


def test_a_broken_cluster_names_reason_and_log(data_dir: Path) -> None:
    with running_database(data_dir):
        pass
    (data_dir / "postgres" / "data" / "global" / "pg_control").unlink()
    message = refusal(data_dir)
    assert "pg_control" in message
    assert str(data_dir / "postgres" / "log") in message


def test_a_path_that_pg_ctl_would_hand_to_a_shell(data_dir: Path) -> None:
    assert "--data-dir" in refusal(data_dir.with_name("$(touch danger)"))


@needs_root
def test_a_folder_that_an_ordinary_account_may_not_write(
    tmp_path_factory: pytest.TempPathFactory, start_user: Callable[..., User]
) -> None:
    answer = start_user(Path("/var/lib/rebalancer-of-somebody-else"), uid=NOBODY).next_answer()
    assert answer["step"] == "failed"
    assert "--data-dir" in answer["message"]
    assert "Permission denied" in answer["message"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root with the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    message = refusal(small_disk / "data")
    assert "No space left on device" in message
    assert not list((small_disk / "data").glob("postgres*/"))


# Tries to use the database of the folder in its first argument, and says how that went.
ATTEMPT = """
import sys; from pathlib import Path
from rebalancer_pipelines.adapters.embedded.services import running_database
try:
    with running_database(Path(sys.argv[1])): outcome = "running"
except Exception as error: outcome = f"{type(error).__name__}: {error}"
sys.stdout.write(outcome)
"""


def attempt_under(prefix: list[str], data_dir: Path) -> str:
    command = [*prefix, sys.executable, "-c", ATTEMPT, str(data_dir)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert result.returncode == 0, result.stderr
    assert "\n" not in result.stdout
    return result.stdout


@needs_root
def test_root_without_capabilities_is_told_the_folder(data_dir: Path) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    # Root keeps what it takes to change the account, and loses what it takes to pass over file modes later.
    outcome = attempt_under(["setpriv", "--bounding-set", "-dac_override,-dac_read_search"], data_dir)
    assert outcome.startswith("EmbeddedServiceError: ")
    assert "CAP_DAC_OVERRIDE" in outcome
    assert not list(data_dir.glob("postgres*/"))
    assert str(data_dir) in outcome
    assert "--data-dir" in outcome
    assert servers_of(data_dir) == []


@needs_root
def test_a_server_in_another_container_is_not_doubled(data_dir: Path, start_user: Callable[..., User]) -> None:
    container = ["unshare", "--pid", "--ipc", "--fork", "--mount-proc"]
    if subprocess.run([*container, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to make namespaces")
    user = start_user(data_dir)
    url, _ = user.urls()
    outcome = attempt_under(container, data_dir)
    assert "another container" in outcome
    assert execute(url, "SELECT 1") == [(1,)]
    user.leave()
    assert attempt_under(container, data_dir) == "running"
    assert servers_of(data_dir) == []
