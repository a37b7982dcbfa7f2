"""The command line where files, pipes and streams are not what one hopes: whose fault it is; nothing half written."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import fusionc
from fusionc import files
from fusionc.cli import main

GOOD = "diagram d(x: 4x0e) -> 4x0e {\n    x[u] -> out[u]\n}\n"
UGLY = "diagram d(x: 4x0e) -> 4x0e { x[u]->out[u] }\n"


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.fus"
    path.write_text(GOOD)
    return path


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe.fus"
    os.mkfifo(path)
    return path


def shell(line, tmp_path):
    """A line for bash, with `fusionc` in it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    script = f'set -o pipefail\nfusionc() {{ {sys.executable} -m fusionc "$@"; }}\n{line}'
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path, env=environment
    )


# --- reading -----------------------------------------------------------------------------------------------------


def test_a_pipe_is_read_until_its_writers_are_done(pipe, capsys):
    """Slow ones too."""

    def write():
        with pipe.open("w") as file:
            for part in (GOOD[:10], GOOD[10:]):
                file.write(part)
                file.flush()
                time.sleep(0.1)

    writer = threading.Thread(target=write)
    writer.start()
    assert main(["check", str(pipe)]) == 0
    writer.join()
    assert "no errors" in capsys.readouterr().err


def test_a_pipe_into_which_nobody_writes_is_refused(pipe, capsys, monkeypatch):
    monkeypatch.setattr(files, "WAIT_FOR_WRITER", 0.1)
    assert main(["check", str(pipe)]) == 1
    assert "nobody writes into it" in capsys.readouterr().err
    with pytest.raises(fusionc.CompileError, match="nobody writes"):
        fusionc.load(pipe)


def test_a_pipe_is_not_formatted_in_place(pipe, capsys):
    writer = threading.Thread(target=lambda: pipe.write_text(UGLY))
    writer.start()
    assert main(["fmt", str(pipe)]) == 2
    writer.join()
    assert "fmt -" in capsys.readouterr().err


def test_what_a_shell_substitutes(good, tmp_path):
    assert shell("fusionc check <(cat good.fus) && fusionc check - < good.fus", tmp_path).returncode == 0


def test_closed_streams(good, tmp_path):
    """Standard input that is closed has no text; what is closed behind takes everything."""
    found = shell("fusionc check - <&-", tmp_path)
    assert (found.returncode, "F0005" in found.stderr, "it is closed" in found.stderr) == (1, True, True)
    found = shell("fusionc check nothing.fus 2>&-", tmp_path)
    assert (found.returncode, found.stdout) == (1, "")


class Stream:
    """Standard input that gives what it is told to."""

    def __init__(self, read):
        self.buffer = self
        self.read = read


def failing(*_):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize(
    ("read", "code"),
    [(failing, "F0005"), (lambda most: None, "F0005"), (lambda most: b" " * most, "F0010")],
    ids=["broken", "not waiting", "endless"],
)
def test_standard_input_that_gives_no_text(read, code, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Stream(read))
    assert main(["check", "-"]) == 1
    assert code in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\xff\xfed\0", "F0004"), (GOOD.encode() + b"\xe9", "F0004"), (b"\0" + GOOD.encode(), "F0002")],
    ids=["UTF-16", "Latin-1", "NUL"],
)
def test_bytes_that_are_no_text(data, code, good, capsys):
    good.write_bytes(data)
    for command in (["check"], ["fmt"], ["compile"], ["paths"], ["draw"], ["eval"]):
        assert main([*command, str(good)]) == 1
        assert code in capsys.readouterr().err
    assert good.read_bytes() == data


def test_a_byte_order_mark_is_no_text(good, tmp_path):
    """Editors of Windows write one; the canonical form is without."""
    good.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert fusionc.load(good) == fusionc.parse(GOOD)
    assert main(["check", str(good)]) == 0


def test_folders_are_no_files(good, tmp_path, capsys):
    for command in (["check"], ["fmt"], ["compile"], ["paths"], ["cost"], ["draw"], ["eval"]):
        assert main([*command, str(tmp_path)]) == 1
        assert "F0005" in capsys.readouterr().err
    with pytest.raises(fusionc.CompileError, match="F0005"):
        fusionc.load(tmp_path)


def test_links_in_a_circle(good, tmp_path, capsys):
    (tmp_path / "a.fus").symlink_to("b.fus")
    (tmp_path / "b.fus").symlink_to("a.fus")
    assert main(["check", str(tmp_path / "a.fus")]) == 1
    good.write_text('import "a.fus"\n')
    assert main(["check", str(good)]) == 1
    (tmp_path / "a.py").symlink_to("a.py")
    good.write_text(GOOD)
    assert main(["compile", str(good), "-o", str(tmp_path / "a.py")]) == 2
    assert "mistake in fusionc" not in capsys.readouterr().err


# --- writing -----------------------------------------------------------------------------------------------------


def test_places_where_nothing_can_be_written(good, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for output in (tmp_path, tmp_path / "file" / "out", "/dev/null/out", "/proc/none/out", "x" * 300):
        for command in ("compile", "draw"):
            assert main([command, str(good), "-o", str(output)]) == 2
            assert "cannot write" in capsys.readouterr().err
    assert main(["compile", str(good), "-o", str(tmp_path / "new" / "folder" / "out.py")]) == 0


def test_a_file_that_cannot_be_rewritten_stays(good, tmp_path, monkeypatch, capsys):
    """The others are formatted."""
    other = tmp_path / "other.fus"
    for path in (good, other):
        path.write_text(UGLY)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: os.fspath(path) != str(good) and allowed(path, mode))
    assert main(["fmt", str(good), str(other)]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert (good.read_text(), other.read_text()) == (UGLY, GOOD)


@pytest.mark.parametrize("command", [["fmt"], ["compile", "-o", "out.py"], ["draw", "-o", "out.svg"]])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_a_disk_that_takes_nothing(command, number, good, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    good.write_text(UGLY)

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    assert main([*command[:1], str(good), *command[1:]]) == 2
    assert os.strerror(number) in capsys.readouterr().err
    assert good.read_text() == UGLY
    assert os.listdir(tmp_path) == ["good.fus"]


def test_readers_that_have_seen_enough(good, tmp_path):
    """Of either stream: the exit code is that of the command, and there is no traceback."""
    (tmp_path / "long.fus").write_text("".join(GOOD.replace("d(", f"d{number}(") for number in range(400)))
    found = shell("fusionc paths long.fus | head -1", tmp_path)
    assert (found.returncode, found.stderr) == (0, "")
    (tmp_path / "bad.fus").write_text("diagram\n" * 90)
    assert shell("fusionc check bad.fus 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}", tmp_path).returncode == 1
    found = shell("fusionc check bad.fus 2>/dev/full", tmp_path)
    assert found.returncode == 1


# --- whose fault it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "no", "x"), OSError(errno.EMFILE, "no"), OSError("no")]
)
def test_an_error_of_the_system_is_no_mistake_in_fusionc(error, good, monkeypatch, capsys):
    def refuse(*_):
        raise error

    monkeypatch.setattr("fusionc.driver.check_source", refuse)
    monkeypatch.setattr("fusionc.language.printer.print_file", refuse)
    for command in ("check", "compile", "paths", "fmt"):
        assert main([command, str(good)]) == 2
        said = capsys.readouterr().err
        assert "no" in said
        assert "mistake in fusionc" not in said


def test_an_interrupt_is_no_mistake(good, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fusionc.driver.check_source", interrupted)
    assert main(["compile", str(good), "-o", str(tmp_path / "out.py")]) == 130
    assert capsys.readouterr() == ("", "")
    assert os.listdir(tmp_path) == ["good.fus"]


def test_an_interrupt_while_it_loads_or_waits(tmp_path):
    """From the first moment in which fusionc runs."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    late = subprocess.Popen(
        [sys.executable, "-m", "fusionc", "check", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # (what runs behind a shell ignores it)
    )
    loading = (
        "import builtins, fusionc.__main__\nold = builtins.__import__\n"
        "def new(name, *rest):\n    if name == 'fusionc.cli': raise KeyboardInterrupt\n    return old(name, *rest)\n"
        "builtins.__import__ = new\nfusionc.__main__.entry()\n"
    )
    early = subprocess.run([sys.executable, "-c", loading], capture_output=True, env=environment, check=False)
    assert (early.returncode, early.stderr) == (130, b"")
    while late.poll() is None and not waits(late.pid):
        time.sleep(0.05)
    late.send_signal(signal.SIGINT)
    assert (late.communicate(timeout=60), late.returncode) == ((b"", b""), 130)


def waits(process: int) -> bool:
    """Whether a process reads from its standard input, as far as the system says."""
    try:
        with open(f"/proc/{process}/syscall") as file:
            return file.read().startswith("0 0x0 ")
    except OSError:
        time.sleep(5)  # (a system that does not say)
        return True


def test_streams_without_descriptors(good, monkeypatch):
    """A caller may have put something else in their place."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr("fusionc.driver.check_source", failing)
    assert main(["check", str(good)]) == 2
