"""Progress on a terminal: one line on standard error that is overwritten, and nothing where nobody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType


class Progress:
    """`with Progress("verifying") as step: step("gradients")`; silent unless standard error is a terminal."""

    def __init__(self, what: str, delay: float = 0.5) -> None:
        self._what = what
        self._start = time.monotonic()
        self._delay = delay
        self._live = sys.stderr.isatty()
        self._shown = 0

    def __enter__(self) -> Progress:
        return self

    def __call__(self, step: str) -> None:
        if not self._live or time.monotonic() - self._start < self._delay:
            return
        line = f"{self._what}: {step} ({time.monotonic() - self._start:.0f} s)"[:100]
        sys.stderr.write("\r" + line.ljust(self._shown))
        sys.stderr.flush()
        self._shown = len(line)

    def named(self, name: str) -> Callable[[str], None]:
        """The same progress, each step with a name before it."""
        return lambda step: self(f"{name}: {step}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\r" + " " * self._shown + "\r")
            sys.stderr.flush()
