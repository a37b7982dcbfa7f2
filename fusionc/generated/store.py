"""Generated texts on disk: `$FUSIONC_CACHE`, else `fusionc` in the user's cache folder.

What is read there is run, so nothing is read that somebody else could have written: the folder and the entry must
belong to the user, nobody else may write there, and no link is followed. An entry ends with a digest of its text; one
that is broken is not there, and is replaced. No entry is ever changed, but put beside the old one and renamed.

Nothing here raises OSError: where there is no place to read or to write, the compiler does the work again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MOST_ENTRIES = 1000
MOST_BYTES = 256 * 2**20
STALE = 3600.0
"""Seconds after which a file that was never renamed is nobody's."""

_LOG = logging.getLogger("fusionc.cache")
_SEAL = "# sha256 "
_ENTRY = re.compile(r"\w{1,40}_[0-9a-f]{32}\.py")
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_BY_FOLDER = {os.open, os.unlink, os.stat, os.rename} <= os.supports_dir_fd and os.listdir in os.supports_fd


def cache_folder() -> Path | None:
    """Where entries lie; None where the user has no home."""
    try:
        chosen = os.environ.get("FUSIONC_CACHE")
        if chosen:
            return Path(chosen).expanduser()
        base = Path(os.environ.get("XDG_CACHE_HOME") or "")
        return (base if base.is_absolute() else Path.home() / ".cache") / "fusionc"
    except RuntimeError:  # no home, or none of that name
        return None


def entry_path(diagram: str, key: str) -> Path | None:
    """Where an entry lies or would lie."""
    folder = cache_folder()
    return None if folder is None else folder / _file_name(diagram, key)


def read_entry(diagram: str, key: str) -> str | None:
    """The text of an entry; None where there is none that can be trusted."""
    try:
        with _opened(make=False) as folder:
            text = folder.read(_file_name(diagram, key))
    except (OSError, ValueError) as error:
        _LOG.debug("no entry for %s: %s", diagram, error)
        return None
    _LOG.debug("found %s", diagram)
    return text


def write_entry(diagram: str, key: str, text: str) -> bool:
    """Keep a text. False where that cannot be done."""
    try:
        with _opened(make=True) as folder:
            folder.write(_file_name(diagram, key), text)
            folder.prune()
    except (OSError, ValueError) as error:
        _LOG.info("%s is not kept in the cache: %s", diagram, error)
        return False
    return True


def _file_name(diagram: str, key: str) -> str:
    return f"{diagram[:40]}_{key[:32]}.py"


@contextmanager
def _opened(make: bool) -> Iterator[_Folder]:
    """The folder, held open so that it stays the one that was looked at. Raises OSError, PermissionError where others
    may write there."""
    path = cache_folder()
    if path is None:
        raise FileNotFoundError("there is no home")
    if make:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(0o700)
    if not _BY_FOLDER:
        yield _Folder(path, None)
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check_own(os.fstat(descriptor), str(path))
        yield _Folder(path, descriptor)
    finally:
        os.close(descriptor)


def _check_own(status: os.stat_result, name: str) -> None:
    """Raise unless a file or folder is the user's alone to write."""
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise PermissionError(f"{name} belongs to somebody else")
    if hasattr(os, "geteuid") and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"others may write to {name}")


@dataclass(frozen=True)
class _Folder:
    """A folder of entries. `descriptor` is None where a system has no files relative to an open folder."""

    path: Path
    descriptor: int | None

    def read(self, name: str) -> str:
        """The text of an entry. Raises OSError or ValueError where it cannot be trusted or is broken."""
        descriptor = os.open(self._at(name), os.O_RDONLY | _NO_LINK, dir_fd=self.descriptor)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{name} is no file")
            _check_own(status, name)
            if status.st_size > MOST_BYTES:
                raise ValueError(f"{name} is too large")
            whole = file.read().decode("utf-8")
            text, seal, digest = whole.rpartition(_SEAL)
            if not seal or digest.strip() != _digest(text):
                raise ValueError(f"{name} is broken")
            with suppress(OSError):  # what is used stays longest
                os.utime(descriptor if os.utime in os.supports_fd else self.path / name)
        return text

    def write(self, name: str, text: str) -> None:
        """Put an entry in place of whatever stands there. Raises OSError."""
        temporary = f".{secrets.token_hex(8)}.tmp"
        try:
            descriptor = os.open(
                self._at(temporary), os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600, dir_fd=self.descriptor
            )
            with os.fdopen(descriptor, "wb") as file:
                file.write(f"{text}{_SEAL}{_digest(text)}\n".encode())
            try:
                self._rename(temporary, name)
            except OSError:
                if not stat.S_ISDIR(self._status(name).st_mode):
                    raise
                shutil.rmtree(self.path / name)
                self._rename(temporary, name)
        except BaseException:
            self._remove(temporary)
            raise

    def prune(self) -> None:
        """Keep the entries that were used last, and no file that was never finished."""
        names = sorted(os.listdir(self.path if self.descriptor is None else self.descriptor))
        entries = []
        for name in names:
            with suppress(FileNotFoundError):  # another process prunes too
                if _TEMPORARY.fullmatch(name) and time.time() - self._status(name).st_mtime > STALE:
                    self._remove(name)
                if _ENTRY.fullmatch(name):
                    status = self._status(name)
                    entries.append((status.st_mtime, name, status.st_size))
        size = 0
        for number, (_, name, bytes_of) in enumerate(sorted(entries, reverse=True)):
            size += bytes_of
            if number >= MOST_ENTRIES or (size > MOST_BYTES and number):
                self._remove(name)

    def _at(self, name: str) -> str:
        return str(self.path / name) if self.descriptor is None else name

    def _status(self, name: str) -> os.stat_result:
        return os.stat(self._at(name), dir_fd=self.descriptor, follow_symlinks=False)

    def _rename(self, name: str, to: str) -> None:
        os.replace(self._at(name), self._at(to), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def _remove(self, name: str) -> None:
        with suppress(OSError):
            os.unlink(self._at(name), dir_fd=self.descriptor)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
