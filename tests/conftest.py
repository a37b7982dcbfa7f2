"""What all tests share."""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

# Workers share the cores: two that take them all wait for each other in every small operation.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Generated modules are imported from a folder of this run. (Below a folder with the name `tests`, because hypothesis
# reads the constants of all other modules that it finds imported: thousands, that are new in every example.)
_FOLDER = tempfile.TemporaryDirectory(prefix="fusionc-")
atexit.register(_FOLDER.cleanup)
os.environ["FUSIONC_CACHE"] = str(Path(_FOLDER.name) / "tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    about = "write the expected texts of tests/mistakes and tests/golden anew"
    parser.addoption("--update-golden", action="store_true", help=about)
