"""The cache trusts nothing that somebody else could have written, replaces what is broken, and is never missed."""

from __future__ import annotations

import errno
import os
import py_compile
import shutil
import stat
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path

import pytest

import fusionc
from fusionc.files import write_whole
from fusionc.generated import store
from fusionc.generated.request import Request
from fusionc.generated.store import cache_folder, read_entry, write_entry
from fusionc.targets.registry import Options

KEY, TEXT = "0123456789abcdef" * 4, "print('ü')\n"
NAME = f"d_{KEY[:32]}.py"
FACTORS = count(3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("FUSIONC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fresh():
    """A diagram that was never compiled, and where its entry lies in the folder."""
    diagram = fusionc.parse(f"diagram stored(x: 2x0e) -> 2x0e {{ x[u] -> out[u] * {next(FACTORS)} }}")["stored"]
    key = Request(diagram.checked.standalone, "torch", Options()).key
    return diagram, f"stored_{key[:32]}.py"


def as_link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "target")


def unreadable(path: Path) -> None:
    path.write_text("raise SystemExit('planted')")
    path.chmod(0)


def for_all(path: Path) -> None:
    """Sound, but others could have written it."""
    write_entry("other", KEY, "raise SystemExit('planted')")
    shutil.copy(path.parent / f"other_{KEY[:32]}.py", path)
    path.chmod(0o666)


def directory(path: Path) -> None:
    path.mkdir()
    (path / "full").write_text("")


BROKEN = {
    "no UTF-8": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "other text": lambda path: path.write_text("raise SystemExit('planted')\n# sha256 " + "0" * 64 + "\n"),
    "empty": lambda path: path.write_text(""),
    "directory": directory,
    "link": as_link,
    "unreadable": unreadable,
    "others may write": for_all,
    "pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_entry_is_replaced(kind, folder):
    diagram, name = fresh()
    folder.mkdir(mode=0o700)
    target = folder.parent / "target"
    target.write_text("precious")
    BROKEN[kind](folder / name)
    diagram.module()()
    assert target.read_text() == "precious"
    status = os.lstat(folder / name)
    assert stat.S_ISREG(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert (folder / name).read_text().startswith(diagram.emit())


def test_nothing_that_python_compiled_is_run(folder):
    """A planted `.pyc`, which an import would take without looking at the text beside it."""
    diagram, name = fresh()
    compiled = folder / "__pycache__" / f"{Path(name).stem}.{sys.implementation.cache_tag}.pyc"
    key = Request(diagram.checked.standalone, "torch", Options()).key
    assert write_entry("stored", key, diagram.emit())
    (folder / "planted.py").write_text("raise SystemExit('planted')")
    py_compile.compile(
        str(folder / "planted.py"), str(compiled), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    assert diagram.module().__init__.__code__.co_filename == str(folder / name)


def test_an_entry_is_read_as_it_was_written(folder):
    assert read_entry("d", KEY) is None
    assert not folder.exists()
    assert write_entry("d", KEY, TEXT)
    assert read_entry("d", KEY) == TEXT
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == [NAME]


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_is_not_used(mode, folder):
    assert write_entry("d", KEY, TEXT)
    folder.chmod(mode)
    assert read_entry("d", KEY) is None
    assert not write_entry("e", KEY, TEXT)
    folder.chmod(0o755)
    assert read_entry("d", KEY) == TEXT


def test_what_is_somebody_elses_is_not_used(folder, monkeypatch):
    assert write_entry("d", KEY, TEXT)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert read_entry("d", KEY) is None
    assert not write_entry("e", KEY, TEXT)


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


NOWHERE = {
    "no home": lambda patch: (
        [patch.delenv(name, raising=False) for name in ("FUSIONC_CACHE", "XDG_CACHE_HOME", "HOME")],
        patch.setattr("pwd.getpwuid", lambda uid: {}[uid]),
    ),
    "nobody of that name": lambda patch: patch.setenv("FUSIONC_CACHE", "~nobody-of-that-name/cache"),
    "below a file": lambda patch: patch.setenv("FUSIONC_CACHE", f"{__file__}/cache"),
    "full disk": lambda patch: patch.setattr(os, "replace", full),
    "read-only": lambda patch: patch.setattr(store.secrets, "token_hex", full),
    "fusionc in an archive": lambda patch: patch.setattr("fusionc.generated.request.sources_digest", full),
}


@pytest.mark.parametrize("kind", NOWHERE)
def test_without_a_place_to_write_modules_are_made_in_memory(kind, folder, monkeypatch):
    diagram, _ = fresh()
    NOWHERE[kind](monkeypatch)
    assert diagram.module()()
    assert diagram.module() is diagram.module()
    monkeypatch.undo()
    assert not folder.exists() or not list(folder.iterdir())


def test_where_the_cache_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for chosen, base, wanted in [
        ("~/mine", None, tmp_path / "mine"),
        ("", None, tmp_path / ".cache" / "fusionc"),
        ("", "relative", tmp_path / ".cache" / "fusionc"),
        ("", str(tmp_path / "xdg"), tmp_path / "xdg" / "fusionc"),
    ]:
        monkeypatch.setenv("FUSIONC_CACHE", chosen)
        monkeypatch.setenv("XDG_CACHE_HOME", base or "")
        assert cache_folder() == wanted


def test_what_is_used_last_is_kept(folder, monkeypatch):
    monkeypatch.setattr(store, "MOST_ENTRIES", 3)
    for number in range(5):
        write_entry(f"d{number}", KEY, TEXT)
        os.utime(folder / f"d{number}_{KEY[:32]}.py", (number, number))
        read_entry("d0", KEY)
    (folder / "mine.txt").write_text("")
    stale = folder / f".{'0' * 16}.tmp"
    stale.write_text("")
    os.utime(stale, (0, 0))
    write_entry("d5", KEY, TEXT)
    assert sorted(path.name.split("_")[0] for path in folder.iterdir()) == ["d0", "d4", "d5", "mine.txt"]


def test_a_key_is_that_of_one_fusionc(monkeypatch):
    text = "group O(3)\n\ndiagram d(x: 0e) -> 0e {\n    x -> out\n}\n"
    requests = [
        Request(text, "torch", Options()),
        Request(text, "triton", Options()),
        Request(text, "torch", Options(layout="ir_mul")),
        Request(text.replace("0e)", "0e )"), "torch", Options()),
    ]
    keys = [request.key for request in requests]
    monkeypatch.setattr("fusionc.generated.request.__version__", "0.2")
    keys += [request.key for request in requests]
    monkeypatch.setattr("fusionc.generated.request.sources_digest", lambda: "other")
    keys += [request.key for request in requests]
    assert len(set(keys)) == len(keys)


def test_threads_get_one_class(folder):
    """Without a moment in which the umask of the process is another."""
    diagram, _ = fresh()
    barrier, found = threading.Barrier(8), []

    def work():
        barrier.wait(60)
        found.append(fusionc.parse(diagram.source.standalone)["stored"].module())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(list(folder.iterdir())) == 1


def test_a_failure_is_told_to_every_thread():
    text = "sites atoms\npairs edges(atoms, atoms)\ndiagram d(x: 0e, True: 0e) -> 0e { x True -> out }"
    with pytest.raises(fusionc.CompileError) as caught:
        fusionc.parse(text)["d"].module()
    for _ in range(2):
        with pytest.raises(fusionc.CompileError) as again:
            fusionc.parse(text)["d"].module()
        assert [one.code for one in again.value.diagnostics] == [one.code for one in caught.value.diagnostics]


def test_many_processes_and_threads_meet_a_cold_cache():
    script = Path(__file__).parent.parent / "campaigns" / "cold_cache.py"
    command = [sys.executable, script, "--rounds", "1", "--processes", "3", "--threads", "5"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert found.stdout == "8 passed, 0 failed\n", found.stderr


def test_files_are_written_without_asking_for_the_umask(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda mask: pytest.fail("the umask is that of all threads"))
            write_whole(tmp_path / "new", TEXT)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    write_whole(tmp_path / "new", "other")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604
    assert os.listdir(tmp_path) == ["new"]
