"""`python -m fusionc`."""

from fusionc.cli import entry

entry()
