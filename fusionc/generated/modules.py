"""Generated texts as modules: each text is executed once in a process, by one thread, and found again by its name.

The import system does the work: it has a lock for each module, gives nobody a module that is still being executed, and
asks the finder below for names that pickles bring along.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import os
import sys
import threading
from collections.abc import Callable, Sequence
from types import CodeType, ModuleType

from fusionc.generated.request import PREFIX, Request, from_name
from fusionc.generated.store import entry_path, read_entry, write_entry
from fusionc.version import __version__

_LOCK = threading.RLock()
_EXECUTED: dict[str, ModuleType] = {}  # by the digest of their text: its operators can be registered once
_COMPILERS: dict[str, Callable[[], str]] = {}  # of modules that are asked for with their diagram at hand
_TEXTS: dict[str, str] = {}  # of modules that are known by their text alone


def import_request(request: Request, emit: Callable[[], str]) -> ModuleType:
    """The module of a request: of this process, else from the cache, else what `emit` compiles, whose exceptions go
    through."""
    name = request.name
    _COMPILERS[name] = emit
    module = importlib.import_module(name)
    _COMPILERS.pop(name, None)  # (not where that failed: another thread may be about to try again)
    return module


def import_text(text: str) -> ModuleType:
    """The module of a generated file, whatever made it. (Nothing in its name says how to make it again: what it defines
    pickles for this process only, unless its request comes later.)"""
    name = f"{PREFIX}text_{_digest(text)[:24]}"
    _TEXTS[name] = text
    module = importlib.import_module(name)
    _TEXTS.pop(name, None)
    return module


class _Finder(importlib.abc.MetaPathFinder):
    """Finds generated modules by their names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(PREFIX):
            return None
        if fullname in _TEXTS:
            return importlib.machinery.ModuleSpec(fullname, _Loader(fullname, None))
        request = from_name(fullname)
        return None if request is None else importlib.machinery.ModuleSpec(fullname, _Loader(fullname, request))


class _Loader(importlib.abc.InspectLoader):
    """Executes the text of a module; keeps it for tracebacks and for `inspect`."""

    def __init__(self, name: str, request: Request | None) -> None:
        self._name, self._request = name, request
        self._file = f"<fusionc>/{name.removeprefix(PREFIX)[:60]}.py"
        self._text: str | None = _TEXTS.get(name)

    def exec_module(self, module: ModuleType) -> None:
        """Execute a text, or take the module of one that was executed under another name."""
        text = self.get_source(self._name)
        with _LOCK:
            digest = _digest(text)
            if digest not in _EXECUTED:
                module.__file__ = self._file
                linecache.cache[self._file] = (len(text), None, text.splitlines(keepends=True), self._file)
                exec(self.get_code(self._name), module.__dict__)
                _EXECUTED[digest] = module
            elif self._request is not None:
                _rename(_EXECUTED[digest], self._name)
            sys.modules[self._name] = _EXECUTED[digest]

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(self.get_source(fullname), self._file, "exec", dont_inherit=True)
        return code

    def get_source(self, fullname: str) -> str:
        if self._text is None:
            assert self._request is not None
            self._text = self._found(self._request)
        return self._text

    def _found(self, request: Request) -> str:
        """The text from the cache or from the compiler. Where it lies on disk, a debugger can open it."""
        emit = _COMPILERS.get(self._name) or (lambda: _compiled(request))
        try:
            key = request.key
        except OSError:  # fusionc does not lie in files, so that nobody knows what makes an entry stale
            return emit()
        text = read_entry(request.diagram, key)
        if text is None:
            text = emit()
            kept = write_entry(request.diagram, key, text)
        else:
            kept = True
        path = entry_path(request.diagram, key)
        self._file = str(path.absolute()) if kept and path is not None else self._file
        return text


def _rename(module: ModuleType, name: str) -> None:
    """Call a module that was executed for its text alone, and what it defines, by a name that loads elsewhere."""
    old = module.__name__
    if not old.startswith(f"{PREFIX}text_"):
        return
    for value in list(vars(module).values()):
        if getattr(value, "__module__", None) == old:
            value.__module__ = name
    module.__name__ = name


def _compiled(request: Request) -> str:
    """The text of a request that comes without its diagram: another process named it."""
    from fusionc.driver import check_source, emit  # the compiler
    from fusionc.language.errors import CompileError
    from fusionc.language.source import Source

    try:
        checked = check_source(Source(f"<{request.diagram}>", request.text))
        if checked.has_errors:
            raise CompileError(checked.diagnostics)
        return emit(checked.diagrams, request.target, request.options)
    except CompileError as error:
        message = f"the diagram `{request.diagram}` of a saved module is not one for fusionc {__version__}: {error}"
        raise ImportError(message) from error


def install() -> None:
    """Let the import system find generated modules."""
    sys.meta_path.append(_Finder())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _unlocked() -> None:
    """A process that is forked while a thread holds the lock has no such thread."""
    global _LOCK
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlocked)
