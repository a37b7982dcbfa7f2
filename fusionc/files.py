"""Files that appear whole or not at all, and reading what may be a pipe."""

from __future__ import annotations

import errno
import os
import secrets
import select
import stat
import time
from pathlib import Path

WAIT_FOR_WRITER = 2.0
"""Seconds that a named pipe may take to be opened by whoever writes into it."""


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it appears whole or not at all: a temporary file beside it, then a rename.

    A link is followed; a device or a pipe is written to as it is. Raises OSError where the folder or the file cannot be
    written; the old file is untouched then.
    """
    try:
        path = path.resolve()
    except RuntimeError as error:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error
    old = _status(path)
    if old is not None and not (stat.S_ISREG(old.st_mode) or stat.S_ISDIR(old.st_mode)):
        path.write_text(text, encoding="utf-8", newline="\n")
        return
    if old is not None and stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if old is not None and not os.access(path, os.W_OK):  # a rename would not ask
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".fusionc-{secrets.token_hex(8)}.tmp"
    try:
        # (the system takes the umask off the mode: to ask for it, one would have to change it, for all threads)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if old is not None:
            os.chmod(temporary, stat.S_IMODE(old.st_mode))
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_bytes(path: Path, most: int) -> bytes:
    """The bytes of a file, `most` and one more where it is larger. Of a pipe: what is written into it until all its
    writers are done. Raises OSError; a pipe that nobody opens for writing is an error too, for it would never end."""
    status = os.stat(path)
    if stat.S_ISFIFO(status.st_mode) and hasattr(select, "poll"):
        return _read_pipe(path, most)
    with path.open("rb") as file:
        return file.read(most + 1)


def _read_pipe(path: Path, most: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # (otherwise to open it waits for a writer)
    try:
        parts, size, seen = list[bytes](), 0, False
        until = time.monotonic() + WAIT_FOR_WRITER
        poll = select.poll()
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
        while size <= most:
            seen = bool(poll.poll(None if seen else 50)) or seen  # (data, or a writer that has gone)
            try:
                part = os.read(descriptor, min(1 << 16, most + 1 - size))
            except BlockingIOError:  # there is a writer, who says nothing yet
                seen = True
                continue
            if not part and seen:
                break
            if not part and time.monotonic() > until:
                raise TimeoutError(errno.ETIMEDOUT, "it is a pipe, and nobody writes into it", str(path))
            parts.append(part)
            size += len(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
