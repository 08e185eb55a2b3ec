"""The command `schema`."""

from __future__ import annotations

import argparse

from harness.journal import journal_schema
from harness.spec.json_schema import schema_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--journal", action="store_true", help="of the journal's lines instead")


def main(args: argparse.Namespace) -> int:
    """Print the JSON Schema of specs, or of the journal."""
    print(journal_schema() if args.journal else schema_text(), end="")
    return 0
