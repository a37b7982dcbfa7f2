"""Generated modules on disk, found again by the hash of their text, and imported from there."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType


def cache_folder() -> Path:
    """`$FUSIONC_CACHE`, else `fusionc` in the user's cache folder."""
    chosen = os.environ.get("FUSIONC_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fusionc"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it appears whole or not at all: a temporary file beside it, then a rename.

    A link is followed; a device or a pipe is written to as it is. Raises OSError where the folder cannot be written;
    the old file is untouched then.
    """
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_text(text, encoding="utf-8")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def import_text(text: str) -> ModuleType:
    """The module of a generated file, imported once in a process whatever the number of requests."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:24]
    name = f"fusionc_generated_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    path = cache_folder() / f"{name}.py"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
