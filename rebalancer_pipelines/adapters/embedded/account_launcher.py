"""Run a command under another account: python -I -S account_launcher.py UID GID FOLDER PATH... -- COMMAND...

A script of its own, run by a fresh interpreter, because what it does to the process cannot be undone and
is not safe between fork and exec of a program with threads. It knows nothing of this package.

The command runs in FOLDER. That may lie below a folder that is closed to the account (a private home, one made
by `mktemp -d`), and the modes of such a folder are not ours to change. If FOLDER or one of the PATHs cannot be
reached, the command keeps one ability of root: CAP_DAC_OVERRIDE, which passes over file modes (with its weaker
sister CAP_DAC_READ_SEARCH), as an ambient capability that its children inherit. It keeps none otherwise.
"""

from __future__ import annotations

import ctypes
import os
import sys

EXIT_REFUSED = 120
"""Exit status that says: the command was not run, standard error has the reason in one line."""

_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAP_SETPCAP = 8
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySet(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _checked(status: int) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _prctl(option: int, first: int, second: int = 0) -> None:
    arguments = (ctypes.c_ulong(value) for value in (first, second, 0, 0))
    _checked(_libc.prctl(ctypes.c_int(option), *arguments))


def _become(uid: int, gid: int) -> None:
    # Without this the kernel forgets all capabilities on the way; with it they stay permitted, not in force.
    _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _keep_access_to_files() -> None:
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    sets = (_CapabilitySet * 2)()
    _checked(_libc.capget(ctypes.byref(header), sets))
    permitted = sets[0].permitted
    if not permitted & _bit(_CAP_DAC_OVERRIDE):
        raise PermissionError("root lacks CAP_DAC_OVERRIDE here")

    def restrict_to(mask: int) -> None:
        sets[0], sets[1] = _CapabilitySet(mask, mask, mask), _CapabilitySet(0, 0, 0)
        _checked(_libc.capset(ctypes.byref(header), sets))

    kept = permitted & (_bit(_CAP_DAC_OVERRIDE) | _bit(_CAP_DAC_READ_SEARCH))
    if permitted & _bit(_CAP_SETPCAP):
        # The call access(), by which PostgreSQL looks for its own programs, ignores the capabilities of all
        # accounts but root unless this is set. Programs in open folders are found without.
        restrict_to(kept | _bit(_CAP_SETPCAP))
        _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    restrict_to(kept)
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        if kept & _bit(capability):
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def _bit(capability: int) -> int:
    return 1 << capability


def _refuse(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return EXIT_REFUSED


def main(arguments: list[str]) -> int:
    """Become the account and run the command; returns only if that failed."""
    separator = arguments.index("--")
    uid, gid = int(arguments[0]), int(arguments[1])
    needed, command = arguments[2:separator], arguments[separator + 1 :]
    try:
        _become(uid, gid)
    except OSError as error:
        return _refuse(f"root cannot change to account {uid} here ({error.strerror})")
    unreachable = next((path for path in needed if not os.access(path, os.R_OK | os.X_OK)), None)
    if unreachable is not None:
        try:
            _keep_access_to_files()
        except OSError as error:
            return _refuse(f"account {uid} cannot reach {unreachable} ({error.strerror or error})")
    os.umask(0o077)
    try:
        os.chdir(needed[0])
        os.execv(command[0], command)  # noqa: S606  (no shell is what we want)
    except OSError as error:
        return _refuse(f"{command[0]} does not start ({error.strerror})")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
