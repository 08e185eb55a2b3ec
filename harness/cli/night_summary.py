"""The command `night-summary`."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.journal import read_journal
from harness.night import summarize


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("journal", type=Path, metavar="JOURNAL", help="what --journal wrote")


def main(args: argparse.Namespace) -> int:
    """Print the summary of the journal's last run."""
    print("\n".join(summarize(read_journal(args.journal))))
    return 0
