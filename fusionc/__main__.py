"""`python -m fusionc`, and the console script."""

from __future__ import annotations

import sys
from typing import NoReturn


def entry() -> NoReturn:
    """Run the command line. It takes a while to load, and may be interrupted there."""
    try:
        from fusionc.cli import main

        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    entry()
