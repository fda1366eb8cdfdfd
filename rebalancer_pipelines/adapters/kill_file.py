"""The file that stops every order while it is there, also when the database is away."""

from __future__ import annotations

from pathlib import Path

_NAME = "HALT"
_ENOUGH_BYTES = 4096
_MOST_CHARACTERS = 200


class KillFile:
    """Implements `ports.KillFile`: anybody who can write to the data folder can stop the program with it."""

    def __init__(self, folder: Path) -> None:
        """Look into the data folder, which need not exist yet."""
        self._path = folder / _NAME

    @property
    def path(self) -> str:
        """Where it has to lie."""
        return str(self._path)

    def reason(self) -> str | None:
        """The first line that says something, at most 200 printable characters; None while the file is not there.

        A file that cannot be read stops everything too: whoever put it there wanted that.
        """
        try:
            with self._path.open("rb") as file:
                text = file.read(_ENOUGH_BYTES).decode(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        lines = text.strip().splitlines() or [""]
        said = "".join(character for character in lines[0] if character.isprintable()).strip()
        return said[:_MOST_CHARACTERS] or "it gives no reason"
