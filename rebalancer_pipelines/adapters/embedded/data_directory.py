"""The folder under which the embedded servers keep their data."""

from __future__ import annotations

import os
from pathlib import Path

from rebalancer_pipelines.adapters.embedded.errors import EmbeddedServiceError

_ROOT_DATA_DIR = Path("/var/lib/rebalancer")


def default_data_dir() -> Path:
    """Return where the data of this account lives unless somebody says otherwise.

    Raises:
        EmbeddedServiceError: the account has no home folder.

    """
    if os.geteuid() == 0:
        return _ROOT_DATA_DIR
    configured = os.environ.get("XDG_DATA_HOME", "")
    if Path(configured).is_absolute():  # the XDG specification tells to ignore any other value
        return Path(configured) / "rebalancer"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise EmbeddedServiceError(
            "No data folder: this account has no home folder; name a folder with --data-dir"
        ) from error
    return home / ".local" / "share" / "rebalancer"


def prepared_data_dir(data_dir: Path) -> Path:
    """Return `data_dir` as a real path, making the folder if it is missing and leaving it alone if not.

    Raises:
        OSError: the folder cannot be made.

    """
    resolved = data_dir.resolve()
    try:
        resolved.mkdir(parents=True)
    except FileExistsError:
        if not resolved.is_dir():
            raise
    else:
        # Root's servers run under another account, which has to pass through but not to look around.
        resolved.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return resolved
