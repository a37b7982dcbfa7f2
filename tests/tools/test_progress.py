"""Progress on a terminal, and none elsewhere."""

from __future__ import annotations

import io
import sys
import time

import pytest

from fusionc.tools.progress import Progress


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, seconds: float) -> str:
    """What is written while one step takes so long and says nothing."""
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("planning", delay=0.05, every=0.02) as step:
        step("a diagram")
        time.sleep(seconds)
    return stream.getvalue()


def test_a_silent_step_is_seen_to_go_on(monkeypatch):
    shown = watched(monkeypatch, Terminal(), 0.5)
    lines = shown.split("\r")
    assert lines[0] == ""
    assert lines.count("planning: a diagram (0 s)") > 2
    assert lines[-2:] == [" " * len("planning: a diagram (0 s)"), ""], "the line is taken away at the end"


def test_what_is_quick_says_nothing(monkeypatch):
    assert watched(monkeypatch, Terminal(), 0.0) == ""


def test_nothing_is_written_to_a_file(monkeypatch):
    assert watched(monkeypatch, io.StringIO(), 0.2) == ""
