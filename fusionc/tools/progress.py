"""Progress on a terminal: one line on standard error that is overwritten, and nothing where nobody watches."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType


class Progress:
    """`with Progress("verifying") as step: step("gradients")`; silent unless standard error is a terminal.

    A line appears after `delay` seconds, and the time in it goes on while a step says nothing.
    """

    def __init__(self, what: str, delay: float = 0.5, every: float = 1.0) -> None:
        self._what = what
        self._start = time.monotonic()
        self._delay, self._every = delay, every
        self._live = sys.stderr.isatty()
        self._step = ""
        self._shown = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        if self._live:
            self._clock.start()
        return self

    def __call__(self, step: str) -> None:
        self._step = step
        if self._live and time.monotonic() - self._start >= self._delay:
            self._show()

    def _tick(self) -> None:
        pause = self._delay
        while not self._over.wait(pause):
            self._show()
            pause = self._every

    def _show(self) -> None:
        seconds = f"({time.monotonic() - self._start:.0f} s)"
        line = (f"{self._what}: {self._step} {seconds}" if self._step else f"{self._what} {seconds}")[:100]
        with self._lock:
            sys.stderr.write("\r" + line.ljust(self._shown))
            sys.stderr.flush()
            self._shown = len(line)

    def named(self, name: str) -> Callable[[str], None]:
        """The same progress, each step with a name before it."""
        return lambda step: self(f"{name}: {step}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._clock.is_alive():
            self._clock.join()
        if self._shown:
            sys.stderr.write("\r" + " " * self._shown + "\r")
            sys.stderr.flush()
